"""The bins of a reliability diagram equal a slow loop."""

from __future__ import annotations

import numpy as np
import pytest

from derm_core.stats.reliability import reliability


def test_bins_hold_equally_many_predictions_in_the_order_of_their_confidence():
    rng = np.random.default_rng(2)
    p, labels = rng.dirichlet(np.ones(4), (2, 150)), rng.integers(0, 4, 150)
    rows = reliability(labels, p, bins=10)
    flat = sorted(
        (
            (one.max(), one.argmax() == label)
            for seed in p
            for one, label in zip(seed, labels, strict=True)
        ),
        key=lambda pair: pair[0],
    )
    assert len(rows) == 10 and sum(row.n for row in rows) == 150
    for b, row in enumerate(rows):
        part = flat[30 * b : 30 * (b + 1)]
        assert row.confidence == pytest.approx(np.mean([c for c, _ in part]))
        assert row.accuracy == pytest.approx(np.mean([hit for _, hit in part]))
        assert (row.low, row.high) == (part[0][0], part[-1][0])
