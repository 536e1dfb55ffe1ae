"""A study's own predictions, exported and brought back, have the study's statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from derm_core.data.prediction_files import bring_predictions
from derm_core.stats.metrics import METRICS
from derm_core.study.comparison import evaluate_test, prediction_table
from derm_core.study.predictions_compared import compare_predictions
from tests.steps import finish
from tests.study.trained import trained_study


def exported(study) -> pd.DataFrame:
    data, tables = study.data, []
    for arm, one in study.trained.items():
        for split in ("val", "test"):
            images = one.positions[split]
            columns = {
                "image_id": data.image_ids[images],
                "split": split,
                "group": data.dataset.frame["group"].to_numpy()[data.rows][images],
                "label": data.labels[images],
            }
            pairs = zip(study.config.seeds, one.probabilities[split], strict=True)
            tables += [prediction_table(columns, arm, seed, p) for seed, p in pairs]
    return pd.concat(tables, ignore_index=True)


def named(table: pd.DataFrame, classes) -> pd.DataFrame:
    renamed = table.rename(columns={f"p_{i}": f"p_{name}" for i, name in enumerate(classes)})
    return renamed.assign(label=[classes[c] for c in table["label"]])


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_predictions_that_are_brought_back_have_the_statistics_of_their_study(
    workspace, tmp_path, suffix
):
    study = trained_study(workspace)
    table, path = exported(study), tmp_path / f"predictions.{suffix}"
    if suffix == "csv":
        named(table, study.data.classes).to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)
    counts = np.bincount(study.data.labels_of("train"), minlength=3)
    _, result = finish(
        compare_predictions(
            study.data.dataset,
            bring_predictions(study.data.dataset, [path]),
            prior=dict(zip(study.data.classes, counts.tolist(), strict=True)),
            with_subgroups=False,
            resamples=study.config.bootstrap,
            seed=study.config.split_seed,
        )
    )
    reference = evaluate_test(study)
    for arm in study.trained:
        for metric in METRICS:
            ours, theirs = result.models[arm].intervals[metric], reference.arms[arm][metric]
            for name in ("mean", "low", "high", "std"):
                assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=1e-9)
    for row in result.differences:
        for one in reference.differences:
            if {row.a, row.b} == {one.a, one.b} and row.metric == one.metric:
                assert abs(row.mean) == pytest.approx(abs(one.mean), abs=1e-9)
                assert row.p == pytest.approx(one.p, abs=1e-9)
