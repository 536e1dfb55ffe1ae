"""The training benchmarks run what they say on both sides; no test asserts a time."""

import argparse

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import _imagefolder_peer, train, train_peer
from benchmarks.__main__ import load, names
from derm_core.config.recipes import recipe
from derm_core.errors import RunError
from derm_core.events import read_events
from derm_core.training.precision import Precision
from derm_core.workspace import RunFiles

SMALL = {"architecture": "resnet18", "stage": 1, "size": 16}
RECIPE = recipe("masked", batch_size=8, epochs=50, latent_dim=4, decoder_width=16)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)


def test_names_on_the_command_line_have_hyphens():
    assert {"train", "train-peer", "import"} <= set(names())
    assert load("train-peer") is train_peer


def test_the_real_side_is_a_run_with_events_and_checkpoints(images, tmp_path):
    paths = RunFiles(tmp_path).create()
    task = train.new_task(argparse.Namespace(**SMALL), RECIPE)
    before = [value.clone() for value in task.state_dict().values()]
    steps = train.real_steps(task, images, np.arange(20), RECIPE, "cpu", Precision(), paths)
    assert train.rate(steps, 0.0, "cpu") == 0
    for _ in range(21):
        next(steps)
    steps.close()
    assert {row["series"] for row in read_events(paths.events)} >= {
        "train/loss",
        "train/kl",
        "pretraining",
    }
    assert train.checkpoint_names(paths)
    assert not all(torch.equal(a, b) for a, b in zip(before, task.state_dict().values()))


def test_the_bare_side_trains_with_the_same_optimiser_and_clipping(images):
    task = train.new_task(argparse.Namespace(**SMALL), RECIPE)
    before = [value.clone() for value in task.parameters()]
    steps = train.bare_steps(task, images, np.arange(20), RECIPE, "cpu", Precision())
    next(steps)
    next(steps)
    assert all(not torch.equal(a, b) for a, b in zip(before, task.parameters()) if b.ndim > 1)


def test_the_ordinary_loop_trains_the_same_network(images, tmp_path):
    for number, image in enumerate(images):
        path = tmp_path / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    measured = _imagefolder_peer.main(
        {
            "folder": str(tmp_path),
            "device": "cpu",
            "batch_size": 10,
            "workers": 1,
            "size": 16,
            "latent_dim": 4,
            "decoder_width": 16,
            "epochs": 1,
            "learning_rate": 1e-3,
            "weight_decay": 0.05,
            "backbone": {"architecture": "resnet18", "stage": 1},
        }
    )
    ours = train.new_task(argparse.Namespace(**SMALL), RECIPE)
    assert (
        measured["parameters"] == sum(p.numel() for p in ours.parameters())
        and measured["seconds"] > 0
    )


def test_a_python_without_the_peer_is_said_with_what_to_do(tmp_path):
    with pytest.raises(RunError, match="cannot be started"):
        train_peer.check_peer(str(tmp_path / "python"))
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o700)
    with pytest.raises(RunError, match=r"requirements.txt"):
        train_peer.check_peer(str(python))
