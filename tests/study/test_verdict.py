"""The verdict's rules, one by one."""

from __future__ import annotations

import dataclasses

import pytest

from derm_core.stats.evaluation import Evaluation
from derm_core.stats.gaps import MatchedArm, MatchedPair
from derm_core.stats.intervals import Difference, Interval
from derm_core.study.study_result import ArmResult, Verdict
from derm_core.study.verdict import choose_pair, verdict

LABELS = {
    "vae": "VAE",
    "imagenet": "ImageNet",
    "random": "Random weights",
    "both": "VAE and ImageNet",
}


def interval(low: float, high: float) -> Interval:
    return Interval(mean=(low + high) / 2, low=low, high=high)


def difference(a: str, b: str, low: float, high: float, **more) -> Difference:
    row = {
        "metric": "balanced_accuracy",
        "p": 0.01,
        "detectable": 0.061,
        "primary": True,
        "stand_in": False,
        "equivalent": low > -0.02 and high < 0.02,
    }
    return Difference(a=a, b=b, mean=(low + high) / 2, low=low, high=high, **(row | more))


def evaluation(
    low: float, high: float, arms: tuple[str, ...] = ("vae", "imagenet", "random"), **more
) -> Evaluation:
    pair = choose_pair(arms)
    return Evaluation(
        arms={arm: {"balanced_accuracy": interval(0.5, 0.6)} for arm in arms},
        majority={},
        per_class={},
        differences=(difference(*pair, low, high, **more),) if pair else (),
        groups=100,
        cautions=(),
    )


def matched(gap_a: list[float], gap_b: list[float], comparable: bool = True) -> list[MatchedPair]:
    arms = {
        name: MatchedArm(1.0, *(Interval(mean=0.0, by_seed=tuple(values)) for _ in range(2)))
        for name, values in (("vae", gap_a), ("imagenet", gap_b))
    }
    reason = None if comparable else "too early"
    return [MatchedPair("vae", "imagenet", 0.7, comparable, reason, arms)]


def gap_rows(loss: tuple[float, float], accuracy: tuple[float, float], pair=("vae", "imagenet")):
    """Differences of a pair's gaps at the final epoch, from the ends of their intervals."""
    return [
        Difference(a=pair[0], b=pair[1], kind=kind, at="final", mean=0.0, low=low, high=high)
        for kind, (low, high) in (("loss", loss), ("accuracy", accuracy))
    ]


def arm(name: str, loss: float, accuracy: float) -> ArmResult:
    gaps = {"loss": loss, "accuracy": accuracy}
    return ArmResult(label=LABELS[name], kind=name, features=8, test={}, gaps=gaps)


ARMS = {
    "vae": arm("vae", 0.05, 0.02),
    "imagenet": arm("imagenet", 0.3, 0.15),
    "random": arm("random", 0.01, 0.0),
    "both": arm("both", 0.1, 0.1),
}
NONE = gap_rows((-0.1, 0.1), (-0.1, 0.1))
VAE_SMALLER = gap_rows((-0.3, -0.2), (-0.2, 0.01))
HOLDS = matched([0.01, 0.02, 0.015], [0.1, 0.11, 0.12])
FALLS = matched([0.1, 0.02, 0.3], [0.1, 0.11, 0.12])


def text(result: Verdict) -> str:
    return " ".join([result.headline, *result.sentences])


@pytest.mark.parametrize(
    ("low", "high", "winner"),
    [(0.01, 0.09, "vae"), (-0.09, -0.01, "imagenet"), (-0.05, 0.01, None)],
)
def test_an_arm_is_more_accurate_only_where_the_interval_excludes_zero(low, high, winner):
    result = verdict(evaluation(low, high), NONE, [], ARMS)
    assert result.more_accurate == winner
    if winner:
        assert f"{LABELS[winner]} is more accurate" in result.headline
    else:
        assert "No difference in accuracy shown" in result.headline


def test_no_difference_comes_with_the_smallest_that_could_have_been_shown():
    assert "about 6.1 points" in text(verdict(evaluation(-0.05, 0.01), NONE, [], ARMS))


@pytest.mark.parametrize(
    ("low", "p", "disagree"),
    [(0.01, 0.01, False), (-0.01, 0.4, False), (-0.01, 0.04, True), (0.01, 0.06, True)],
)
def test_a_disagreement_of_interval_and_permutation_test_is_stated(low, p, disagree):
    result = text(verdict(evaluation(low, 0.1, p_sign_flip=p), NONE, [], ARMS))
    assert ("permutation test disagree" in result) == disagree


def test_a_stand_in_for_imagenet_is_said_to_be_one():
    pair = ("vae", "bundle:a")
    arms = ARMS | {"bundle:a": dataclasses.replace(ARMS["imagenet"], label="a")}
    result = verdict(evaluation(-0.1, -0.05, (*pair, "random")), NONE, [], arms)
    assert (
        "VAE − ImageNet, was not made here" in result.sentences[0]
        and "with labels" in result.sentences[0]
    )
    assert "was not made" not in text(verdict(evaluation(-0.1, -0.05), NONE, [], ARMS))


def test_a_stand_in_pairs_p_comes_with_its_correction():
    result = evaluation(
        -0.1,
        -0.05,
        ("vae", "random"),
        primary=False,
        stand_in=True,
        p_sign_flip=0.004,
        p_holm=0.024,
    )
    words = text(verdict(result, NONE, [], ARMS))
    assert (
        "p = 0.0040 by sign flips over groups, 0.0240 Holm-corrected" in words
        and "not the one named in advance" in words
    )
    assert "Holm-corrected, since" not in text(verdict(evaluation(-0.1, -0.05), NONE, [], ARMS))


def test_equivalence_only_within_the_margin():
    assert verdict(evaluation(-0.01, 0.015), NONE, [], ARMS).equivalent
    result = verdict(evaluation(-0.01, 0.03), NONE, [], ARMS)
    assert not result.equivalent and "quivalent" not in text(result)


def test_a_real_difference_within_the_margin_is_not_called_equivalent():
    result = verdict(evaluation(0.001, 0.01), NONE, [], ARMS)
    assert result.more_accurate == "vae" and not result.equivalent


@pytest.mark.parametrize(
    ("at_matched", "survives", "words"),
    [
        (HOLDS, True, "survives at matched training accuracy"),
        (FALLS, False, "consistent with underfitting"),
        (matched([0.01, 0.02], [0.1, 0.11], comparable=False), None, "not comparable"),
        ([], None, "not comparable"),
        (matched([0.01], [0.1]), None, "one seed"),
    ],
)
def test_smaller_gap_is_held_against_matched_training_accuracy(at_matched, survives, words):
    result = verdict(evaluation(-0.09, -0.01), VAE_SMALLER, at_matched, ARMS)
    assert (
        result.smaller_gap == "vae"
        and result.survives_matched is survives
        and words in text(result)
    )


def test_no_gap_difference_no_word_on_underfitting():
    result = verdict(evaluation(-0.09, -0.01), NONE, HOLDS, ARMS)
    assert (
        result.smaller_gap is None
        and result.survives_matched is None
        and "underfitting" not in text(result)
    )


def test_gaps_that_contradict_each_other_give_neither_arm_the_smaller_one():
    opposite = gap_rows((-0.3, -0.2), (0.1, 0.2))
    result = verdict(evaluation(-0.09, -0.01), opposite, HOLDS, ARMS)
    assert result.smaller_gap is None and "opposite ways" in text(result)


def test_the_random_control_always_stands_beside_the_gaps():
    words = text(verdict(evaluation(-0.09, -0.01), VAE_SMALLER, HOLDS, ARMS))
    assert "Control, Random weights: loss gap +0.010" in words and "smallest of all" in words
    without = {name: ARMS[name] for name in ("vae", "imagenet")}
    assert "no random control" in text(
        verdict(evaluation(-0.09, -0.01, ("vae", "imagenet")), NONE, [], without)
    )


@pytest.mark.parametrize(
    ("arms", "pair"),
    [
        (("imagenet", "vae", "random", "both"), ("vae", "imagenet")),
        (("vae", "random"), ("vae", "random")),
        (("imagenet", "random"), ("imagenet", "random")),
        (("vae", "bundle:x", "random"), ("vae", "bundle:x")),
        (("imagenet", "bundle:x"), ("bundle:x", "imagenet")),
        (("bundle:x", "run:y"), ("bundle:x", "run:y")),
        (("vae",), None),
    ],
)
def test_pair_is_named_in_advance_also_where_an_arm_is_missing(arms, pair):
    assert choose_pair(arms) == pair


@pytest.mark.parametrize("arms", [("vae", "random"), ("imagenet", "random")])
def test_against_the_control_alone_the_control_is_in_the_sentence(arms):
    result = verdict(evaluation(0.1, 0.2, arms), NONE, [], ARMS)
    assert result.headline.startswith(f"{LABELS[arms[0]]} is more accurate than Random weights")
    assert "Random weights: loss gap +0.010" in text(result)


def test_one_arm_alone_compares_nothing():
    result = verdict(evaluation(0, 0, ("vae",)), [], [], ARMS)
    assert result.pair is None and "nothing is compared" in result.headline


@pytest.mark.parametrize(
    ("p_holm", "words"),
    [
        (0.01, "VAE and ImageNet improve on"),
        (0.2, "are not shown to improve"),
        (0.0002, "p below 0.001"),
    ],
)
def test_both_adds_only_where_holms_correction_leaves_it(p_holm, words):
    primary = evaluation(-0.09, -0.01, ("vae", "imagenet", "random", "both"))
    both = difference("imagenet", "both", -0.05, -0.01, primary=False, p_holm=p_holm)
    result = dataclasses.replace(primary, differences=(*primary.differences, both))
    assert words in text(verdict(result, NONE, [], ARMS))
