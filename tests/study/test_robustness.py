"""Robustness: what the tables say follows from decisions; a finished family is not computed again."""

import json

import numpy as np
import pytest

from derm_core.records import to_json
from derm_core.study import robustness as module
from derm_core.study.robustness import robustness, summarise
from derm_core.workspace import Workspace
from tests.study.trained import finish, trained_study


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A study that asked for two families, and its answer."""
    study = trained_study(
        Workspace.open(tmp_path_factory.mktemp("robust")), corruptions=("brightness", "ruler")
    )
    events, answer = finish(robustness(study))
    return study, to_json(answer), events


@pytest.mark.slow
def test_every_arm_family_and_severity_has_its_row(asked):
    _study, answer, _ = asked
    assert json.dumps(answer, allow_nan=False)
    assert {(r["arm"], r["family"], r["severity"]) for r in answer["rows"]} == {
        (arm, family, severity)
        for arm in ("colour", "random")
        for family in ("brightness", "ruler")
        for severity in range(1, 6)
    }
    assert {(r["a"], r["b"], r["family"]) for r in answer["differences"]} == {
        ("random", "colour", family) for family in ("all", "brightness", "ruler")
    }


@pytest.mark.slow
def test_colour_statistics_lose_more_to_wrong_exposure_than_to_a_ruler(asked):
    loss = {
        row["family"]: row["relative_loss"]["mean"]
        for row in asked[1]["families_summary"]
        if row["arm"] == "colour"
    }
    assert loss["brightness"] > loss["ruler"] + 0.1


def test_the_tables_follow_from_the_decisions(asked):
    study, _, _ = asked
    test = study.data.members("test")
    labels = study.data.labels[test]
    right = np.broadcast_to(labels, (5, 2, len(test))).astype(np.int16)
    wrong = right.copy()
    wrong[2:] = (labels + 1) % 3  # lost altogether from severity 3 on
    decided = {
        name: {
            arm: (wrong if (arm, name) == ("random", "ruler") else right) for arm in study.trained
        }
        for name in ("clean", "brightness", "ruler")
    }
    body = to_json(summarise(study, ["brightness", "ruler"], decided, "float32"))
    means = {
        (row["arm"], row["family"]): row["relative_loss"]["mean"]
        for row in body["families_summary"]
    }
    assert means == pytest.approx(
        {
            ("colour", "brightness"): 0,
            ("colour", "ruler"): 0,
            ("random", "brightness"): 0,
            ("random", "ruler"): 0.6,
        }
    )
    assert body["mean"]["random"]["mean"] == pytest.approx(0.3)


def test_a_resumed_study_computes_only_what_is_missing(asked, monkeypatch):
    study, answer, _ = asked
    (study.run.checkpoints / "robustness" / "ruler.npz").unlink()
    computed = []
    original = module.corrupt
    monkeypatch.setattr(
        module,
        "corrupt",
        lambda images, family, *rest: computed.append(family) or original(images, family, *rest),
    )
    _, again = finish(robustness(study))
    assert set(computed) == {"ruler"} and to_json(again) == answer
