"""The result of a comparison: test metrics with intervals, gaps, claims and verdict of trained arms, for study.json."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from .. import __version__
from ..arms import arm_file
from ..config import StudyConfig, to_dict
from ..data.manifest import Dataset
from ..data.splits import SPLITS
from ..files import writing
from ..stats.evaluation import PRIMARY, Evaluation, Metrics, evaluate
from ..stats.gaps import (
    Curves,
    MatchedPair,
    final_estimates,
    gap_differences,
    gap_interval,
    gaps,
    matched_pairs,
    with_test,
)
from ..stats.intervals import Difference, seed_interval
from ..stats.metrics import METRICS, all_metrics, confusion, decide, log_prior
from ..stats.multiple_tests import mcnemar
from ..stats.paired import Estimate, Pair, arm_pairs
from ..workspace import RunFiles
from .claims import claims
from .paper import majority_row, paper_table
from .study_data import StudyData
from .study_result import (
    ArmResult,
    DatasetSummary,
    FoldRow,
    PaperRow,
    SplitSummary,
    StudyResult,
)
from .trained_arm import TrainedArm, save_curves
from .verdict import choose_pair, verdict
from .weight_sources import transductive

ENDS = ("low", "high", "se", "df", "method")


@dataclass(frozen=True)
class Comparison:
    """What is measured of trained arms, on one split or out of fold.

    Args:
        log_prior: (C,) of the training labels, or (N, C), one row a test image.
        evaluation: of the test images.
        gaps: {arm: {"loss" or "accuracy": {"final", "best", "test", "area": interval}}}.
        gap_differences, matched: of every pair of arms.
    """

    config: StudyConfig
    run: RunFiles
    data: StudyData
    trained: dict[str, TrainedArm]
    log_prior: np.ndarray
    evaluation: Evaluation
    gaps: dict[str, dict[str, Metrics]]
    gap_differences: list[Difference]
    matched: list[MatchedPair]

    def arm(
        self,
        arm: str,
        regime: str,
        setting: dict[str, float],
        best_setting: dict[str, Any],
        extractor: dict[str, Any] | None = None,
    ) -> ArmResult:
        """What one arm reached."""
        one = self.trained[arm]
        return ArmResult(
            label=one.arm.label,
            kind=one.arm.kind,
            regime=regime,
            features=one.width,
            test=self.evaluation.arms[arm],
            per_class=self.evaluation.per_class[arm],
            curves=f"artefacts/curves/{arm_file(arm)}.csv",
            gaps={kind: of["final"].mean for kind, of in self.gaps[arm].items()},
            gaps_detail=self.gaps[arm],
            setting=setting,
            best_setting=best_setting,
            extractor=extractor,
        )

    def result(
        self,
        *,
        arms: dict[str, ArmResult],
        split: SplitSummary,
        grid: dict[str, Any],
        majority_rows: Sequence[PaperRow],
        notes: Sequence[str],
        folds: Sequence[FoldRow] = (),
    ) -> StudyResult:
        """The whole result."""
        test, evaluation = self.data.members("test"), self.evaluation
        labels = self.data.labels[test]
        probabilities = {arm: one.probabilities["test"] for arm, one in self.trained.items()}
        curves = curves_of(self.trained)
        pairs = [(row.a, row.b) for row in self.matched]
        seed, over = self.config.split_seed, "folds" if folds else "seeds"
        in_words = verdict(evaluation, self.gap_differences, self.matched, arms, len(folds))
        caveats = transductive([one.arm for one in self.trained.values()])
        return StudyResult(
            run_id=self.run.id,
            config=to_dict(self.config),
            dataset=dataset_summary(self.data.dataset, self.data),
            split=split,
            classes=tuple(self.data.classes),
            labels=self.data.task,
            arms=arms,
            majority=evaluation.majority,
            differences=evaluation.differences,
            gap_differences=tuple(self.gap_differences),
            matched=tuple(self.matched),
            mcnemar=tuple(mcnemar(labels, self.data.groups[test], probabilities, pairs, seed=seed)),
            claims=tuple(claims(curves, evaluation, self.gap_differences, self.matched, over)),
            paper_table=(*paper_table(curves), *majority_rows),
            grid=grid,
            confusion={
                arm: mean_confusion(labels, p, self.log_prior) for arm, p in probabilities.items()
            },
            verdict=dataclasses.replace(in_words, sentences=(*in_words.sentences, *caveats)),
            folds=tuple(folds),
            cautions=evaluation.cautions,
            notes=tuple(notes),
            versions=versions(),
        )


def build_result(
    config: StudyConfig,
    run: RunFiles,
    data: StudyData,
    trained: dict[str, TrainedArm],
    best: dict[str, TrainedArm],
    grid: dict[str, Any],
    notes: list[str],
    looked_before: int,
) -> StudyResult:
    """The result of a study on one split; writes the curves and predictions that it names.

    Args:
        trained: every arm at the one setting, the primary comparison.
        best: each arm at its own best setting, secondary.
        grid: what the result says of the settings.
        notes: sentences on what is left out or differs.
        looked_before: how many runs have looked at these test images before.
    """
    prior = log_prior(data.labels[data.members("train")], len(data.classes))
    curves = curves_of(trained)
    matched = matched_pairs(curves, arm_pairs(list(trained), choose_pair(list(trained))))
    estimates = {split: split_estimates(config, data, split, trained) for split in SPLITS}
    comparison = Comparison(
        config=config,
        run=run,
        data=data,
        trained=trained,
        log_prior=prior,
        evaluation=evaluate_test(config, data, trained, prior),
        gaps={
            arm: _gaps(curves[arm], {k: of[arm] for k, of in estimates.items()}) for arm in trained
        },
        gap_differences=gap_differences(curves, estimates, matched),
        matched=matched,
    )
    labels, arms = data.labels[data.members("test")], {}
    for arm, one in trained.items():
        save_curves(run.curves(arm), one.curves, config.seeds)
        regime = "finetune" if arm == "scratch" else config.regime
        best_setting = {**best[arm].setting, "test": _seed_means(best[arm], labels, prior)}
        arms[arm] = comparison.arm(arm, regime, one.setting, best_setting, one.arm.extractor)
    save_predictions(run, config, data, trained)
    split = SplitSummary(
        fingerprint=data.fingerprint,
        counts=data.counts(),
        groups=data.group_counts(),
        looked_before=looked_before,
    )
    rows = _majority_rows(data)
    return comparison.result(arms=arms, split=split, grid=grid, majority_rows=rows, notes=notes)


def curves_of(trained: dict[str, TrainedArm]) -> dict[str, Curves]:
    """{arm: its learning curves}."""
    return {arm: one.curves for arm, one in trained.items()}


def evaluate_test(
    config: StudyConfig,
    data: StudyData,
    trained: dict[str, TrainedArm],
    log_prior: np.ndarray,
    folds: np.ndarray | None = None,
) -> Evaluation:
    """All statistics of the test images; folds: (N,) of out-of-fold predictions."""
    test = data.members("test")
    pair: Pair | None = choose_pair(list(trained))
    return evaluate(
        data.labels[test],
        data.groups[test],
        {arm: one.probabilities["test"] for arm, one in trained.items()},
        log_prior,
        data.classes,
        resamples=config.bootstrap,
        seed=config.split_seed,
        primary=pair or PRIMARY,
        grouped=len(np.unique(data.groups)) < len(data.rows),
        folds=folds,
    )


def split_estimates(
    config: StudyConfig, data: StudyData, split: str, trained: dict[str, TrainedArm]
) -> dict[str, dict[str, Estimate]]:
    """Loss and accuracy of every arm on one split, under the same resamples of its groups."""
    images = next(iter(trained.values())).positions[split]
    return final_estimates(
        data.labels[images],
        data.groups[images],
        {arm: one.probabilities[split] for arm, one in trained.items()},
        config.loss,
        split=split,
        resamples=config.bootstrap,
        seed=config.split_seed,
    )


def _gaps(curves: Curves, estimates: dict[str, dict[str, Estimate]]) -> dict[str, Metrics]:
    """Both gaps of an arm; the intervals of "final" and "test" resample the groups of both sets as well."""
    tested = {kind: estimate.by_seed for kind, estimate in estimates["test"].items()}
    by_seed = with_test(curves, tested["loss"], tested["accuracy"])
    resampled = {
        place: gap_interval(estimates["train"], estimates[other])
        for place, other in (("final", "val"), ("test", "test"))
    }
    detail = {}
    for kind, places in gaps(curves).items():
        every = {**places, "test": seed_interval(by_seed[kind])}
        for place, of in resampled.items():
            ends = {name: getattr(of[kind], name) for name in ENDS}
            every[place] = dataclasses.replace(every[place], **ends)
        detail[kind] = every
    return detail


def dataset_summary(dataset: Dataset, data: StudyData | None = None) -> DatasetSummary:
    """Name and size of a dataset, or of its part that a study uses."""
    groups = dataset.groups if data is None else data.groups
    return DatasetSummary(
        name=dataset.name,
        images=len(groups),
        classes=len(dataset.classes),
        groups=len(np.unique(groups)),
        fingerprint=dataset.fingerprint,
    )


def _majority_rows(data: StudyData) -> list[PaperRow]:
    """The majority class in the paper's table: the share of training's commonest class, which nothing trains."""
    labels = {split: data.labels[data.members(split)] for split in ("train", "val")}
    commonest = np.bincount(labels["train"]).argmax()
    return [
        majority_row(f"{split}_accuracy", float((of == commonest).mean()))
        for split, of in labels.items()
    ]


def _seed_means(
    trained_arm: TrainedArm, labels: np.ndarray, prior: np.ndarray
) -> dict[str, dict[str, float]]:
    """Mean and std over seeds of the test metrics: what an arm's own best setting would give."""
    values = all_metrics(labels, trained_arm.probabilities["test"], prior)
    return {
        name: {
            "mean": float(values[name].mean()),
            "std": float(values[name].std(ddof=min(1, len(values[name]) - 1))),
        }
        for name in METRICS
    }


def mean_confusion(
    labels: np.ndarray, probabilities: np.ndarray, log_prior: np.ndarray
) -> tuple[tuple[float, ...], ...]:
    """Confusion matrix of prior-adjusted decisions: counts (C, C), truth by row, mean over seeds.

    Args:
        labels: (N,).
        probabilities: (S, N, C).
        log_prior: (C,) or (N, C).
    """
    decisions = decide(probabilities, log_prior)
    counts = confusion(labels, decisions, probabilities.shape[-1]).mean(0)
    return tuple(tuple(row) for row in counts.tolist())


def save_predictions(
    run: RunFiles, config: StudyConfig, data: StudyData, trained: dict[str, TrainedArm]
) -> None:
    """predictions.parquet: validation and test probabilities of every arm and seed."""
    names = data.dataset.frame["group"].to_numpy()[data.rows]
    tables = []
    for arm, one in trained.items():
        for split in ("val", "test"):
            images = one.positions[split]
            for seed, p_nc in zip(config.seeds, one.probabilities[split], strict=True):
                columns = {
                    "image_id": data.image_ids[images],
                    "split": split,
                    "group": names[images],
                    "label": data.labels[images],
                }
                tables.append(prediction_table(columns, arm, seed, p_nc))
    with writing(run.predictions) as file:
        pd.concat(tables, ignore_index=True).to_parquet(file, index=False)


def prediction_table(
    columns: dict[str, Any], arm: str, seed: int, p_nc: np.ndarray
) -> pd.DataFrame:
    """A table of predictions: columns of the images, the arm and seed, and a column p_CLASS for each class."""
    probabilities = {f"p_{c}": p_nc[:, c].astype(np.float32) for c in range(p_nc.shape[1])}
    return pd.DataFrame({**columns, "arm": arm, "seed": seed, **probabilities})


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = ("torch", "timm", "numpy", "scipy", "pillow")
    packages = {name: metadata.version(name) for name in names}
    return {"derm_core": __version__, "python": platform.python_version(), **packages}
