"""All heads at once against one-by-one training by torch.nn and torch.optim; choices; publishing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from derm_core.errors import ConfigError, DataError
from derm_core.heads import grid, groups
from derm_core.heads.grid import (
    CURVES,
    MANY_IMAGES,
    MOST_STEPS,
    VERY_MANY_IMAGES,
    Heads,
    images_of_step,
    measured_after,
)
from derm_core.heads.tuning import TunedHeads
from derm_core.nets.head import make_head
from derm_core.seeds import stream_seed
from derm_core.stats.metrics import LOSSES, balanced_accuracy, decide

N, D, C = 150, 6, 3
TRAIN, VAL = np.arange(100), np.arange(100, 150)
SETTINGS = {
    "classes": C,
    "seeds": (3, 4),
    "learning_rates": (1e-2, 1e-3),
    "weight_decays": (0.0, 0.3),
    "hidden": 8,
    "epochs": 3,
    "batch_size": 16,
}


@pytest.fixture
def data() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Arm a: one matrix for all seeds; arm b: another width, and a matrix for each seed."""
    rng = np.random.default_rng(0)
    labels = rng.choice(C, N, p=[0.6, 0.3, 0.1])
    a = (rng.normal(size=(N, D)) * 3 + labels[:, None] + 5).astype(np.float32)
    b = (rng.normal(size=(2, N, 9)) + labels[None, :, None]).astype(np.float32)
    return {"a": a, "b": b}, labels


def plain_loss(name: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The three losses as torch users write them."""
    ce = nn.functional.cross_entropy(logits, labels, reduction="none")
    if name == "focal":
        ce = (1 - torch.exp(-ce)) ** 2 * ce
    if name == "brier":
        ce = ((logits.softmax(1) - nn.functional.one_hot(labels, C)) ** 2).sum(1)
    return ce.mean()


def train_alone(
    x: torch.Tensor, y: torch.Tensor, seed: int, lr: float, wd: float, loss: str
) -> nn.Sequential:
    """One head, one optimiser: the ordinary loop."""
    head = make_head(x.shape[1], 8, C, stream_seed(seed, "head")).double()
    optimiser = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=wd)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=3 * 7)
    for epoch in range(3):
        generator = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
        for rows in torch.randperm(len(x), generator=generator).split(16):
            optimiser.zero_grad()
            plain_loss(loss, head(x[rows]), y[rows]).backward()
            optimiser.step()
            schedule.step()
    return head


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "brier"])
def test_batched_heads_equal_heads_trained_one_by_one(data, loss):
    features, labels = data
    heads = Heads(features, labels, TRAIN, VAL, loss=loss, dtype=torch.float64, **SETTINGS)
    assert len(heads.groups) == 2
    list(heads.fit())
    for arm, matrix in features.items():
        for s, seed in enumerate(SETTINGS["seeds"]):
            raw = matrix if matrix.ndim == 2 else matrix[s]
            x = torch.from_numpy(
                (raw - raw[TRAIN].mean(0, dtype=np.float64).astype(np.float32))
                / raw[TRAIN].std(0, dtype=np.float64).astype(np.float32)
            ).double()
            for g, (lr, wd) in enumerate(heads.grid):
                alone = train_alone(x[TRAIN], torch.from_numpy(labels[TRAIN]), seed, lr, wd, loss)
                group, unit = heads.place[arm, s]
                for mine, reference in zip(group.heads.weights, alone.parameters(), strict=True):
                    torch.testing.assert_close(
                        mine[unit, g], reference.detach(), rtol=1e-6, atol=1e-8
                    )


def test_recorded_curves_are_the_metrics_of_the_published_heads(data):
    features, labels = data
    heads = Heads(features, labels, TRAIN, VAL, loss="focal", **SETTINGS)
    records = list(heads.fit())
    for arm in features:
        probabilities = heads.probabilities(arm, 1, features[arm][..., VAL, :])
        decisions = decide(probabilities, heads.log_prior)
        expected = {
            "val_loss": LOSSES["focal"](labels[VAL], probabilities).mean(-1),
            "val_accuracy": (probabilities.argmax(-1) == labels[VAL]).mean(-1),
            "val_balanced_accuracy": balanced_accuracy(labels[VAL], decisions, C),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(records[-1].values[arm][name][:, 1], value, rtol=1e-5)


def steps(heads, **settings):
    """Steps of the records of a whole training, without the pauses that a busy machine adds."""
    return [record.step for record in heads.fit(**settings) if record is not None]


def test_records_at_step_zero_log_spaced_in_the_first_epoch_then_each_epoch(data):
    features, labels = data
    heads = Heads(features, labels, TRAIN, VAL, **SETTINGS)
    assert steps(heads) == [0, 1, 2, 4, 7, 14, 21]
    curves = heads.curves("a", 0)
    assert list(curves) == ["epoch", "step", *CURVES]
    assert curves["epoch"][-1] == 3 and curves["train_loss"].shape == (7, 2)


def test_arms_of_equal_features_get_equal_heads_and_seeds_differ(data):
    features, labels = data
    heads = Heads(
        {"one": features["a"], "two": np.stack([features["a"]] * 2)}, labels, TRAIN, VAL, **SETTINGS
    )
    list(heads.fit())
    one, two = (heads.logits(arm, 0, features["a"]) for arm in ("one", "two"))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one[0] - one[1]).max() > 1e-3


def test_published_weights_give_the_same_logits_in_a_plain_network(data):
    features, labels = data
    heads = Heads(features, labels, TRAIN, VAL, **SETTINGS)
    list(heads.fit())
    for s, tensors in enumerate(heads.weights("b", 2)):
        head = make_head(9, 8, C, 0)
        head.load_state_dict(
            {k.removeprefix("head."): v for k, v in tensors.items() if k.startswith("head.")}
        )
        x = (torch.from_numpy(features["b"][s]) - tensors["feature_mean"]) / tensors["feature_std"]
        np.testing.assert_allclose(
            head(x).detach(), heads.logits("b", 2, features["b"])[s], rtol=1e-4, atol=1e-5
        )


def test_constant_features_and_diverged_heads_do_no_harm(data):
    features, labels = data
    matrix = np.concatenate([features["a"], np.full((N, 1), 7, np.float32)], 1)
    heads = Heads(
        {"a": matrix}, labels, TRAIN, VAL, **(SETTINGS | {"learning_rates": (1e-2, 1e30)})
    )
    list(heads.fit())
    tuned = TunedHeads()
    tuned.add(heads)
    best = tuned.choose().best["a"]
    assert heads.grid[best][0] == 1e-2
    assert np.isfinite(heads.logits("a", best, matrix)).all()


def test_bad_input_is_refused_with_its_reason(data):
    features, labels = data
    with pytest.raises(DataError, match="without a label"):
        Heads(features, np.where(labels == 0, -1, labels), TRAIN, VAL, **SETTINGS)
    with pytest.raises(DataError, match="shape"):
        Heads({"b": features["b"][:1]}, labels, TRAIN, VAL, **SETTINGS)
    with pytest.raises(DataError, match="finite"):
        Heads({"a": features["a"] * np.nan}, labels, TRAIN, VAL, **SETTINGS)
    with pytest.raises(ConfigError, match="loss"):
        Heads(features, labels, TRAIN, VAL, loss="hinge", **SETTINGS)


def test_a_number_of_updates_in_place_of_epochs_ends_within_an_epoch(data):
    features, labels = data
    heads = Heads(features, labels, TRAIN, VAL, **(SETTINGS | {"epochs": 1}), updates=10)
    assert steps(heads) == [0, 1, 2, 4, 7, 10]
    few = Heads(features, labels, TRAIN[:5], VAL, **SETTINGS, updates=10)
    assert steps(few, curves=False) == [10] and few.batch_size == 5


def test_a_step_takes_more_images_where_an_epoch_has_many_steps():
    assert images_of_step(128, 7_000) == images_of_step(128, 128 * MOST_STEPS) == 128
    assert images_of_step(128, 128 * MOST_STEPS + 1) == 256
    for images in (50_000, 280_000, 1_000_000):
        size = images_of_step(128, images)
        assert MOST_STEPS / 2 <= images / size <= MOST_STEPS and size % 128 == 0


def test_curves_of_many_images_are_measured_after_the_first_and_every_second_epoch(
    data, monkeypatch
):
    monkeypatch.setattr(grid, "MANY_IMAGES", len(TRAIN) - 1)
    heads = Heads(*data, TRAIN, VAL, **(SETTINGS | {"epochs": 5, "batch_size": 50}))
    assert [record.epoch for record in heads.fit() if record] == [0, 0.5, 1, 2, 4, 5]


def test_curves_of_very_many_images_are_measured_after_every_fourth_epoch():
    limits = MANY_IMAGES, MANY_IMAGES + 1, VERY_MANY_IMAGES, VERY_MANY_IMAGES + 1
    assert list(map(measured_after, limits)) == [1, 2, 2, 4]


def test_measuring_less_changes_no_weight(data):
    features, labels = data
    one, two = (Heads(features, labels, TRAIN, VAL, **SETTINGS) for _ in range(2))
    list(one.fit()), list(two.fit(curves=False))
    np.testing.assert_array_equal(
        one.logits("b", 1, features["b"]), two.logits("b", 1, features["b"])
    )


def test_a_caller_that_stops_iterating_stops_the_training(data):
    features, labels = data
    heads = Heads(features, labels, TRAIN, VAL, **(SETTINGS | {"epochs": 100_000}))
    running = heads.fit()
    next(running)
    running.close()
    assert all(group.heads.steps < heads.steps for group in heads.groups)


def test_long_silence_is_broken_by_none(data, monkeypatch):
    features, labels = data
    monkeypatch.setattr(groups, "PAUSE_SECONDS", -1.0)
    heads = Heads(features, labels, TRAIN, VAL, **SETTINGS)
    *silence, last = heads.fit(curves=False)
    assert silence and not any(silence) and last.step == heads.steps


@pytest.mark.parametrize("cores", [2, 16])
def test_heads_trained_apart_on_several_cores_equal_those_trained_together_on_one(
    data, monkeypatch, cores
):
    features, labels = data
    logits = []
    for group_bytes, threads in ((2**19, 1), (1, cores)):
        monkeypatch.setattr(grid, "GROUP_BYTES", group_bytes)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        heads = Heads(features, labels, TRAIN, VAL, **SETTINGS)
        list(heads.fit())
        assert torch.get_num_threads() == threads
        torch.set_num_threads(before)
        logits.append(heads.logits("b", 1, features["b"]))
    assert [len(group.keys) for group in heads.groups] == [1, 1, 1, 1]
    np.testing.assert_array_equal(*logits)


def test_an_error_in_a_core_is_raised_and_ends_the_others(data, monkeypatch):
    features, labels = data
    monkeypatch.setattr(grid, "GROUP_BYTES", 1)
    heads = Heads(features, labels, TRAIN, VAL, **(SETTINGS | {"epochs": 100_000}))
    first_trained = max(heads.groups, key=lambda group: group.heads.size)
    monkeypatch.setattr(first_trained.heads, "train_step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(heads.fit(curves=False))
    assert all(group.heads.steps < heads.steps for group in heads.groups)


def test_the_number_of_cores_changes_no_head(data):
    features, labels = data
    logits = []
    for cores in (1, 2):
        threads = torch.get_num_threads()
        torch.set_num_threads(cores)
        heads = Heads(features, labels, TRAIN, VAL, **SETTINGS)
        list(heads.fit())
        torch.set_num_threads(threads)
        logits.append(heads.logits("b", 1, features["b"]))
    np.testing.assert_array_equal(*logits)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_the_same_heads(data):
    features, labels = data
    here, there = (
        Heads(features, labels, TRAIN, VAL, device=device, dtype=torch.float64, **SETTINGS)
        for device in ("cpu", "cuda")
    )
    list(here.fit()), list(there.fit())
    for arm in features:
        for mine, theirs in zip(
            here.curves(arm, 1).values(), there.curves(arm, 1).values(), strict=True
        ):
            np.testing.assert_allclose(theirs, mine, rtol=1e-6)
