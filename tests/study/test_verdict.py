"""The verdict's rules on planted results: no sentence is wider than its test."""

from __future__ import annotations

import dataclasses

import pytest

from derm_core.records import to_json
from derm_core.study.families import with_corrections
from derm_core.study.roles import choose_pair, headline_pairs
from derm_core.study.study_result import Grid, Verdict, study_result
from derm_core.study.verdict import verdict
from tests.study.made_results import LABELS, made_result

VAE, PAIR = "vae", ("vae", "imagenet")
ARMS = ("vae", "imagenet", "random", "both")
FULL = ("recipe:paper", *ARMS, "imagenet@best", "imagenet+random")
LOWER, HIGHER, UNCLEAR, WITHIN = (-0.09, -0.03), (0.03, 0.09), (-0.05, 0.04), (-0.015, 0.012)
FOLDS = {
    ("recipe:paper", "imagenet@best"): (-0.23, -0.17),
    ("recipe:paper", "imagenet"): (-0.22, -0.16),
    ("recipe:paper", "random"): (-0.08, -0.03),
    ("vae", "imagenet@best"): LOWER,
    ("vae", "imagenet"): UNCLEAR,
    ("vae", "random"): HIGHER,
    ("both", "imagenet@best"): HIGHER,
    ("both", "imagenet"): HIGHER,
    ("both", "imagenet+random"): (0.02, 0.06),
}
SMALLER = {(*PAIR, "loss", "final"): (-0.3, -0.2), (*PAIR, "accuracy", "final"): (-0.08, -0.02)}
KEPT_IN_LOSS = {
    (*PAIR, "loss", "matched"): (-0.05, -0.02),
    (*PAIR, "accuracy", "matched"): (-0.03, 0.02),
}
NO_GAP = {(*PAIR, "loss", "final"): (-0.1, 0.06), (*PAIR, "accuracy", "final"): (-0.03, 0.01)}


def text(result: Verdict) -> str:
    return " ".join([result.headline, *result.sentences])


def says(result: Verdict, about: str = "balanced accuracy", pair=PAIR) -> str:
    return next(c.says for c in result.claims if c.about == about and c.arms == pair)


@pytest.mark.parametrize(
    ("ends", "outcome", "winner"),
    [
        (HIGHER, "higher", "vae"),
        (LOWER, "lower", "imagenet"),
        (UNCLEAR, "not shown", None),
        (WITHIN, "equivalent", None),
        ((0.001, 0.01), "higher", "vae"),  # within the margin, and yet a difference
    ],
)
def test_an_outcome_that_tuned_and_shared_agree_on(ends, outcome, winner):
    result = verdict(made_result(ARMS, {PAIR: ends}))
    assert says(result) == outcome and result.more_accurate == winner
    assert result.equivalent == (outcome == "equivalent")
    assert ("more accurate" in result.headline) == bool(winner)
    if winner:
        assert f"{LABELS[winner]} is more accurate than" in result.headline


@pytest.mark.parametrize(
    ("tuned", "shared"),
    [(UNCLEAR, LOWER), (LOWER, UNCLEAR), (LOWER, HIGHER), (HIGHER, WITHIN)],
)
def test_what_holds_with_one_of_own_and_shared_settings_alone_depends_on_tuning(tuned, shared):
    result = verdict(made_result(ARMS, {PAIR: tuned}, shared={PAIR: shared}))
    assert says(result) == "depends on tuning" and result.more_accurate is None
    assert "not clearly" in result.headline
    assert "depends on how the classifier is tuned" in result.headline
    claim = next(c for c in result.claims if c.arms == PAIR)
    assert (claim.tuned.low, claim.shared.low) == (tuned[0], shared[0])


def test_equivalence_under_one_setting_alone_is_no_more_than_not_shown():
    result = verdict(made_result(ARMS, {PAIR: WITHIN}, shared={PAIR: UNCLEAR}))
    assert says(result) == "not shown" and not result.equivalent


def test_a_study_with_one_schedule_has_no_shared_side():
    made = dataclasses.replace(made_result(ARMS, {PAIR: LOWER}), shared=None)
    result = verdict(with_corrections(made))
    assert says(result) == "lower" and result.claims[0].shared is None
    assert to_json(result)["claims"][0]["shared"] is None


def test_the_four_sentences_of_the_whole_protocol():
    gaps = {(VAE, "imagenet@best", kind, "final"): (-0.05, 0.03) for kind in ("loss", "accuracy")}
    result = verdict(made_result(FULL, FOLDS, gaps=gaps))
    lead, recipe, side, gap = result.sentences
    for part in ("ham10000", "600 × 450", "64 × 64", "resnet18", "5 folds", "VAE (plain)"):
        assert part in lead
    assert "less accurate than ImageNet (best input size)" in lead
    assert len(lead.split()) <= 60, "a sentence that is read once"
    assert "and than random weights" in lead and "41.0" in lead
    assert "VAE + SimCLR" in recipe and "not shown to differ in accuracy from ImageNet " in recipe
    assert "more accurate than ImageNet (best input size) alone" in side
    assert "the same number of features" in side and "more accurate than ImageNet + random" in side
    assert "not shown to differ" in gap
    assert result.pair == (VAE, "imagenet@best")
    assert {c.arms for c in result.claims if c.about == "balanced accuracy"} == set(FOLDS)


def test_without_a_plain_vae_the_first_sentence_says_so():
    result = verdict(made_result(ARMS, {PAIR: LOWER}))
    assert "plain VAE, which the paper trained, was not compared" in result.sentences[0]
    assert "plain" not in verdict(made_result(FULL, FOLDS)).sentences[1]


def test_the_masked_vae_stands_beside_the_plain_one_without_a_claim():
    result = verdict(made_result(("recipe:masked", *FULL), FOLDS))
    assert "with masked input the VAE has 60.0" in result.sentences[1]
    assert not any("recipe:masked" in claim.arms for claim in result.claims)
    assert "masked" not in text(verdict(made_result(FULL, FOLDS)))


def test_a_vae_of_the_plain_recipe_is_the_papers_method():
    made = made_result(ARMS, {PAIR: LOWER})
    plain = dataclasses.replace(made.arms["vae"], label="VAE (plain)")
    result = verdict(dataclasses.replace(made, arms=made.arms | {"vae": plain}))
    assert "paper’s method" in result.sentences[0] and "not compared" not in result.sentences[0]


def test_a_gain_of_both_without_a_control_of_width_says_so():
    result = verdict(made_result(ARMS, {PAIR: LOWER, ("imagenet", "both"): (-0.09, -0.05)}))
    assert says(result, pair=("both", "imagenet")) == "higher"
    assert "number of features gives was not tested" in text(result)


def test_secondary_claims_need_holms_correction_over_their_whole_family():
    just = (0.001, 0.05)  # p = 0.042 by itself
    pairs = {PAIR: LOWER, ("both", "imagenet"): just, ("vae", "random"): UNCLEAR}
    result = verdict(made_result(ARMS, pairs))
    assert says(result, pair=("both", "imagenet")) == "not shown"
    assert says(verdict(made_result(ARMS, {PAIR: just}, shared={PAIR: HIGHER}))) == "higher"


def test_the_primary_test_does_not_depend_on_tuning_where_both_settings_give_the_same_numbers():
    just = (0.001, 0.05)  # p = 0.042 by itself, more after the correction of its shared twin
    many = {PAIR: just, ("vae", "random"): UNCLEAR, ("both", "imagenet"): UNCLEAR}
    result = verdict(made_result(ARMS, many))
    assert says(result) == "higher" and result.more_accurate == "vae"
    assert says(verdict(made_result(ARMS, many | {PAIR: UNCLEAR}, shared=many))) == "not shown"


def test_each_gap_is_held_against_matched_training_accuracy_by_itself():
    result = verdict(made_result(ARMS, {PAIR: LOWER}, gaps=SMALLER | KEPT_IN_LOSS))
    assert result.smaller_gap == "vae" and result.survives_matched is None
    loss, accuracy = result.sentences[-1].split("; ")
    assert "also at matched training accuracy" in loss
    assert "but at matched training accuracy this is not shown" in accuracy
    assert "smaller loss gap (" in loss and "than ImageNet" in loss
    assert says(result, "loss gap at matched training accuracy") == "lower"
    assert says(result, "accuracy gap at matched training accuracy") == "not shown"
    assert "underfitting" not in text(result)


@pytest.mark.parametrize(
    ("ends", "survives"), [((-0.05, -0.02), True), ((-0.03, 0.02), False), (None, None)]
)
def test_both_gaps_alike_at_matched_training_accuracy(ends, survives):
    at = {(*PAIR, kind, "matched"): ends for kind in ("loss", "accuracy")} if ends else {}
    result = verdict(made_result(ARMS, {PAIR: LOWER}, gaps=SMALLER | at))
    assert result.smaller_gap == "vae" and result.survives_matched is survives
    assert ("not ruled out" in result.headline) == (survives is None)


def test_a_smaller_gap_that_vanishes_with_own_settings_depends_on_tuning():
    """As it was: −0.128 with the shared rate, −0.042 (−0.091 to +0.007) with each arm at its own best."""
    own = {(*PAIR, "loss", "final"): (-0.091, 0.007), (*PAIR, "accuracy", "final"): (-0.034, 0.010)}
    one = {
        (*PAIR, "loss", "final"): (-0.16, -0.10),
        (*PAIR, "accuracy", "final"): (-0.06, -0.03),
    }
    result = verdict(made_result(ARMS, {PAIR: UNCLEAR}, gaps=own, shared_gaps=one))
    assert says(result, "loss gap") == "depends on tuning" and result.smaller_gap is None
    assert "not clearly" in result.headline
    assert "depends on how the classifier is tuned" in result.headline


def test_gaps_that_point_opposite_ways_give_no_arm_the_smaller_one():
    gaps = {(*PAIR, "loss", "final"): (-0.3, -0.2), (*PAIR, "accuracy", "final"): (0.02, 0.08)}
    result = verdict(made_result(ARMS, {PAIR: LOWER}, gaps=gaps))
    assert result.smaller_gap is None and "opposite ways" in result.headline


def test_the_controls_gap_is_the_smallest_only_where_each_comparison_shows_it():
    def control(over_both):
        pairs = [("random", arm) for arm in ("vae", "imagenet")] + [("random", "both")]
        ends = [(-0.2, -0.1), (-0.4, -0.2), over_both]
        rows = {(*pair, "loss", "final"): one for pair, one in zip(pairs, ends, strict=True)}
        return " ".join(verdict(made_result(ARMS, {PAIR: LOWER}, gaps=NO_GAP | rows)).details)

    assert "every other arm" in control((-0.3, -0.1))
    assert "every other arm" not in control((-0.3, 0.1))


def test_where_imagenet_is_missing_its_stand_in_is_named_and_corrected():
    arms, pair = ("vae", "bundle:mole-net", "random"), ("vae", "bundle:mole-net")
    result = verdict(made_result(arms, {pair: LOWER, ("vae", "random"): UNCLEAR}))
    assert "mole-net is more accurate than VAE + SimCLR" in result.headline
    assert "ImageNet itself was not compared" in result.sentences[0]
    assert "was not made here" in result.details[0] and "with labels" in result.details[0]
    assert result.claims[0].tuned.p_holm is not None  # no test that was named in advance


def test_a_demonstration_is_called_one():
    made = made_result(ARMS, {PAIR: LOWER})
    result = verdict(dataclasses.replace(made, config=made.config | {"preset": "demo"}))
    assert result.headline.startswith("Demonstration, not evidence")
    assert "pretrained so briefly" in result.sentences[0]
    assert "Demonstration" not in text(verdict(made))


def test_fewer_labels_have_claims_of_their_own_in_the_same_family():
    result = verdict(made_result(ARMS, {PAIR: LOWER}, fewer={PAIR: HIGHER}))
    about = "balanced accuracy, 10 % of the labels"
    assert says(result, about) == "higher" and says(result) == "lower"


def test_settings_on_the_edge_of_the_grid_are_named():
    made = made_result(ARMS, {PAIR: LOWER}, grid=Grid(on_edge=("vae", "shared")))
    details = " ".join(verdict(made).details)
    assert "edge of the grid" in details and "VAE + SimCLR and the setting shared" in details
    assert "edge of the grid" not in " ".join(verdict(made_result(ARMS, {PAIR: LOWER})).details)


@pytest.mark.parametrize("count", [2, 5])
def test_at_most_four_sentences_whatever_the_arms(count):
    result = verdict(made_result(FULL[:count], FOLDS))
    assert 1 <= len(result.sentences) <= 4


def test_one_arm_alone_compares_nothing():
    result = verdict(made_result(("vae",), {}))
    assert result.pair is None and "nothing is compared" in result.headline
    assert result.claims == ()


def test_a_verdict_of_an_earlier_version_keeps_its_words():
    made = to_json(made_result(ARMS, {PAIR: LOWER}))
    made["verdict"] = {"headline": "ImageNet.", "sentences": ["One.", "Two.", "3.", "4.", "5."]}
    del made["shared"], made["grid"]
    result = study_result(made)
    assert len(result.verdict.sentences) == 5 and result.verdict.claims == ()
    assert result.at_shared_setting


@pytest.mark.parametrize(
    ("arms", "pair"),
    [
        (("imagenet", "vae", "random", "both"), ("vae", "imagenet")),
        (("imagenet", "vae", "imagenet@best", "imagenet@96"), ("vae", "imagenet@best")),
        (("vae", "imagenet@96", "random"), ("vae", "imagenet@96")),
        (("recipe:paper", "imagenet", "imagenet+random"), ("recipe:paper", "imagenet")),
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
    assert headline_pairs(arms)[:1] == ([pair] if pair else [])


@pytest.mark.parametrize("accuracy", [(-0.05, 0.03), (-0.012, 0.015)])
def test_a_gap_that_is_smaller_in_one_of_two_ways_is_named_by_it(accuracy):
    gaps = SMALLER | {(*PAIR, "accuracy", "final"): accuracy}
    result = verdict(made_result(ARMS, {PAIR: LOWER}, gaps=gaps))
    assert result.smaller_gap == "vae" and "in loss (not shown in accuracy)" in result.headline
    both = verdict(made_result(ARMS, {PAIR: LOWER}, gaps=SMALLER))
    assert "not shown in" not in both.headline


@pytest.mark.parametrize("method", ["seeds", "folds"])
def test_matched_gaps_with_intervals_over_seeds_alone_say_so_and_are_not_claimed(method):
    made = made_result(ARMS, {PAIR: LOWER}, gaps=SMALLER | KEPT_IN_LOSS)

    def with_method(of):
        rows = tuple(
            dataclasses.replace(row, method=method) if row.at == "matched" else row
            for row in of.gap_differences
        )
        return dataclasses.replace(of, gap_differences=rows)

    shared = with_method(made.shared) if made.shared else None
    result = verdict(dataclasses.replace(with_method(made), shared=shared))
    expected = "lower" if method == "folds" else "not shown"
    assert says(result, "loss gap at matched training accuracy") == expected
    assert says(result, "loss gap") == "lower"
    assert any("seeds of the classifier alone" in line for line in result.details) == (
        method == "seeds"
    )


@pytest.mark.parametrize(("arms", "corrected"), [(ARMS, False), (("vae", "random"), True)])
def test_what_would_be_found_is_that_of_one_test_without_correction(arms, corrected):
    result = verdict(made_result(arms, {choose_pair(arms): UNCLEAR}))
    line = next(line for line in result.details if "80 %" in line)
    assert ("without the correction" in line) == corrected
