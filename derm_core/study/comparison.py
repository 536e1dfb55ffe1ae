"""What every comparison measures of its trained arms, on one split or out of fold: the shared part of study.json."""

from __future__ import annotations

import dataclasses
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import __version__
from ..arms import arm_file
from ..config import to_dict
from ..data.cautions import group_caution, groups_known, known_group_kinds
from ..data.dataset_facts import describe_enlarged, short_sides
from ..data.manifest import Dataset
from ..data.official_split import describe_official
from ..files import write_atomic
from ..stats.evaluation import PRIMARY, Evaluation, Metrics, evaluate
from ..stats.gaps import Curves, MatchedPair
from ..stats.intervals import Difference
from ..stats.metrics import ESTIMATORS, confusion, decide
from ..stats.multiple_tests import mcnemar
from ..stats.sensitivity import Sensitivity, sensitivity
from .claims import claims
from .families import with_corrections
from .label_efficiency import crossing
from .paper import paper_table
from .roles import choose_pair, is_primary
from .study_data import StudyData
from .study_result import (
    ArmResult,
    FoldRow,
    Grid,
    PaperRow,
    SharedArm,
    SharedSetting,
    StudyResult,
    Verdict,
)
from .summaries import DatasetSummary, SplitSummary
from .trained_arm import TrainedStudy
from .verdict import verdict
from .verdict_details import edges
from .weight_sources import transductive


@dataclass(frozen=True)
class Comparison:
    """What is measured of trained arms, on one split or out of fold.

    Args:
        evaluation: of the test images.
        gaps: {arm: {"loss" or "accuracy": {"final", "best", "test", "area": interval}}}.
        gap_differences, matched: of every pair of arms.
    """

    study: TrainedStudy
    evaluation: Evaluation
    gaps: dict[str, dict[str, Metrics]]
    gap_differences: list[Difference]
    matched: list[MatchedPair]

    def arm(self, arm: str, **about: Any) -> ArmResult:
        """What one arm reached; about: further fields."""
        one = self.study.trained[arm]
        return ArmResult(
            label=one.arm.label,
            kind=one.arm.kind,
            chosen=one.arm.chosen,
            features=one.width,
            test=self.evaluation.arms[arm],
            per_class=self.evaluation.per_class[arm],
            curves=f"artefacts/curves/{arm_file(arm)}.csv",
            gaps=self._final_gaps(arm),
            gaps_detail=self.gaps[arm],
            setting=one.setting,
            **about,
        )

    def _final_gaps(self, arm: str) -> dict[str, float | None]:
        return {kind: of["final"].mean for kind, of in self.gaps[arm].items()}

    def at_shared_setting(self) -> SharedSetting:
        """The result of a study whose arms are at one setting, as it stands beside the headline."""
        arms = {
            arm: SharedArm(
                test=self.evaluation.arms[arm],
                gaps=self._final_gaps(arm),
                gaps_detail=self.gaps[arm],
                setting=one.setting,
            )
            for arm, one in self.study.trained.items()
        }
        return SharedSetting(
            arms=arms,
            differences=tuple(
                dataclasses.replace(row, primary=False, stand_in=False)
                for row in self.evaluation.differences
            ),
            gap_differences=tuple(self.gap_differences),
            matched=tuple(self.matched),
        )

    def result(
        self,
        *,
        arms: dict[str, ArmResult],
        split: SplitSummary,
        grid: Grid,
        majority_rows: Sequence[PaperRow],
        notes: Sequence[str],
        folds: Sequence[FoldRow] = (),
    ) -> StudyResult:
        """The whole result, but for what `conclude` adds."""
        study, evaluation, data = self.study, self.evaluation, self.study.data
        labels, groups = data.labels_of("test"), data.groups_of("test")
        probabilities, curves = study.probabilities("test"), study.curves
        pairs = [(row.a, row.b) for row in self.matched]
        seed = study.config.split_seed
        caveats = transductive([one.arm for one in study.trained.values()])
        if data.official and data.official.leaks:
            caveats.insert(0, describe_official(data.official))
        config = study.config
        dataset = dataclasses.replace(
            dataset_summary(data.dataset, data, config.input_size), marks=config.marks
        )
        if enlarged := describe_enlarged(dataset.enlarged or 0.0, config.input_size):
            caveats.append(enlarged)
        return StudyResult(
            run_id=study.run.id,
            config=to_dict(study.config),
            dataset=dataset,
            split=split,
            classes=tuple(data.classes),
            labels=data.task,
            arms=arms,
            majority=evaluation.majority,
            differences=evaluation.differences,
            gap_differences=tuple(self.gap_differences),
            matched=tuple(self.matched),
            mcnemar=tuple(mcnemar(labels, groups, probabilities, pairs, seed=seed)),
            paper_table=(*paper_table(curves), *majority_rows),
            grid=grid,
            confusion=mean_confusions(labels, probabilities, study.log_prior),
            verdict=Verdict(headline=""),
            folds=tuple(folds),
            cautions=(*evaluation.cautions, *caveats),
            chosen=dict(study.chosen) or None,
            notes=tuple(notes),
            versions=versions(),
        )


def other_tests(result: StudyResult) -> tuple[Sensitivity, ...]:
    """Sensitivity analyses of the primary and secondary tests, each arm at its own best setting."""
    labels, split = result.label_efficiency, result.split
    fewer = [row for row in (labels.differences if labels else ()) if row.fraction != 1]
    rows = (*result.differences, *result.gap_differences, *fewer)
    ratios: list[float] = []
    if split.folds and (training := split.counts.get("train")):
        # the tested images are those of all folds together, the others means over folds
        ratios = [split.counts["test"] / split.folds / training, split.counts["val"] / training]
    asked = [row for row in rows if row.correction in ("primary", "secondary")]
    return tuple(sensitivity(asked, *ratios))


def conclude(result: StudyResult, curves: Mapping[str, Curves]) -> StudyResult:
    """The result with the tests corrected in their families, the paper's claims and the verdict.

    Last of all, since the families hold the tests with fewer labels too. curves: {arm: learning
    curves}.
    """
    corrected = with_corrections(result)
    labels = corrected.label_efficiency
    if labels and labels.rows:
        names = {row.arm: corrected.arms[row.arm].label for row in labels.rows}
        pair = choose_pair([arm for arm in corrected.counted if arm in names])
        crosses = crossing(labels.differences, pair, names, corrected.differences)
        corrected = dataclasses.replace(
            corrected, label_efficiency=dataclasses.replace(labels, crossing=crosses)
        )
    on_edge = edges(corrected)
    return dataclasses.replace(
        corrected,
        claims=tuple(claims(curves, corrected)),
        verdict=verdict(corrected),
        sensitivity=other_tests(corrected),
        cautions=(*corrected.cautions, *([on_edge] if on_edge else [])),
    )


def evaluate_test(study: TrainedStudy) -> Evaluation:
    """All statistics of the test images."""
    data = study.data
    pair = choose_pair(study.counted) or PRIMARY
    return evaluate(
        data.labels_of("test"),
        data.groups_of("test"),
        study.probabilities("test"),
        study.log_prior,
        data.classes,
        resamples=study.config.bootstrap,
        seed=study.config.split_seed,
        primary=pair,
        named=is_primary(pair),
        group_caution=group_caution(known_group_kinds(data.dataset)),
        folds=study.folds,
    )


def dataset_summary(
    dataset: Dataset, data: StudyData | None = None, input_size: int | None = None
) -> DatasetSummary:
    """Name, size and terms of a dataset, or of its part that a study uses at `input_size` pixels."""
    groups = dataset.groups if data is None else data.groups
    kinds = known_group_kinds(dataset)
    rows = np.arange(len(dataset)) if data is None else data.rows
    used, info = dataset.frame.iloc[rows], dataset.info
    enlarged = None
    if data is not None and input_size:
        enlarged = float((short_sides(used) < input_size).mean())
    return DatasetSummary(
        name=dataset.name,
        images=len(groups),
        classes=len(dataset.classes),
        groups=len(np.unique(groups)),
        fingerprint=dataset.fingerprint,
        groups_known=groups_known(kinds),
        group_kinds=kinds,
        license=info.license,
        citation=info.citation,
        enlarged=enlarged,
        source_size=(int(used["width"].median()), int(used["height"].median())),
        source=Path(info.source).name,
        known_as=info.known_as,
        patients=info.patients,
        lesions=info.lesions,
        unlabelled=int(used["label"].isna().sum()),
        excluded=dict(Counter(one.reason for one in info.skipped).most_common()),
        attributes={
            name: known for name in dataset.attributes if (known := int(used[name].notna().sum()))
        },
    )


def mean_confusions(
    labels: np.ndarray, probabilities: Mapping[str, np.ndarray], log_prior: np.ndarray
) -> dict[str, tuple[tuple[float, ...], ...]]:
    """Confusion matrices of frequency-adjusted classes: {arm: counts (C, C)}, truth by row, mean over seeds.

    Args:
        labels: (N,).
        probabilities: {arm: (S, N, C)}.
        log_prior: (C,) or (N, C).
    """
    counts = {
        arm: confusion(labels, decide(p, log_prior), p.shape[-1]).mean(0).tolist()
        for arm, p in probabilities.items()
    }
    return {arm: tuple(tuple(row) for row in rows) for arm, rows in counts.items()}


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
    return {
        "derm_core": __version__,
        "python": platform.python_version(),
        **packages,
        **ESTIMATORS,
    }


def save_predictions(path: Path, tables: Sequence[pd.DataFrame]) -> None:
    """Write the tables of all arms and seeds as one Parquet file."""
    write_atomic(path, pd.concat(tables, ignore_index=True).to_parquet(index=False))
