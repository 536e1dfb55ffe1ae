"""The paper's four claims: each answer follows from its stated rule."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from derm_core.study.claims import CLAIMS, answer, claims, steadiness
from tests.study.made_results import made_result

EPOCHS = np.array([0, 0.5, 1, 2, 3, 4, 5.0])


def curve(
    loss: tuple[float, float], accuracy: tuple[float, float], seeds: int = 4, bend=None
) -> dict[str, np.ndarray]:
    """From the first epoch's value to the last's in a straight line, seeds ±0.01 apart; before it, chance."""
    rng = np.random.default_rng(int(1000 * loss[0]))

    def line(start: float, ends: tuple[float, float]) -> np.ndarray:
        return np.concatenate([[start, start], np.linspace(*ends, 5)])[:, None] + rng.normal(
            0, 0.002, (7, seeds)
        )

    val = line(1.6, loss)
    if bend is not None:
        val[2:] += np.array(bend)[:, None]
    return {
        "epoch": EPOCHS,
        "val_loss": val,
        "train_loss": val - 0.05,
        "val_accuracy": line(0.2, accuracy),
        "train_accuracy": line(0.2, accuracy) + 0.02,
    }


PAPERS = {"vae": curve((1.65, 1.10), (0.45, 0.65)), "imagenet": curve((1.20, 1.00), (0.63, 0.75))}
PAIR = ("vae", "imagenet")
ACCURACY, GAP_LOSS, GAP_ACCURACY = (-0.12, -0.08), (-0.3, -0.2), (-0.2, -0.1)
HOLDS = {"loss": (-0.05, -0.02), "accuracy": (-0.05, -0.02)}


def result(accuracy=ACCURACY, gap_loss=GAP_LOSS, gap_accuracy=GAP_ACCURACY, at_level=HOLDS):
    gaps = {(*PAIR, kind, "matched"): ends for kind, ends in at_level.items()}
    for kind, ends in (("loss", gap_loss), ("accuracy", gap_accuracy)):
        gaps[*PAIR, kind, "final"] = ends
    return made_result(PAIR, {PAIR: accuracy}, gaps=gaps)


def ask(curves=PAPERS, *planted, **more) -> dict:
    return {claim.id: claim for claim in claims(curves, result(*planted, **more))}


def test_the_papers_own_pattern_is_seen_in_all_four():
    results = ask()
    assert list(results) == list(CLAIMS) and {claim.answer for claim in results.values()} == {
        "seen"
    }


def test_a_pattern_turned_round_is_opposite_in_all_four():
    turned = {"vae": PAPERS["imagenet"], "imagenet": PAPERS["vae"]}
    results = ask(turned, (0.08, 0.12), (0.2, 0.3), (0.1, 0.2))
    assert {claim.answer for claim in results.values()} == {"opposite"}


def test_where_intervals_hold_zero_nothing_is_seen():
    same = curve((1.4, 1.0), (0.5, 0.7))
    wide = {
        name: values if name == "epoch" else values + np.linspace(-0.3, 0.3, 4)
        for name, values in same.items()
    }
    other = {name: values[:, ::-1] if name != "epoch" else values for name, values in wide.items()}
    results = ask({"vae": wide, "imagenet": other}, (-0.1, 0.1), (-0.1, 0.1), (-0.1, 0.1))
    assert {claim.answer for claim in results.values()} == {"not seen"}


def test_without_one_of_the_two_arms_no_claim_is_asked():
    made = made_result(("imagenet", "random"), {("imagenet", "random"): ACCURACY})
    results = claims({"imagenet": PAPERS["imagenet"], "random": PAPERS["vae"]}, made)
    assert [claim.answer for claim in results] == ["not asked"] * 4


def test_where_imagenet_is_missing_its_stand_in_is_asked_by_name():
    pair = ("vae", "bundle:mole-net")
    gaps = {(*pair, "loss", "final"): GAP_LOSS}
    made = made_result((*pair, "random"), {pair: ACCURACY}, gaps=gaps)
    results = claims({"vae": PAPERS["vae"], pair[1]: PAPERS["imagenet"]}, made)
    assert [claim.answer for claim in results] == ["seen"] * 4
    assert all("mole-net" in claim.claim or "VAE + SimCLR" in claim.claim for claim in results)


def test_the_plain_vae_is_asked_where_it_is_there():
    pair = ("recipe:paper", "imagenet")
    made = made_result(("recipe:paper", *PAIR), {pair: ACCURACY, PAIR: (-0.1, 0.1)})
    curves = {"recipe:paper": PAPERS["vae"], **PAPERS}
    by_id = {claim.id: claim for claim in claims(curves, made)}
    assert by_id["higher_accuracy"].answer == "seen"
    assert by_id["faster_start"].numbers["epoch"] == {"recipe:paper": 1, "imagenet": 1}


def test_a_gap_that_depends_on_tuning_is_not_seen():
    planted = {(*PAIR, "loss", "final"): GAP_LOSS}
    made = made_result(
        PAIR, {PAIR: ACCURACY}, gaps=planted, shared_gaps={(*PAIR, "loss", "final"): (-0.2, 0.1)}
    )
    assert {c.id: c.answer for c in claims(PAPERS, made)}["smaller_gap"] == "not seen"


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ((1, 1), "seen"),
        ((1, 0), "seen"),
        ((0, 0), "not seen"),
        ((1, -1), "not seen"),
        ((0, -1), "opposite"),
        ((-1, -1), "opposite"),
    ],
)
def test_two_comparisons_must_not_contradict_each_other(signs, expected):
    assert answer(*signs) == expected


def test_the_start_is_the_end_of_the_first_epoch_and_its_interval_the_paired_t():
    numbers = ask()["faster_start"].numbers
    by_seed = PAPERS["imagenet"]["val_loss"][2] - PAPERS["vae"]["val_loss"][2]
    expected = scipy_stats.ttest_1samp(by_seed, 0).confidence_interval(0.95)
    interval = numbers["val_loss_difference"]
    assert numbers["epoch"] == {"vae": 1, "imagenet": 1}
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("at_level", "survives", "said"),
    [
        (HOLDS, {"loss": True, "accuracy": True}, "Both differences are shown at matched"),
        (
            {**HOLDS, "accuracy": (-0.05, 0.03)},
            {"loss": True, "accuracy": False},
            "The difference of the accuracy gap is not shown at matched",
        ),
        ({}, {"loss": None, "accuracy": None}, "underfitting is not ruled out"),
    ],
)
def test_each_smaller_gap_comes_with_what_matched_training_accuracy_says(at_level, survives, said):
    claim = ask(at_level=at_level)["smaller_gap"]
    assert claim.answer == "seen" and claim.numbers["survives_matched"] == survives
    assert said in claim.text


def test_larger_but_unsteady_improvement_is_not_seen():
    jumps = {
        "vae": curve((1.65, 1.10), (0.45, 0.65), bend=(0, 0.6, -0.2, 0.7, 0)),
        "imagenet": PAPERS["imagenet"],
    }
    claim = ask(jumps)["steady_improvement"]
    assert claim.numbers["val_loss_improvement_difference"].low > 0
    assert (
        claim.answer == "not seen"
        and not claim.numbers["steady"]
        and "does not fall steadily" in claim.text
    )


def test_relative_improvement_by_hand():
    numbers = ask()["steady_improvement"].numbers
    assert numbers["vae"]["val_loss"].mean == pytest.approx((1.65 - 1.10) / 1.65, abs=0.005)
    assert numbers["imagenet"]["val_accuracy"].mean == pytest.approx((0.75 - 0.63) / 0.63, abs=0.01)


def test_steadiness_is_scipys_rank_correlation_and_counts_the_rises():
    made = {"epoch": EPOCHS, "val_loss": np.array([9, 9, 5, 4, 4.5, 3, 2])[:, None]}
    rank, rises, steps = steadiness(made)
    assert rank == pytest.approx(
        scipy_stats.spearmanr([1, 2, 3, 4, 5], [5, 4, 4.5, 3, 2]).statistic
    )
    assert (rises, steps) == (1, 4)


def test_one_seed_shows_nothing_about_the_start():
    one = {
        arm: {name: values if name == "epoch" else values[:, :1] for name, values in curves.items()}
        for arm, curves in PAPERS.items()
    }
    results = ask(one)
    assert (
        results["faster_start"].answer == "not seen" and "one seed" in results["faster_start"].text
    )


@pytest.mark.parametrize(("ends", "expected"), [((-0.1, -0.05), "opposite"), ((0.05, 0.1), "seen")])
def test_without_imagenet_the_plain_vae_is_asked_against_the_other_vae(ends, expected):
    pair = ("vae", "recipe:paper")
    made = made_result((*pair, "random"), {pair: ends})
    curves = {arm: PAPERS[name] for arm, name in zip(pair[::-1], PAPERS, strict=False)}
    answers = {claim.id: claim.answer for claim in claims(curves, made)}
    assert answers["higher_accuracy"] == expected
