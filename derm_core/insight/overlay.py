"""What is drawn over images: saliency maps on a scale that several can share, and the outline of a lesion."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

# Eight stops of matplotlib's "inferno" (CC0): even steps of lightness, so that it also reads in
# grey.
INFERNO = "000004 280b54 65156e 9f2a63 d44842 f57d15 fac127 fcffa4"
STOPS = np.array([list(bytes.fromhex(stop)) for stop in INFERNO.split()], np.float32)
LINE, BESIDE_LINE = 255, 0  # white, and black beside it: seen on light and on dark
LINES = 128  # pixels of an image for each pixel of the outline's width


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


def outlined(image_ssc: np.ndarray, mask_ss: np.ndarray) -> np.ndarray:
    """An image with the outline of a mask: a light line just inside, a dark one around it.

    Where the mask reaches the edge of the image there is no line.

    Args:
        image_ssc: uint8 (S, S, 3).
        mask_ss: bool (S, S).
    """
    width = max(1, round(len(image_ssc) / LINES))
    inner = mask_ss & ~binary_erosion(mask_ss, iterations=width, border_value=1)
    outer = binary_dilation(mask_ss, iterations=max(1, width // 2)) & ~mask_ss
    drawn = image_ssc.copy()
    drawn[outer], drawn[inner] = BESIDE_LINE, LINE
    return drawn


def scale_strip(width: int = 256, height: int = 10) -> np.ndarray:
    """uint8 (height, width, 3): the scale itself, 0 at the left."""
    return np.repeat(colours(np.linspace(0, 1, width))[None], height, axis=0)
