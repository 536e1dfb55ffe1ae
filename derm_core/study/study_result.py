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

from ..data.official_split import OfficialSplit
from ..errors import RunError
from ..files import read_json
from ..records import from_json, optional, to_json
from ..stats.evaluation import ClassRecall, Metrics
from ..stats.gaps import MatchedPair
from ..stats.intervals import Difference
from ..stats.multiple_tests import McNemar
from .answers import Breakdown, ExternalSet, LabelEfficiency, Robustness, Shortcut


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
    """The dataset that was compared on: numbers of images, classes and groups.

    Args:
        groups_known: whether a patient or lesion is known of any image.
        group_kinds: patient, lesion or image → how many of its images are grouped by it.
        license, citation: of the dataset, where they are known.
        enlarged: share of the images whose shorter side is below the input size, 0 to 1.

    What earlier versions did not record is None.
    """

    name: str
    images: int
    classes: int
    groups: int
    fingerprint: str
    groups_known: bool | None = optional()
    group_kinds: dict[str, int] | None = optional()
    license: str | None = optional()
    citation: str | None = optional()
    enlarged: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """Images and groups of each part, and how often its test images have been looked at before.

    Args:
        folds: number of folds; 0 for a single split.
        name: of an evaluation, "unseen" or "all".
        official: what has to be known of the dataset's official split, where it was used.
    """

    fingerprint: str = optional("")
    counts: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    looked_before: int = 0
    folds: int = optional(0)
    name: str | None = optional()
    official: OfficialSplit | None = optional()


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
    try:
        return from_json(StudyResult, _of_older_versions(study), unknown="ignore", error=RunError)
    except RunError as error:
        raise RunError(f"This study.json cannot be read: {error} Run the study again.") from error


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
