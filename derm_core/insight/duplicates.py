"""Near-duplicates: pictures of the same thing, moved, turned, resized, recoloured, saved again or taken twice.

    candidates(positions (n, k), other spaces) -> pairs (m, 2)        proposed by feature neighbours
    near_duplicates(images, rows, pairs, report) -> Found             compared by registration

Features propose: the nearest image of each in every space at hand. Registration decides: the normalised
cross-correlation of the high-pass filtered luminance at the best of all shifts (by Fourier transform), turns and sizes.
Turns are searched at 32 px first, then both refined at 64 px. Low frequencies are left out: every dark spot on light skin
correlates with every other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .space import nearest

COARSE, FINE = 32, 64
TURNS = np.arange(0, 360, 10)
COARSE_BLUR, FINE_BLUR = 2.0, 1.0       # standard deviation in pixels of what is taken for low frequencies
EDGE = 0.25                             # share of the radius over which the window falls off
REFINED = tuple((turn, scale) for turn in (-4, 0, 4) for scale in (0.94, 1.0, 1.06))
LEAST_COARSE = 0.4
LEAST = 0.3
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
CHUNK = 1024


@dataclass(frozen=True)
class Found:
    """pairs (m, 2): positions, the smaller first; scores (m,): correlation, up to 1; angles (m,): degrees, -180 to 180."""

    pairs: np.ndarray
    scores: np.ndarray
    angles: np.ndarray


def candidates(positions_nk: np.ndarray, spaces: Sequence[np.ndarray], count: int = 1) -> np.ndarray:
    """Pairs (m, 2) of positions, each once: every image with its nearest `count` by positions and in further spaces."""
    near = [positions_nk[:, :count], *(nearest(space, count)[0] for space in spaces)]
    own = np.arange(len(positions_nk))[:, None]
    pairs = np.concatenate([np.stack(np.broadcast_arrays(own, others), -1).reshape(-1, 2) for others in near])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def near_duplicates(images: np.ndarray, rows: np.ndarray, pairs_m2: np.ndarray, report: Callable[[int, int], None]) -> Found:
    """The pairs of positions in `rows` whose pictures agree. images: uint8 (N, S, S, 3); report: (pairs done, of how many)."""
    kept, scores, angles = [], [], []
    for start in range(0, len(pairs_m2), CHUNK):
        pairs = pairs_m2[start:start + CHUNK]
        first, second = (_luminance(images, rows[pairs[:, side]]) for side in (0, 1))
        coarse, turn = _turn(_shrunk(first, COARSE), _shrunk(second, COARSE))
        likely = np.flatnonzero(coarse >= LEAST_COARSE)
        score, angle = _refine(_shrunk(first[likely], FINE), _shrunk(second[likely], FINE), turn[likely])
        good = score >= LEAST
        kept.append(pairs[likely[good]])
        scores.append(score[good])
        angles.append(angle[good])
        report(min(start + CHUNK, len(pairs_m2)), len(pairs_m2))
    if not kept:
        return Found(np.zeros((0, 2), int), np.zeros(0), np.zeros(0))
    return Found(np.concatenate(kept), np.concatenate(scores), (np.concatenate(angles) + 180) % 360 - 180)


def _luminance(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(m, S, S) logarithm of luminance: a factor of brightness becomes a constant, which the filter removes."""
    order = np.unique(rows, return_inverse=True)          # a memory map is read in its own order, each image once
    return np.log(images[order[0]] @ LUMINANCE + 8)[order[1]]


def _shrunk(grey_mss: np.ndarray, side: int) -> np.ndarray:
    """(m, side, side): means over blocks after cutting to a multiple of `side`; smaller images by repetition."""
    size = grey_mss.shape[1]
    if size < side:
        places = np.arange(side) * size // side
        return grey_mss[:, places][:, :, places]
    factor = size // side
    cut = (size - factor * side) // 2
    inner = grey_mss[:, cut:cut + factor * side, cut:cut + factor * side]
    return inner.reshape(-1, side, factor, side, factor).mean((2, 4))


def _high_pass(grey_mss: np.ndarray, blur: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter
    return grey_mss - gaussian_filter(grey_mss, (0, blur, blur))


def _window(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.clip((1 - np.hypot(x, y) / (side / 2)) / EDGE, 0, 1).astype(np.float32)


def _warp(side: int, degrees: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Which pixel (side²) of an image stands at each place of it turned and enlarged, and whether there is one."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    angle = np.deg2rad(degrees)
    sources = [(a * x + b * y) / scale + (side - 1) / 2 for a, b in (
        (np.sin(angle), np.cos(angle)), (np.cos(angle), -np.sin(angle)))]
    inside = np.logical_and.reduce([(0 <= s) & (s <= side - 1) for s in sources])
    row, column = (np.clip(np.rint(s), 0, side - 1).astype(int) for s in sources)
    return (row * side + column).ravel(), inside.ravel().astype(np.float32)


def _peak(turned_mss: np.ndarray, spectrum: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """(m,) the largest normalised correlation over all shifts; spectrum and energy (root of the sum of squares): of the others."""
    from scipy import fft
    own = np.sqrt(np.square(turned_mss).sum((1, 2)))
    both = fft.irfft2(np.conj(fft.rfft2(turned_mss)) * spectrum, s=turned_mss.shape[1:])
    return both.reshape(len(both), -1).max(1) / np.maximum(own * energy, 1e-6)


def _turn(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best correlation (m,) over all TURNS of `first` at 32 px, and that turn in degrees."""
    from scipy import fft
    window = _window(COARSE)
    flat = _high_pass(first, COARSE_BLUR).reshape(len(first), first.shape[1] ** 2)
    fixed = _high_pass(second, COARSE_BLUR) * window
    spectrum, energy = fft.rfft2(fixed), np.sqrt(np.square(fixed).sum((1, 2)))
    best, turn = np.full(len(first), -1.0), np.zeros(len(first))
    for degrees in TURNS:
        pixel, inside = _warp(COARSE, degrees, 1.0)
        found = _peak((flat[:, pixel] * inside).reshape(first.shape) * window, spectrum, energy)
        better = found > best
        best[better], turn[better] = found[better], degrees
    return best, turn


def _refine(first: np.ndarray, second: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best correlation (m,) at 64 px over turns near `turn` and sizes near 1, and the turn."""
    from scipy import fft
    window = _window(FINE)
    flat = _high_pass(first, FINE_BLUR).reshape(len(first), first.shape[1] ** 2)
    fixed = _high_pass(second, FINE_BLUR) * window
    spectrum, energy = fft.rfft2(fixed), np.sqrt(np.square(fixed).sum((1, 2)))
    best, angle = np.full(len(first), -1.0), turn.astype(float)
    for coarse in np.unique(turn):
        own = np.flatnonzero(turn == coarse)
        for degrees, scale in REFINED:
            pixel, inside = _warp(FINE, coarse + degrees, scale)
            moved = (flat[own][:, pixel] * inside).reshape(-1, FINE, FINE) * window
            found = _peak(moved, spectrum[own], energy[own])
            better = found > best[own]
            best[own[better]], angle[own[better]] = found[better], coarse + degrees
    return best, angle
