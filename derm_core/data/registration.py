"""Registration of two pictures of skin: the best correlation over shifts, turns, sizes and stretches.

The measure is the normalised cross-correlation of luminance, over all shifts at once by Fourier
transform. Low frequencies are taken out and the local contrast is made equal: every dark spot on
light skin correlates with every other, while follicles, hairs and streaks do not.

Shapes: n pictures, m pairs of them, s pixels a side (COARSE, MIDDLE or FINE). A pose is (turn in
degrees, scale, stretch, direction of the stretch in degrees from the vertical).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter1d

COARSE, MIDDLE, FINE = 32, 64, 128
TURNS = range(0, 360, 10)  # degrees
COARSE_BLUR = 2.0  # standard deviation in pixels of what is taken for low frequencies
BLUR = {MIDDLE: 1.0, FINE: 1.5}
CONTRAST = {MIDDLE: 4.0, FINE: 6.0}  # and of the surroundings in which contrast is made equal
EDGE = {COARSE: 0.25, MIDDLE: 0.2, FINE: 0.2}  # share of the radius over which the window falls off
CACHED_PIXELS = 9 * FINE**2  # of pictures that are worked on at once: more leave the cores' cache
ROUNDING = 1e-3  # pixels by which rounding may move a source
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)

Step = tuple[float, float, float, float]


def log_luminance(images_nssc: np.ndarray) -> np.ndarray:
    """(n, s, s) of uint8 images: a factor of brightness becomes a constant, which the filter removes."""
    return np.log(images_nssc @ LUMINANCE + 8)


def shrink(grey_mss: np.ndarray, side: int) -> np.ndarray:
    """(m, side, side): means over blocks of the middle; smaller pictures by repetition of pixels."""
    size = grey_mss.shape[1]
    if size < side:
        places = np.arange(side) * size // side
        return grey_mss[:, places][:, :, places]
    factor = size // side
    cut = (size - factor * side) // 2
    inner = grey_mss[:, cut : cut + factor * side, cut : cut + factor * side]
    if factor == 1:
        return inner
    mean = np.repeat(np.eye(side, dtype=np.float32), factor, axis=1) / factor
    return np.asarray(mean @ inner @ mean.T)


def warps(side: int, poses_k4: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of a picture come from that is stretched, then turned and enlarged.

    Args:
        side: of the picture in pixels.
        poses_k4: each a turn in degrees; a scale, above 1 enlarges; a stretch, what lies along its
            direction becomes longer by its root and what lies across shorter; and that direction,
            in degrees from the vertical.

    Returns:
        Indices (k, side²) into the picture's pixels, and (k, side²) 1 where there is one, else 0
        (and index 0).
    """
    return _sources(side, _inverses(poses_k4))


def _inverses(poses_k4: np.ndarray) -> np.ndarray:
    """(k, 2, 2): from a pixel's row and column, from the middle, to those of its source."""
    turn, scale, stretch, direction = np.asarray(poses_k4, float).T
    squeeze = np.zeros((len(turn), 2, 2))
    squeeze[:, 0, 0], squeeze[:, 1, 1] = stretch**-0.5, stretch**0.5
    inverses: np.ndarray = (
        _rotations(direction) @ squeeze @ _rotations(-direction - turn) / scale[:, None, None]
    )
    return inverses


def _sources(side: int, inverses_k22: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `warps` returns, of poses by their inverses."""
    count = len(inverses_k22)
    affine = np.full((2, count, 3), (side - 1) / 2, np.float32)
    affine[:, :, :2] = inverses_k22.transpose(1, 0, 2)
    row_and_column = (affine.reshape(-1, 3) @ _places(side)).reshape(2, count, side * side)
    row, column = row_and_column
    inside = np.minimum(row, column) > -ROUNDING
    inside &= np.maximum(row, column) < side - 1 + ROUNDING
    weight = inside.astype(np.float32)
    np.rint(row_and_column, out=row_and_column)
    row *= side
    row += column
    row *= weight
    return row.astype(np.intp), weight


@lru_cache(maxsize=3)
def _places(side: int) -> np.ndarray:
    """(3, side²): row and column of each pixel from the middle, and 1."""
    row, column = np.mgrid[:side, :side].reshape(2, -1) - (side - 1) / 2
    return np.stack([row, column, np.ones(side * side)]).astype(np.float32)


def _rotations(degrees_k: np.ndarray) -> np.ndarray:
    sine, cosine = np.sin(np.deg2rad(degrees_k)), np.cos(np.deg2rad(degrees_k))
    return np.stack([cosine, -sine, sine, cosine], -1).reshape(-1, 2, 2)


@dataclass(frozen=True)
class Spectra:
    """Real Fourier transforms (n, s, s // 2 + 1) of pictures, and (n,) the root of their sum of squares."""

    values: np.ndarray
    norms: np.ndarray

    def __getitem__(self, chosen: int | np.ndarray) -> Spectra:
        return Spectra(self.values[chosen], self.norms[chosen])


def spectra(pictures_nss: np.ndarray) -> Spectra:
    """Of pictures of s pixels a side."""
    norms = np.sqrt(np.einsum("nij,nij->n", pictures_nss, pictures_nss))
    return Spectra(fft.rfft2(pictures_nss), norms)


def peak_correlation(first: Spectra, second: Spectra) -> np.ndarray:
    """(n,) largest normalised correlation over all shifts; the second may be one picture alone."""
    # The conjugate of the second, which may be one picture: the shifts change sign, the peak does not.
    both = fft.irfft2(first.values * np.conj(second.values), s=(first.values.shape[1],) * 2)
    peak: np.ndarray = both.reshape(len(both), -1).max(1) / np.maximum(
        first.norms * second.norms, 1e-6
    )
    return peak


def best_turn(pictures_nss: np.ndarray, pairs_m2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best correlation (m,) over all TURNS of the first of each pair, and that turn in degrees.

    Args:
        pictures_nss: at COARSE pixels.
        pairs_m2: positions among them.
    """
    window, high = _window(COARSE), _high_pass(pictures_nss, COARSE_BLUR)
    others = spectra(high * window)
    turns = np.array(TURNS, float)
    one = np.ones(len(turns))
    half = turns < 180
    pixel, inside = warps(COARSE, np.stack([turns, one, one, 0 * one], 1)[half])
    weight = inside * window.ravel()
    best, turn = np.full(len(pairs_m2), -1.0), np.zeros(len(pairs_m2))
    for first, own in _by_value(pairs_m2[:, 0]):
        turned = spectra(_moved(high[first], pixel, weight))
        # By another 180°, the spectrum is the conjugate one, but for a shift.
        values = np.concatenate([turned.values, np.conj(turned.values)])
        turned = Spectra(values, np.tile(turned.norms, 2))
        for pair in own.tolist():
            peaks = peak_correlation(turned, others[pairs_m2[pair, 1]])
            peak = peaks.argmax()
            best[pair], turn[pair] = peaks[peak], turns[peak]
    return best, turn


def refine(
    textures_nss: np.ndarray, pairs_m2: np.ndarray, pose_m4: np.ndarray, steps: Sequence[Step]
) -> tuple[np.ndarray, np.ndarray]:
    """Best correlation (m,) of textures over poses near the given ones, and those poses (m, 4).

    Args:
        textures_nss: from `textures`.
        pairs_m2: positions among them.
        pose_m4: of the first of each pair, where the search starts.
        steps: each adds to the angles of a pose and multiplies its scale and stretch.
    """
    side = textures_nss.shape[1]
    window = _window(side)
    seconds, of_pair = np.unique(pairs_m2[:, 1], return_inverse=True)
    others = spectra(textures_nss[seconds] * window)
    best, best_pose = np.full(len(pairs_m2), -1.0), pose_m4.copy()
    starts, of_start = np.unique(pose_m4, axis=0, return_inverse=True)
    at_once = max(1, CACHED_PIXELS // side**2)
    poses = _stepped(starts, steps)
    inverses = _inverses(poses.reshape(-1, 4)).reshape(*poses.shape[:2], 2, 2)
    for start, own in _by_value(of_start.ravel()):
        for some in (slice(k, k + at_once) for k in range(0, len(steps), at_once)):
            pixel, inside = _sources(side, inverses[start, some])
            weight = inside * window.ravel()
            for pair in own:
                turned = spectra(_moved(textures_nss[pairs_m2[pair, 0]], pixel, weight))
                peaks = peak_correlation(turned, others[of_pair[pair]])
                peak = peaks.argmax()
                if peaks[peak] > best[pair]:
                    best[pair], best_pose[pair] = peaks[peak], poses[start, some][peak]
    return best, best_pose


def _stepped(poses_n4: np.ndarray, steps: Sequence[Step]) -> np.ndarray:
    """(n, k, 4) poses near each of n."""
    turn, scale, stretch, direction = np.array(steps).T
    start = poses_n4[:, None]
    return np.stack(
        [
            start[..., 0] + turn,
            start[..., 1] * scale,
            start[..., 2] * stretch,
            start[..., 3] + direction,
        ],
        -1,
    )


def textures(pictures_nss: np.ndarray) -> np.ndarray:
    """High frequencies over their local standard deviation; where that is near 0, they stay small."""
    side = pictures_nss.shape[1]
    high = _high_pass(pictures_nss, BLUR[side])
    local = np.sqrt(np.maximum(_blurred(high**2, CONTRAST[side]), 0))
    some = local[:, ::2, ::2]  # it is smooth, and the median of all would take half of the time
    usual = np.median(some, axis=(1, 2), keepdims=True) if len(local) else local
    return np.divide(high, local + 0.5 * usual + 1e-6)


def _by_value(values_m: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each value with the positions that have it."""
    order = np.argsort(values_m, kind="stable")
    distinct, counts = np.unique(values_m, return_counts=True)
    ends = np.cumsum(counts)
    for value, start, end in zip(distinct.tolist(), ends - counts, ends, strict=True):
        yield value, order[start:end]


def _moved(picture_ss: np.ndarray, pixel: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(k, s, s): the picture in each of k poses, see `warps`. `np.take` leaves other threads their turn."""
    return (np.take(picture_ss, pixel) * weight).reshape(-1, *picture_ss.shape)


def _high_pass(pictures_nss: np.ndarray, blur: float) -> np.ndarray:
    return pictures_nss - _blurred(pictures_nss, blur)


def _blurred(pictures_nss: np.ndarray, blur: float) -> np.ndarray:
    """scipy's gaussian_filter of each picture, as two products of matrices: many times as fast at these sizes."""
    weights = _gaussian(pictures_nss.shape[1], blur)
    return np.asarray(weights @ pictures_nss @ weights.T)


@lru_cache(maxsize=16)
def _gaussian(side: int, blur: float) -> np.ndarray:
    return np.asarray(gaussian_filter1d(np.eye(side), blur, axis=0), np.float32)


@lru_cache(maxsize=3)
def _window(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.clip((1 - np.hypot(x, y) / (side / 2)) / EDGE[side], 0, 1).astype(np.float32)
