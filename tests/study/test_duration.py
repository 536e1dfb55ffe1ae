"""The expected duration of features and heads: what counts, what is refused, and how long heads then take."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch

from derm_core.config import PretrainConfig
from derm_core.errors import ConfigError
from derm_core.heads.grid import Heads
from derm_core.study.duration import GROWTH, estimate
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


@pytest.mark.slow
def test_heads_take_about_as_long_as_expected(workspace, tiny, monkeypatch):
    images, train = 1000, 700
    monkeypatch.setattr("derm_core.study.duration.load_dataset", lambda *_: Labelled(images))
    config = dataclasses.replace(
        CONFIG, arms=("colour",), batch_size=128, learning_rates=(1e-3, 1e-2), hidden=64
    )
    expected = estimate(config, workspace).heads_seconds / GROWTH
    width = 8**3 + 9  # of the colour histogram
    heads = Heads(
        {"colour": np.random.default_rng(0).standard_normal((images, width), np.float32)},
        np.arange(images) % 7,
        np.arange(train),
        np.arange(train, 850),
        classes=7,
        seeds=config.seeds,
        learning_rates=config.learning_rates,
        weight_decays=config.weight_decays,
        epochs=config.epochs,
        hidden=64,
    )
    started = time.process_time()
    list(heads.fit())
    taken = time.process_time() - started
    assert taken / 2 < expected * min(torch.get_num_threads(), 2) < taken * 2


class Labelled:
    """A dataset of so many labelled images."""

    def __init__(self, images: int) -> None:
        self.labels = np.zeros(images, int)
