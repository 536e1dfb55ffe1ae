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
from ..records import from_json, optional, to_json
from ..stats.decisions import DecisionScores
from ..stats.evaluation import ClassRecall, Metrics
from ..stats.gaps import MatchedPair
from ..stats.intervals import Difference
from ..stats.multiple_tests import McNemar
from ..stats.sensitivity import Sensitivity
from .answers import (
    Breakdown,
    ExternalSet,
    LabelEfficiency,
    Robustness,
    SaliencyInside,
    Shortcut,
)
from .clinical_answers import Cost, LinearHead
from .looks import Looks
from .roles import counted
from .summaries import DatasetSummary, FixedProtocol, SplitSummary


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """What one arm reached.

    Args:
        features: width of its feature vector.
        test: {metric: interval}.
        per_class: recall of each class.
        decisions: of a published model, how often each of its two decisions is right.
        curves: path of its learning curves below the run's folder.
        gaps: {"loss" or "accuracy": the gap at the final epoch}.
        gaps_detail: {"loss" or "accuracy": {"final", "best", "test", "area": interval}}.
        setting: the arm's setting, its own best point of the grid; empty where each fold has its own.
        best_setting: of earlier versions, whose numbers are those of one setting for all arms: the
            arm's own best setting and its test metrics.
        extractor: what rebuilds the extractor.
        card: of a published model, parts of its card.
        chosen: where validation chose the arm among others, such as ImageNet at its best input size, the
            arms that it chose, one a fold.
        architecture, input_size, parameters: of its network; of several side by side, the names, the
            largest side in pixels and the sum; the size and parameters behind brought vectors are not known.
        images_per_second: of the extraction of its features on this machine; None where that was not
            timed.
        pretrained_on: images of the pretraining, as a phrase.
        seen: whether the pretraining has seen images of the dataset that may be tested: "yes", "no" or
            "unknown".
    """

    label: str
    kind: str
    features: int
    test: Metrics
    regime: str = "frozen"
    per_class: tuple[ClassRecall, ...] = ()
    decisions: DecisionScores | None = optional()
    curves: str | None = optional()
    gaps: dict[str, float | None] = field(default_factory=dict)
    gaps_detail: dict[str, Metrics] = field(default_factory=dict)
    setting: dict[str, float] = field(default_factory=dict)
    best_setting: dict[str, Any] | None = optional()
    extractor: dict[str, Any] | None = optional()
    card: dict[str, Any] | None = optional()
    chosen: tuple[str, ...] = optional(())
    architecture: str | None = optional()
    input_size: int | None = optional()
    parameters: int | None = optional()
    images_per_second: float | None = optional()
    pretrained_on: str | None = optional()
    seen: str | None = optional()


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
class ClaimNumbers:
    """A difference with its 95 % interval, p of this interval, and p after Holm's correction."""

    mean: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What one test says of two arms.

    Args:
        about: what is compared: "balanced accuracy", "loss gap", "balanced accuracy, 10 % of the
            labels", …
        arms: (a, b); numbers are those of a − b.
        tuned: with each arm at its own best setting.
        shared: with one setting for all; None where there is none.
        says: a is "higher" or "lower" than b, "equivalent" within the margin, "not shown" to differ;
            "depends on tuning" where a difference is shown with one of tuned and shared alone, or
            the other way round.
    """

    about: str
    arms: tuple[str, ...]
    tuned: ClaimNumbers
    shared: ClaimNumbers | None = None
    says: str = "not shown"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result in words, and the rules' outcomes behind them.

    Args:
        headline: one sentence.
        sentences: at most four plain ones; in results of earlier versions all that was said.
        claims: every test behind them.
        details: what else has to be known, folded on screen.
        pair: the arms of the primary comparison.
        more_accurate: which of them is, where that is shown with own and shared settings alike.
        smaller_gap: likewise for the overfitting gap; None where the two gaps contradict each other.
        survives_matched: whether all gaps in which it is smaller are shown to be smaller at matched
            training accuracy too (True), none of them (False), or some, or that is not known (None).
        detectable: the difference that would be shown in 80 % of such studies.
    """

    headline: str
    sentences: tuple[str, ...] = ()
    claims: tuple[Conclusion, ...] = ()
    details: tuple[str, ...] = ()
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
class FoldGrid:
    """The settings of one fold: each arm's own, the one that all share, and which lie on the grid's edge."""

    fold: int
    chosen: dict[str, dict[str, float]] = field(default_factory=dict)
    shared: dict[str, float] | None = None
    on_edge: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The settings that were tried and those that validation chose.

    Args:
        points: {"learning_rate", "weight_decay"} of every setting.
        val_loss: {arm: validation loss at each point}, means over seeds at the final epoch.
        chosen: {arm: its own best point}; of folds, the point that most of them chose.
        shared: the one point for all arms; of folds, the point that most of them chose.
        on_edge: the arms, and "shared", whose point lies on the edge of the grid after widening; of
            folds, those of any fold.
        schedule: of the regime `finetune`, the one for every arm.
        folds: the settings of every fold.
    """

    rule: str = ""
    points: tuple[dict[str, float], ...] = optional(())
    val_loss: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    chosen: dict[str, dict[str, float]] = field(default_factory=dict)
    shared: dict[str, float] | None = None
    on_edge: tuple[str, ...] = ()
    schedule: dict[str, Any] | None = optional()
    folds: tuple[FoldGrid, ...] = optional(())


@dataclass(frozen=True, kw_only=True)
class SharedArm:
    """What one arm reached at the setting that all arms share; fields as of `ArmResult`."""

    test: Metrics
    gaps: dict[str, float | None] = field(default_factory=dict)
    gaps_detail: dict[str, Metrics] = field(default_factory=dict)
    setting: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SharedSetting:
    """The whole comparison once more with one setting for all arms."""

    arms: dict[str, SharedArm] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    gap_differences: tuple[Difference, ...] = ()
    matched: tuple[MatchedPair, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a study, or an evaluation of published models, has measured.

    Args:
        config: the run's config as it stands in study.json; `kind` is "study" or "evaluate".
        labels: which task the labels stand for: {"kind": "classes"}, or "priority" with its map.
        grid: the settings that were tried and chosen.
        shared: the same comparison with one setting for all arms; None where there is one schedule,
            and in results of earlier versions, whose own numbers are those of a shared setting.
        chosen: {"imagenet@best" or "vae@best": the arm that validation chose for it, one a fold}.
        confusion: {arm: counts (C, C)}, truth by row, means over seeds.
        looks: how often the test images had been looked at before this run; None in results of
            earlier versions.
        protocol: what was fixed before a test image was read; None in results of earlier versions.
        seconds: duration of the run.
    """

    run_id: str
    config: dict[str, Any]
    dataset: DatasetSummary
    split: SplitSummary
    classes: tuple[str, ...]
    arms: dict[str, ArmResult]
    verdict: Verdict
    looks: Looks | None = optional()
    protocol: FixedProtocol | None = optional()
    kind: str = optional("study")
    labels: dict[str, Any] = field(default_factory=dict)
    majority: Metrics = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    gap_differences: tuple[Difference, ...] = ()
    matched: tuple[MatchedPair, ...] = ()
    mcnemar: tuple[McNemar, ...] = ()
    claims: tuple[Claim, ...] = ()
    paper_table: tuple[PaperRow, ...] = ()
    grid: Grid = field(default_factory=Grid)
    shared: SharedSetting | None = optional()
    confusion: dict[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    folds: tuple[FoldRow, ...] = optional(())
    cautions: tuple[str, ...] = ()
    chosen: dict[str, tuple[str, ...]] | None = optional()
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    detail: Breakdown = field(default_factory=Breakdown)
    label_efficiency: LabelEfficiency | None = optional()
    linear_head: LinearHead | None = optional()
    external: tuple[ExternalSet, ...] = optional(())
    robustness: Robustness | None = optional()
    shortcut: Shortcut | None = optional()
    saliency_inside: SaliencyInside | None = optional()
    map: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = optional(())
    leak: dict[str, int] = field(default_factory=dict)
    cost: Cost | None = optional()
    seconds: float | None = optional()

    @property
    def counted(self) -> list[str]:
        """The arms that take part in the verdict, see `roles.counted`."""
        seen = {arm: one.seen for arm, one in self.arms.items()}
        return counted(seen, bool(self.config.get("count_seen")))

    @property
    def at_shared_setting(self) -> bool:
        """Whether its numbers are those of one setting for all arms, as earlier versions reported them."""
        of_heads = self.kind != "evaluate" and self.config.get("regime") == "frozen"
        return of_heads and self.shared is None


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
    if "grid" in body:
        body["grid"] = _grid_of_older_versions(body["grid"])
    return body


def _grid_of_older_versions(grid: Mapping[str, Any]) -> dict[str, Any]:
    """Earlier versions named points by number, and the axes of a setting that lies on the grid's edge."""
    body = dict(grid)
    points = body.get("points") or []
    if isinstance(body.get("chosen"), int):
        body["shared"] = points[body["chosen"]]
        body["chosen"] = {arm: points[i] for arm, i in (body.pop("best", None) or {}).items()}
        edges = {**(body.pop("best_edge", None) or {}), "shared": body.pop("edge", None)}
        body["on_edge"] = [name for name, axes in edges.items() if axes]
    folds = [_fold_grid_of_older_versions(row) for row in body.get("folds") or []]
    if folds:
        on_edge = [name for row in folds for name in row.get("on_edge") or []]
        body |= {"folds": folds, "on_edge": list(dict.fromkeys(body.get("on_edge") or on_edge))}
    return body


def _fold_grid_of_older_versions(row: Mapping[str, Any]) -> dict[str, Any]:
    if "learning_rate" not in row:
        return dict(row)
    point = {name: row[name] for name in ("learning_rate", "weight_decay")}
    return {"fold": row["fold"], "shared": point, "on_edge": ["shared"] if row.get("edge") else []}
