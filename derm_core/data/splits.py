"""Train, validation and test: stratified by class, grouped, and a function of the seed alone.

Groups are assigned class by class, rarest class first; a group belongs to the stratum of its rarest
class. Within a stratum the large groups come first, each to the split that is furthest behind its
share, so that groups of every size are spread 70/15/15 and single images even out the rest.

Folds are assigned in the same way, in equal shares: each is the test part once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from ..errors import ConfigError, DataError
from ..seeds import stream_seed

SPLITS = ("train", "val", "test")
FRACTIONS = (0.7, 0.15, 0.15)
FOLD_VALIDATION = 0.15  # of the images outside a fold, to choose settings on


def split_dataset(
    labels: np.ndarray,
    groups: np.ndarray,
    seed: int,
    fractions: tuple[float, float, float] = FRACTIONS,
) -> np.ndarray:
    """Assign every image to a split: int8 (N,), an index into SPLITS.

    A group never crosses splits, and the order of the rows does not matter. A class that occurs in
    three or more groups is placed in every split, unless groups of several classes make that
    impossible.

    Args:
        labels: (N,) class indices, -1 without a label.
        groups: (N,) group codes.
        seed: of the split.
        fractions: shares of train, val and test, 0 to 1.

    Raises:
        DataError: arrays are empty or of unequal length.
        ConfigError: fractions do not sum to 1.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    if labels.shape != groups.shape or labels.ndim != 1 or len(labels) == 0:
        raise DataError(
            f"A split needs one label and one group per image; got arrays of shape "
            f"{labels.shape} and {groups.shape}."
        )
    shares = np.asarray(fractions, dtype=float)
    if shares.shape != (3,) or (shares < 0).any() or shares[0] == 0 or abs(shares.sum() - 1) > 1e-9:
        raise ConfigError(
            f"fractions is {fractions!r}; allowed: three numbers from 0 to 1 for train, "
            "val and test, with train above 0, that sum to 1."
        )
    return _assign(labels, groups, shares, stream_seed(seed, "split"))


def fold_split(
    labels: np.ndarray, groups: np.ndarray, seed: int, folds: int, fold: int
) -> np.ndarray:
    """The split of one fold of `folds`, numbered from 1: int8 (N,), an index into SPLITS.

    The fold is the test part, so that every image is tested in one fold; of the rest
    FOLD_VALIDATION is validation. Groups never cross, as in `split_dataset`.

    Raises:
        DataError: there are fewer groups than folds.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    if len(np.unique(groups)) < folds:
        raise DataError(
            f"{folds} folds need {folds} groups or more; there are {len(np.unique(groups))}."
        )
    part = _assign(labels, groups, np.full(folds, 1 / folds), stream_seed(seed, "folds", folds))
    split = np.full(len(labels), SPLITS.index("test"), np.int8)
    rest = part != fold - 1
    shares = np.array([1 - FOLD_VALIDATION, FOLD_VALIDATION])
    fold_seed = stream_seed(seed, "fold", folds, fold)
    split[rest] = _assign(labels[rest], groups[rest], shares, fold_seed)
    return split


def _assign(labels: np.ndarray, groups: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """The part of every image, int8 (N,), an index into `shares`."""
    counts = _count_classes(labels, groups)
    assigned = _distribute(counts, shares, np.random.default_rng(seed))
    _cover(counts, assigned, shares)
    return assigned[np.unique(groups, return_inverse=True)[1]].astype(np.int8)


def split_fingerprint(split: np.ndarray, image_ids: Iterable[str]) -> str:
    """16 hex digits that name a split: which image is where, whatever the order of the rows."""
    rows = sorted(f"{image}\t{int(part)}" for image, part in zip(image_ids, split, strict=True))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


def _count_classes(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(G, C) images of each group and class, groups sorted by code; no label is a class of its own."""
    codes, group = np.unique(groups, return_inverse=True)
    classes, column = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(codes), len(classes)), dtype=np.int64)
    np.add.at(counts, (group, column), 1)
    return counts


def _distribute(counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Split of every group (G,), by class from rare to frequent and by size from large to small."""
    totals = counts.sum(0)
    sizes = counts.sum(1)
    rarity = np.argsort(totals, kind="stable")
    stratum = rarity[(counts[:, rarity] > 0).argmax(1)]
    assigned_images = np.zeros((len(shares), counts.shape[1]))
    assigned = np.full(len(counts), -1)
    for c in rarity:
        members = rng.permutation(np.flatnonzero(stratum == c))
        members = members[np.argsort(-sizes[members], kind="stable")]
        ties = rng.random(len(members))
        for g, tie in zip(members.tolist(), ties.tolist(), strict=True):
            images, size, total = assigned_images[:, c].tolist(), counts[g, c], totals[c]
            s = _choose(images, int(size), int(total), shares.tolist(), tie)
            assigned_images[s] += counts[g]
            assigned[g] = s
    return assigned


def _choose(images: list[float], size: int, total: int, shares: list[float], tie: float) -> int:
    """The split furthest behind its share of what was assigned so far, where the group still fits.

    The group's own size is left out of "behind": otherwise large groups would all go to train.

    Args:
        images: of the stratum's class in each split so far.
        size: images of that class in the group.
        total: images of that class altogether.
        shares: of the splits.
        tie: from 0 to 1, decides between equals in proportion to their shares.
    """
    so_far = sum(images)
    open_splits = [s for s in range(len(shares)) if shares[s] * total - images[s] >= size]
    if open_splits:
        behind = {s: shares[s] * so_far - images[s] for s in open_splits}
    else:
        behind = {s: shares[s] * total - images[s] for s in range(len(shares)) if shares[s] > 0}
    most = max(behind.values()) - 1e-9
    best = [s for s, value in behind.items() if value >= most]
    mark = tie * sum(shares[s] for s in best)
    for s in best:
        mark -= shares[s]
        if mark <= 0:
            return s
    return best[-1]


def _cover(counts: np.ndarray, assigned: np.ndarray, shares: np.ndarray) -> None:
    """Move groups, in place, until every class with enough groups is in every split that takes any.

    The last column of `present` stands for any image at all, so that no split stays empty either.
    """
    present = np.hstack([counts > 0, np.ones((len(counts), 1), bool)])
    wanted = np.flatnonzero(shares > 0)
    enough = present.sum(0) >= len(wanted)
    for c in np.flatnonzero(enough)[np.argsort(present.sum(0)[enough], kind="stable")]:
        for target in wanted:
            if present[assigned == target, c].any():
                continue
            members = np.stack([present[assigned == s].sum(0) for s in range(len(shares))])
            rank = {
                g: (-members[assigned[g], c], counts[g].sum(), g)
                for g in np.flatnonzero(present[:, c])
                if (members[assigned[g], present[g] & enough] >= 2).all()
            }
            if rank:
                assigned[min(rank, key=rank.__getitem__)] = target
