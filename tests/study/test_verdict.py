"""The verdict's rules, one by one."""

from __future__ import annotations

import pytest

from derm_core.study.verdict import choose_pair, verdict

LABELS = {
    "vae": "VAE",
    "imagenet": "ImageNet",
    "random": "Random weights",
    "both": "VAE and ImageNet",
}


def interval(low: float, high: float, **more) -> dict:
    return {"mean": (low + high) / 2, "low": low, "high": high, **more}


def difference(a: str, b: str, low: float, high: float, **more) -> dict:
    row = {
        "a": a,
        "b": b,
        "metric": "balanced_accuracy",
        "p": 0.01,
        "p_holm": None,
        "detectable": 0.061,
        "primary": True,
        "stand_in": False,
        "equivalent": low > -0.02 and high < 0.02,
    }
    return interval(low, high, **(row | more))


def evaluation(
    low: float, high: float, arms: tuple[str, ...] = ("vae", "imagenet", "random"), **more
) -> dict:
    found = {arm: {"balanced_accuracy": interval(0.5, 0.6)} for arm in arms}
    pair = choose_pair(arms)
    return {
        "arms": found,
        "cautions": [],
        "differences": [difference(*pair, low, high, **more)] if pair else [],
    }


def matched(gap_a: list[float], gap_b: list[float], comparable: bool = True) -> dict:
    arms = {
        name: {kind: {"by_seed": values} for kind in ("loss", "accuracy")}
        for name, values in (("vae", gap_a), ("imagenet", gap_b))
    }
    return {
        "level": 0.7,
        "comparable": comparable,
        "reason": None if comparable else "too early",
        "arms": arms,
    }


GAPS = {
    "vae": {"loss": 0.05, "accuracy": 0.02},
    "imagenet": {"loss": 0.3, "accuracy": 0.15},
    "random": {"loss": 0.01, "accuracy": 0.0},
}
NONE = {"loss": interval(-0.1, 0.1), "accuracy": interval(-0.1, 0.1)}
VAE_SMALLER = {"loss": interval(-0.3, -0.2), "accuracy": interval(-0.2, 0.01)}
HOLDS, FALLS = (
    matched([0.01, 0.02, 0.015], [0.1, 0.11, 0.12]),
    matched([0.1, 0.02, 0.3], [0.1, 0.11, 0.12]),
)


def text(found: dict) -> str:
    return " ".join([found["headline"], *found["sentences"]])


@pytest.mark.parametrize(
    ("low", "high", "winner"),
    [(0.01, 0.09, "vae"), (-0.09, -0.01, "imagenet"), (-0.05, 0.01, None)],
)
def test_an_arm_is_more_accurate_only_where_the_interval_excludes_zero(low, high, winner):
    found = verdict(evaluation(low, high), GAPS, NONE, None, LABELS)
    assert found["more_accurate"] == winner
    if winner:
        assert f"{LABELS[winner]} is more accurate" in found["headline"]
    else:
        assert "No difference in accuracy shown" in found["headline"]


def test_no_difference_comes_with_the_smallest_that_could_have_been_shown():
    assert "about 6.1 points" in text(verdict(evaluation(-0.05, 0.01), GAPS, NONE, None, LABELS))


@pytest.mark.parametrize(
    ("low", "p", "said"),
    [(0.01, 0.01, False), (-0.01, 0.4, False), (-0.01, 0.04, True), (0.01, 0.06, True)],
)
def test_a_disagreement_of_interval_and_permutation_test_is_said(low, p, said):
    found = text(verdict(evaluation(low, 0.1, p=p), GAPS, NONE, None, LABELS))
    assert ("permutation test disagree" in found) == said


def test_a_stand_in_for_imagenet_is_said_to_be_one():
    arms = ("vae", "bundle:a", "random")
    labels = LABELS | {"bundle:a": "a"}
    gaps = GAPS | {"bundle:a": GAPS["imagenet"]}
    found = verdict(evaluation(-0.1, -0.05, arms), gaps, NONE, None, labels)
    assert (
        "VAE − ImageNet, was not made here" in found["sentences"][0]
        and "with labels" in found["sentences"][0]
    )
    assert "was not made" not in text(verdict(evaluation(-0.1, -0.05), GAPS, NONE, None, LABELS))


def test_a_stand_in_pairs_p_comes_with_its_correction():
    found = evaluation(
        -0.1, -0.05, ("vae", "random"), primary=False, stand_in=True, p=0.004, p_holm=0.024
    )
    said = text(verdict(found, GAPS, NONE, None, LABELS))
    assert (
        "p = 0.0040 by sign flips over groups, 0.0240 Holm-corrected" in said
        and "not the one named in advance" in said
    )
    assert "Holm-corrected, since" not in text(
        verdict(evaluation(-0.1, -0.05), GAPS, NONE, None, LABELS)
    )


def test_equivalence_only_within_the_margin():
    assert verdict(evaluation(-0.01, 0.015), GAPS, NONE, None, LABELS)["equivalent"]
    found = verdict(evaluation(-0.01, 0.03), GAPS, NONE, None, LABELS)
    assert not found["equivalent"] and "quivalent" not in text(found)


def test_a_real_difference_within_the_margin_is_not_called_equivalent():
    found = verdict(evaluation(0.001, 0.01), GAPS, NONE, None, LABELS)
    assert found["more_accurate"] == "vae" and not found["equivalent"]


@pytest.mark.parametrize(
    ("at_matched", "survives", "words"),
    [
        (HOLDS, True, "survives at matched training accuracy"),
        (FALLS, False, "consistent with underfitting"),
        (matched([0.01, 0.02], [0.1, 0.11], comparable=False), None, "not comparable"),
        (None, None, "not comparable"),
        (matched([0.01], [0.1]), None, "one seed"),
    ],
)
def test_smaller_gap_is_held_against_matched_training_accuracy(at_matched, survives, words):
    found = verdict(evaluation(-0.09, -0.01), GAPS, VAE_SMALLER, at_matched, LABELS)
    assert (
        found["smaller_gap"] == "vae"
        and found["survives_matched"] is survives
        and words in text(found)
    )


def test_no_gap_difference_no_word_on_underfitting():
    found = verdict(evaluation(-0.09, -0.01), GAPS, NONE, HOLDS, LABELS)
    assert (
        found["smaller_gap"] is None
        and found["survives_matched"] is None
        and "underfitting" not in text(found)
    )


def test_gaps_that_contradict_each_other_give_neither_arm_the_smaller_one():
    opposite = {"loss": interval(-0.3, -0.2), "accuracy": interval(0.1, 0.2)}
    found = verdict(evaluation(-0.09, -0.01), GAPS, opposite, HOLDS, LABELS)
    assert found["smaller_gap"] is None and "opposite ways" in text(found)


def test_the_random_control_always_stands_beside_the_gaps():
    said = text(verdict(evaluation(-0.09, -0.01), GAPS, VAE_SMALLER, HOLDS, LABELS))
    assert "Control, Random weights: loss gap +0.010" in said and "smallest of all" in said
    without = {arm: gap for arm, gap in GAPS.items() if arm != "random"}
    assert "no random control" in text(
        verdict(evaluation(-0.09, -0.01, ("vae", "imagenet")), without, NONE, None, LABELS)
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
    found = verdict(evaluation(0.1, 0.2, arms), GAPS, NONE, None, LABELS)
    assert found["headline"].startswith(f"{LABELS[arms[0]]} is more accurate than Random weights")
    assert "Random weights: loss gap +0.010" in text(found)


def test_one_arm_alone_compares_nothing():
    found = verdict(evaluation(0, 0, ("vae",)), GAPS, None, None, LABELS)
    assert found["pair"] is None and "nothing is compared" in found["headline"]


@pytest.mark.parametrize(
    ("p_holm", "words"),
    [
        (0.01, "VAE and ImageNet improve on"),
        (0.2, "are not shown to improve"),
        (0.0002, "p below 0.001"),
    ],
)
def test_both_adds_only_where_holms_correction_leaves_it(p_holm, words):
    found = evaluation(-0.09, -0.01, ("vae", "imagenet", "random", "both"))
    found["differences"].append(
        difference("imagenet", "both", -0.05, -0.01, primary=False, p_holm=p_holm)
    )
    assert words in text(verdict(found, GAPS, NONE, None, LABELS))
