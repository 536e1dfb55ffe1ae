"""Near-duplicates: pictures of the same thing, moved, turned, resized, recoloured, saved again or taken twice.

    candidates(positions (n, k), other spaces) -> pairs (m, 2), first          proposed by feature neighbours
    near_duplicates(images, read, rows, pairs, report, first) -> Found         compared by registration

Features propose: the two nearest images of each, which have it among their own nearest ten. Registration decides: the
normalised cross-correlation of luminance at the best of all shifts (by Fourier transform), turns and sizes, and, where
these agree a little, stretches, as skin gives way. Turns are searched at 32 px, then all refined at 64 px and at 128 px,
pairs that cannot reach the limit left out on the way. Low frequencies are taken out and the local contrast is made
equal: every dark spot on light skin correlates with every other, while follicles, hairs and streaks do not.

HAM10000 with ImageNet features (ResNet-18, 64 px) and those of the two shipped models: 27,649 pairs are compared and all
18 known ones, photographs of one lesion taken twice, are found; without stretches 17. The limits were set on these
pairs. Of the 25 further pairs of different lesion ids that the second nearest propose above 0.125, one shows one lesion
to the eye (0.31; the others are below 0.165): hence their higher limit. Stretches bring five more pairs of different
lesion ids; four show one lesion to the eye, all above 0.2, and one does not (0.18).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np

from ..stats.feature_space import SHOWN_NEIGHBOURS, nearest

COARSE, MIDDLE, FINE = 32, 64, 128
TURNS = np.arange(0, 360, 10)
COARSE_BLUR = 2.0  # standard deviation in pixels of what is taken for low frequencies
BLUR = {MIDDLE: 1.0, FINE: 1.5}
CONTRAST = {MIDDLE: 4.0, FINE: 6.0}  # and of the surroundings in which contrast is made equal
MIDDLE_STEPS = tuple(
    itertools.product((-4, 0, 4), (0.94, 1.0, 1.06), (1.0,), (0,))
)  # of a pose, see _moved
FINE_STEPS = tuple(itertools.product((-1.5, 0, 1.5), (0.97, 1.0, 1.03), (1.0,), (0,)))
STRETCHES = tuple(
    (turn, scale, *stretch)
    for turn in (-8, 0, 8)
    for scale in (0.88, 1.0)
    for stretch in ((1.0, 0), *itertools.product((1.2, 1.4), range(0, 180, 30)))
)
STRETCH_STEPS = tuple(
    itertools.product((-4, 0, 4), (0.95, 1.0, 1.05), (0.92, 1.0, 1.08), (-12, 0, 12))
)
EDGE = {COARSE: 0.25, MIDDLE: 0.2, FINE: 0.2}  # share of the radius over which the window falls off
LEAST = {COARSE: 0.4, MIDDLE: 0.095, FINE: 0.125}
LEAST_LIKELY, CLEAR = 0.12, 0.3  # stretches are tried from this at 64 px on, up to that at 128 px
LEAST_STRETCHED = {MIDDLE: 0.2, FINE: 0.18}
LEAST_SECOND = 0.18  # at 128 px, of pairs of which neither is the other's nearest
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
CHUNK = 256
THREADS = 2


@dataclass(frozen=True)
class Found:
    """pairs (m, 2): positions, the smaller first; scores (m,): correlation, up to 1; angles (m,): degrees, -180 to 180;
    stretches (m,): longer by this factor in one direction than across it, 1 where both agree as they are."""

    pairs: np.ndarray
    scores: np.ndarray
    angles: np.ndarray
    stretches: np.ndarray


def candidates(
    positions_nk: np.ndarray, spaces: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (m, 2) of positions, each once, of an image and one of its two nearest that has it among its own nearest ten; by
    positions and in further spaces (n, D'). first (m,): whether one is the other's nearest somewhere."""
    count = min(SHOWN_NEIGHBOURS, positions_nk.shape[1])
    found = {0: [np.zeros((0, 2), int)], 1: [np.zeros((0, 2), int)]}
    for near in (positions_nk[:, :count], *(nearest(space, count)[0] for space in spaces)):
        own = np.arange(len(near))
        for rank in range(min(len(found), count)):
            other = near[:, rank]
            back = (near[other] == own[:, None]).any(1)
            found[rank].append(np.sort(np.stack([own[back], other[back]], 1), axis=1))
    first, second = (np.concatenate(found[rank]) for rank in (0, 1))
    pairs = np.unique(np.concatenate([first, second]), axis=0)
    return pairs, np.isin(_keys(pairs), _keys(first))


def _keys(pairs_m2: np.ndarray) -> np.ndarray:
    return pairs_m2[:, 0].astype(np.int64) << 32 | pairs_m2[:, 1]


def near_duplicates(
    images: np.ndarray,
    read: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    pairs_m2: np.ndarray,
    report: Callable[[int, int], None],
    first_m: np.ndarray | None = None,
) -> Found:
    """The pairs of positions in `rows` whose pictures agree.

    images: uint8 (N, S, S, 3), the store's; read: manifest rows (m,) -> uint8 (m, 128, 128, 3), the same at 128 px;
    report: called with (pairs done, of how many); first_m: see candidates, all others must agree better (None: no others).
    """
    chunks = [pairs_m2[start : start + CHUNK] for start in range(0, len(pairs_m2), CHUNK)]
    found, done = [Found(np.zeros((0, 2), int), *np.zeros((3, 0)))], 0
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for chunk, one in zip(
                chunks,
                pool.map(lambda chunk: _compare(images, read, rows, chunk), chunks),
                strict=True,
            ):
                found.append(one)
                done += len(chunk)
                report(done, len(pairs_m2))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # the run was stopped
            raise
    pairs, scores, angles, stretches = (
        np.concatenate([getattr(one, part.name) for one in found]) for part in fields(Found)
    )
    first = pairs_m2 if first_m is None else pairs_m2[first_m]
    kept = (scores >= LEAST_SECOND) | np.isin(_keys(pairs), _keys(first))
    return Found(pairs[kept], scores[kept], (angles[kept] + 180) % 360 - 180, stretches[kept])


def _compare(
    images: np.ndarray,
    read: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    pairs: np.ndarray,
) -> Found:
    """All stages for some pairs, each for what the one before left; stretches for what agrees a little."""
    first, second = (
        _luminance(lambda chosen: images[chosen], rows[pairs[:, side]]) for side in (0, 1)
    )
    score, turn = _turn(_shrunk(first, COARSE), _shrunk(second, COARSE))
    pose = np.stack([turn, np.ones(len(pairs)), np.ones(len(pairs)), np.zeros(len(pairs))], 1)
    left = score >= LEAST[COARSE]
    pairs, pose, first, second = (
        pairs[left],
        pose[left],
        _shrunk(first[left], MIDDLE),
        _shrunk(second[left], MIDDLE),
    )
    likely, pose = _refine(first, second, pose, MIDDLE_STEPS)
    score = np.full(len(pairs), -1.0)
    left = np.flatnonzero(likely >= LEAST[MIDDLE])
    score[left], pose[left] = _refine(*_closer(read, rows, pairs[left]), pose[left], FINE_STEPS)
    found = score >= LEAST[FINE]

    left = np.flatnonzero((score < CLEAR) & (likely >= LEAST_LIKELY))
    likely, stretched = _refine(first[left], second[left], pose[left], STRETCHES)
    left, stretched = (
        left[likely >= LEAST_STRETCHED[MIDDLE]],
        stretched[likely >= LEAST_STRETCHED[MIDDLE]],
    )
    closer = _closer(read, rows, pairs[left])
    for steps in (STRETCH_STEPS, FINE_STEPS):
        again, stretched = _refine(*closer, stretched, steps)
    better = again > np.maximum(score[left], LEAST_STRETCHED[FINE])
    left = left[better]
    score[left], pose[left], found[left] = again[better], stretched[better], True
    return Found(pairs[found], score[found], pose[found, 0], pose[found, 2])


def _closer(
    read: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, pairs: np.ndarray
) -> list[np.ndarray]:
    """The first and the second of each pair at 128 px."""
    return [_luminance(read, rows[pairs[:, side]]) for side in (0, 1)]


def _luminance(read: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """(m, S, S) logarithm of luminance: a factor of brightness becomes a constant, which the filter removes."""
    each, place = np.unique(
        rows, return_inverse=True
    )  # a memory map is read in its own order, each image once
    return np.log(read(each) @ LUMINANCE + 8)[place]


def _shrunk(grey_mss: np.ndarray, side: int) -> np.ndarray:
    """(m, side, side): means over blocks after cutting to a multiple of `side`; smaller images by repetition."""
    size = grey_mss.shape[1]
    if size < side:
        places = np.arange(side) * size // side
        return grey_mss[:, places][:, :, places]
    factor = size // side
    cut = (size - factor * side) // 2
    inner = grey_mss[:, cut : cut + factor * side, cut : cut + factor * side]
    return inner.reshape(-1, side, factor, side, factor).mean((2, 4))


def _high_pass(grey_mss: np.ndarray, blur: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return grey_mss - gaussian_filter(grey_mss, (0, blur, blur))


def _equalised(grey_mss: np.ndarray) -> np.ndarray:
    """High frequencies over their local standard deviation; where there is next to none, they stay small."""
    from scipy.ndimage import gaussian_filter

    side = grey_mss.shape[1]
    high = _high_pass(grey_mss, BLUR[side])
    local = np.sqrt(np.maximum(gaussian_filter(high**2, (0, CONTRAST[side], CONTRAST[side])), 0))
    usual = np.median(local, axis=(1, 2), keepdims=True) if len(local) else local
    return high / (local + 0.5 * usual + 1e-6)


def _window(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.clip((1 - np.hypot(x, y) / (side / 2)) / EDGE[side], 0, 1).astype(np.float32)


def _moved(pose: np.ndarray, step: Sequence[float]) -> tuple[float, ...]:
    """A pose is (turn in degrees, scale, stretch, its direction in degrees); a step adds to the angles, multiplies the rest."""
    return pose[0] + step[0], pose[1] * step[1], pose[2] * step[2], pose[3] + step[3]


def _warp(
    side: int, turn: float, scale: float, stretch: float = 1.0, direction: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Which pixel (side²) of an image stands at each place of it stretched, then turned and enlarged, and whether one does.

    A stretch makes what lies along its direction (from the vertical) longer by its root, what lies across shorter by it.
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


def _peak(turned_mss: np.ndarray, spectrum: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """(m,) largest normalised correlation over all shifts; spectrum, energy (root of the sum of squares): of the others."""
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


def _refine(
    first: np.ndarray, second: np.ndarray, pose: np.ndarray, steps: Sequence[tuple[float, ...]]
) -> tuple[np.ndarray, np.ndarray]:
    """Best correlation (m,) of textures over poses (m, 4) near those found, with that pose."""
    from scipy import fft

    side = first.shape[1]
    window = _window(side)
    flat = _equalised(first).reshape(len(first), side**2)
    fixed = _equalised(second) * window
    spectrum, energy = fft.rfft2(fixed), np.sqrt(np.square(fixed).sum((1, 2)))
    best, found = np.full(len(first), -1.0), pose.copy()
    starts, of_start = np.unique(pose, axis=0, return_inverse=True)
    for number, start in enumerate(starts):
        own = np.flatnonzero(of_start.ravel() == number)
        own_flat, own_spectrum, own_energy = flat[own], spectrum[own], energy[own]
        for step in steps:
            moved = _moved(start, step)
            pixel, inside = _warp(side, *moved)
            turned = own_flat[:, pixel] * (inside * window.ravel())
            peak = _peak(turned.reshape(-1, side, side), own_spectrum, own_energy)
            better = peak > best[own]
            best[own[better]], found[own[better]] = peak[better], moved
    return best, found
