"""Forming a team, and what happens when one of it fails."""

from __future__ import annotations

import contextlib

import pytest
import torch
import torch.distributed as dist

from derm_core.errors import ConfigError, RunError
from derm_core.training import distributed, launch
from derm_core.training.distributed import current, gather_with_gradient
from derm_core.training.engine import fit
from derm_core.training.launch import _local_devices, team

from .contrastive import ContrastiveTask, FailingTask

SETTINGS = {"epochs": 2, "batch_size": 20, "lr": 1e-2, "wd": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise", "MemoryError: no memory left on the helper"),
        ("kill", "Process 1 of the 2 that share the training was ended"),
    ],
)
def test_a_helper_that_fails_ends_the_training_and_says_why(how, words, images):
    with pytest.raises(RunError, match=words), team(2, "cpu") as formed:
        child = formed.children[0]
        list(fit(FailingTask(how), images, range(60), **SETTINGS))
    assert child.returncode != 0 and not dist.is_initialized() and current().size == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "error"),
    [(ContrastiveTask(), None), (FailingTask("kill"), RunError)],
    ids=["ends", "fails"],
)
def test_what_averages_gradients_ends_with_its_training(task, error, images, monkeypatch):
    """The last holder of a group, torch's reducer, would wait with Python's lock for threads that wait for it."""
    made, make = [], distributed.DistributedDataParallel
    monkeypatch.setattr(
        distributed,
        "DistributedDataParallel",
        lambda *a, **k: made.append(make(*a, **k)) or made[0],
    )
    with pytest.raises(error) if error else contextlib.nullcontext(), team(2, "cpu"):
        try:
            list(fit(task, images, range(60), **SETTINGS))
        finally:
            assert dist.is_initialized() and not {"reducer", "logger"} & set(vars(made[0]))


@pytest.mark.slow
def test_a_helper_that_stands_still_is_not_waited_for_longer_than_a_step(monkeypatch):
    monkeypatch.setattr(launch, "STEP_SECONDS", 10.0)
    with (
        pytest.raises(RunError, match="cannot be reached"),
        team(2, "cpu") as formed,
        formed.step(),
    ):
        pass  # no training was handed over: the helper waits for one
    assert formed.children[0].returncode != 0


def test_a_team_of_one_trains_bit_for_bit_as_none(images):
    plain, formed = ContrastiveTask(), ContrastiveTask()
    list(fit(plain, images, range(60), **SETTINGS))
    with team(1, "cpu"):
        list(fit(formed, images, range(60), **SETTINGS))
    assert all(
        (a == b).all()
        for a, b in zip(plain.state_dict().values(), formed.state_dict().values(), strict=True)
    )


def test_one_process_is_no_team_and_gathers_its_own_tensor():
    rows = torch.ones(3, 2)
    assert current().size == 1 and current().is_main and gather_with_gradient(rows) is rows


def test_more_devices_than_there_are_are_refused(monkeypatch):
    monkeypatch.setattr("derm_core.training.launch.gpus", lambda: ({}, {}))
    assert _local_devices(2, "cuda:0") == ["cuda:0", "cuda:1"]
    with pytest.raises(ConfigError, match="2 usable GPU"):
        _local_devices(2, "cuda:1")
