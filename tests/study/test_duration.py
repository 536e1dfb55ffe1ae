"""The expected duration of features and heads: what counts, what is refused, and what is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from derm_core.config import PretrainConfig
from derm_core.errors import ConfigError
from derm_core.study import duration
from derm_core.study.duration import GROWTH, Duration, estimate
from tests.study.trained import CONFIG


def test_every_network_and_head_counts_once_and_nothing_is_written(workspace, tiny):
    config = dataclasses.replace(CONFIG, arms=("colour", "random"), learning_rates=(1e-3, 1e-2))
    before = torch.get_num_threads()
    expected = estimate(config, workspace)
    assert (expected.networks, expected.heads, expected.cores) == (1 + 2, 2 * 2 * 2, before)
    assert torch.get_num_threads() == before
    assert expected.features_seconds > 0 and expected.heads_seconds > 0
    assert "8 heads" in expected.text and "of 3 networks" in expected.text
    assert not workspace.cache.exists() or not list(workspace.cache.rglob("*.npy"))


def test_a_network_that_is_still_to_be_pretrained_counts_as_one_with_random_weights(
    workspace, tiny
):
    pretrain = PretrainConfig(dataset="tiny", backbone=CONFIG.backbone, input_size=32)
    config = dataclasses.replace(CONFIG, arms=("vae", "colour"), pretrain=pretrain)
    assert estimate(config, workspace).networks == 2


@pytest.mark.parametrize("changes", [{"regime": "finetune"}, {"folds": 2}])
def test_what_is_not_estimated_is_refused(workspace, tiny, changes):
    with pytest.raises(ConfigError, match="frozen features on a CPU"):
        estimate(dataclasses.replace(CONFIG, **changes), workspace)


def test_steps_of_training_and_records_are_counted(workspace, tiny, monkeypatch):
    """Where a step takes a second and measuring nothing, a head of each seed takes as many seconds as it has steps."""
    monkeypatch.setattr(duration, "_head_trial", lambda *_: (1.0, 0.0))
    config = dataclasses.replace(CONFIG, arms=("colour",), batch_size=128, seeds=(0, 1, 2))
    # 700 images to train on are six batches of 128, 70,000 are 69 of 1,024.
    for images, steps in ((1000, 6), (100_000, 69)):
        monkeypatch.setattr(duration, "load_dataset", lambda *_, count=images: Labelled(count))
        expected = estimate(config, workspace)
        shared_by = min(expected.cores, 3)
        assert expected.heads_seconds == pytest.approx(config.epochs * steps * 3 / shared_by)


def test_the_text_names_the_grid_as_given_and_as_it_may_grow():
    expected = Duration(features_seconds=60, heads_seconds=100, networks=1, heads=6, cores=2)
    assert expected.seconds == (160, 60 + 100 * GROWTH)
    text = expected.text.replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert text.startswith("About 2 min 40 s to 6 min 50 s on 2 cores")


class Labelled:
    """A dataset of so many labelled images."""

    def __init__(self, images: int) -> None:
        self.labels = np.zeros(images, int)
