"""Brought predictions get the numbers of a study, and their split is audited."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from derm_core.data.prediction_files import bring_predictions
from derm_core.errors import ConfigError
from derm_core.stats.evaluation import evaluate
from derm_core.stats.metrics import METRICS, log_prior
from derm_core.study.predictions_compared import compare_predictions
from tests.predictions import CLASSES, described_dataset, guess, planted
from tests.steps import finish


def write(path, dataset, rows, p, **columns):
    frame = pd.DataFrame(p, columns=list(dataset.classes))
    frame.assign(image=dataset.frame["image_id"].to_numpy()[rows], **columns).to_parquet(path)
    return path


def compared(dataset, *paths, **options):
    options = {"with_subgroups": False, "resamples": 200, **options}
    return finish(compare_predictions(dataset, bring_predictions(dataset, paths), **options))[1]


@pytest.fixture
def models(workspace, tmp_path):
    """A dataset whose every second image is predicted, and models of skill 2.5, 2.5 and 0."""
    given = planted(workspace, images=480)
    skills = {"a": (2.5, 1), "b": (2.5, 5), "chance": (0.0, 3)}
    return given.dataset, [
        write(
            tmp_path / f"{name}.parquet",
            given.dataset,
            given.rows,
            guess(given.labels, 4, seed, skill),
        )
        for name, (skill, seed) in skills.items()
    ]


def test_the_numbers_are_those_of_a_study(models):
    dataset, paths = models
    result = compared(dataset, *paths)
    rows = np.arange(0, len(dataset), 2)
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    p = {path.stem: pd.read_parquet(path)[list(CLASSES)].to_numpy()[None] for path in paths}
    study = evaluate(labels, groups, p, np.zeros(4), CLASSES, resamples=200)
    for name, own in result.models.items():
        assert own.balanced_accuracy.mean == pytest.approx(
            balanced_accuracy_score(labels, p[name][0].argmax(1))
        )
        assert own.macro_auroc == pytest.approx(
            np.mean([roc_auc_score(labels == c, p[name][0, :, c]) for c in range(4)])
        )
        for metric in METRICS:
            assert own.intervals[metric] == study.arms[name][metric]
    mine = next(
        row for row in result.differences if row.of_pair(("a", "chance"), "balanced_accuracy")
    )
    theirs = study.difference(("a", "chance"), "balanced_accuracy")
    assert (mine.mean, mine.low, mine.high, mine.p) == (
        theirs.mean,
        theirs.low,
        theirs.high,
        theirs.p,
    )


def test_models_that_no_test_tells_apart_are_a_tie(models):
    result = compared(models[0], *models[1])
    assert [set(group) for group in result.ties] == [{"a", "b"}]
    assert set(result.models) == {"a", "b", "chance"} and "chance" not in result.verdict[0]


def test_the_split_is_audited(workspace, tmp_path):
    dataset = described_dataset(workspace, images=480)
    rows = np.sort(
        np.r_[0:240:2, 240:480]
    )  # of the first 120 lesions one image, of the others both
    labels = dataset.labels[rows]
    p = guess(labels, 4, skill=1.0)
    p[:120] = np.eye(4)[labels[:120]]  # torn lesions are known by heart
    audit = compared(dataset, write(tmp_path / "m.parquet", dataset, rows, p)).audit
    assert (audit.lesions_torn, audit.images_torn, audit.lesions) == (120, 120, 240)
    assert audit.balanced_accuracy_torn["m"].mean == 1
    whole = balanced_accuracy_score(labels[120:], p[120:].argmax(1))
    assert audit.balanced_accuracy_whole["m"].mean == pytest.approx(whole)
    assert audit.differences["m"].low > 0


@pytest.mark.parametrize(("kind", "counted"), [("lesion", 80), ("image", None)])
def test_groups_stand_for_lesions_where_each_is_one(workspace, tmp_path, kind, counted):
    dataset = described_dataset(workspace)
    without_ids = replace(
        dataset,
        frame=dataset.frame.drop(columns="lesion"),
        info=replace(dataset.info, group_kinds={kind: 160}),
    )
    rows = np.arange(0, 160, 2)
    path = write(tmp_path / "m.parquet", dataset, rows, guess(dataset.labels[rows], 4))
    assert compared(without_ids, path).audit.lesions_torn == counted


def test_duplicates_across_are_counted(workspace, tmp_path):
    copies = [f"{i // 4 if i < 16 else i:064x}" for i in range(160)]
    dataset = described_dataset(workspace, sha256=copies)
    rows = np.arange(0, 160, 2)
    path = write(tmp_path / "m.parquet", dataset, rows, guess(dataset.labels[rows], 4))
    assert compared(dataset, path).audit.duplicates_across == 8


def test_a_known_duplicate_under_another_lesion_counts_as_one(workspace, tmp_path):
    joined = [f"g{min(i // 2, 1) if i < 4 else i // 2}" for i in range(160)]
    joined[:4] = ["g0"] * 4  # lesions L0 and L1 are one group
    dataset = described_dataset(workspace, group=joined)
    rows = np.r_[0, 1, 4:160]  # L0 is predicted, L1 is not
    path = write(tmp_path / "m.parquet", dataset, rows, guess(dataset.labels[rows], 4))
    audit = compared(dataset, path).audit
    assert (audit.lesions_torn, audit.duplicates_across) == (0, 2)


def test_parts_that_a_file_names_are_audited_and_only_test_images_count(workspace, tmp_path):
    dataset = described_dataset(workspace)
    rows = np.arange(160)
    parts = ["train" if i < 81 else "test" for i in rows]  # lesion L40 is torn
    path = write(tmp_path / "m.parquet", dataset, rows, guess(dataset.labels, 4), split=parts)
    result = compared(dataset, path)
    assert result.models["m"].tested == 79
    assert (result.audit.parts.groups, result.audit.parts.images) == (1, 2)


def test_lesions_torn_between_folds_are_counted(workspace, tmp_path):
    dataset = described_dataset(workspace)
    folds = [i // 2 % 4 if i < 156 else i % 4 for i in range(160)]  # the last two lesions are torn
    path = write(
        tmp_path / "m.parquet", dataset, np.arange(160), guess(dataset.labels, 4), fold=folds
    )
    parts = compared(dataset, path).audit.parts
    assert (parts.groups, parts.images) == (2, 4)


def test_only_shared_images_are_compared_and_each_model_has_all_its_own(models, tmp_path):
    dataset, (first, *_) = models
    rows = np.arange(0, 240, 2)
    other = write(tmp_path / "other.parquet", dataset, rows, guess(dataset.labels[rows], 4))
    result = compared(dataset, first, other)
    assert {name: one.tested for name, one in result.models.items()} == {"a": 240, "other": 120}
    assert result.images_compared == 120


def test_predicted_labels_alone_have_no_auroc_and_no_calibration(models, tmp_path):
    dataset, (first, *_) = models
    rows = np.arange(0, 480, 2)
    path = tmp_path / "labels.csv"
    names = np.array(CLASSES)[dataset.labels[rows]]
    pd.DataFrame({"image": dataset.frame["image_id"].iloc[rows], "pred": names}).to_csv(
        path, index=False
    )
    own = compared(dataset, first, path).models["labels"]
    assert (own.balanced_accuracy.mean, own.macro_auroc, own.ece) == (1, None, None)


def test_training_shares_adjust_the_decision(models):
    dataset, (first, *_) = models
    result = compared(dataset, first, prior={"akiec": 10, "bcc": 10, "mel": 100, "nv": 880})
    rows = np.arange(0, 480, 2)
    shares = log_prior(np.repeat(range(4), [10, 10, 100, 880]), 4)
    p = pd.read_parquet(first)[list(CLASSES)].to_numpy()
    adjusted = (np.log(p) - shares).argmax(1)
    own = result.models["a"]
    assert own.decision == "prior-adjusted class"
    assert own.balanced_accuracy.mean == pytest.approx(
        balanced_accuracy_score(dataset.labels[rows], adjusted)
    )
    with pytest.raises(ConfigError):
        compared(dataset, first, prior={"akiec": 1.0})


def test_subgroups_are_those_of_the_dataset(workspace, tmp_path):
    dataset = described_dataset(workspace, sex=["male", "female", "female", "male"] * 40)
    rows = np.arange(160)
    path = write(tmp_path / "m.parquet", dataset, rows, guess(dataset.labels, 4))
    (sex,) = compared(dataset, path, with_subgroups=True).subgroups
    assert {row.value: row.images for row in sex.values} == {"female": 80, "male": 80}


def test_the_most_accurate_model_is_that_of_the_images_that_all_share(workspace, tmp_path):
    """A model that is better on further images of its own, and worse on the shared ones, does not lead."""
    dataset = described_dataset(workspace, images=480)
    first, labels = np.arange(240), dataset.labels
    right = np.eye(4)[labels]
    weak = np.concatenate([guess(labels[:240], 4, 1, 0.3), right[240:]])
    strong = np.concatenate([right[:240], guess(labels[240:], 4, 2, -3.0)])
    paths = [
        write(tmp_path / "weak.parquet", dataset, np.arange(480), weak),
        write(tmp_path / "strong.parquet", dataset, np.r_[first], strong[:240]),
        write(tmp_path / "strong_here.parquet", dataset, np.arange(480), strong),
    ]
    result = compared(dataset, paths[0], paths[2])
    assert next(iter(result.models)) == "weak"
    result = compared(dataset, *paths)
    assert list(result.models)[-1] == "weak" and "weak" not in result.verdict[0].split(":")[0]
