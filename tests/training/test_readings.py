"""What a stopped training tells.

After it was resumed, every reading of the uninterrupted one, bit for bit; on a full disk, too.
"""

import errno
import os

import pytest

from derm_core.errors import StorageError
from derm_core.files import os as files_os
from tests.training.test_engine import same_weights, take_steps

from .fitting import fit

SETTINGS = {
    "epochs": 4,
    "batch_size": 18,
    "lr": 1e-2,
    "wd": 0.05,
    "seed": 3,
    "log_every": 5,
}  # 3 steps an epoch


def readings(events) -> dict:
    return {(event.series, event.step): event.value for event in events if event.kind == "metric"}


@pytest.mark.parametrize("stop", [4, 5])  # between two readings, and at one
def test_a_resumed_training_tells_every_reading_of_the_uninterrupted_one(
    stop, images, labels, tmp_path, make_classifier
):
    whole = readings(fit(make_classifier(), images, range(60), labels, **SETTINGS))
    first, seen, steps = (
        fit(make_classifier(), images, range(60), labels, checkpoint_dir=tmp_path, **SETTINGS),
        [],
        0,
    )
    for event in first:
        seen.append(event)
        steps += event.kind == "tick"
        if steps == stop:
            first.close()
    second = list(
        fit(make_classifier(), images, range(60), labels, checkpoint_dir=tmp_path, **SETTINGS)
    )
    assert {step for _, step in whole} == {5, 10, 12}
    assert readings(seen) | readings(second) == whole


def test_a_full_disk_stops_the_training_and_leaves_the_checkpoint_before(
    images, labels, tmp_path, make_classifier, monkeypatch
):
    straight, resumed = make_classifier(), make_classifier()
    list(fit(straight, images, range(60), labels, **SETTINGS))
    take_steps(
        fit(make_classifier(), images, range(60), labels, checkpoint_dir=tmp_path, **SETTINGS), 4
    )
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="disk is full"):

        def full(descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(files_os, "fsync", full)
        list(fit(make_classifier(), images, range(60), labels, checkpoint_dir=tmp_path, **SETTINGS))
    assert [path.name for path in tmp_path.glob("*step-*")] == ["step-000004-0"], (
        "a torn one takes room that is wanted"
    )
    events = list(fit(resumed, images, range(60), labels, checkpoint_dir=tmp_path, **SETTINGS))
    assert sum(event.kind == "tick" for event in events) == 12 - 4 and same_weights(
        straight, resumed
    )
