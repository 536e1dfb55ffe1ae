"""study.json as records: what a comparison, or an evaluation of published models, has measured.

    result = read_study(run.study)
    result.arms["vae"].test["balanced_accuracy"].mean

Files of every version can be read: what an older version did not measure is empty or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..files import read_json
from ..records import from_json, named, optional, to_json
from ..stats.calibration import ReliabilityBin
from ..stats.evaluation import ClassRecall, Metrics
from ..stats.gaps import MatchedPair
from ..stats.intervals import Difference, Interval
from ..stats.multiple_tests import McNemar
from ..stats.operating_point import OperatingCurve

Numbers = tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Learning rate and weight decay of the heads."""

    learning_rate: float
    weight_decay: float


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """What one arm reached.

    Args:
        features: width of its feature vector.
        test: {metric: interval}.
        per_class: recall of each class.
        curves: path of its learning curves below the run's folder.
        gaps: {"loss" or "accuracy": the gap at the final epoch}.
        gaps_detail: {"loss" or "accuracy": {"final", "best", "test", "area": interval}}.
        setting: the setting shared by all arms; None where each fold has its own.
        best_setting: the arm's own best setting and its test metrics.
        extractor: what rebuilds the extractor.
        card: of a published model, parts of its card.
    """

    label: str
    kind: str
    features: int
    test: Metrics
    regime: str = "frozen"
    per_class: tuple[ClassRecall, ...] = ()
    curves: str | None = optional()
    gaps: dict[str, float | None] = field(default_factory=dict)
    gaps_detail: dict[str, Metrics] = field(default_factory=dict)
    setting: dict[str, float] = field(default_factory=dict)
    best_setting: dict[str, Any] = field(default_factory=dict)
    extractor: dict[str, Any] | None = optional()
    card: dict[str, Any] | None = optional()


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """The dataset that was compared on: numbers of images, classes and groups."""

    name: str
    images: int
    classes: int
    groups: int
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """Images and groups of each part, and how often its test images have been looked at before.

    Args:
        folds: number of folds; 0 for a single split.
        name: of an evaluation, "unseen" or "all".
    """

    fingerprint: str = optional("")
    counts: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    looked_before: int = 0
    folds: int = optional(0)
    name: str | None = optional()


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One of the paper's claims on this dataset: "seen", "not seen", "opposite" or "not asked"."""

    id: str
    claim: str
    answer: str
    text: str
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PaperValues:
    """What the paper reports; `derived` names what is computed back from its percentages."""

    start: float | None = None
    final: float | None = None
    relative_change: float | None = None
    derived: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """Start, final value and relative change of one quantity and arm, beside the paper's."""

    arm: str
    quantity: str
    start: float | None
    final: float | None
    relative_change: float | None
    paper: PaperValues | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result in words, and the rules' outcomes behind them."""

    headline: str
    sentences: tuple[str, ...] = ()
    pair: tuple[str, ...] | None = None
    more_accurate: str | None = None
    equivalent: bool = False
    smaller_gap: str | None = None
    survives_matched: bool | None = None
    detectable: float | None = None


@dataclass(frozen=True, kw_only=True)
class FoldRow:
    """One fold: its runs, sizes, and per arm balanced accuracy and gaps, means over seeds."""

    fold: int
    run: str
    pretrain: str | None = None
    fingerprint: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    arms: dict[str, dict[str, float | None]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Subgroup:
    """One value of an attribute; `caution` where it has fewer than 20 groups."""

    value: str
    images: int
    groups: int
    classes: int
    caution: bool
    arms: dict[str, Metrics]


@dataclass(frozen=True, kw_only=True)
class Subgroups:
    """One attribute: its values, and per arm the value with the lowest balanced accuracy."""

    attribute: str
    values: tuple[Subgroup, ...]
    worst: dict[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Reliability of one arm before and after temperature scaling."""

    temperature: float
    bins: tuple[ReliabilityBin, ...]
    bins_after: tuple[ReliabilityBin, ...]
    before: Metrics
    after: Metrics


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Sensitivity for one class against the rest at each specificity."""

    class_name: str = field(metadata=named("class"))
    images: int
    groups: int
    specificity: tuple[float, ...]
    arms: dict[str, OperatingCurve]


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """Decisions of two arms: counts (C, C), a's class by row and b's by column, and who is right."""

    a: str
    b: str
    matrix: tuple[tuple[float, ...], ...]
    both_right: int
    a_only: int
    b_only: int
    both_wrong: int


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """The test set looked at more closely: subgroups, calibration, operating point, disagreement."""

    subgroups: tuple[Subgroups, ...] = ()
    calibration: dict[str, Calibration] = field(default_factory=dict)
    operating_point: OperatingPoint | None = None
    disagreement: tuple[Disagreement, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    seconds: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """One arm trained with a share of the labels."""

    arm: str
    fraction: float
    images: float | None
    groups: float | None
    balanced_accuracy: Interval
    macro_auroc: Interval
    accuracy: Interval
    by_seed: Numbers = ()


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """The share of labels at which one arm overtakes the other."""

    pair: tuple[str, ...] = ()
    fraction: float | None = None
    shown: bool = False
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelEfficiency:
    """Heads trained on shares of the training groups, with the number of updates fixed."""

    fractions: tuple[float, ...] = ()
    updates: int | None = None
    note: str = ""
    setting: dict[str, float] | None = optional()
    rows: tuple[LabelRow, ...] = ()
    differences: tuple[Difference, ...] = ()
    crossing: Crossing | None = None
    seconds: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class RobustnessRow:
    """One arm under one corruption at one severity; without severity, the mean over severities."""

    arm: str
    family: str
    severity: int | None = optional()
    balanced_accuracy: Interval | None = optional()
    relative_loss: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """The test repeated under image corruptions; relative_loss is the share of the clean balanced accuracy lost."""

    families: tuple[str, ...] = ()
    severities: tuple[int, ...] = ()
    clean: Metrics = field(default_factory=dict)
    rows: tuple[RobustnessRow, ...] = ()
    families_summary: tuple[RobustnessRow, ...] = ()
    mean: Metrics = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    images: int | None = None
    precision: str | None = None
    note: str = ""
    seconds: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class ShortcutRow:
    """One arm at one strength of the artefact's tie: balanced accuracy on three test sets, and the reliance."""

    arm: str
    strength: float
    clean: Interval
    aligned: Interval
    reversed: Interval
    reliance: Interval


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """An artefact tied to one class in training, and the other way round in test.

    Args:
        share: of the training images, those of the class.
        reference: reliance, at each strength, of a predictor that sees the artefact alone.
    """

    class_name: str = field(default="", metadata={"name": "class"})
    share: float | None = None
    artefact: str = ""
    base: float | None = None
    strengths: tuple[float, ...] = ()
    rows: tuple[ShortcutRow, ...] = ()
    differences: tuple[Difference, ...] = ()
    reference: Numbers = ()
    text: str = ""
    note: str = optional("")
    seconds: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class ExternalSet:
    """The same trained models on another labelled dataset.

    Args:
        left_out: {their class: its images} that have no class here.
        absent: classes that the set does not have.
        map: {their class: ours}.
        leak: images that are also in the training data, by how they were recognised.
        drop: {arm: the study's own test set less this one}.
    """

    dataset: str
    images: int
    groups: int
    arms: dict[str, Metrics]
    left_out: dict[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    map: dict[str, str] = field(default_factory=dict)
    leak: dict[str, int] = field(default_factory=dict)
    majority: Metrics = field(default_factory=dict)
    per_class: dict[str, tuple[ClassRecall, ...]] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    confusion: dict[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    cautions: tuple[str, ...] = ()
    drop: Metrics = field(default_factory=dict)
    drop_differences: tuple[Difference, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a study, or an evaluation of published models, has measured.

    Args:
        config: the run's config as it stands in study.json; `kind` is "study" or "evaluate".
        labels: which task the labels stand for: {"kind": "classes"}, or "priority" with its map.
        grid: the points of the heads' grid, their validation losses, and which were chosen.
        confusion: {arm: counts (C, C)}, truth by row, means over seeds.
        seconds: duration of the run.
    """

    run_id: str
    config: dict[str, Any]
    dataset: DatasetSummary
    split: SplitSummary
    classes: tuple[str, ...]
    arms: dict[str, ArmResult]
    verdict: Verdict
    kind: str = optional("study")
    labels: dict[str, Any] = field(default_factory=dict)
    majority: Metrics = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    gap_differences: tuple[Difference, ...] = ()
    matched: tuple[MatchedPair, ...] = ()
    mcnemar: tuple[McNemar, ...] = ()
    claims: tuple[Claim, ...] = ()
    paper_table: tuple[PaperRow, ...] = ()
    grid: dict[str, Any] = field(default_factory=dict)
    confusion: dict[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    folds: tuple[FoldRow, ...] = optional(())
    cautions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    detail: Breakdown = field(default_factory=Breakdown)
    label_efficiency: LabelEfficiency | None = optional()
    external: tuple[ExternalSet, ...] = optional(())
    robustness: Robustness | None = optional()
    shortcut: Shortcut | None = optional()
    map: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    leak: dict[str, int] = field(default_factory=dict)
    seconds: float | None = optional()


OF_STUDIES = (
    "labels",
    "gap_differences",
    "matched",
    "mcnemar",
    "claims",
    "paper_table",
    "grid",
    "detail",
)
OF_TRAINING = ("gaps", "gaps_detail", "setting", "best_setting", "smaller_gap", "survives_matched")
OF_EVALUATIONS = ("map", "left_out", "absent", "leak")


def study_json(result: StudyResult) -> dict[str, Any]:
    """study.json of a result; an evaluation of published models has no fields of training, and the other way round."""
    body: dict[str, Any] = to_json(result)
    evaluated = result.kind == "evaluate"
    absent = OF_STUDIES if evaluated else OF_EVALUATIONS
    body = {key: value for key, value in body.items() if key not in absent}
    if evaluated:
        for entry in (*body["arms"].values(), body["verdict"]):
            for key in OF_TRAINING:
                entry.pop(key, None)
    elif result.detail == Breakdown():
        del body["detail"]
    return body


def read_study(path: Path | str) -> StudyResult:
    """The result in a study.json.

    Raises:
        FileNotFoundError: where there is none.
        RunError: where it cannot be read.
    """
    return study_result(read_json(Path(path)))


def study_result(study: Mapping[str, Any]) -> StudyResult:
    """The result in the values of a study.json of any version.

    Raises:
        RunError: naming the first field that is not as it was ever written.
    """
    return from_json(StudyResult, _of_older_versions(study), unknown="ignore", error=RunError)


def _of_older_versions(study: Mapping[str, Any]) -> dict[str, Any]:
    """The first versions compared one pair of arms, and had the majority's metrics one level below."""
    body = {key: value for key, value in study.items() if value is not None}
    body.setdefault("kind", (body.get("config") or {}).get("kind", "study"))
    pair = (body.get("verdict") or {}).get("pair") or ("", "")
    gaps, matched = body.get("gap_differences") or [], body.get("matched") or []
    if isinstance(gaps, dict):
        body["gap_differences"] = [
            {"a": pair[0], "b": pair[1], "kind": kind, "at": "final", **value}
            for kind, value in gaps.items()
        ]
    if isinstance(matched, dict):
        body["matched"] = [{"a": pair[0], "b": pair[1], **matched}]
    if regime := (body.get("config") or {}).get("regime"):
        body["arms"] = {arm: {"regime": regime, **entry} for arm, entry in body["arms"].items()}
    majority = body.get("majority") or {}
    body["majority"] = majority.get("test", majority)
    return body
