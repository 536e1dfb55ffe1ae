"""Whether a generator repeats its training images: the nearest one to each of its samples.

Carlini et al. 2023 (arXiv 2301.13188, section 4): a sample is a copy where it is much nearer to one
training image than to that image's neighbourhood, here the mean of the sample's 50 nearest; a plain distance
would call every smooth picture a copy of every other. Held-out images say what is usual.
"""

from __future__ import annotations

import numpy as np

from ..bundles.card_parts import Memorisation

NEAR = 50
COPY_RATIO = 0.5
SIDE = 32
LIKE_TRAINING = "latents spread as those of training images"  # what every caller draws from


def memorisation(
    samples_nssc: np.ndarray, training_nssc: np.ndarray, held_out_nssc: np.ndarray
) -> Memorisation:
    """Count samples that are copies of training images: those nearer than COPY_RATIO of the mean over the 50 nearest.

    Args:
        samples_nssc: images in [0, 1] or uint8, all of one size; compared at 32 px.
        training_nssc: what they may repeat.
        held_out_nssc: photographs that were not trained on.

    Returns:
        For samples and held-out images, medians and minima of the root mean squared error to the nearest training image
        and of its ratio to the mean over the 50 nearest, and the number of copies.
    """
    training = _small(training_nssc)
    (nearest, ratio), (held_out_nearest, held_out_ratio) = (
        _nearest(_small(images), training) for images in (samples_nssc, held_out_nssc)
    )
    return Memorisation(
        samples=len(samples_nssc),
        drawn_from=LIKE_TRAINING,
        training_images=len(training),
        held_out_images=len(held_out_nssc),
        copy_ratio=COPY_RATIO,
        nearest_rmse=_summary(nearest),
        ratio=_summary(ratio),
        copies=int((ratio < COPY_RATIO).sum()),
        held_out_nearest_rmse=_summary(held_out_nearest),
        held_out_ratio=_summary(held_out_ratio),
        held_out_copies=int((held_out_ratio < COPY_RATIO).sum()),
    )


def _small(images_nssc: np.ndarray) -> np.ndarray:
    """(n, d) float32 in [0, 1]: block means at 32 px, or the pixels where the size does not divide."""
    n, side = images_nssc.shape[:2]
    factor = side // SIDE if side > SIDE and side % SIDE == 0 else 1
    scale = 255 if images_nssc.dtype == np.uint8 else 1
    blocks = images_nssc.reshape(n, side // factor, factor, side // factor, factor, 3)
    return (blocks.mean((2, 4), dtype=np.float32) / scale).reshape(n, -1)


def _nearest(images_nd: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    squared = (images_nd**2).sum(1)[:, None] - 2 * images_nd @ training.T + (training**2).sum(1)
    near = np.sqrt(
        np.maximum(np.partition(squared, min(NEAR, len(training)) - 1, axis=1)[:, :NEAR], 0)
        / images_nd.shape[1]
    )
    least = near.min(1)
    return least, least / np.maximum(near.mean(1), 1e-9)


def _summary(values: np.ndarray) -> dict[str, float]:
    return {"median": float(np.median(values)), "least": float(values.min())}
