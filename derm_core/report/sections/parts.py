"""What several sections share: the arms in their order, differences as rows, intervals as columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from ...arms import ArmStyle, arm_style, in_order
from ...formatting import (
    NBSP,
    QUANTITIES,
    SHARES,
    count,
    duration,
    interval,
    points,
    signed_interval,
)
from ...stats.intervals import Difference, Interval
from ...stats.metrics import ESTIMATORS
from ...study.looks import Looks
from ...study.study_result import ArmResult, StudyResult
from ...study.summaries import DatasetSummary
from ..charts import Curve, ForestRow
from ..section import Row

NAMED_REASONS = 5  # for which an import left files out; the others are counted
MOST_ROWS = 12  # of a figure of differences
TEST_METRICS = ("balanced_accuracy", "macro_auroc", "accuracy", "log_loss", "brier", "ece")


Pairwise = TypeVar("Pairwise", bound=Any)  # has the arms a and b


def software(versions: Mapping[str, str]) -> str:
    """'python 3.11.7, torch 2.11.0': the versions of a result, without what only says how a metric was computed."""
    return ", ".join(f"{name} {it}" for name, it in versions.items() if name not in ESTIMATORS)


def describe_making(result: StudyResult) -> str:
    """How long a study took, and with which software."""
    took = "The statistics over all folds took" if result.folds else "Took"
    return f"{took} {duration(result.seconds)} with {software(result.versions)}."


def about_calibration_error(versions: Mapping[str, str]) -> str:
    """Which calibration error a result or a card has, from its versions: the estimator has changed once."""
    if ESTIMATORS.keys() <= versions.keys():
        return (
            "Calibration error: root mean square over fifteen bins of confidence, debiased. Where a model is "
            "calibrated it lies about 0, as often below as above."
        )
    return (
        "Calibration error: mean absolute, of an earlier version, and above 0 even where a model is calibrated "
        "(0.03 with 800 test images)."
    )


def style(result: StudyResult, arm: str) -> ArmStyle:
    """Name and colour of an arm of the study."""
    return arm_style(arm, result.arms[arm].label if arm in result.arms else None)


def styles(result: StudyResult) -> dict[str, ArmStyle]:
    """Every arm of the study, in the order in which arms always stand."""
    return {arm: style(result, arm) for arm in in_order(result.arms)}


def arm_results(result: StudyResult) -> list[tuple[ArmStyle, ArmResult]]:
    """Every arm with its results, in the order in which arms always stand."""
    return [(style, result.arms[arm]) for arm, style in styles(result).items()]


def columns(value: Interval, prefix: str) -> dict[str, float | None]:
    """mean, std, low and high of an interval as columns of a table."""
    return {f"{prefix}{end}": getattr(value, end) for end in ("mean", "std", "low", "high")}


def one_column_an_arm(
    result: StudyResult, index: str, cells: Iterable[tuple[str, str, str]]
) -> list[Row]:
    """(line, arm, text) as a table with a line for each `line` and a column for each arm."""
    lines: dict[str, dict[str, str]] = {}
    for line, arm, text in cells:
        lines.setdefault(line, {})[arm] = text
    arms = in_order({arm for line in lines.values() for arm in line})
    return [
        {index: line, **{style(result, arm).name: texts.get(arm, "–") for arm in arms}}
        for line, texts in lines.items()
    ]


def metric_cells(
    metrics: Mapping[str, Interval], names: Sequence[str] = TEST_METRICS
) -> dict[str, str]:
    """Cells of a table with a column for each metric, with 95 % intervals."""
    return {QUANTITIES[name]: interval(metrics.get(name), name) for name in names}


def curves_by_arm(
    result: StudyResult, rows: Iterable[Any], x: str, y: str
) -> dict[ArmStyle, Curve]:
    """A curve of each arm: the attributes x, ascending, and y of the rows with that arm."""
    of_arms: dict[str, tuple[list[float], list[Interval]]] = {}
    for row in sorted(rows, key=attrgetter(x)):
        xs, values = of_arms.setdefault(row.arm, ([], []))
        xs.append(getattr(row, x))
        values.append(getattr(row, y))
    return {style(result, arm): of_arms[arm] for arm in in_order(of_arms)}


def group_count(groups: int, known: bool | None) -> str:
    """'7,470 groups', or that no group is known; known: None in results of earlier versions."""
    return "groups unknown" if known is False else count(groups, "group")


def describe_looks(looks: Looks) -> str:
    """How often tested images had been looked at before, as far as this workspace knows."""
    if not looks.max:
        text = "not looked at before in this workspace"
    elif looks.mean == looks.max:
        text = f"looked at {count(looks.max, 'time')} before"
    else:
        text = f"looked at {looks.mean:.1f} times before on average, {looks.max} at most"
    if looks.unplaced:
        text += f", and by {count(looks.unplaced, 'earlier run')} whose images are not known"
    return text


def describe_excluded(data: DatasetSummary) -> str:
    """Files that the import left out, by reason, and images without a label; empty where it was not recorded."""
    if data.excluded is None:
        return ""
    reasons = list(data.excluded.items())
    listed = "; ".join(f"{reason} ({n:,})" for reason, n in reasons[:NAMED_REASONS])
    more = sum(n for _, n in reasons[NAMED_REASONS:])
    files = f"{count(sum(data.excluded.values()), 'file')} left out at import"
    files += f": {listed}" if listed else ""
    files += f"; for other reasons ({more:,})" if more else ""
    marked = f" As people marked its images: {data.marks}." if data.marks else ""
    return f"{files}. {count(data.unlabelled or 0, 'image')} without a label.{marked}"


def pair_name(result: StudyResult, a: str, b: str) -> str:
    """'VAE − ImageNet'; a line may break before the minus, not within a name."""
    return " − ".join(style(result, arm).brief.replace(" ", NBSP) for arm in (a, b))


def forest_rows(
    result: StudyResult, differences: Sequence[Any], share: bool = True
) -> list[ForestRow]:
    """Rows with a, b and an interval as rows of a forest, the primary one first."""
    write = points if share else signed_interval
    return [
        ForestRow(pair_name(result, row.a, row.b), write(row), row, getattr(row, "primary", False))
        for row in sorted(differences, key=lambda row: not getattr(row, "primary", False))
    ]


def of_the_verdict(result: StudyResult, differences: Sequence[Pairwise]) -> list[Pairwise]:
    """Of many differences those between arms whom the verdict compares, for a figure; all where they are few."""
    if len(differences) <= MOST_ROWS:
        return list(differences)
    asked = {
        frozenset((row.a, row.b))
        for row in result.differences
        if row.primary or row.correction == "secondary"
    }
    return [row for row in differences if {row.a, row.b} in asked] or list(differences)


def about_left_out(drawn: Sequence[Any], every: Sequence[Any], where: str) -> str:
    """A sentence where a figure has not all pairs; where: what has them."""
    if len(drawn) == len(every):
        return ""
    return f" Drawn: the {len(drawn)} pairs of the verdict; {where} has all {len(every)}."


def forest_text(rows: Sequence[ForestRow]) -> str:
    """The rows of a forest in words."""
    return " ".join(f"{row.name}: {row.text}." for row in rows)


def against(
    differences: Iterable[Difference], arm: str, opponent: str | None, metric: str
) -> Difference | None:
    """The difference arm − opponent in a metric, in this direction whichever one was computed."""
    for row in differences:
        if row.metric == metric and (row.a, row.b) == (arm, opponent):
            return row
        if row.metric == metric and (row.b, row.a) == (arm, opponent):
            mean, low, high = (None if x is None else -x for x in (row.mean, row.high, row.low))
            return dataclasses.replace(row, a=row.b, b=row.a, mean=mean, low=low, high=high)
    return None


def of_metric(differences: Sequence[Difference], metric: str) -> list[Difference]:
    """The differences in one metric, the primary one first, then those that the verdict asks for."""
    rows = [row for row in differences if row.metric == metric]
    return sorted(rows, key=lambda row: (not row.primary, row.correction == "exploratory"))


def margin_text(margin: float | None, share: bool) -> str:
    """'±2 points', '±0.02': up to where a difference counts as none; '–' without a margin."""
    if margin is None:
        return "–"
    unit = "point" if 100 * margin == 1 else "points"
    return f"±{100 * margin:g} {unit}" if share else f"±{margin:g}"


def is_share(metric: str) -> bool:
    """Whether a metric is written as a percentage."""
    return metric in SHARES


def quantity_name(metric: str) -> str:
    """What a metric is called within a sentence: 'balanced accuracy', 'macro-AUROC'."""
    name = QUANTITIES.get(metric, metric)
    is_proper = name.startswith("Brier") or name[1:2].isupper()
    return name if is_proper else name[:1].lower() + name[1:]
