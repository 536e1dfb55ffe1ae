"""`compare predictions`: its JSON, its refusals, and the figures of published files."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from derm_core import cli
from derm_core.data.importers import import_dataset
from tests.predictions import CLASSES, planted

pytestmark = pytest.mark.slow


def run(capsys, *argv):
    status = cli.main(["compare", "predictions", *map(str, argv), "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture
def given(workspace):
    return planted(workspace)


def write(path, given, names=CLASSES):
    pd.DataFrame(given.p, columns=names).assign(image=given.ids).to_csv(path, index=False)
    return path


def test_the_answer_has_models_audit_differences_ties_and_notes(given, tmp_path, capsys):
    paths = [write(tmp_path / f"{name}.csv", given) for name in ("one", "other")]
    status, answer = run(capsys, *paths, "--dataset", "set", "--no-subgroups")
    assert status == 0
    assert set(answer) >= {"models", "audit", "differences", "ties", "notes"}
    one = answer["models"]["one"]
    assert (one["images"], one["matched"], one["labels_agree"]) == (80, 80, None)
    assert set(one["balanced_accuracy"]) >= {"mean", "low", "high"}
    assert all(isinstance(one[name], float) for name in ("macro_auroc", "accuracy", "ece"))
    assert set(answer["audit"]) >= {
        *("lesions_torn", "images_torn", "duplicates_across"),
        *("balanced_accuracy_torn", "balanced_accuracy_whole"),
    }
    assert set(answer["differences"][0]) >= {
        "a",
        "b",
        "metric",
        "mean",
        "low",
        "high",
        "p",
        "p_holm",
    }
    assert [set(group) for group in answer["ties"]] == [{"one", "other"}]


def test_an_order_that_is_not_known_is_asked_for_and_can_be_given(given, tmp_path, capsys):
    path = write(tmp_path / "m.csv", given, [f"prob_{c}" for c in range(4)])
    status, answer = run(capsys, path, "--dataset", "set", "--no-subgroups")
    assert status == 1 and "--classes" in answer["error"]
    order = ["--classes", ",".join(CLASSES)]
    status, answer = run(capsys, path, "--dataset", "set", "--no-subgroups", *order)
    share = np.mean([np.mean(given.p.argmax(1)[given.labels == c] == c) for c in range(4)])
    assert answer["models"]["m"]["balanced_accuracy"]["mean"] == pytest.approx(share)


@pytest.mark.parametrize("option", [["--prior", "mel"], ["--prior", "mel=1"], ["--map", "x=y"]])
def test_options_that_do_not_fit_are_refused(given, tmp_path, capsys, option):
    path = write(tmp_path / "m.csv", given)
    status, answer = run(capsys, path, "--dataset", "set", *option)
    assert status == 1 and option[0] in answer["error"]


PUBLISHED = {  # balanced accuracy, and mean recall on images of torn and of other lesions
    "CLIP-Large": (0.6682, 0.694, 0.695),
    "DINOv3-L16": (0.7480, 0.772, 0.651),
    "MONET": (0.6620, 0.679, 0.702),
}


@pytest.mark.shared
@pytest.mark.slow
def test_published_predictions_of_ham10000_have_their_published_figures(shared, workspace, capsys):
    import_dataset(workspace, shared / "data/ham10000", "ham", sizes=())
    files = sorted((shared / "data/published_predictions/ham10000").glob("*.csv"))
    status, answer = run(capsys, *files, "--dataset", "ham", "--no-subgroups")
    assert status == 0 and set(answer["models"]) == set(PUBLISHED)
    audit = answer["audit"]
    assert (audit["lesions"], audit["lesions_torn"], audit["images_torn"]) == (1437, 576, 613)
    for name, (balanced, torn, whole) in PUBLISHED.items():
        model = answer["models"][name]
        assert (model["images"], model["matched"], model["labels_agree"]) == (1503, 1503, 1503)
        assert model["balanced_accuracy"]["mean"] == pytest.approx(balanced, abs=5e-5)
        assert audit["balanced_accuracy_torn"][name]["mean"] == pytest.approx(torn, abs=5e-4)
        assert audit["balanced_accuracy_whole"][name]["mean"] == pytest.approx(whole, abs=5e-4)
    assert answer["ties"] == [["CLIP-Large", "MONET"]]


@pytest.mark.shared
@pytest.mark.slow
def test_published_predictions_number_their_classes_as_their_true_labels_do(
    shared, workspace, capsys
):
    import_dataset(workspace, shared / "data/pad_ufes_20", "pad", sizes=(8,))
    files = sorted((shared / "data/published_predictions/pad_ufes_20").glob("[A-Z]*.csv"))
    _, answer = run(capsys, *files, "--dataset", "pad", "--no-subgroups")
    for model in answer["models"].values():
        assert model["matched"] == model["labels_agree"] == 87 and model["images"] == 461
