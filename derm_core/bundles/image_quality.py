"""Whether a photograph is good enough to classify: focus, exposure, contrast, size.

Measured on the centre square at 128 px, near the scale of what the models see, so that photographs of any
size are judged alike. Sharpness is the variance of the Laplacian over the variance of the image, both of
luminance: the plain variance (Pech-Pacheco et al. 2000) says as much of a lesion's contrast as of focus.

The limits are quantiles of HAM10000's 10,015 images, all of which somebody judged good enough to publish:
1 % of them are less sharp; 0.25 % are darker, 0.25 % brighter and 0.25 % poorer in contrast. Of a tenth of
HAM10000 blurred by a Gaussian of 1 %, 1.3 % and 2 % of the short side (sigma), 75 %, 90 % and 97 % are reported as
out of focus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

SIZE = 128
SHARP, DARK, BRIGHT, CONTRAST = 0.0122, 0.355, 0.831, 0.031
LEAST_SIDE = 64  # below it there is nothing left to see, whatever a model's input size
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def measure(square_ss3: np.ndarray) -> dict[str, float]:
    """Sharpness (from 0), brightness (mean luminance, 0 to 1), contrast (its standard deviation) of uint8 (S, S, 3)."""
    grey = square_ss3 @ (LUMINANCE / 255)
    laplacian = (
        grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    )
    variance = float(grey.var())
    return {
        "sharpness": float(laplacian.var()) / max(variance, 1e-6),
        "brightness": float(grey.mean()),
        "contrast": variance**0.5,
    }


def square(picture: Image.Image) -> np.ndarray:
    """The centre square at SIZE px, uint8: reduced by whole numbers first, then bicubic (a third of the time)."""
    side = min(picture.size)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    return np.asarray(
        picture.resize(
            (SIZE, SIZE),
            Image.Resampling.BICUBIC,
            box=(left, top, left + side, top + side),
            reducing_gap=1.01,
        )
    )


@dataclass(frozen=True)
class ImageQuality:
    """What speaks against a photograph before any model sees it.

    Attributes:
        ok: whether there is no problem.
        problems: sentences that say what is wrong and what to do.
        sharpness: variance of the Laplacian over the variance of the image, from 0.
        brightness, contrast: mean and standard deviation of the luminance, 0 to 1.
        width, height: of the picture, in pixels.
    """

    ok: bool
    problems: tuple[str, ...]
    sharpness: float
    brightness: float
    contrast: float
    width: int
    height: int


def check_quality(picture: Image.Image, input_size: int = LEAST_SIDE) -> ImageQuality:
    """Check focus, exposure, contrast and size of an RGB picture.

    Args:
        picture: RGB.
        input_size: the largest that a model reads, in pixels. Focus is not judged in a picture that is smaller, nor
            in one without contrast.
    """
    measured, least, (width, height) = (
        measure(square(picture)),
        max(LEAST_SIDE, input_size),
        picture.size,
    )
    problems = []
    if min(width, height) < least:
        problems.append(
            f"The image is small: {width} × {height} pixels, fewer than the {least} the models read; "
            "take one of the original size."
        )
    if measured["brightness"] < DARK:
        problems.append(
            f"The image is dark: its mean brightness is {measured['brightness']:.0%}, below {DARK:.0%}; "
            "take it again with more light."
        )
    elif measured["brightness"] > BRIGHT:
        problems.append(
            f"The image is overexposed: its mean brightness is {measured['brightness']:.0%}, above {BRIGHT:.0%}; "
            "take it again with less light, without flash."
        )
    if measured["contrast"] < CONTRAST:
        problems.append(
            f"The image has hardly any contrast ({measured['contrast']:.3f}, below {CONTRAST}): "
            "no lesion stands out from the skin."
        )
    elif measured["sharpness"] < SHARP and min(width, height) >= least:
        problems.append(
            f"The image is out of focus: its sharpness is {measured['sharpness']:.4f}, below {SHARP} (99 % of "
            "HAM10000 is sharper); take it again from the distance the camera can focus at."
        )
    return ImageQuality(not problems, tuple(problems), **measured, width=width, height=height)
