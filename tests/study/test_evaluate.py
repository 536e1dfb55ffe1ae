"""Published models on a dataset, without a study: what they learnt from is left out, the rest is a study's tables."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from derm_core.bundles.card_parts import Split, TrainingData
from derm_core.bundles.model_library import verify_bundle
from derm_core.config import EvaluateConfig, StudyConfig, from_dict, to_dict
from derm_core.data.manifest import load_dataset, save_dataset
from derm_core.data.splits import split_fingerprint
from derm_core.data.used_images import SplitRule, used_images
from derm_core.errors import ConfigError, NotFound
from derm_core.files import read_json
from derm_core.formatting import DECISIONS
from derm_core.jobs import preflight
from derm_core.nets.backbone import build_backbone
from derm_core.nets.head import Classifier, make_head
from derm_core.records import from_json
from derm_core.report.sections import metrics
from derm_core.study.evaluate import evaluate_models
from derm_core.study.study_data import prepare
from derm_core.study.study_result import StudyResult
from derm_core.study.weight_sources import origin
from derm_core.workspace import Workspace
from tests.builders import CLASSES, name_parts, write_dataset
from tests.bundles.cards import save_bundle
from tests.study.test_external import write_other
from tests.study.trained import CONFIG, SMALL, finish


def put_on_shelf(workspace, name, data, seed, classes=CLASSES, **changes):
    """An untrained model whose card says it was trained on `material`."""
    classifier = Classifier(
        build_backbone(SMALL, seed), make_head(64, 8, len(classes), seed)
    ).eval()
    counts = np.bincount(data.labels[data.members("test")], minlength=3)
    save_bundle(
        workspace.models / name,
        classifier,
        {
            "schema": 1,
            "name": name,
            "arm": "random",
            "label": "Random",
            "regime": "finetune",
            "architecture": SMALL.architecture,
            "stage": SMALL.stage,
            "model_args": {},
            "features": 64,
            "hidden": 8,
            "classes": list(classes),
            "class_descriptions": {},
            "input_size": 32,
            "preprocessing": {"version": 1},
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
            "initial_weights": {},
            "training_data": {"dataset": "tiny"},
            "split": {"seed": 0, "max_images": None, "fingerprint": data.fingerprint},
            "seed": 0,
            "metrics": {},
            "commands": [],
            "versions": {},
            "intended_use": "tests",
            "limits": [],
            "license": "none",
            "per_class": [{"class": c, "n": int(counts[i])} for i, c in enumerate(CLASSES)],
            **changes,
        },
    )


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A workspace with the sets tiny and other and the models one and two, both trained on tiny.

    (workspace, material).
    """
    workspace = Workspace.open(tmp_path_factory.mktemp("evaluate"))
    write_dataset(workspace)
    write_other(workspace)
    _, data = finish(prepare(CONFIG, workspace))
    put_on_shelf(workspace, "one", data, 1)
    put_on_shelf(workspace, "two", data, 2, classes=CLASSES[::-1])
    return workspace, data


def evaluated(workspace, run_id, **changes):
    config = EvaluateConfig(
        **{
            "dataset": "tiny",
            "models": ("one", "two"),
            "bootstrap": 200,
            "device": "cpu",
            **changes,
        }
    )
    run = workspace.run(run_id)
    events, _ = finish(evaluate_models(from_dict(to_dict(config)), workspace, run))
    return read_json(run.study), events, run


@pytest.mark.slow
def test_on_its_own_dataset_a_model_is_tested_on_its_own_test_split(shelf):
    workspace, data = shelf
    body, events, run = evaluated(workspace, "evaluate-1")
    test = data.members("test")
    table = pd.read_parquet(run.predictions)
    assert set(table["image_id"]) == set(data.image_ids[test]) and set(table["arm"]) == {
        "bundle:one",
        "bundle:two",
    }
    assert body["split"]["counts"]["test"] == len(test) and body["leak"]["content"] == 90 - len(
        test
    )
    assert body["looks"]["max"] == 0 and body["cautions"][0].startswith("Leak:")
    assert (
        events[-1].kind == "result"
        and events[-1].value["verdict"]["headline"] == body["verdict"]["headline"]
    )
    assert json.dumps(body, allow_nan=False)


@pytest.mark.slow
def test_metrics_are_those_of_the_saved_predictions_in_the_first_models_class_order(shelf):
    workspace, _ = shelf
    body, _, run = evaluated(workspace, "evaluate-2")
    table = pd.read_parquet(run.predictions)
    assert body["classes"] == list(CLASSES)
    for arm, rows in table.groupby("arm"):
        p = rows[["p_0", "p_1", "p_2"]].to_numpy()
        assert np.allclose(p.sum(1), 1, atol=1e-5)
        assert body["arms"][arm]["test"]["accuracy"]["mean"] == pytest.approx(
            (p.argmax(1) == rows["label"]).mean()
        )


def test_decisions_are_adjusted_to_the_training_shares_as_in_the_models_own_study(shelf):
    workspace, data = shelf
    card = verify_bundle(workspace.models / "one")
    train = data.labels[data.members("train")]
    assert origin(workspace, data.dataset, card).shares == pytest.approx(
        np.bincount(train) / len(train)
    )


@pytest.mark.slow
def test_both_decisions_of_every_model_are_measured(shelf):
    body, _, _ = evaluated(shelf[0], "evaluate-7")
    for entry in body["arms"].values():
        scores = entry["decisions"]
        assert set(scores) == {"most_probable", "adjusted"}
        for decision, metric in (
            ("most_probable", "accuracy"),
            ("adjusted", "balanced_accuracy"),
        ):
            assert scores[decision][metric]["mean"] == pytest.approx(entry["test"][metric]["mean"])
        assert scores["most_probable"]["balanced_accuracy"]["mean"] is not None
    rows = metrics.decisions(from_json(StudyResult, body, unknown="ignore")).table
    assert [row["Class"] for row in rows] == list(DECISIONS.values()) * len(body["arms"])


@pytest.mark.slow
def test_all_keeps_what_was_learnt_from_and_says_so(shelf):
    body, _, _ = evaluated(shelf[0], "evaluate-3", split="all")
    assert body["split"]["counts"]["test"] == 90 and "too good" in body["cautions"][0]


@pytest.mark.slow
def test_another_set_goes_through_a_class_map(shelf):
    workspace, data = shelf
    body, _, _ = evaluated(workspace, "evaluate-4", dataset="other", class_map=("XXX=violet",))
    learnt = set(np.concatenate([data.members("train"), data.members("val")]))
    assert (
        body["map"] == {"AMBER": "amber", "Brown": "brown", "XXX": "violet"}
        and body["absent"] == []
    )
    assert body["leak"]["content"] == len(learnt & {0, 1, 2, 3})
    assert body["split"]["counts"]["test"] == 60 - body["leak"]["content"]


def test_where_the_training_data_are_not_at_hand_that_is_said(shelf):
    workspace, data = shelf
    put_on_shelf(
        workspace,
        "stranger",
        data,
        3,
        training_data={"dataset": "elsewhere"},
        split={"seed": 0, "max_images": None, "fingerprint": "0" * 16},
    )
    body, _, _ = evaluated(workspace, "evaluate-5", dataset="other", models=("stranger",))
    assert (
        any("is not known" in caution for caution in body["cautions"])
        and body["verdict"]["pair"] is None
    )
    dataset = load_dataset(workspace, "other")
    card = verify_bundle(workspace.models / "stranger")
    assert origin(workspace, dataset, card).rows is None


@pytest.mark.parametrize(
    ("rule", "on_card"),
    [
        (SplitRule(), {}),
        (SplitRule(splits="official"), {"splits": "official"}),
        (SplitRule(seed=1, max_images=40), {"seed": 1, "max_images": 40, "draw": "by_split"}),
        # Cards of earlier versions have no `draw`.
        (SplitRule(max_images=40, draw="before_split"), {"max_images": 40}),
    ],
)
def test_the_images_that_a_model_has_learnt_from_follow_from_its_card(
    workspace, tiny, rule, on_card
):
    dataset = name_parts(workspace, tiny, ("train", "train", "val", "test"))
    used = used_images(dataset, rule)
    ids = dataset.frame["image_id"].to_numpy()
    fingerprint = split_fingerprint(used.split, ids[used.rows])
    card = SimpleNamespace(
        training_data=TrainingData(dataset="tiny"),
        split=from_json(Split, {"seed": 0, "fingerprint": fingerprint, **on_card}),
        classes=dataset.classes,
        per_class=(),
    )
    learnt = origin(workspace, dataset, card).rows["image_id"]
    assert set(learnt) == {*ids[used.members("train")], *ids[used.members("val")]}


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (EvaluateConfig(dataset="nowhere", models=("one",)), NotFound, "no dataset nowhere"),
        (EvaluateConfig(dataset="tiny", models=("three",)), NotFound, "no model 'three'"),
        (
            EvaluateConfig(dataset="tiny", models=("one", "alien")),
            ConfigError,
            "share their classes",
        ),
        (EvaluateConfig(dataset="cats", models=("one",)), ConfigError, "No class of cats"),
        (StudyConfig(dataset="tiny", external=("nowhere",)), NotFound, "no dataset nowhere"),
        (
            StudyConfig(dataset="tiny", external=("tiny",)),
            ConfigError,
            "other than the study's own",
        ),
        (StudyConfig(dataset="tiny", external=("cats",)), ConfigError, "No class of cats"),
    ],
)
def test_what_cannot_be_tested_is_refused_before_it_is_queued(shelf, config, error, message):
    workspace, data = shelf
    if not (workspace.models / "alien").exists():
        put_on_shelf(workspace, "alien", data, 4, classes=("x", "y", "z"))
        cats = load_dataset(workspace, "tiny")
        frame = cats.frame.assign(label="tabby")
        save_dataset(workspace, "cats", frame, dataclasses.replace(cats.info, classes=("tabby",)))
    with pytest.raises(error, match=message):
        preflight.check(workspace, config)
