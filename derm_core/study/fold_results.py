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
from typing import Any

import numpy as np

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
from .breakdown import NOTES, breakdown
from .comparison import Comparison, evaluate_test, save_predictions
from .crossval import Fold, JoinedFolds, curves_table, join_folds, label_shares
from .label_efficiency import Scores, compare_scores, score
from .paper import majority_row
from .study_data import count_test_look
from .study_result import FoldRow, PaperRow, SplitSummary, StudyResult
from .trained_arm import TrainedStudy
from .verdict import chosen_pairs

NOTE = (
    "Out-of-fold predictions: {folds} folds of {what}, pretraining repeated in each. Every image is tested once, "
    "by models that saw neither it nor {relative}. AUROC, calibration and operating points pool the "
    "probabilities of {folds} models an arm and seed."
)
GROUPED = {"what": "whole groups", "relative": "another image of its group"}
UNGROUPED = {"what": "images whose groups are unknown", "relative": "a copy of it"}
POOLED = (
    " Fitted or chosen on the validation predictions of all folds together, whose images are tested in other "
    "folds."
)


def combine_folds(
    config: StudyConfig, workspace: Workspace, run: RunFiles
) -> Generator[Event, None, StudyResult]:
    """The result of a comparison in folds.

    Raises:
        RunError: where a fold is not finished or does not fit the others.
    """
    joined = join_folds(config, workspace)
    data = joined.data
    study = TrainedStudy(config, workspace, run, data, "cpu", joined.trained, joined.log_prior)
    count = len(data.members("test"))
    yield log(f"Putting the predictions of {config.folds} folds together: {count:,} images.")
    looked_before = count_test_look(data.dataset.paths, data.fingerprint, run.id)
    yield TICK
    result = _result(study, joined, looked_before)
    yield log("Looking closer at the test images.")
    detail = yield from breakdown(study)
    pooled = {name: NOTES[name] + POOLED for name in ("calibration", "operating_point")}
    detail = dataclasses.replace(detail, notes={**NOTES, **pooled})
    with_fewer = (yield from _label_efficiency(study, joined)) if config.label_fractions else None
    return dataclasses.replace(result, detail=detail, label_efficiency=with_fewer)


def _result(study: TrainedStudy, joined: JoinedFolds, looked_before: int) -> StudyResult:
    config, curves, folds = study.config, study.curves, joined.folds
    tested = {arm: _tested(study, joined, arm) for arm in curves}
    matched = matched_pairs(curves, chosen_pairs(list(curves)))
    comparison = Comparison(
        study,
        evaluate_test(study, joined.fold),
        {arm: _gaps(curves[arm], *tested[arm]) for arm in curves},
        fold_gap_differences(curves, tested, matched),
        matched,
    )
    _save(study.run, joined)
    split = SplitSummary(
        folds=config.folds,
        fingerprint=study.data.fingerprint,
        counts=_mean_counts([fold.result.split.counts for fold in folds]),
        groups=_mean_counts([fold.result.split.groups for fold in folds]),
        looked_before=looked_before,
    )
    first = folds[0].result
    known = groups_known(known_group_kinds(study.data.dataset))
    note = NOTE.format(folds=config.folds, **(GROUPED if known else UNGROUPED))
    notes = dict.fromkeys(note for fold in folds for note in fold.result.notes)
    return comparison.result(
        arms={arm: comparison.arm(arm, regime=first.arms[arm].regime) for arm in curves},
        split=split,
        grid=_settings(config, folds),
        majority_rows=_majority_rows(folds),
        notes=[note, *notes],
        folds=[_fold_row(fold) for fold in folds],
    )


def _tested(study: TrainedStudy, joined: JoinedFolds, arm: str) -> tuple[np.ndarray, np.ndarray]:
    """Test loss and accuracy of every fold (K,), means over seeds."""
    labels, p_snc = study.data.labels_of("test"), joined.trained[arm].probabilities["test"]
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


def _settings(config: StudyConfig, folds: list[Fold]) -> dict[str, Any]:
    if config.regime == "finetune":
        return dict(folds[0].result.grid)
    return {
        "rule": "in every fold one setting for all arms: the lowest mean validation loss over arms and seeds",
        "folds": [
            {
                "fold": fold.number,
                **next(iter(fold.result.arms.values())).setting,
                "edge": fold.result.grid.get("edge", []),
            }
            for fold in folds
        ],
    }


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
    """predictions.parquet and curves, with a column that names the fold."""
    save_predictions(run, [fold.predictions.assign(fold=fold.number) for fold in joined.folds])
    for arm in joined.trained:
        write_atomic(run.curves(arm), curves_table(joined.folds, arm).to_csv(index=False))


def _label_efficiency(
    study: TrainedStudy, joined: JoinedFolds
) -> Generator[Event, None, LabelEfficiency]:
    scores: Scores = {}
    sizes, labels = {}, {}
    for fraction, share in label_shares(joined, study.config).items():
        sizes[fraction] = share.sizes
        for arm, p_snc in share.probabilities.items():
            scores[arm, fraction] = score(study.scorer, p_snc, share.log_priors)
            labels[arm] = study.trained[arm].arm.label
            yield TICK
    first = joined.folds[0].result.label_efficiency or LabelEfficiency()
    fields = compare_scores(scores, sizes, labels) if labels else {}
    return LabelEfficiency(
        fractions=first.fractions, updates=first.updates, setting={}, note=first.note, **fields
    )
