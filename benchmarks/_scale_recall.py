"""The approximate neighbours of a map against the exact ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from derm_core.stats.approximate_neighbours import Neighbours, approximate_neighbours
from derm_core.stats.neighbours import exact_neighbours

COUNTS = (10, 30)


def compare(space_nd: np.ndarray) -> dict[str, Any]:
    """Which share of the true neighbours is found, by their number, and the seconds for the most.

    Those of the index hold the start of its process.
    """
    most = min(max(COUNTS), len(space_nd) - 1)
    (true, _), exact_s = _timed(lambda: exact_neighbours(space_nd, most))
    recall, approximate_s = {}, 0.0
    for count in (min(count, most) for count in COUNTS):
        (near, _), approximate_s = _timed(lambda: _one(space_nd, count))
        recall[str(count)] = share_found(near, true[:, :count])
    return {
        "images": len(space_nd),
        "columns": space_nd.shape[1],
        "recall": recall,
        "exact_s": exact_s,
        "approximate_s": approximate_s,
    }


def share_found(near_nk: np.ndarray, true_nk: np.ndarray) -> float:
    """Mean share of the true neighbours that are among those found."""
    hits = sum(len({*a} & {*b}) for a, b in zip(near_nk.tolist(), true_nk.tolist(), strict=True))
    return hits / true_nk.size


def _one(space_nd: np.ndarray, count: int) -> Neighbours:
    [neighbours] = approximate_neighbours([space_nd], count, 0)
    return neighbours


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started
