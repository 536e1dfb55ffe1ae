"""A comparison in folds: each fold by itself, then all of them as one, against scikit-learn on the predictions."""

import dataclasses
import io
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score

from derm_core.config import (
    BackboneConfig,
    EmbedConfig,
    PretrainConfig,
    Recipe,
    StudyConfig,
    from_dict,
    to_dict,
)
from derm_core.data.splits import fold_split
from derm_core.errors import RunError
from derm_core.files import read_json, write_json
from derm_core.insight.map_data import map_data
from derm_core.jobs.dependencies import fold_studies
from derm_core.publish.classifier import publish
from derm_core.report.files import report_files
from derm_core.report.html import report_html
from derm_core.report.reproduce import reproducible_config
from derm_core.report.terminal import text_report
from derm_core.report.trackers import points
from derm_core.stats.evaluation import evaluate
from derm_core.study.crossval import join_folds
from derm_core.study.protocol import study
from derm_core.study.study_data import prepare
from derm_core.study.study_result import study_result
from derm_core.training.pretrain import load_data, pretrain
from derm_core.workspace import Workspace
from experiments.recipe.folds import against
from tests.builders import write_dataset
from tests.steps import finish

pytestmark = pytest.mark.slow

SMALL = BackboneConfig(architecture="resnet18", stage=1)
CONFIG = StudyConfig(
    dataset="tiny",
    arms=("vae", "random"),
    backbone=SMALL,
    input_size=32,
    seeds=(0, 1),
    hidden=16,
    epochs=6,
    batch_size=16,
    learning_rates=(3e-3, 1e-2),
    weight_decays=(1e-2,),
    bootstrap=200,
    device="cpu",
    label_fractions=(0.5,),
    linear_head=True,
    folds=3,
    pretrain=PretrainConfig(
        dataset="tiny",
        backbone=SMALL,
        input_size=32,
        device="cpu",
        recipe=Recipe(epochs=1, batch_size=32, latent_dim=8, decoder_width=16),
    ),
)


def made(workspace, run_id, config, job):
    run = workspace.run(run_id).create()
    write_json(run.config, to_dict(config))
    finish(job(config, workspace, run))
    return run


def run_folds(workspace):
    """The studies of all folds, each with its own pretraining; the config that puts them together."""
    for config in fold_studies(CONFIG):
        made(workspace, f"pretrain-{config.fold}", config.pretrain, pretrain)
        made(
            workspace,
            f"study-{config.fold}",
            dataclasses.replace(config, vae_run=f"pretrain-{config.fold}"),
            study,
        )
    return dataclasses.replace(CONFIG, fold_runs=("study-1", "study-2", "study-3"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(workspace, config, study.json) of a finished comparison in three folds."""
    workspace = Workspace.open(tmp_path_factory.mktemp("folds"))
    write_dataset(workspace)
    config = run_folds(workspace)
    run = made(workspace, "study-all", config, study)
    return workspace, config, json.loads((run.study).read_text())


def predictions(workspace, run_id):
    table = pd.read_parquet(workspace.run(run_id).predictions)
    return table[table["split"] == "test"]


def test_every_image_has_one_prediction_an_arm_and_seed(finished):
    workspace, _, result = finished
    table = predictions(workspace, "study-all")
    assert len(table) == 90 * 2 * 2 and not table.duplicated(["image_id", "arm", "seed"]).any()
    assert (
        set(table["fold"]) == {1, 2, 3}
        and result["split"]["counts"]["test"] == result["dataset"]["images"] == 90
    )


def test_linear_heads_are_joined_from_the_predictions_of_the_folds(finished):
    workspace, config, result = finished
    joined = join_folds(config, workspace)
    labels = joined.data.labels_of("test")
    p = np.full((1, len(labels), 3), np.nan)
    for fold in joined.folds:
        p[:, joined.fold == fold.number] = np.load(fold.run.linear_head_predictions)["vae"]
    ours = result["linear_head"]["arms"]["vae"]["macro_auroc"]["mean"]
    assert ours == pytest.approx(roc_auc_score(labels, p[0], multi_class="ovr"), abs=1e-6)
    assert len(result["linear_head"]["chosen"]["random"]) == 3 * 2, "folds × seeds"


def test_the_cost_of_all_folds_holds_their_pretrainings(finished):
    workspace, _, result = finished
    summaries = [json.loads(workspace.run(f"pretrain-{k}").summary.read_text()) for k in (1, 2, 3)]
    vae = result["cost"]["arms"]["vae"]
    assert vae["pretraining_seconds"] == pytest.approx(sum(one["seconds"] for one in summaries))
    assert vae["pretraining_images"] == np.mean([one["pretrained_on"] for one in summaries])
    assert result["cost"]["arms"]["random"]["pretraining_seconds"] == 0


def test_two_comparisons_of_the_same_folds_are_compared_pairwise(finished, tmp_path):
    """Against itself: the differences that the comparison found, for all labels and for half of them."""
    workspace, _, result = finished
    path = workspace.run("study-all").study
    rows = against(path, path, "random")
    assert (
        set(rows) == {"input_size", "random", "vae_minus_random", "labels_0.5"}
        and rows["input_size"] == 32
    )
    for row in result["differences"]:
        assert (row["a"], row["b"]) == ("vae", "random")
        assert rows["vae_minus_random"][row["metric"]] == pytest.approx(
            {key: row[key] for key in ("mean", "low", "high")}
        )
    assert rows["random"] == result["arms"]["random"]["test"]
    for row in result["label_efficiency"]["differences"]:
        if row["fraction"] == 0.5:
            half = rows["labels_0.5"]["vae_minus_random"][row["metric"]]
            assert half["mean"] == pytest.approx(row["mean"]) and half["low"] == pytest.approx(
                row["low"]
            )


def test_no_pretraining_sees_an_image_that_its_fold_chooses_on_or_tests(workspace, tiny):
    for config in fold_studies(CONFIG):
        _, seen = finish(load_data(config.pretrain, workspace))
        _, data = finish(prepare(config, workspace))
        held_out = data.rows[data.split != 0]
        assert not set(seen.pixels) & set(held_out) and len(seen.pixels) + len(held_out) == 90
        groups = set(data.groups[data.split != 0])
        assert not groups & {data.groups[row] for row in seen.pixels}


def test_metrics_of_all_folds_are_scikit_learn_s_on_all_predictions(finished):
    workspace, _, result = finished
    table = pd.concat(
        [predictions(workspace, f"study-{fold}").assign(fold=fold) for fold in (1, 2, 3)]
    )
    _, data = finish(prepare(dataclasses.replace(CONFIG, folds=0), workspace))
    priors = {}
    for fold in (1, 2, 3):
        split = fold_split(data.labels, data.groups, 0, 3, fold)
        priors[fold] = np.bincount(data.labels[split == 0], minlength=3) / (split == 0).sum()
    for arm, entry in result["arms"].items():
        rows = {name: [] for name in ("balanced_accuracy", "accuracy", "macro_auroc", "log_loss")}
        for seed in (0, 1):
            one = table[(table["arm"] == arm) & (table["seed"] == seed)]
            p, truth = one[["p_0", "p_1", "p_2"]].to_numpy(np.float64), one["label"]
            adjusted = (p / np.stack([priors[fold] for fold in one["fold"]])).argmax(1)
            rows["balanced_accuracy"].append(balanced_accuracy_score(truth, adjusted))
            rows["accuracy"].append(accuracy_score(truth, p.argmax(1)))
            of_class = [roc_auc_score(truth == c, p[:, c]) for c in range(3)]
            rows["macro_auroc"].append(np.mean(of_class))
            floored = np.maximum(p, 1e-12)
            rows["log_loss"].append(log_loss(truth, floored / floored.sum(1, keepdims=True)))
        for name, values in rows.items():
            assert entry["test"][name]["mean"] == pytest.approx(np.mean(values), abs=1e-6), (
                arm,
                name,
            )


def test_the_majority_class_ranks_no_image_before_another(finished):
    assert finished[2]["majority"]["macro_auroc"]["mean"] == pytest.approx(0.5)
    labels, groups = np.repeat([0, 1, 0, 1], [30, 10, 20, 20]), np.arange(80)
    folds = np.repeat([1, 2], 40)
    prior = np.log(np.where(folds[:, None] == 1, [0.5, 0.5], [0.75, 0.25]))  # of the other fold
    p = np.full((1, 80, 2), 0.5)
    own = evaluate(labels, groups, {"random": p}, prior, ("a", "b"), resamples=50, folds=folds)
    assert own.majority["macro_auroc"].mean == pytest.approx(0.5)


def test_gaps_are_means_of_the_folds_gaps(finished):
    workspace, _, result = finished
    studies = [json.loads((workspace.run(f"study-{fold}").study).read_text()) for fold in (1, 2, 3)]
    for arm, entry in result["arms"].items():
        for kind in ("loss", "accuracy"):
            by_fold = [one["arms"][arm]["gaps"][kind] for one in studies]
            final = entry["gaps_detail"][kind]["final"]
            assert final["mean"] == pytest.approx(np.mean(by_fold), abs=1e-9)
            assert (final["method"], final["df"]) == ("folds", 2.0)
            assert [
                row["arms"][arm][f"{kind}_gap_final"] for row in result["folds"]
            ] == pytest.approx(by_fold)
            assert all(f"{kind}_gap_best" in row["arms"][arm] for row in result["folds"])


def test_the_whole_has_the_protocol_of_its_folds_and_is_no_further_look(finished):
    workspace, _, result = finished
    folds = [read_json(workspace.run(f"study-{k}").protocol) for k in (1, 2, 3)]
    assert {fold["sha256"] for fold in folds} == {result["protocol"]["sha256"]}
    assert result["protocol"]["created"] == min(fold["created"] for fold in folds)
    assert result["looks"] == {"mean": 0, "max": 0}


def test_the_one_primary_test_and_the_verdict_run_on_all_images(finished):
    _, _, result = finished
    row = next(row for row in result["differences"] if row["metric"] == "balanced_accuracy")
    means = [
        result["arms"][arm]["test"]["balanced_accuracy"]["mean"] for arm in (row["a"], row["b"])
    ]
    assert (
        row["mean"] == pytest.approx(means[0] - means[1]) and row["stand_in"] and 0 < row["p"] <= 1
    )
    details = " ".join(result["verdict"]["details"])
    assert "pretrained anew in each of 3 folds" in details and "not of the recipe" not in details
    assert details.startswith("The comparison named in advance")
    assert "looked" not in result["notes"][0] and "Out-of-fold" in result["notes"][0]


def test_all_labels_are_the_main_result_and_half_of_them_another(finished):
    _, _, result = finished
    rows = {(row["arm"], row["fraction"]): row for row in result["label_efficiency"]["rows"]}
    for arm, entry in result["arms"].items():
        assert rows[arm, 1.0]["balanced_accuracy"]["mean"] == pytest.approx(
            entry["test"]["balanced_accuracy"]["mean"], abs=1e-6
        )
        assert rows[arm, 0.5]["images"] < rows[arm, 1.0]["images"]


def test_differences_keep_their_folds_and_are_put_to_the_corrected_test(finished):
    _, _, result = finished
    fewer = [row for row in result["label_efficiency"]["differences"] if row["fraction"] == 0.5]
    assert fewer and all(len(row["by_fold"]) == 3 for row in [*result["differences"], *fewer])
    rows = [row for row in result["sensitivity"] if "corrected" in row]
    gaps = [row for row in rows if row.get("at") == "final"]
    assert {row["kind"] for row in gaps} == {"loss", "accuracy"}
    for row in gaps:
        assert row["corrected"]["df"] == 2 and row["corrected_p"] > row["p"]


def test_decisions_of_single_images_are_kept_for_the_whole_dataset(finished):
    workspace, _, result = finished
    table = pd.read_parquet(workspace.run("study-all").decisions)
    assert len(table) == 90 and {"decision:vae", "decision:random"} <= set(table)
    assert np.array(result["confusion"]["vae"]).sum() == pytest.approx(90)


def test_the_text_says_that_every_image_was_tested(finished):
    text = " ".join(text_report(study_result(finished[2])).split())
    assert "3 folds, every image tested" in text and "Random initialisation" in text


def test_a_fold_without_results_is_named(finished):
    workspace, config, _ = finished
    with pytest.raises(
        RunError, match=r"Fold 2 \(study-gone\) has no results; give the same command again"
    ):
        join_folds(
            dataclasses.replace(config, fold_runs=("study-1", "study-gone", "study-3")), workspace
        )


def test_folds_that_are_not_of_this_comparison_are_refused(finished):
    workspace, config, _ = finished
    for wrong in (
        {"fold_runs": ("study-1", "study-3", "study-2")},
        {"split_seed": 1},
        {"seeds": (0, 2)},
    ):
        with pytest.raises(RunError, match="was made from other images, labels or settings"):
            join_folds(dataclasses.replace(config, **wrong), workspace)


def test_the_report_and_the_tables_hold_every_fold(finished):
    workspace, _, result = finished
    folder = workspace.run("study-all").root
    made = report_html(study_result(result), folder)
    assert "3 folds, every image tested" in made and "pretrained anew in every fold" in made
    files = report_files(study_result(result), folder)
    table = pd.read_csv(io.BytesIO(files["folds.csv"]))
    assert sorted(zip(table["fold"], table["arm"])) == [
        (fold, arm) for fold in (1, 2, 3) for arm in ("random", "vae")
    ]
    assert {"accuracy_gap_final", "loss_gap_best", "counts_test", "run"} <= set(table)
    assert {
        "test-metrics.csv",
        "differences.csv",
        "label-efficiency.csv",
        "predictions.csv",
        "decisions.csv",
    } <= set(files)


def test_the_config_of_the_report_makes_the_folds_again(finished):
    workspace, config, result = finished
    again = from_dict(reproducible_config(study_result(result), workspace.run("study-all").root))
    assert again == dataclasses.replace(config, fold_runs=())


def test_neither_a_fold_nor_all_of_them_are_published(finished):
    for run_id in ("study-1", "study-all"):
        with pytest.raises(RunError, match="belongs to a comparison in folds"):
            publish(finished[0], run_id, "vae", "folded")


def test_a_map_of_a_fold_s_vae_shows_that_fold_s_split(finished):
    workspace, _, _ = finished
    config = EmbedConfig(
        dataset="tiny", vae_run="pretrain-2", backbone=SMALL, input_size=32, device="cpu"
    )
    _, data = finish(map_data(config, workspace))
    expected = fold_split(data.dataset.labels, data.dataset.groups, 0, 3, 2)
    assert (data.split == expected).all()


def test_trackers_get_a_line_a_seed_from_means_over_folds(finished):
    run = finished[0].run("study-all")
    table = pd.read_csv(run.artefacts / "curves" / "vae.csv")
    last = [point for point in points(run) if point.series.endswith("vae/val/loss")][-3:]
    assert {point.series for point in last} == {
        "vae/val/loss",
        "seed-0/vae/val/loss",
        "seed-1/vae/val/loss",
    }
    assert len(table) == 3 * 2 * len(table["epoch"].unique())
    assert last[0].value == pytest.approx(table[table["epoch"] == 6]["val_loss"].mean())


def test_folds_that_read_other_weights_under_one_name_are_not_joined(finished):
    workspace, config, _ = finished
    files = [workspace.run(run_id).study for run_id in config.fold_runs]
    before = [file.read_bytes() for file in files]
    try:
        for file, sha256 in zip(files, ("1", "1", "2"), strict=True):
            result = read_json(file)
            for [part] in result["arms"]["random"]["extractor"]["variants"]:
                part |= {"name": "embeddings:clip", "info": {"sha256": sha256}}
            write_json(file, result)
        with pytest.raises(RunError, match=r"Fold 3 .* under embeddings:clip than fold 1 .*delete"):
            join_folds(config, workspace)
    finally:
        for file, content in zip(files, before, strict=True):
            file.write_bytes(content)
    join_folds(config, workspace)
