"""Ranks and ties are those that a verdict's claims would leave; what has seen the images is ranked apart."""

from __future__ import annotations

import dataclasses
from itertools import combinations
from pathlib import Path

import pytest

from derm_core.study.arm_networks import arm_network
from derm_core.study.leaderboard import ArmFilter, filter_choices, leaderboard
from derm_core.study.study_result import StudyResult, read_study
from tests.study.made_results import made_result

PUBLISHED = Path(__file__).parents[2] / "studies" / "ham10000-folds" / "artefacts"
ARMS = ("both", "imagenet", "vae", "random")  # by falling accuracy, as made_result has them
SHOWN, NOT_SHOWN = (0.10, 0.14), (-0.02, 0.03)


def planted(*shown: tuple[str, str], shared=None, arms=ARMS, **fields) -> StudyResult:
    """A result in which these pairs (more accurate, less accurate) differ and no others."""

    def pairs(differing):
        return {
            pair: SHOWN if pair in differing else NOT_SHOWN
            for pair in combinations(arms, 2)
            if set(pair) != {"vae", "imagenet"}
        } | {("vae", "imagenet"): (-0.09, -0.05) if ("imagenet", "vae") in differing else NOT_SHOWN}

    return made_result(arms, pairs(shown), pairs(shown if shared is None else shared), **fields)


def with_facts(result: StudyResult, **facts) -> StudyResult:
    """facts: {field: {arm: value}} of `ArmResult`."""
    arms = {
        arm: dataclasses.replace(
            entry, **{name: of[arm] for name, of in facts.items() if arm in of}
        )
        for arm, entry in result.arms.items()
    }
    return dataclasses.replace(result, arms=arms)


def places(result, chosen=None):
    return {
        place.arm: (place.first, place.last, place.ties)
        for place in leaderboard(result, chosen).places
    }


def test_a_rank_counts_the_arms_that_are_shown_to_be_better_and_worse():
    result = planted(("both", "vae"), ("both", "random"), ("imagenet", "random"))
    assert places(result) == {
        "both": (1, 2, "a"),
        "imagenet": (1, 3, "a b"),
        "vae": (2, 4, "b c"),
        "random": (3, 4, "c"),
    }
    assert leaderboard(result).groups["b"] == ("imagenet", "vae")


def test_arms_that_all_differ_have_one_place_each_and_no_tie():
    result = planted(*combinations(ARMS, 2))
    assert [(first, last, ties) for first, last, ties in places(result).values()] == [
        (place, place, "") for place in (1, 2, 3, 4)
    ]


def test_the_primary_test_counts_though_it_has_no_corrected_p():
    result = planted(("imagenet", "vae"))
    [primary] = [row for row in result.differences if row.primary]
    assert primary.p_holm is None and places(result)["vae"][0] == 2


def test_what_depends_on_tuning_is_a_tie():
    result = planted(("both", "random"), shared=())
    assert set(places(result).values()) == {(1, 4, "a")}


def test_arms_that_the_verdict_leaves_out_are_ranked_apart_unless_the_study_counts_them():
    arms = ("both", "bundle:mole-net", "vae", "random")
    result = with_facts(
        planted(("both", "random"), arms=arms),
        seen={"both": "no", "bundle:mole-net": "yes", "vae": "yes", "random": "no"},
        pretrained_on=dict.fromkeys(arms, "x"),
    )
    board = leaderboard(result)
    assert {place.arm for place in board.places} == {"both", "vae", "random"} == set(result.counted)
    assert [(place.arm, place.first, place.last) for place in board.seen] == [
        ("bundle:mole-net", 1, 1)
    ]
    counting = dataclasses.replace(result, config=result.config | {"count_seen": True})
    assert set(places(counting)) == set(arms) and not leaderboard(counting).seen


def test_a_filter_leaves_out_arms_and_ranks_count_the_others():
    sizes = {"both": 3_000_000, "imagenet": 40_000_000, "vae": 3_000_000}
    result = with_facts(
        planted(("imagenet", "vae"), ("both", "random")),
        parameters=sizes,
        input_size={"both": 64, "imagenet": 224, "vae": 64, "random": 64},
        seen={"both": "no", "imagenet": "unknown", "vae": "no", "random": "no"},
        architecture=dict.fromkeys(ARMS, "resnet18"),
    )
    choices = filter_choices(result)
    assert (choices.pixels, choices.millions, choices.seen) == (
        (64,),
        (3, 10, 30),
        ("no", "unknown"),
    )
    assert places(result, ArmFilter(pixels=64))["vae"] == (1, 3, "a b")
    small = leaderboard(result, ArmFilter(millions=10))
    assert [place.arm for place in small.places] == ["both", "vae"]  # random: size not known
    assert small.left_out == 2
    assert list(places(result, ArmFilter(seen="unknown"))) == ["imagenet"]


def test_settings_say_what_a_result_without_networks_compared():
    plain = planted(
        arms=("imagenet@best", "both", "random"),
        config={
            "regime": "frozen",
            "input_size": 64,
            "backbone": {"architecture": "resnet18", "stage": 3},
            "pretrain": {"images": "train"},
        },
    )
    result = with_facts(plain, chosen={"imagenet@best": ("imagenet@96", "imagenet@96")})
    [wide, both, random] = [arm_network(result, arm) for arm in result.arms]
    assert (wide.input_size, wide.pretrained_on, wide.recorded) == (96, "ImageNet", False)
    assert both.pretrained_on == "ham10000, without labels and ImageNet"
    assert (random.architecture, random.pretrained_on, random.seen) == ("resnet18", "nothing", "no")
    transductive = dataclasses.replace(
        result, config=result.config | {"pretrain": {"images": "all"}}
    )
    assert arm_network(transductive, "both").seen == "yes"


@pytest.fixture(scope="module")
def published() -> StudyResult:
    return read_study(PUBLISHED / "study.json.gz")


def test_the_published_study_says_of_no_arm_what_its_verdict_does_not(published):
    board, ranks = leaderboard(published), places(published)
    assert len(board.places) == 9 and board.groups["a"][0] == "both"
    ranked = [place.arm for place in board.places]
    tied = {frozenset(pair) for group in board.groups.values() for pair in combinations(group, 2)}
    for claim in published.verdict.claims:
        if claim.about == "balanced accuracy":
            shown = claim.says in ("higher", "lower")
            assert (frozenset(claim.arms) in tied) != shown
    assert all(
        first <= place <= last
        for place, (first, last, _) in enumerate((ranks[arm] for arm in ranked), 1)
    )
