"""The paper's numbers agree with one another, and the table with the curves."""

from __future__ import annotations

import numpy as np
import pytest

from derm_core.study.paper import NOTES, PAPER, QUANTITIES, paper_table, paper_values


@pytest.mark.parametrize("arm", ["vae", "imagenet"])
def test_reported_changes_fit_the_starts_computed_back(arm):
    for quantity, numbers in PAPER[arm].items():
        if numbers.start is not None:
            change = (numbers.final - numbers.start) / numbers.start
            assert change == pytest.approx(numbers.relative_change, abs=1e-3), quantity


def test_imagenet_wins_on_accuracy_and_loss_in_the_paper_and_loses_on_the_gap():
    vae, imagenet = PAPER["vae"], PAPER["imagenet"]
    assert imagenet["val_accuracy"].final > vae["val_accuracy"].final
    assert imagenet["val_loss"].final < vae["val_loss"].final
    assert imagenet["loss_gap"].final > vae["loss_gap"].final
    accuracy_gap = imagenet["train_accuracy"].final - imagenet["val_accuracy"].final
    assert imagenet["accuracy_gap"].final == pytest.approx(accuracy_gap)


def test_table_has_start_final_and_change_of_seed_means():
    curves = {
        "epoch": np.array([0, 0.5, 1, 2]),
        "val_loss": np.array([[9, 9], [5, 5], [1.0, 3.0], [1.0, 1.0]]),
        "train_loss": np.array([[9, 9], [5, 5], [1.0, 1.0], [0.5, 0.5]]),
        "train_accuracy": np.array([[0, 0], [0, 0], [0.5, 0.5], [0.9, 0.7]]),
        "val_accuracy": np.array([[0, 0], [0, 0], [0.4, 0.4], [0.5, 0.7]]),
    }
    rows = {
        (row.arm, row.quantity): row for row in paper_table({"imagenet": curves, "random": curves})
    }
    assert len(rows) == 2 * len(QUANTITIES)
    loss = rows["imagenet", "val_loss"]
    assert (loss.start, loss.final, loss.relative_change) == pytest.approx((2.0, 1.0, -0.5))
    assert loss.paper.final == 0.100 and rows["random", "val_loss"].paper is None
    assert rows["random", "accuracy_gap"].final == pytest.approx(0.2)
    assert rows["random", "loss_gap"].start == pytest.approx(1.0)
    assert rows["random", "loss_gap"].relative_change is None


def test_of_several_vaes_the_paper_s_numbers_stand_beside_the_plain_one():
    assert set(paper_values(["vae", "imagenet"])) == {"vae", "imagenet"}
    assert set(paper_values(["recipe:paper", "vae", "imagenet"])) == {"recipe:paper", "imagenet"}
    assert paper_values(["recipe:paper", "vae"])["recipe:paper"] == PAPER["vae"]


def test_every_trap_is_named():
    text = " ".join(NOTES)
    for words in ("ImageNet wins", "computed back", "Absolute losses", "+0.060", "underfitting"):
        assert words in text
