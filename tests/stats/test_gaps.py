"""Gap arithmetic by hand, and the rule of matched training accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from derm_core.stats import gaps


def made(
    train_accuracy: list[float], val_accuracy: list[float], seeds: int = 2
) -> dict[str, np.ndarray]:
    """Curves with the given accuracies, seeds ±0.01 apart, and losses 1 − accuracy."""
    shift = np.linspace(-0.01, 0.01, seeds)
    train, val = (np.array(values)[:, None] + shift for values in (train_accuracy, val_accuracy))
    return {
        "epoch": np.arange(len(train), dtype=float),
        "train_accuracy": train,
        "val_accuracy": val,
        "train_loss": 1 - train,
        "val_loss": 1 - val,
    }


def test_gaps_by_hand_at_the_final_epoch_and_at_the_best_validation_loss():
    curves = made([0.5, 0.7, 0.9], [0.5, 0.65, 0.6])
    result = gaps.gaps(curves)
    assert result["accuracy"]["final"].mean == pytest.approx(0.3)
    assert result["loss"]["final"].mean == pytest.approx(0.3)
    assert result["accuracy"]["best"].mean == pytest.approx(0.05)


def test_best_epoch_is_each_seeds_own():
    curves = made([0.5, 0.7, 0.9], [0.5, 0.65, 0.6])
    curves["val_loss"][:, 0] = [0.1, 0.2, 0.3]
    assert gaps.gaps(curves)["accuracy"]["best"].by_seed == pytest.approx([0.0, 0.05])


def test_gap_with_the_test_set_in_place_of_validation():
    result = gaps.with_test(
        made([0.5, 0.9], [0.5, 0.8]), np.array([0.4, 0.5]), np.array([0.7, 0.72])
    )
    assert result["loss"] == pytest.approx([0.4 - 0.11, 0.5 - 0.09])
    assert result["accuracy"] == pytest.approx([0.89 - 0.7, 0.91 - 0.72])


def test_matched_gap_is_read_where_each_first_reaches_the_lower_maximum():
    a = made([0.4, 0.5, 0.6, 0.7, 0.8], [0.4, 0.5, 0.55, 0.6, 0.6])
    b = made([0.3, 0.45, 0.5, 0.6, 0.9], [0.3, 0.4, 0.45, 0.5, 0.6])
    result = gaps.matched(a, b, ("a", "b"))
    assert result.comparable and result.level == pytest.approx(0.8)
    assert result.arms["a"].accuracy.mean == pytest.approx(0.2)
    share = (0.8 - 0.6) / 0.3
    assert result.arms["b"].epoch == pytest.approx(3 + share)
    assert result.arms["b"].accuracy.mean == pytest.approx(0.1 + share * 0.2)


def test_first_crossing_counts_where_training_accuracy_falls_again():
    a = made([0.1, 0.2, 0.3, 0.7, 0.2, 0.7], [0.1, 0.2, 0.3, 0.6, 0.2, 0.1])
    b = made([0.1, 0.2, 0.3, 0.4, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5, 0.5])
    result = gaps.matched(a, b, ("a", "b"))
    assert result.arms["a"].epoch == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("start", "word"),
    [
        ([0.9, 0.95, 0.97, 0.98], "starts at or above"),
        ([0.2, 0.3, 0.9, 0.95], "after 2 evaluations"),
    ],
)
def test_too_early_a_crossing_is_not_comparable(start, word):
    slow = made([0.2, 0.3, 0.4, 0.5], [0.2, 0.3, 0.4, 0.5])
    result = gaps.matched(slow, made(start, start), ("slow", "fast"))
    assert not result.comparable and "fast" in result.reason and word in result.reason


def test_two_points_at_most_before_the_crossing_are_too_few_and_three_enough():
    slow = made([0.2, 0.3, 0.4, 0.5], [0.2, 0.3, 0.4, 0.5])
    three = made([0.1, 0.2, 0.3, 0.9], [0.1, 0.2, 0.3, 0.9])
    assert gaps.matched(slow, three, ("slow", "three")).comparable


def test_the_reason_is_said_with_the_names_of_the_arms():
    pair = gaps.MatchedPair(
        "a", "timm:b", 0.5, False, "At 50 %: a starts there, timm:b starts there.", {}
    )
    assert pair.reason_with({"a": "A", "timm:b": "B"}) == "At 50 %: A starts there, B starts there."
    assert gaps.MatchedPair("a", "b", 0.5, True, None, {}).reason_with({"a": "A", "b": "B"}) == ""
