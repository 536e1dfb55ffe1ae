"""Test metrics of every arm, and how certain the differences between arms are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from ...arms import ArmStyle, arm_style
from ...formatting import (
    DECISIONS,
    OF_A_DECISION,
    QUANTITIES,
    THIN,
    interval,
    missing,
    number,
    p_value,
    percent,
    points,
    signed_interval,
)
from ...glossary import TERMS
from ...stats.intervals import Difference, Interval
from ...stats.sensitivity import Sensitivity
from ...study.study_result import StudyResult
from ..charts import forest
from ..csv_tables import csv_table
from ..section import Row, Section
from ..templating import words
from .parts import (
    TEST_METRICS,
    about_calibration_error,
    about_left_out,
    arm_results,
    forest_rows,
    forest_text,
    is_share,
    margin_text,
    metric_cells,
    of_metric,
    of_the_verdict,
    pair_name,
    quantity_name,
)

LOWER_IS_BETTER = ("log_loss", "brier", "ece")


def arm_metrics(result: StudyResult) -> Section:
    """Every metric of every arm and of the majority class, with 95 % intervals."""
    tested: list[tuple[ArmStyle, Mapping[str, Interval]]] = [
        (style, entry.test) for style, entry in arm_results(result)
    ]
    if result.majority:
        tested.append((arm_style("majority"), result.majority))
    return Section(
        **words("test-metrics", calibration=about_calibration_error(result.versions)),
        table=[{"Arm": style, **metric_cells(metrics)} for style, metrics in tested],
        numbers=partial(csv_table, result, "test-metrics"),
    )


def decisions(result: StudyResult) -> Section | None:
    """Accuracy and balanced accuracy of both decisions of every published model, where they were measured."""
    rows: list[Row] = [
        {
            "Arm": style,
            "Class": name,
            **{
                QUANTITIES[metric]: interval(getattr(getattr(entry.decisions, key), metric), metric)
                for metric in OF_A_DECISION
            },
        }
        for style, entry in arm_results(result)
        if entry.decisions
        for key, name in DECISIONS.items()
    ]
    return (
        Section(**words("decisions", about=TERMS["two-decisions"].text), table=rows)
        if rows
        else None
    )


def accuracy_with_gap(result: StudyResult) -> list[Row]:
    """A line for each arm: its two main metrics, always with its gaps."""
    return [
        {
            "Arm": style,
            **metric_cells(entry.test, TEST_METRICS[:2]),
            "Accuracy gap": percent(entry.gaps.get("accuracy"), sign=True),
            "Loss gap": number(entry.gaps.get("loss"), sign=True),
        }
        for style, entry in arm_results(result)
    ]


def compared_metrics(result: StudyResult) -> list[str]:
    """The metrics in which arms are compared."""
    return list(dict.fromkeys(row.metric for row in result.differences if row.metric))


def differences(result: StudyResult, metric: str = "balanced_accuracy") -> Section | None:
    """Paired differences in one metric, on the same test groups."""
    mine, share = of_metric(result.differences, metric), is_share(metric)
    if not mine:
        return None
    shown = of_the_verdict(result, mine)
    drawn, quantity = forest_rows(result, shown, share), quantity_name(metric)
    side = "Left" if metric in LOWER_IS_BETTER else "Right"
    diamond = " Diamond: the one test named in advance." if drawn[0].primary else ""
    return Section(
        **words(
            "forest",
            metric=metric,
            quantity=quantity,
            side=side,
            rows=forest_text(drawn),
            diamond=diamond + about_left_out(drawn, mine, "the list of all pairs below"),
        ),
        figure=lambda: forest(drawn, quantity, share=share),
        table=_difference_lines(result, shown, metric),
        numbers=partial(csv_table, result, "differences"),
    )


def all_pairs(result: StudyResult, metric: str = "balanced_accuracy") -> Section | None:
    """The differences between all pairs, where the verdict compares some of them."""
    mine = of_metric(result.differences, metric)
    if len(of_the_verdict(result, mine)) == len(mine):
        return None
    return Section(
        **words("all_pairs", metric=metric, quantity=quantity_name(metric), count=len(mine)),
        table=_difference_lines(result, mine, metric),
        numbers=partial(csv_table, result, "differences"),
    )


def _difference_lines(result: StudyResult, mine: Sequence[Difference], metric: str) -> list[Row]:
    share = is_share(metric)
    unit = " points" if share else ""
    return [
        {
            "Difference": row.name,
            f"{QUANTITIES[metric]} (95 % interval)": f"{row.text}{unit}",
            "p": _p(difference),
            "Test": _family(difference),
            "Found in 80 % of such studies": _detectable(difference, share),
            f"Equivalent ({margin_text(mine[0].margin, share)})": _equivalent(difference),
        }
        for row, difference in zip(forest_rows(result, mine, share), mine, strict=True)
    ]


def _family(row: Difference) -> str:
    return "primary" if row.primary else row.correction or "secondary"


def _p(row: Difference) -> str:
    if row.method == "constant":
        return "nothing varied"
    return p_value(row.p if row.primary else row.p_holm)


def _detectable(row: Difference, share: bool) -> str:
    if missing(row.detectable):
        return "–"
    return f"{100 * abs(row.detectable):.1f} points" if share else number(abs(row.detectable))


def _equivalent(row: Difference) -> str:
    if row.margin is None or row.equivalent is None:
        return "–"
    return "yes" if row.equivalent else "not shown"


def mcnemar(result: StudyResult) -> Section | None:
    """Images that one arm alone gets right: descriptive."""
    if not result.mcnemar:
        return None
    lines = [
        {
            "Difference": pair_name(result, row.a, row.b),
            "Images": f"{row.n:,}",
            "Only the first right": f"{row.a_only:,}",
            "Only the second right": f"{row.b_only:,}",
            "p": p_value(row.p),
        }
        for row in result.mcnemar
    ]
    return Section(
        **words("mcnemar"),
        table=lines,
        numbers=partial(csv_table, result, "mcnemar"),
    )


CORRECTED = (
    "Corrected: the t test over folds of Nadeau and Bengio (2003), which widens the variance "
    "because the folds share training images. "
)


def sensitivity(result: StudyResult) -> Section | None:
    """The differences that claims are made of, under two other customary tests."""
    rows = result.sensitivity
    if not rows:
        return None
    in_folds = any(row.corrected for row in rows)
    lines = [_other_tests(result, row, in_folds) for row in rows]
    return Section(
        **words("sensitivity", corrected=CORRECTED if in_folds else ""),
        table=lines,
        numbers=partial(csv_table, result, "sensitivity"),
    )


def _other_tests(result: StudyResult, row: Sensitivity, in_folds: bool) -> Row:
    share = row.kind != "loss" and is_share(row.metric or "accuracy")
    write = points if share else signed_interval
    unit = " points" if share else ""
    line = {
        "Difference": pair_name(result, row.a, row.b),
        "In": _what(row),
        "Mean": f"{write(Interval(mean=row.mean))}{unit}",
        "p": p_value(row.p),
    }
    if in_folds:
        line |= {
            "Corrected (95 % interval)": f"{write(row.corrected)}{unit}" if row.corrected else "–",
            "Corrected p": p_value(row.corrected_p),
        }
    return {
        **line,
        "Margin": margin_text(row.margin, share),
        "p of equivalence": p_value(row.tost_p),
    }


def _what(row: Sensitivity) -> str:
    if row.kind:
        return f"{row.kind.capitalize()} gap, {row.at}"
    name = QUANTITIES[row.metric or "balanced_accuracy"]
    return name if row.fraction is None else f"{name}, {100 * row.fraction:g}{THIN}% of the labels"
