"""Near-duplicates: pictures of the same thing, moved, turned, resized, recoloured, saved again or taken twice.

    pairs = candidates([positions (n, k), …])                 proposed by neighbours in feature spaces
    near_duplicates(images, read, rows, pairs, report)         decided by registration of the pictures

The two nearest images of each are proposed, if they have it among their own nearest ten.
Registration turns at 32 px, then refines at 64 px and at 128 px; pairs that cannot reach the limit
are left out on the way, each step costs more than the last and sees fewer pairs. Where pictures
agree a little, stretches are tried as well, as skin gives way.

HAM10000 with ImageNet features (ResNet-18, 64 px) and those of the two shipped models: of 27,649
pairs 26,162 are of different lesion ids or listed as known; 84 of them agree, and all 18 known
ones, photographs of one lesion taken twice, are among these; without stretches 17. LEAST_CLOSER,
LEAST_SOME and LEAST_NEAR, which spare most of the work, leave out none of the 84. The limits were
set on these pairs; LEAST[MIDDLE], LEAST_CLOSER and LEAST_NEAR also on 3,234 pairs of one lesion id,
of which 784 are found (786 before LEAST_NEAR, with limits of 0.095 and 0.13 for the two others and
stretches also tried below LEAST_CLOSER), and on 600 copies made by a program. On pairs that served
for no limit, before and after: 900 other copies (turned, resized, stretched, recoloured, cut and
saved again; 300 each mildly, more and strongly) 287, 268 and 180 both times; 11,287 neighbours in
the features of skin-vae-resnet18-64 (6,702 not among the pairs above) 47 and 46, 7,993 by pixels 5
and 4 (the two that are lost scored 0.13 and show two lesions to the eye); PAD-UFES-20, 122 pairs of
one patient 9 and 484 neighbours by pixels 5, and 1,271 of the ISIC 2018 test images 8, both times.

Of the 25 further pairs of different lesion ids that the second nearest propose above 0.125,
one shows one lesion to the eye (0.31; the others are below 0.165): hence their higher limit.
Stretches bring five more pairs of different lesion ids; four show one lesion to the eye, all above
0.2, and one does not (0.18).
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_limits

from ..errors import RunError
from ..machine import cpu_cores
from ..processes import begin_pool_worker
from ..stats.feature_space import SHOWN_NEIGHBOURS
from .registration import (
    COARSE,
    FINE,
    MIDDLE,
    best_turn,
    log_luminance,
    refine,
    shrink,
    textures,
)

# Steps of a pose, see registration.refine.
MIDDLE_STEPS = tuple(product((-4, 0, 4), (0.94, 1.0, 1.06), (1.0,), (0,)))
FINE_STEPS = tuple(product((-1.5, 0, 1.5), (0.97, 1.0, 1.03), (1.0,), (0,)))
STRETCHES = tuple(
    (turn, scale, *stretch)
    for turn in (-8, 0, 8)
    for scale in (0.88, 1.0)
    for stretch in ((1.0, 0), *product((1.2, 1.4), range(0, 180, 30)))
)
# Those without a turn or another size show whether the others are worth their time.
SOME_STRETCHES = tuple(step for step in STRETCHES if step[:2] == (0, 1.0))
OTHER_STRETCHES = tuple(step for step in STRETCHES if step[:2] != (0, 1.0))
STRETCH_STEPS = tuple(product((-4, 0, 4), (0.95, 1.0, 1.05), (0.92, 1.0, 1.08), (-12, 0, 12)))
UNMOVED = ((0, 1.0, 1.0, 0),)
OTHER_FINE = tuple(step for step in FINE_STEPS if step not in UNMOVED)
LEAST = {COARSE: 0.4, MIDDLE: 0.104, FINE: 0.125}
LEAST_CLOSER = 0.135  # at 64 px with FINE_STEPS: only then are pictures read at 128 px
LEAST_LIKELY, CLEAR = 0.12, 0.3  # stretches are tried from this at 64 px on, up to that at 128 px
LEAST_SOME = 0.15  # with SOME_STRETCHES
LEAST_STRETCHED = {MIDDLE: 0.2, FINE: 0.18}
LEAST_NEAR = 0.13  # at 128 px in the best pose of STRETCH_STEPS at 64 px, before all at 128 px
LEAST_SECOND = 0.18  # at 128 px, of pairs of which neither is the other's nearest
CHUNK = 512
MOST_PROCESSES = 8
WORTH_PROCESSES = 4 * CHUNK  # pairs; fewer are compared before processes have started
# Bytes of pictures of one size that are prepared once; of more, those used first are prepared again.
KEPT_BYTES = 2**28

# (images, rows (m,)) → uint8 (m, s, s, 3); a function of a module, or an object that can be pickled
Read = Callable[[np.ndarray, np.ndarray], np.ndarray]
Compare = Callable[[np.ndarray], "DuplicatePairs"]


@dataclass(frozen=True)
class CandidatePairs:
    """Pairs (m, 2) of positions to compare, each once; is_first (m,): one is the other's nearest."""

    pairs: np.ndarray
    is_first: np.ndarray


@dataclass(frozen=True)
class DuplicatePairs:
    """Pairs of positions whose pictures agree.

    Attributes:
        pairs: (m, 2), the smaller position first.
        scores: (m,) correlation, up to 1.
        angles: (m,) degrees, -180 to 180.
        stretches: (m,) longer by this factor in one direction than across it, 1 without a stretch.
    """

    pairs: np.ndarray
    scores: np.ndarray
    angles: np.ndarray
    stretches: np.ndarray


_in_worker: list[Pictures] = []  # one, in a process that compares pictures


def candidates(neighbours: Sequence[np.ndarray]) -> CandidatePairs:
    """Each image with its two nearest that have it among their own nearest ten, in any space.

    Args:
        neighbours: of each space the positions (n, k) of an image's nearest others, nearest first.
    """
    count = min(SHOWN_NEIGHBOURS, neighbours[0].shape[1])
    by_rank = [[np.zeros((0, 2), int)], [np.zeros((0, 2), int)]]
    for near in (positions[:, :count] for positions in neighbours):
        own = np.arange(len(near))
        for rank in range(min(2, count)):
            other = near[:, rank]
            mutual = (near[other] == own[:, None]).any(1)
            by_rank[rank].append(np.sort(np.stack([own[mutual], other[mutual]], 1), axis=1))
    first, second = map(np.concatenate, by_rank)
    pairs = np.unique(np.concatenate([first, second]), axis=0)
    return CandidatePairs(pairs, np.isin(_keys(pairs), _keys(first)))


def _keys(pairs_m2: np.ndarray) -> np.ndarray:
    """(m,) one number for each pair."""
    return pairs_m2.astype(np.int64) @ np.array([1 << 32, 1])


def near_duplicates(
    images: np.ndarray,
    read: Read,
    rows: np.ndarray,
    candidates: CandidatePairs,
    report: Callable[[int, int], None],
) -> DuplicatePairs:
    """The pairs whose pictures agree; of those that are no one's nearest, more is required.

    Args:
        images: uint8 (N, S, S, 3), the store's.
        read: the same at 128 px.
        rows: (n,) rows of the images that positions stand for.
        candidates: the pairs to compare.
        report: called with (pairs done, of how many).

    Raises:
        RunError: a process that compares pictures was killed.
    """
    comparison = Comparison(candidates)
    for done in comparison.steps(images, read, rows):
        report(done, len(candidates.pairs))
    return comparison.alike()


class Comparison:
    """Pairs that are compared one part after the other, as `near_duplicates` does, and what agrees so far."""

    def __init__(self, candidates: CandidatePairs) -> None:
        self.candidates = candidates
        self._results = [DuplicatePairs(np.zeros((0, 2), int), *np.zeros((3, 0)))]

    def steps(self, images: np.ndarray, read: Read, rows: np.ndarray) -> Iterator[int]:
        """How many pairs have been compared, after each part. Arguments and errors as of `near_duplicates`."""
        pairs, done = self.candidates.pairs, 0
        chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
        for chunk, result in zip(chunks, _compared(chunks, images, read, rows), strict=True):
            self._results.append(result)
            done += len(chunk)
            yield done

    def alike(self) -> DuplicatePairs:
        """The pairs that agree, of those compared so far."""
        joined, scores, angles, stretches = (
            np.concatenate([getattr(result, part.name) for result in self._results])
            for part in fields(DuplicatePairs)
        )
        first = self.candidates.pairs[self.candidates.is_first]
        agree = (scores >= LEAST_SECOND) | np.isin(_keys(joined), _keys(first))
        return DuplicatePairs(
            joined[agree], scores[agree], (angles[agree] + 180) % 360 - 180, stretches[agree]
        )


def _compared(
    chunks: Sequence[np.ndarray], images: np.ndarray, read: Read, rows: np.ndarray
) -> Iterator[DuplicatePairs]:
    """The pairs of each chunk that agree; many pairs in processes, as threads would wait for Python's lock."""
    processes = min(cpu_cores(), MOST_PROCESSES)
    if processes == 1 or sum(map(len, chunks)) < WORTH_PROCESSES:
        with ThreadpoolController().limit(limits=1):
            yield from map(partial(compare, Pictures(images, read, rows)), chunks)
        return
    context = multiprocessing.get_context("spawn")
    given = os.getpid(), _by_name(images), read, rows
    pool = ProcessPoolExecutor(processes, context, _begin_worker, given)
    try:
        yield from pool.map(_compare_in_worker, chunks)
    except BrokenProcessPool:
        raise RunError(
            "A process that compares pictures was killed, perhaps for want of memory; start the map "
            "again, with fewer images (max_images) if it happens again."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _by_name(images: np.ndarray) -> np.ndarray | Path:
    """A memory-mapped file by its name: a process opens it in place of being sent all pixels."""
    return Path(str(images.filename)) if isinstance(images, np.memmap) else images


def _begin_worker(parent: int, images: np.ndarray | Path, read: Read, rows: np.ndarray) -> None:
    begin_pool_worker(parent)
    threadpool_limits(1)
    opened = np.load(images, mmap_mode="r") if isinstance(images, Path) else images
    _in_worker.append(Pictures(opened, read, rows))


def _compare_in_worker(pairs: np.ndarray) -> DuplicatePairs:
    return compare(_in_worker[0], pairs)


class Pictures:
    """The pictures of a dataset, prepared for registration.

    Args:
        images: uint8 (N, S, S, 3), the store's.
        read: the same at 128 px.
        rows: (n,) rows of the images that positions stand for.
    """

    def __init__(self, images: np.ndarray, read: Read, rows: np.ndarray) -> None:
        def grey(positions: np.ndarray) -> np.ndarray:
            return log_luminance(images[rows[positions]])

        self.coarse = _Once(lambda positions: shrink(grey(positions), COARSE), COARSE)
        self.middle = _Once(lambda positions: textures(shrink(grey(positions), MIDDLE)), MIDDLE)
        self.fine = _Once(
            lambda positions: textures(log_luminance(read(images, rows[positions]))), FINE
        )


class _Once:
    """Pictures of `side` pixels that are prepared when first asked for, as many as KEPT_BYTES holds."""

    def __init__(self, prepare: Callable[[np.ndarray], np.ndarray], side: int) -> None:
        self._prepare = prepare
        self._side, self._most = side, KEPT_BYTES // (4 * side**2)
        self._kept: dict[int, np.ndarray] = {}

    def of(self, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pictures that occur in pairs, each once, and (m, 2) where each pair's stand among them."""
        shown, places = np.unique(pairs, return_inverse=True)
        known = {i: self._kept[i] for i in shown.tolist() if i in self._kept}
        absent = shown[[i not in known for i in shown.tolist()]]
        new = dict(zip(absent.tolist(), self._prepare(absent), strict=True))
        self._kept |= new
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        known |= new
        pictures = np.array([known[i] for i in shown.tolist()], np.float32)
        return pictures.reshape(-1, self._side, self._side), places.reshape(pairs.shape)


def compare(pictures: Pictures, pairs: np.ndarray) -> DuplicatePairs:
    """The pairs whose pictures agree, by registration from coarse to fine."""
    score, turn = best_turn(*pictures.coarse.of(pairs))
    possible = score >= LEAST[COARSE]
    pairs, turn = pairs[possible], turn[possible]
    middle, places = pictures.middle.of(pairs)
    one = np.ones(len(pairs))
    likely, pose = refine(middle, places, np.stack([turn, one, one, 0 * one], 1), MIDDLE_STEPS)

    left = np.flatnonzero(likely >= LEAST[MIDDLE])
    closer, _ = refine(middle, places[left], pose[left], OTHER_FINE)
    left = left[np.maximum(closer, likely[left]) >= LEAST_CLOSER]
    pairs, places, likely, pose = pairs[left], places[left], likely[left], pose[left]
    score, pose = refine(*pictures.fine.of(pairs), pose, FINE_STEPS)
    agree = score >= LEAST[FINE]

    left = np.flatnonzero((score < CLEAR) & (likely >= LEAST_LIKELY))
    possible, stretched = _stretched(middle, places[left], pose[left])
    left = left[possible]
    stretched_score, stretched = _finely_stretched(
        (middle, places[left]), pictures.fine.of(pairs[left]), stretched[possible]
    )
    better = stretched_score > np.maximum(score[left], LEAST_STRETCHED[FINE])
    left = left[better]
    score[left], pose[left], agree[left] = stretched_score[better], stretched[better], True
    return DuplicatePairs(pairs[agree], score[agree], pose[agree, 0], pose[agree, 2])


def _stretched(
    textures: np.ndarray, pairs: np.ndarray, pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs agree enough at 64 px after one of STRETCHES, and the best poses (m, 4)."""
    score, best = refine(textures, pairs, pose, SOME_STRETCHES)
    left = np.flatnonzero(score >= LEAST_SOME)
    other_score, other = refine(textures, pairs[left], pose[left], OTHER_STRETCHES)
    better = other_score > score[left]
    score[left[better]], best[left[better]] = other_score[better], other[better]
    return score >= LEAST_STRETCHED[MIDDLE], best


def _finely_stretched(
    middle: tuple[np.ndarray, np.ndarray], fine: tuple[np.ndarray, np.ndarray], pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (m,) at 128 px, -1 where STRETCH_STEPS at 64 px lead to no agreement, and poses (m, 4).

    Args:
        middle, fine: textures at 64 px and at 128 px, and where the pairs stand among them.
        pose: stretched, where the search starts.
    """
    _, near = refine(*middle, pose, STRETCH_STEPS)
    score, _ = refine(*fine, near, UNMOVED)
    left = np.flatnonzero(score >= LEAST_NEAR)
    textures, pairs = fine[0], fine[1][left]
    _, closest = refine(textures, pairs, pose[left], STRETCH_STEPS)
    score, best = np.full(len(pose), -1.0), pose.copy()
    score[left], best[left] = refine(textures, pairs, closest, FINE_STEPS)
    return score, best
