"""Corruptions of dermoscopic photographs, in five severities, as functions of uint8 images.

Thirteen families: focus, motion, sensor noise, JPEG, pixels, exposure, contrast, colour, and what
lies on the skin or before the lens. Lengths are shares of the image's side, so that a severity
means the same at 64 and at 224 pixels. The random numbers of an image (directions, places) come
from its id and
the family, not from the severity: higher severities are more of the same, and every caller gets the
same pixels. After the benchmark of Hendrycks and Dietterich (2019, arXiv 1903.12261),
with the nuisances that dermoscopy knows.

Shapes: n images, s = s pixels, c = 3 channels; inside, float32 colours in [0, 1].
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from scipy import fft, special

from ..records import require
from ..seeds import stream_seed
from .augment import LUMA
from .synth.photo import draw_bubble, draw_hair, draw_ink, draw_ruler

SEVERITIES = (1, 2, 3, 4, 5)
Draws = list[np.random.Generator]
Corruption = Callable[[np.ndarray, int, Draws], np.ndarray]

# What the severities 1 to 5 mean, family by family.
# Radius of the circle of confusion, and length of the way, as shares of the side.
DEFOCUS = (0.006, 0.011, 0.018, 0.028, 0.042)
MOTION = (0.015, 0.03, 0.05, 0.08, 0.12)
NOISE = (0.02, 0.04, 0.06, 0.08, 0.11)  # standard deviation a pixel of a 64 px image
JPEG = (40, 25, 15, 9, 5)  # quality, at about 256 pixels a side
PIXELS = (40, 30, 21, 15, 10)  # cells along a side
EXPOSURE = (0.25, 0.5, 0.75, 1.0, 1.35)  # stops up or down: 1 doubles or halves
CONTRAST = (0.3, 0.6, 0.9, 1.25, 1.7)  # the same for differences from the image's mean
SATURATION = (0.3, 0.6, 0.95, 1.35, 1.8)  # and for differences from its grey
HAIRS = (4, 9, 16, 26, 40)
RULERS = ((1, 0.45), (1, 0.85), (2, 0.85), (3, 0.85), (4, 0.9))  # sides with one, and its darkness
INK = (1, 2, 3, 4, 5)  # strokes
BUBBLES = (3, 7, 13, 22, 34)
# Radius of the dermatoscope's field, share of half a side.
APERTURE = (1.25, 1.10, 0.97, 0.85, 0.73)
LARGEST_NOISE_SIDE = 256  # above it more pixels no longer mean more noise in each


def corrupt(
    images_nssc: np.ndarray, family: str, severity: int, ids: Sequence[str], seed: int = 0
) -> np.ndarray:
    """Images under a corruption: uint8 (n, s, s, 3) to uint8 (n, s, s, 3).

    Args:
        images_nssc: uint8 images.
        family: a name in FAMILIES.
        severity: 1 to 5.
        ids: one an image; with seed and family they decide its random numbers.
        seed: see ids.

    Raises:
        ConfigError: unknown family or severity.
    """
    require(family in FAMILIES, "corruption", family, ", ".join(FAMILIES))
    require(severity in SEVERITIES, "severity", severity, "1 to 5")
    draws = [np.random.default_rng(stream_seed(seed, "corruption", family, name)) for name in ids]
    images = FAMILIES[family](np.asarray(images_nssc, np.float32) / 255, severity - 1, draws)
    return (images.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _per_image(
    corrupt_one: Callable[[np.ndarray, int, np.random.Generator], np.ndarray],
) -> Corruption:
    """A corruption of one image, for all of them."""

    def apply(images: np.ndarray, level: int, draws: Draws) -> np.ndarray:
        pairs = zip(images, draws, strict=True)
        return np.stack([corrupt_one(image, level, rng) for image, rng in pairs])

    return apply


def _uniform(draws: Draws, count: int) -> np.ndarray:
    """(count, n) numbers in [0, 1)."""
    return np.array([rng.random(count) for rng in draws], np.float32).reshape(-1, count).T


def _signs(draws: Draws) -> np.ndarray:
    """(n, 1, 1, 1): up or down."""
    return np.where(_uniform(draws, 1)[0] < 0.5, -1, 1)[:, None, None, None]


def _blur(
    images: np.ndarray, transfer: Callable[[np.ndarray, np.ndarray], np.ndarray], reach: float
) -> np.ndarray:
    """Multiply the spectrum by `transfer` of frequencies (rows, columns) in cycles a side; mirrored borders.

    reach: how far the blur carries, share of the side.
    """
    side = images.shape[1]
    border = min(int(np.ceil(reach * side)) + 2, side - 1)
    padded = np.pad(images, ((0, 0), (border, border), (border, border), (0, 0)), mode="reflect")
    full = padded.shape[1]
    rows, columns = fft.fftfreq(full)[:, None] * side, fft.rfftfreq(full)[None, :] * side
    spectrum = (
        fft.rfft2(padded, axes=(1, 2)) * transfer(rows, columns).astype(np.float32)[..., None]
    )
    sharp = fft.irfft2(spectrum, s=(full, full), axes=(1, 2))
    return sharp[:, border : border + side, border : border + side]


def _defocus(images: np.ndarray, level: int, draws: Draws) -> np.ndarray:
    """An even disc; its transfer function is 2 J1(x) / x with x = 2 pi f r (Goodman, Fourier Optics)."""
    radius = DEFOCUS[level]

    def transfer(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        x = 2 * np.pi * radius * np.hypot(rows, columns)
        return np.where(x > 1e-6, 2 * special.j1(x) / np.maximum(x, 1e-6), 1)[None]

    return _blur(images, transfer, radius)


def _motion(images: np.ndarray, level: int, draws: Draws) -> np.ndarray:
    """A straight way at constant speed in any direction: a sinc along it."""
    angle = np.pi * _uniform(draws, 1)[0][:, None, None]

    def transfer(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return np.sinc(MOTION[level] * (rows * np.sin(angle) + columns * np.cos(angle)))

    return _blur(images, transfer, MOTION[level] / 2)


def _noise(images: np.ndarray, level: int, draws: Draws) -> np.ndarray:
    """Gaussian, of equal power for equal area: finer pixels are noisier, reduced they are as noisy."""
    sigma = NOISE[level] * min(images.shape[1], LARGEST_NOISE_SIDE) / 64
    return images + sigma * np.stack(
        [rng.standard_normal(images.shape[1:], dtype=np.float32) for rng in draws]
    )


def _jpeg(image: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Compressed at about 256 pixels a side, so that its blocks are as large in a small image as in a large one."""
    side = len(image)
    times = max(1, round(256 / side))
    picture = Image.fromarray((image * 255 + 0.5).astype(np.uint8))
    if times > 1:
        picture = picture.resize((times * side, times * side), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG[level])
    return np.asarray(Image.open(buffer).convert("RGB").reduce(times), np.float32) / 255


def _pixelation(images: np.ndarray, level: int, draws: Draws) -> np.ndarray:
    """Means over cells, shown as cells."""
    side, cells = images.shape[1], min(PIXELS[level], images.shape[1])
    edges, pixel = np.arange(cells + 1) * side / cells, np.arange(side)
    cover = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    mean = (cover.clip(0) * cells / side).astype(np.float32)  # (cells, side), rows sum to 1
    shown = ((pixel + 0.5) * cells / side).astype(int)
    small = np.einsum("ir,nrxc->nixc", mean, images, optimize=True)
    return np.einsum("jx,nixc->nijc", mean, small, optimize=True)[:, shown][:, :, shown]


def _brightness(images: np.ndarray, level: int, draws: Draws) -> np.ndarray:
    return images * 2.0 ** (_signs(draws) * EXPOSURE[level])


def _contrast(images: np.ndarray, level: int, draws: Draws) -> np.ndarray:
    mean = images.mean((1, 2), keepdims=True)
    return mean + (images - mean) * 2.0 ** (_signs(draws) * CONTRAST[level])


def _saturation(images: np.ndarray, level: int, draws: Draws) -> np.ndarray:
    grey = (images @ np.array(LUMA, np.float32))[..., None]
    return grey + (images - grey) * 2.0 ** (_signs(draws) * SATURATION[level])


def _hair(image: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    return draw_hair(image, HAIRS[level], rng)


def _ruler(image: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    count, darkness = RULERS[level]
    for border in rng.permutation(4)[:count]:
        image = image * (1 - darkness * draw_ruler(len(image), rng, border)[..., None])
    return image


def _ink(image: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    for _ in range(INK[level]):
        image = draw_ink(image, rng)
    return image


def _bubbles(image: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    image = image.copy()
    for _ in range(BUBBLES[level]):
        draw_bubble(image, rng)
    return image


def _vignette(images: np.ndarray, level: int, draws: Draws) -> np.ndarray:
    """The dark rim of the dermatoscope's round field, not quite centred, with light falling off towards it."""
    side = images.shape[1]
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    x, y = 0.2 * _uniform(draws, 2)[:, :, None, None] - 0.1
    share = np.hypot(axis[None, None, :] - x, axis[None, :, None] - y) / APERTURE[level]
    light = (1 - 0.35 * share.clip(0, 1) ** 4) / (1 + np.exp(((share - 1) / 0.02).clip(-30, 30)))
    return images * light[..., None]


FAMILIES: dict[str, Corruption] = {  # the names are those of config.CORRUPTIONS
    "defocus": _defocus,
    "motion": _motion,
    "noise": _noise,
    "jpeg": _per_image(_jpeg),
    "pixelation": _pixelation,
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "hair": _per_image(_hair),
    "ruler": _per_image(_ruler),
    "ink": _per_image(_ink),
    "bubbles": _per_image(_bubbles),
    "vignette": _vignette,
}
