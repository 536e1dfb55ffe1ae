"""Comparisons of networks of their own: their place in the verdict, and what it says of them."""

import dataclasses

import pytest

from derm_core.formatting import THIN
from derm_core.study.extractor_words import what_differs
from derm_core.study.roles import choose_pair, headline_pairs
from derm_core.study.verdict import verdict
from tests.study import made_results
from tests.study.made_results import made_result

A, B, FILE = "timm:resnet18@64", "timm:mobilenetv2_100", "file:mine.safetensors+resnet18"
FACTS = {
    A: {
        "architecture": "resnet18",
        "input_size": 64,
        "parameters": 2_800_000,
        "pretrained_on": "ImageNet-1k",
    },
    B: {
        "architecture": "mobilenetv2_100",
        "input_size": 224,
        "parameters": 2_200_000,
        "pretrained_on": "ImageNet-1k",
    },
    FILE: {
        "architecture": "resnet18",
        "input_size": 64,
        "parameters": 2_800_000,
        "pretrained_on": "not stated",
    },
    "random": {
        "architecture": "resnet18",
        "input_size": 64,
        "parameters": 2_800_000,
        "pretrained_on": "nothing",
    },
}
TUNED = {(A, B): (-0.12, -0.06), (A, "random"): (0.01, 0.09), (B, "random"): (0.1, 0.16)}


@pytest.fixture(autouse=True)
def labels(monkeypatch):
    more = {"metadata": "Metadata (age)", f"metadata+{A}": "resnet18 + metadata"}
    more |= {A: "resnet18 at 64 px", B: "mobilenetv2_100", FILE: "resnet18 of mine.safetensors"}
    monkeypatch.setattr(made_results, "LABELS", made_results.LABELS | more)
    monkeypatch.setattr(
        made_results,
        "ACCURACY",
        made_results.ACCURACY | {A: 0.5, B: 0.59, FILE: 0.7, "metadata": 0.3, f"metadata+{A}": 0.5},
    )


def result(arms=(A, B, "random"), tuned=TUNED, seen=None, **config):
    made = made_result(arms, tuned)
    entries = {
        arm: dataclasses.replace(one, seen=(seen or {}).get(arm, "no"), **FACTS.get(arm, {}))
        for arm, one in made.arms.items()
    }
    return dataclasses.replace(made, arms=entries, config={**made.config, **config})


def test_networks_are_held_against_each_other_and_the_controls():
    assert headline_pairs([A, B, "random"]) == [(A, B), (A, "random"), (B, "random")]
    assert choose_pair(["vae", "imagenet", A]) == ("vae", "imagenet")  # named in advance
    assert choose_pair(["vae", A, "random"]) == ("vae", A)
    assert headline_pairs(["vae", "imagenet", A])[-2:] == [(A, "vae"), (A, "imagenet")]
    assert choose_pair([FILE, "random"]) == (FILE, "random")  # its + joins no two arms


def test_the_verdict_names_the_best_network_and_what_differs_between_the_arms():
    words = verdict(result())
    best = f"mobilenetv2_100 has the highest balanced accuracy (59.0{THIN}%)"
    assert words.headline.startswith(
        f"Of 2 networks, {best}: it is more accurate than resnet18 at 64 px"
    )
    assert "random weights" in words.headline and len(words.sentences) <= 4
    assert (
        "the arms differ in network (resnet18 and mobilenetv2_100), input size (64 to 224 px), "
        "parameters (2.2 to 2.8 million) and pretraining data (ImageNet-1k and nothing)"
    ) in words.sentences[0]
    assert words.pair == (A, B) and words.more_accurate == B


def test_beside_the_test_named_in_advance_the_best_network_comes_second():
    tuned = {
        ("vae", "imagenet"): (-0.09, -0.02),
        (A, "vae"): (-0.09, 0.01),
        (A, "imagenet"): (-0.2, -0.1),
    }
    words = verdict(result(("vae", "imagenet", A), tuned))
    assert words.headline.startswith(
        "ImageNet is more accurate than VAE + SimCLR; of 3 networks, ImageNet"
    )


def test_a_study_of_one_network_says_nothing_of_differing_ones():
    assert (
        what_differs(made_result(("vae", "imagenet"), {("vae", "imagenet"): (-0.1, -0.02)})) == ""
    )


def test_an_arm_that_saw_the_images_takes_no_part_unless_asked():
    tuned = TUNED | {(FILE, A): (0.1, 0.3), (FILE, B): (0.1, 0.2), (FILE, "random"): (0.2, 0.3)}
    arms, seen = (A, B, FILE, "random"), {FILE: "yes"}
    without = verdict(result(arms, tuned, seen))
    assert without.headline.startswith("Of 2 networks, mobilenetv2_100")
    assert not any(FILE in claim.arms for claim in without.claims)
    assert any(
        text.startswith("Left out of the verdict") and "resnet18 of mine.safetensors" in text
        for text in without.details
    )
    asked = verdict(result(arms, tuned, seen, count_seen=True))
    assert asked.headline.startswith("Of 3 networks, resnet18 of mine.safetensors")


def test_where_one_arm_alone_is_left_nothing_is_compared():
    words = verdict(result((A, B), {(A, B): (-0.1, 0.1)}, {B: "yes"}))
    assert (
        words.headline
        == "One arm alone has not seen these images, resnet18 at 64 px: nothing is compared."
    )


def test_what_is_not_known_is_said():
    words = verdict(result(seen={B: "unknown"}))
    assert any("is not known: mobilenetv2_100" in text for text in words.details)
    assert words.pair == (A, B)  # and takes part


def test_one_extractor_beside_metadata_differs_from_none():
    arms = (A, f"metadata+{A}", "metadata")
    assert what_differs(result(arms, {(A, "metadata"): (0.1, 0.2)})) == "one extractor (resnet18)"


def test_both_side_by_side_is_named_where_only_the_leaderboard_compares_it():
    arms = ("vae", "both", A, B)
    words = verdict(result(arms, TUNED | {(A, "vae"): (-0.1, 0.1), (B, "vae"): (0.1, 0.2)}))
    assert any("the leaderboard does" in sentence for sentence in words.sentences)


def test_what_was_shown_stands_before_what_was_not():
    tuned = {(A, B): (-0.1, 0.1), (A, "random"): (-0.2, -0.1), (B, "random"): (0.2, 0.3)}
    assert (
        "it is more accurate than random weights, and not shown to differ from resnet18 at 64 px"
        in verdict(result((A, B, "random"), tuned)).headline
    )
