"""What every comparison measures of its trained arms, on one split or out of fold: the shared part of study.json."""

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
from ..stats.evaluation import PRIMARY, Evaluation, Metrics, evaluate
from ..stats.gaps import Curves, MatchedPair
from ..stats.intervals import Difference
from ..stats.metrics import confusion, decide
from ..stats.multiple_tests import mcnemar
from ..stats.paired import Pair
from ..workspace import RunFiles
from .claims import claims
from .paper import paper_table
from .study_data import StudyData
from .study_result import ArmResult, DatasetSummary, FoldRow, PaperRow, SplitSummary, StudyResult
from .trained_arm import TrainedArm
from .verdict import choose_pair, verdict
from .weight_sources import transductive


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
