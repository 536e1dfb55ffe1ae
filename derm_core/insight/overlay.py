"""Saliency maps drawn over images: a value for each pixel, on a scale that several maps can share."""

from __future__ import annotations

import numpy as np
from PIL import Image

# Eight stops of matplotlib's "inferno" (CC0): even steps of lightness, so that it also reads in
# grey.
INFERNO = "000004 280b54 65156e 9f2a63 d44842 f57d15 fac127 fcffa4"
STOPS = np.array([list(bytes.fromhex(stop)) for stop in INFERNO.split()], np.float32)


def colours(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] of any shape -> uint8 (…, 3); values outside have the colour of that end."""
    place = np.clip(np.nan_to_num(values), 0, 1) * (len(STOPS) - 1)
    left = np.minimum(place.astype(int), len(STOPS) - 2)
    share = (place - left)[..., None]
    return ((1 - share) * STOPS[left] + share * STOPS[left + 1]).round().astype(np.uint8)


def overlay(image_ssc: np.ndarray, values_ss: np.ndarray, top: float, opacity: float) -> np.ndarray:
    """A map over the grey of an image.

    Args:
        image_ssc: uint8 (S, S, 3).
        values_ss: (s, s), enlarged to the image.
        top: the value at the end of the scale, which starts at 0.
        opacity: 0 shows the image in its colours, 1 the map alone.

    Returns:
        uint8 (S, S, 3).
    """
    size = image_ssc.shape[1], image_ssc.shape[0]
    values = np.asarray(
        Image.fromarray(np.asarray(values_ss, np.float32)).resize(size, Image.Resampling.BILINEAR)
    )
    grey = image_ssc @ np.array([0.299, 0.587, 0.114], np.float32)
    # The colours of the skin would mix with those of the scale.
    base = (1 - opacity) * image_ssc + opacity * grey[..., None]
    mixed = (1 - opacity) * base + opacity * colours(values / max(top, 1e-12))
    return mixed.clip(0, 255).round().astype(np.uint8)


def scale_strip(width: int = 256, height: int = 10) -> np.ndarray:
    """uint8 (height, width, 3): the scale itself, 0 at the left."""
    return np.repeat(colours(np.linspace(0, 1, width))[None], height, axis=0)
