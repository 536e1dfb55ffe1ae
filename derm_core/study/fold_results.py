"""The result of a comparison in folds, from the finished studies of its folds.

study.json has the shape of a study's, over out-of-fold predictions of the whole dataset: test
metrics, paired differences, the primary test and the verdict are those of all images at once. Gaps
and curves exist per fold and are combined over folds (intervals over folds, which share most of
their training images: descriptive). "folds" holds a row a fold. There are no heads to publish and
no common setting: each fold chose its own on its validation images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator

import numpy as np
import pandas as pd

from ..config import StudyConfig
from ..data.cautions import groups_known, known_group_kinds
from ..events import TICK, Event, log
from ..files import write_atomic
from ..stats.evaluation import Metrics
from ..stats.gaps import GAPS, Curves, fold_gap_differences, gaps, matched_pairs, with_test
from ..stats.intervals import seed_interval
from ..stats.metrics import LOSSES
from ..workspace import RunFiles, Workspace
from .answers import LabelEfficiency
from .arm_facts import facts_of_folds
from .breakdown import NOTES, breakdown
from .chosen_arms import describe
from .comparison import Comparison, conclude, evaluate_test, save_predictions
from .cost import cost_of_folds
from .crossval import Fold, JoinedFolds, curves_table, join_folds, label_shares
from .label_efficiency import Scores, compare_scores, score, shared_labels
from .linear_head import join_linear_heads
from .looks import count_looks
from .paper import majority_row
from .protocol_record import join_protocols
from .roles import chosen_pairs
from .study_data import record_marks
from .study_result import FoldGrid, FoldRow, Grid, PaperRow, StudyResult
from .summaries import SplitSummary
from .trained_arm import TrainedStudy

NOTE = (
    "Out-of-fold predictions: {folds} folds of {what}, pretraining repeated in each. Every image is tested "
    "by models that saw neither it nor {relative}. AUROC, calibration and curves pool the "
    "probabilities of {folds} models an arm and seed; thresholds and temperatures are those of each fold."
)
GROUPED = {"what": "whole groups", "relative": "another image of its group"}
UNGROUPED = {"what": "images whose groups are unknown", "relative": "a copy of it"}
EACH_FOLD = " In every fold by itself, on its own validation images."


def combine_folds(
    config: StudyConfig, workspace: Workspace, run: RunFiles
) -> Generator[Event, None, StudyResult]:
    """The result of a comparison in folds.

    Raises:
        RunError: where a fold is not finished, does not fit the others, or follows another
            protocol.
    """
    joined = join_folds(config, workspace)
    data = joined.data
    results = [fold.result for fold in joined.folds]
    dataset = data.dataset
    fixed = join_protocols(config, dataset.fingerprint, run, results, images=len(dataset))
    record_marks(run, config, dataset)
    study = TrainedStudy(
        config,
        workspace,
        run,
        data,
        "cpu",
        joined.trained,
        joined.log_prior,
        shared=joined.shared,
        folds=joined.fold,
        chosen=joined.chosen,
    )
    count = len(data.members("test"))
    yield log(f"Putting the predictions of {config.folds} folds together: {count:,} images.")
    tested = data.image_ids[data.members("test")]
    looked = np.array(config.fold_runs)[joined.fold - 1]
    looks = count_looks(workspace, data.dataset.name, run.id, tested, looked)
    yield TICK
    result = dataclasses.replace(_result(study, joined), looks=looks, protocol=fixed)
    yield log("Computing calibration, operating points and subgroups on the test images.")
    detail = yield from breakdown(study)
    chosen = ("calibration", "operating_point", "fixed_specificity")
    notes = {name: NOTES[name] + EACH_FOLD for name in chosen}
    detail = dataclasses.replace(detail, notes={**NOTES, **notes})
    with_fewer = (yield from _label_efficiency(study, joined)) if config.label_fractions else None
    result = dataclasses.replace(
        result,
        detail=detail,
        label_efficiency=with_fewer,
        cost=cost_of_folds([fold.result.cost for fold in joined.folds], joined.trained),
        linear_head=join_linear_heads(study, joined.folds) if config.linear_head else None,
    )
    return conclude(result, study.curves)


def _result(study: TrainedStudy, joined: JoinedFolds) -> StudyResult:
    config, folds = study.config, joined.folds
    comparison = _compare(study, joined)
    _save(study.run, joined)
    split = SplitSummary(
        folds=config.folds,
        fingerprint=study.data.fingerprint,
        counts=_mean_counts([fold.result.split.counts for fold in folds]),
        groups=_mean_counts([fold.result.split.groups for fold in folds]),
    )
    first = folds[0].result
    known = groups_known(known_group_kinds(study.data.dataset))
    note = NOTE.format(folds=config.folds, **(GROUPED if known else UNGROUPED))
    notes = dict.fromkeys(note for fold in folds for note in fold.result.notes)
    labels = {arm: one.label for arm, one in first.arms.items()}
    result = comparison.result(
        arms={
            arm: comparison.arm(
                arm,
                regime=first.arms[arm].regime,
                **facts_of_folds([fold.result.arms[arm] for fold in folds]),
            )
            for arm in joined.trained
        },
        split=split,
        grid=_settings(folds),
        majority_rows=_majority_rows(folds),
        notes=[note, *notes, *describe(joined.chosen, labels)],
        folds=[_fold_row(fold) for fold in folds],
    )
    shared = _compare(study.at_shared(), joined).at_shared_setting() if study.shared else None
    return dataclasses.replace(result, shared=shared)


def _compare(study: TrainedStudy, joined: JoinedFolds) -> Comparison:
    """Test metrics, gaps and their differences of every arm, out of fold."""
    curves = study.curves
    tested = {arm: _tested(study, joined, arm) for arm in curves}
    matched = matched_pairs(curves, chosen_pairs(list(curves)))
    return Comparison(
        study,
        evaluate_test(study),
        {arm: _gaps(curves[arm], *tested[arm]) for arm in curves},
        fold_gap_differences(curves, tested, matched, study.config.loss),
        matched,
    )


def _tested(study: TrainedStudy, joined: JoinedFolds, arm: str) -> tuple[np.ndarray, np.ndarray]:
    """Test loss and accuracy of every fold (K,), means over seeds."""
    labels, p_snc = study.data.labels_of("test"), study.trained[arm].probabilities["test"]
    losses = LOSSES[study.config.loss](labels, p_snc).mean(0)
    correct = (p_snc.argmax(-1) == labels).mean(0)
    images = [joined.fold == fold.number for fold in joined.folds]
    loss, accuracy = (np.array([of[here].mean() for here in images]) for of in (losses, correct))
    return loss, accuracy


def _gaps(curves: Curves, loss: np.ndarray, accuracy: np.ndarray) -> dict[str, Metrics]:
    """Both gaps of one arm with intervals over folds: columns of the curves are folds."""
    test = with_test(curves, loss, accuracy)
    return {
        kind: {**places, "test": seed_interval(test[kind], "folds")}
        for kind, places in gaps(curves, "folds").items()
    }


def _mean_counts(counts: list[dict[str, int]]) -> dict[str, int]:
    """Images or groups of training and validation, means over folds; of the test, all."""
    means = {name: round(float(np.mean([of[name] for of in counts]))) for name in ("train", "val")}
    return means | {"test": sum(of["test"] for of in counts)}


def _majority_rows(folds: list[Fold]) -> list[PaperRow]:
    """The majority class in the paper's table, means over folds."""
    shares: dict[str, list[float]] = {}
    for row in (row for fold in folds for row in fold.result.paper_table if row.arm == "majority"):
        shares.setdefault(row.quantity, []).append(row.final or 0.0)
    return [majority_row(quantity, float(np.mean(each))) for quantity, each in shares.items()]


def _settings(folds: list[Fold]) -> Grid:
    """The settings of every fold, and those that most folds chose."""
    grids = [fold.result.grid for fold in folds]
    if grids[0].schedule:
        return grids[0]
    shared = [grid.shared for grid in grids if grid.shared]
    return Grid(
        rule=f"in every fold: {grids[0].rule}; here the point that most folds chose",
        chosen={arm: _commonest([grid.chosen[arm] for grid in grids]) for arm in grids[0].chosen},
        shared=_commonest(shared) if shared else None,
        on_edge=tuple(dict.fromkeys(name for grid in grids for name in grid.on_edge)),
        folds=tuple(
            FoldGrid(fold=fold.number, chosen=grid.chosen, shared=grid.shared, on_edge=grid.on_edge)
            for fold, grid in zip(folds, grids, strict=True)
        ),
    )


def _commonest(points: list[dict[str, float]]) -> dict[str, float]:
    return max(points, key=points.count)


def _fold_row(fold: Fold) -> FoldRow:
    """One fold: its runs, sizes, and per arm balanced accuracy and both gaps, means over seeds."""
    result, arms = fold.result, {}
    for arm, entry in result.arms.items():
        arms[arm] = {"balanced_accuracy": entry.test["balanced_accuracy"].mean}
        for kind in GAPS:
            for at in ("final", "best"):
                arms[arm][f"{kind}_gap_{at}"] = entry.gaps_detail[kind][at].mean
    return FoldRow(
        fold=fold.number,
        run=fold.run.id,
        pretrain=result.config.get("vae_run"),
        fingerprint=result.split.fingerprint,
        counts=result.split.counts,
        groups=result.split.groups,
        arms=arms,
    )


def _save(run: RunFiles, joined: JoinedFolds) -> None:
    """Predictions and curves, tuned and shared, with a column that names the fold."""
    folds = joined.folds
    tables = [_predictions(one, one.predictions, joined) for one in folds]
    save_predictions(run.predictions, tables)
    for arm in joined.trained:
        write_atomic(run.curves(arm), curves_table(folds, arm).to_csv(index=False))
    if joined.shared:
        tables = [_predictions(one, one.shared_predictions, joined) for one in folds]
        save_predictions(run.shared_predictions, tables)
    for arm in joined.shared:
        table = curves_table(folds, arm, shared=True)
        write_atomic(run.curves(arm, shared=True), table.to_csv(index=False))


def _predictions(fold: Fold, table: pd.DataFrame, joined: JoinedFolds) -> pd.DataFrame:
    """The predictions of a fold by the arms of the whole, with its number."""
    return table[table["arm"].isin(joined.trained)].assign(fold=fold.number)


def _label_efficiency(
    study: TrainedStudy, joined: JoinedFolds
) -> Generator[Event, None, LabelEfficiency]:
    tuned: Scores = {}
    shared: Scores = {}
    sizes, labels = {}, {}
    for fraction, share in label_shares(joined, study.config).items():
        sizes[fraction] = share.sizes
        for scores, probabilities in ((tuned, share.probabilities), (shared, share.shared)):
            for arm, p_snc in probabilities.items():
                scores[arm, fraction] = score(study.scorer, p_snc, share.log_priors)
                labels[arm] = study.trained[arm].arm.label
                yield TICK
    first = joined.folds[0].result.label_efficiency or LabelEfficiency()
    return LabelEfficiency(
        fractions=first.fractions,
        updates=first.updates,
        note=first.note,
        shared=shared_labels(shared, sizes, labels) if shared else None,
        **(compare_scores(tuned, sizes, labels) if labels else {}),
    )
