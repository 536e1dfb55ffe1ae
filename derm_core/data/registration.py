"""Registration of two pictures of skin: the best correlation over shifts, turns, sizes and stretches.

The measure is the normalised cross-correlation of luminance, over all shifts at once by Fourier
transform. Low frequencies are taken out and the local contrast is made equal: every dark spot on
light skin correlates with every other, while follicles, hairs and streaks do not.

Shapes: m pairs of pictures, s pixels a side (COARSE, MIDDLE or FINE). A pose is (turn in degrees,
scale, stretch, direction of the stretch in degrees from the vertical).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter

COARSE, MIDDLE, FINE = 32, 64, 128
TURNS = range(0, 360, 10)  # degrees
COARSE_BLUR = 2.0  # standard deviation in pixels of what is taken for low frequencies
BLUR = {MIDDLE: 1.0, FINE: 1.5}
CONTRAST = {MIDDLE: 4.0, FINE: 6.0}  # and of the surroundings in which contrast is made equal
EDGE = {COARSE: 0.25, MIDDLE: 0.2, FINE: 0.2}  # share of the radius over which the window falls off
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)

Step = tuple[float, float, float, float]


def log_luminance(read: Callable[[np.ndarray], np.ndarray], rows_m: np.ndarray) -> np.ndarray:
    """(m, s, s): a factor of brightness becomes a constant, which the filter removes.

    Args:
        read: rows → uint8 (n, s, s, 3); called once, with every row once and in ascending order,
            as suits a memory map.
        rows_m: the rows, in any order.
    """
    rows, place = np.unique(rows_m, return_inverse=True)
    return np.log(read(rows) @ LUMINANCE + 8)[place]


def shrink(grey_mss: np.ndarray, side: int) -> np.ndarray:
    """(m, side, side): means over blocks of the middle; smaller pictures by repetition of pixels."""
    size = grey_mss.shape[1]
    if size < side:
        places = np.arange(side) * size // side
        return grey_mss[:, places][:, :, places]
    factor = size // side
    cut = (size - factor * side) // 2
    inner = grey_mss[:, cut : cut + factor * side, cut : cut + factor * side]
    return inner.reshape(-1, side, factor, side, factor).mean((2, 4))


def warp(
    side: int, turn: float, scale: float, stretch: float = 1.0, direction: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of a picture come from that is stretched, then turned and enlarged.

    Args:
        side: of the picture in pixels.
        turn: degrees.
        scale: above 1 enlarges.
        stretch: what lies along `direction` becomes longer by its root, what lies across shorter.
        direction: degrees from the vertical.

    Returns:
        Indices (side²) into the picture's pixels, and (side²) 1 where there is one, else 0.
    """
    squeeze = np.diag([stretch**-0.5, stretch**0.5])
    back = _rotation(direction) @ squeeze @ _rotation(-direction - turn) / scale
    places = np.mgrid[:side, :side].reshape(2, -1) - (side - 1) / 2
    sources = back @ places + (side - 1) / 2
    inside = ((sources >= 0) & (sources <= side - 1)).all(0)
    row, column = np.clip(np.rint(sources), 0, side - 1).astype(int)
    return row * side + column, inside.astype(np.float32)


def _rotation(degrees: float) -> np.ndarray:
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    return np.array([[cosine, -sine], [sine, cosine]])


def peak_correlation(
    first_mss: np.ndarray, spectrum_mss: np.ndarray, norm_m: np.ndarray
) -> np.ndarray:
    """(m,) largest normalised correlation over all shifts.

    Args:
        first_mss: pictures.
        spectrum_mss: real Fourier transform of the others.
        norm_m: root of their sum of squares.
    """
    own_norm = np.sqrt(np.square(first_mss).sum((1, 2)))
    both = fft.irfft2(np.conj(fft.rfft2(first_mss)) * spectrum_mss, s=first_mss.shape[1:])
    peak: np.ndarray = both.reshape(len(both), -1).max(1) / np.maximum(own_norm * norm_m, 1e-6)
    return peak


def best_turn(first_mss: np.ndarray, second_mss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best correlation (m,) over all TURNS of the first at COARSE pixels, and that turn in degrees."""
    window = _window(COARSE)
    flat = _high_pass(first_mss, COARSE_BLUR).reshape(len(first_mss), COARSE**2)
    spectrum, norm = _spectrum(_high_pass(second_mss, COARSE_BLUR) * window)
    best, turn = np.full(len(first_mss), -1.0), np.zeros(len(first_mss))
    for degrees in TURNS:
        pixel, inside = warp(COARSE, degrees, 1.0)
        turned = (flat[:, pixel] * inside).reshape(first_mss.shape) * window
        peak = peak_correlation(turned, spectrum, norm)
        better = peak > best
        best[better], turn[better] = peak[better], degrees
    return best, turn


def refine(
    first_mss: np.ndarray, second_mss: np.ndarray, pose_m4: np.ndarray, steps: Sequence[Step]
) -> tuple[np.ndarray, np.ndarray]:
    """Best correlation (m,) of textures over poses near the given ones, and those poses (m, 4).

    Args:
        first_mss: pictures.
        second_mss: the others.
        pose_m4: of the first, where the search starts.
        steps: each adds to the angles of a pose and multiplies its scale and stretch.
    """
    side = first_mss.shape[1]
    window = _window(side)
    flat = _equalised(first_mss).reshape(len(first_mss), side**2)
    spectrum, norm = _spectrum(_equalised(second_mss) * window)
    best, best_pose = np.full(len(first_mss), -1.0), pose_m4.copy()
    starts, of_start = np.unique(pose_m4, axis=0, return_inverse=True)
    for number, (turn, scale, stretch, direction) in enumerate(starts):
        own = np.flatnonzero(of_start.ravel() == number)
        own_flat, own_spectrum, own_norm = flat[own], spectrum[own], norm[own]
        for step in steps:
            pose = turn + step[0], scale * step[1], stretch * step[2], direction + step[3]
            pixel, inside = warp(side, *pose)
            turned = own_flat[:, pixel] * (inside * window.ravel())
            peak = peak_correlation(turned.reshape(-1, side, side), own_spectrum, own_norm)
            better = peak > best[own]
            best[own[better]], best_pose[own[better]] = peak[better], pose
    return best, best_pose


def _spectrum(images_mss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return fft.rfft2(images_mss), np.sqrt(np.square(images_mss).sum((1, 2)))


def _high_pass(grey_mss: np.ndarray, blur: float) -> np.ndarray:
    return np.subtract(grey_mss, gaussian_filter(grey_mss, (0, blur, blur)))


def _equalised(grey_mss: np.ndarray) -> np.ndarray:
    """High frequencies over their local standard deviation; where that is near 0, they stay small."""
    side = grey_mss.shape[1]
    high = _high_pass(grey_mss, BLUR[side])
    local = np.sqrt(np.maximum(gaussian_filter(high**2, (0, CONTRAST[side], CONTRAST[side])), 0))
    usual = np.median(local, axis=(1, 2), keepdims=True) if len(local) else local
    return np.divide(high, local + 0.5 * usual + 1e-6)


def _window(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.clip((1 - np.hypot(x, y) / (side / 2)) / EDGE[side], 0, 1).astype(np.float32)
