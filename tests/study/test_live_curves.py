"""Curves that are drawn while heads train: they come meanwhile, are those of the best setting so far, and few."""

from __future__ import annotations

import numpy as np
import pytest

from derm_core.events import EventLog
from derm_core.heads.grid import Heads
from derm_core.report.run_events import RunEvents
from derm_core.study.frozen import LIVE_POINTS, best_so_far, train_heads

N, C, SEEDS = 60, 3, (0, 1)


@pytest.fixture
def heads() -> Heads:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, C, N)
    features = {
        arm: (rng.normal(size=(N, 5)) + labels[:, None]).astype(np.float32) for arm in ("a", "b")
    }
    return Heads(
        features,
        labels,
        np.arange(40),
        np.arange(40, N),
        classes=C,
        seeds=SEEDS,
        learning_rates=(1e-3, 1e-2),
        weight_decays=(0.0, 1.0),
        hidden=8,
        epochs=100,
        batch_size=10,
    )


def test_the_curve_is_that_of_the_setting_with_the_lowest_validation_loss_at_that_moment():
    values = {
        "val_loss": np.array([[0.9, 0.5, np.nan], [0.8, 0.7, 0.1]]),
        "val_accuracy": np.array([[0.1, 1 / 3, 0.3], [0.4, 0.5, 0.6]]),
    }
    best = best_so_far(values)
    assert best["val_loss"].tolist() == [0.5, 0.7], "a head that diverged is never the best"
    assert best["val_accuracy"].tolist() == [0.33333, 0.5]


def test_curves_come_while_heads_train_and_end_at_the_best_setting(heads):
    seen, records = [], 0
    for event in train_heads(heads):
        if event.kind == "metric" and event.series == "a/val/loss":
            assert heads.records[-1].step == event.step, "drawn after a later evaluation was made"
            seen.append(event.epoch)
            records = len(heads.records)
    assert seen[0] == 0 and seen[-1] == 100 and records == len(heads.records)
    assert len([epoch for epoch in seen if epoch >= 1]) == pytest.approx(LIVE_POINTS, rel=0.2)
    last = heads.records[-1].values["a"]["val_loss"]
    assert event.kind == "tick" and np.isclose(
        best_so_far(heads.records[-1].values["a"])["val_loss"].mean(), last.mean(0).min(), atol=1e-5
    )


def test_the_curves_of_a_hundred_epochs_take_little_room_and_can_be_drawn(heads, tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    for event in train_heads(heads):
        if event.kind == "metric":
            log.append(event)
    points = sum(record.epoch >= 1 for record in heads.records)
    assert points == 100 and log.path.stat().st_size < 100_000
    events = RunEvents()
    events.update(log.path)
    curves = events.curves()
    assert set(curves) == {"a", "b"} and set(curves["a"]["seed"]) == {0, 1}
