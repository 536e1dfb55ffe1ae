"""A part of a dataset: whole groups, classes in proportion, and a function of the seed alone."""

from __future__ import annotations

import numpy as np

from ..seeds import stream_seed


def draw_by_split(
    labels: np.ndarray, groups: np.ndarray, split: np.ndarray, max_images: int | None, seed: int
) -> np.ndarray:
    """Rows of at most `max_images` images, ascending, drawn from each part of a split by itself.

    Each part gives its share of the images and each class its share of the part, as near as whole
    groups allow; a class that a part has is drawn at least once where there is room.

    Args:
        labels: (N,) class indices, -1 without a label.
        groups: (N,) group codes.
        split: (N,) part of each image; -1 for images that are not used.
        max_images: how many; None or more than there are: all that are used.
        seed: of the draw.
    """
    sizes = np.bincount(split[split >= 0])
    if max_images is None or max_images >= sizes.sum():
        return np.flatnonzero(split >= 0)
    targets = _apportion(max_images, sizes)
    rows: list[np.ndarray] = []
    room = max_images
    # The largest part comes last and takes what the whole groups of the others left.
    *smaller, largest = np.argsort(targets, kind="stable").tolist()
    for part in (*smaller, largest):
        if not targets[part]:
            continue
        members = np.flatnonzero(split == part)
        target = room if part == largest else int(targets[part])
        generator = np.random.default_rng(stream_seed(seed, "subset", part))
        drawn = _draw_part(labels[members], groups[members], target, room, generator)
        rows.append(members[drawn])
        room -= int(drawn.sum())
    return np.sort(np.concatenate(rows))


def _apportion(total: int, weights: np.ndarray) -> np.ndarray:
    """Whole numbers that add up to `total`, in proportion to `weights` (largest remainders)."""
    exact = total * weights / max(weights.sum(), 1)
    parts = np.floor(exact).astype(int)
    rest = np.argsort(parts - exact, kind="stable")[: total - parts.sum()]
    parts[rest] += 1
    return parts


def _draw_part(
    labels: np.ndarray, groups: np.ndarray, target: int, room: int, generator: np.random.Generator
) -> np.ndarray:
    """(n,) bool: about `target` images of one part and at most `room`, the rarest class first."""
    target = min(target, len(labels))
    codes, group = np.unique(groups, return_inverse=True)
    classes, column = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(codes), len(classes)), dtype=np.int64)
    np.add.at(counts, (group, column), 1)
    sizes, totals = counts.sum(1), counts.sum(0)
    targets = _apportion(target, totals)
    if target >= len(classes):
        for c in np.flatnonzero(targets == 0):
            targets[targets.argmax()] -= 1
            targets[c] = 1
    is_drawn, images = np.zeros(len(codes), bool), np.zeros(len(classes), int)
    order = generator.permutation(len(codes))
    frequency = np.argsort(totals, kind="stable")
    rarest = frequency[(counts[:, frequency] > 0).argmax(1)]

    def draw(candidates: np.ndarray, c: int, most: int) -> None:
        """Draw groups while class c stays within `most`, and the part within half a group."""
        for g in candidates:
            if images[c] >= most or images.sum() >= target:
                return
            fits = images.sum() + sizes[g] / 2 <= target and images.sum() + sizes[g] <= room
            if fits and images[c] + counts[g, c] <= most:
                is_drawn[g] = True
                images[:] += counts[g]

    for c in frequency:
        members = order[rarest[order] == c]
        draw(members, c, targets[c])
        if not images[c]:  # every group is larger than what the class should give
            smallest = members[np.argsort(sizes[members], kind="stable")[:1]]
            draw(smallest, c, totals[c] if targets[c] else 0)
    for c in frequency[::-1]:  # what the groups of a class left is for the others
        draw(order[(rarest[order] == c) & ~is_drawn[order]], c, totals[c])
    return is_drawn[group]


def draw_before_split(
    labels: np.ndarray, groups: np.ndarray, max_images: int | None, seed: int
) -> np.ndarray:
    """Rows of at most `max_images` images, ascending; rare classes keep a few where there is room.

    For folds, and for runs of versions that drew images before they split them.
    """
    if max_images is None or max_images >= len(labels):
        return np.arange(len(labels))
    generator = np.random.default_rng(stream_seed(seed, "subset"))
    values, counts = np.unique(labels, return_counts=True)
    rarity = np.empty(len(values), int)
    rarity[np.argsort(counts, kind="stable")] = np.arange(len(values))
    rarest = np.full(groups.max() + 1, len(values))
    np.minimum.at(rarest, groups, rarity[np.searchsorted(values, labels)])
    sizes = np.bincount(groups)
    is_drawn, drawn_images = np.zeros(len(sizes), bool), 0
    for position in range(len(values)):
        members = np.flatnonzero(rarest == position)
        share = sizes[members].sum() / len(labels)
        quota = max(round(max_images * share), min(3, max_images // len(values)))
        room = max_images - drawn_images
        if position < len(values) - 1:
            room = min(quota, room)
        for group in generator.permutation(members):
            if sizes[group] <= room:
                is_drawn[group] = True
                room -= sizes[group]
                drawn_images += sizes[group]
    return np.flatnonzero(is_drawn[groups])
