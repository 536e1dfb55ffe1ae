"""Arms that validation chooses: ImageNet at its best input size, in one split and in folds that differ."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from derm_core.bundles.bundle import load_bundle
from derm_core.config import StudyConfig, to_dict
from derm_core.errors import BundleError
from derm_core.files import write_json
from derm_core.jobs.dependencies import fold_studies
from derm_core.nets.backbone import build_backbone
from derm_core.publish.classifier import publish
from derm_core.study.chosen_arms import candidates, choose_arms, describe, settle
from derm_core.study.protocol import study
from derm_core.study.study_result import read_study
from tests.builders import write_dataset
from tests.steps import finish
from tests.study.trained import CONFIG, SMALL

ARMS = ("imagenet", "imagenet@48", "random")


def test_a_role_needs_two_arms_that_could_play_it():
    assert candidates(["vae", "imagenet", "random", "imagenet+imagenet@96"]) == {}
    arms = ["vae", "recipe:paper", "imagenet@96", "imagenet", "both", "imagenet@best"]
    assert candidates(arms) == {
        "imagenet@best": ["imagenet", "imagenet@96"],
        "vae@best": ["recipe:paper", "vae"],
    }


def test_the_arm_with_the_lowest_validation_loss_is_chosen():
    losses = {"recipe:paper": 0.9, "vae": 0.7, "imagenet": 0.6, "imagenet@96": 0.5, "both": 0.1}
    assert choose_arms(losses) == {"imagenet@best": "imagenet@96", "vae@best": "vae"}


def test_no_arm_stands_twice_where_all_folds_choose_alike():
    arms = ["vae", "recipe:paper", "imagenet", "imagenet@96"]
    alike = {"imagenet@best": ("imagenet@96",) * 3, "vae@best": ("vae",) * 3}
    assert settle(arms, alike) == {
        "recipe:paper": "recipe:paper",
        "vae": "vae",
        "imagenet": "imagenet",
        "imagenet@best": "imagenet@96",
    }
    same_size = {"imagenet@best": ("imagenet",) * 3}
    assert list(settle(arms, same_size)) == ["recipe:paper", "vae", "imagenet", "imagenet@96"]
    differing = {"imagenet@best": ("imagenet@96", "imagenet", "imagenet@96")}
    assert settle(arms, differing)["imagenet@best"] == "imagenet@best"
    assert "imagenet@96" in settle(arms, differing)


def test_the_choice_is_said_with_the_number_of_folds():
    labels = {"imagenet": "ImageNet at 64 px", "imagenet@96": "ImageNet at 96 px"}
    [text] = describe({"imagenet@best": ("imagenet@96", "imagenet", "imagenet@96")}, labels)
    assert "ImageNet at 96 px in 2" in text and "ImageNet at 64 px in 1" in text


@pytest.fixture
def planted(workspace, monkeypatch):
    """A dataset, and features that give the classes away in the arms named by `best` alone."""
    write_dataset(workspace)
    network, info = build_backbone(SMALL, 3), {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    monkeypatch.setattr("derm_core.study.arms.load_imagenet", lambda config: (network, info))
    best = {"arm": "imagenet@48"}

    def features(arm, workspace, data, device, devices):
        rng = np.random.default_rng(len(arm.name))
        noise = rng.normal(0, 1, (len(data.labels), 8)).astype(np.float32)
        if arm.name == best["arm"]:
            noise[np.arange(len(noise)), data.labels] += 4
        yield from ()
        return noise

    monkeypatch.setattr("derm_core.study.frozen.arm_features", features)
    return best


def run_study(workspace, config: StudyConfig, run_id: str):
    run = workspace.run(run_id).create()
    write_json(run.config, to_dict(config))
    finish(study(config, workspace, run))
    return read_study(run.study), json.loads(run.study.read_text())


def test_on_one_split_the_best_size_is_the_opponent_under_its_own_label(workspace, planted):
    config = dataclasses.replace(CONFIG, arms=ARMS, learning_rates=(1e-3, 1e-2))
    result, _ = run_study(workspace, config, "study-1")
    assert list(result.arms) == ["imagenet", "imagenet@best", "random"]
    best = result.arms["imagenet@best"]
    assert best.chosen == ("imagenet@48",) and best.label == "ImageNet at 48 px"
    assert result.chosen == {"imagenet@best": ("imagenet@48",)}
    assert (
        best.test["balanced_accuracy"].mean > result.arms["imagenet"].test["balanced_accuracy"].mean
    )
    assert set(result.verdict.pair or ()) == {"imagenet@best", "random"}


def test_the_size_of_the_study_needs_no_other_name(workspace, planted):
    planted["arm"] = "imagenet"
    result, _ = run_study(workspace, dataclasses.replace(CONFIG, arms=ARMS), "study-1")
    assert list(result.arms) == ["imagenet", "imagenet@48", "random"]
    assert result.chosen == {"imagenet@best": ("imagenet",)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "choices", [("imagenet@48", "imagenet", "imagenet@48"), ("imagenet@48",) * 3]
)
def test_folds_are_joined_with_what_each_of_them_chose(workspace, planted, choices):
    config = dataclasses.replace(
        CONFIG, arms=ARMS, folds=3, label_fractions=(0.5,), linear_head=True
    )
    fold_runs = []
    for fold, choice in zip(fold_studies(config), choices, strict=True):
        planted["arm"] = choice
        result, _ = run_study(workspace, fold, f"study-{fold.fold}")
        assert set(result.arms) == {*ARMS, "imagenet@best"}
        assert result.arms["imagenet@best"].chosen == (choice,)
        assert result.linear_head.chosen["imagenet@best"] == result.linear_head.chosen[choice]
        assert result.cost.arms["imagenet@best"].head_seconds == (
            result.cost.arms[choice].head_seconds
        )
        fold_runs.append(f"study-{fold.fold}")
    joined = dataclasses.replace(config, fold_runs=tuple(fold_runs))
    result, _ = run_study(workspace, joined, "study-all")
    best = result.arms["imagenet@best"]
    assert best.chosen == choices and best.test["balanced_accuracy"].mean > 0.9
    assert ("imagenet@48" in result.arms) == (len(set(choices)) > 1)
    assert result.label_efficiency is not None and result.shared is not None
    assert "imagenet@best" in {row.arm for row in result.label_efficiency.rows}
    assert "imagenet@best" in result.shared.arms
    assert set(result.linear_head.arms) == set(result.arms) == set(result.cost.arms)
    assert result.linear_head.opponent == "imagenet@best"


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["imagenet@best", "imagenet@48"])
def test_an_arm_of_another_size_is_published_at_its_size(workspace, monkeypatch, arm):
    write_dataset(workspace)
    network, info = build_backbone(SMALL, 3), {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    monkeypatch.setattr("derm_core.study.arms.load_imagenet", lambda config: (network, info))
    chosen = {"imagenet@best": "imagenet@48" if arm == "imagenet@best" else "imagenet"}
    monkeypatch.setattr("derm_core.study.frozen.choose_arms", lambda losses: chosen)
    arms = ("imagenet", "imagenet@48", "imagenet+imagenet@48")
    run_study(workspace, dataclasses.replace(CONFIG, arms=arms), "study-1")
    card = load_bundle(publish(workspace, "study-1", arm, "wide")).card
    assert (card.arm, card.input_size, card.label) == ("imagenet@48", 48, "ImageNet at 48 px")
    assert set(card.agreement or {}) == {"imagenet", "imagenet+imagenet@48"}
    with pytest.raises(BundleError, match="imagenet or imagenet@48"):
        publish(workspace, "study-1", "imagenet+imagenet@48", "both-sizes")
