"""Two ranks on the CPU (gloo) train what one process trains, with the same draws."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from derm_core.config import AugmentConfig
from derm_core.data.augment import augment
from derm_core.errors import ConfigError
from derm_core.seeds import Share
from derm_core.training import process_group
from derm_core.training.distributed import World, current, gather_with_gradient
from derm_core.training.process_group import rank_device

from .conftest import make_images, make_labels
from .ranks import TASKS, classifier, curves, launch, training

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images and labels as files, as all ranks see them."""
    folder = tmp_path_factory.mktemp("shared")
    np.save(folder / "images.npy", make_images(make_labels()))
    np.save(folder / "labels.npy", make_labels())
    return folder


@pytest.fixture(scope="module")
def two(folder) -> dict:
    """What two ranks computed."""
    return launch("shared", folder)


@pytest.mark.parametrize("kind", TASKS)
def test_two_ranks_give_the_curves_of_one_process(kind, two, folder):
    one, both = curves(training(kind, folder)), two[kind]
    assert set(one) == set(both)
    assert len(one["train/loss"]) == 6 == len(set(one["train/loss"]))
    for series in one:  # the gradient's norm too: its scale, not its direction alone
        np.testing.assert_allclose(both[series], one[series], rtol=1e-4, atol=1e-6, err_msg=series)


@pytest.mark.parametrize("after", ["two", "one"])
def test_a_shared_training_resumes_with_two_or_one(after, two, folder):
    straight = curves(training("vae", folder))
    rest = two["resumed"]
    if after == "one":
        rest = curves(training("vae", folder, checkpoint_dir=folder / "one"))
    np.testing.assert_allclose(rest["train/loss"], straight["train/loss"][4:], rtol=1e-4)


def test_what_ranks_cannot_share_is_refused(two):
    assert "1 images cannot be shared by 2" in two["small"]
    assert "gather each view by itself" in two["gather"]


def test_rank_0_decides_for_all(two):
    assert two["from_main"] == 7


@pytest.mark.parametrize(
    ("how", "words"),
    [("raise", "MemoryError: no memory left on the rank"), ("kill", "ended unexpectedly")],
)
def test_a_rank_that_fails_ends_the_training_and_says_why(how, words, folder):
    assert words in launch("failing", folder, FAIL=how)["error"]


def test_a_rank_that_stands_still_is_not_waited_for_longer_than_a_step(folder):
    started = time.monotonic()
    assert "ended unexpectedly" in launch("still", folder, STEP_SECONDS="10")["error"]
    assert time.monotonic() - started < 300


def test_shares_cut_a_batch_into_pieces_that_differ_by_one_at_most():
    for total, size in ((19, 2), (64, 8), (7, 7), (130, 64)):
        shares = [World(rank, size).share(total) for rank in range(size)]
        assert [s.begin for s in shares] == [0, *(s.end for s in shares[:-1])]
        assert shares[-1].end == total
        assert {len(s) for s in shares} <= {total // size, total // size + 1}
        assert sum(s.weight for s in shares) == pytest.approx(1)


def test_a_share_of_a_batch_is_augmented_as_in_the_whole():
    config = AugmentConfig(mask_ratio=0.3, brightness=0.2, cast=0.1)
    batch = torch.from_numpy(make_images(make_labels())[:20]).permute(0, 3, 1, 2) / 255
    whole = augment(batch, config, torch.Generator().manual_seed(1))
    part = augment(batch[7:12], config, torch.Generator().manual_seed(1), Share(7, 12, 20))
    for a, b in zip(whole, part, strict=True):
        torch.testing.assert_close(a[7:12], b)


def test_batch_norm_on_cpus_is_said_to_be_each_process_own(make_classifier):
    assert "Batch norm" in World(size=2).describe(make_classifier())
    assert "Batch norm" not in World(size=2).describe(classifier())


def test_one_process_is_alone_and_gathers_its_own_tensor():
    rows, world = torch.ones(3, 2), current()
    assert world.size == 1 and world.is_main and world.from_main(5) == 5
    assert gather_with_gradient(rows) is rows


def test_more_ranks_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(process_group, "gpus", lambda: ({}, {}))
    monkeypatch.setattr("derm_core.machine.gpus", lambda: ({}, {}))
    assert [rank_device("cuda:0", rank, 2) for rank in range(2)] == ["cuda:0", "cuda:1"]
    with pytest.raises(ConfigError, match="2 usable GPU"):
        rank_device("cuda:1", 0, 2)
