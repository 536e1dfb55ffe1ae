"""Whether a difference holds on several datasets: every one and all together."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ...formatting import count, number, p_value, percent, points
from ...study.pooling import PooledDifference, PooledStudies, pool_studies
from ...study.study_result import StudyResult
from ..charts import ForestRow, forest
from ..section import Row, Section
from ..templating import words
from .parts import forest_text, pair_name

FEW_SETS = 4  # below which the variance between sets is hardly known


def pooled(result: StudyResult, others: Sequence[StudyResult]) -> Section | None:
    """The study pooled with those of the same protocol on other datasets.

    Args:
        result: the study that is asked about.
        others: every finished study, newest first.
    """
    studies = pool_studies(result, others)
    if studies is None:
        return None
    if len(studies.studies) < 2:
        return Section(**words("pooled-none"), text=_left_out(studies))
    rows = [row for one in studies.differences for row in _forest_rows(result, one)]
    return Section(
        **words("pooled", rows=forest_text(rows)),
        finding=" ".join(_finding(result, one) for one in studies.differences),
        text=_limits(studies),
        figure=lambda: forest(rows, "balanced accuracy"),
        table=[row for one in studies.differences for row in _table(result, one)],
        numbers=lambda: pd.DataFrame(row for one in studies.differences for row in _numbers(one)),
    )


def _forest_rows(result: StudyResult, one: PooledDifference) -> list[ForestRow]:
    pair = pair_name(result, *one.pair)
    rows = [ForestRow(f"{pair}, {name}", points(row), row) for name, row in one.by_dataset.items()]
    if one.pooled:
        together = one.pooled.together
        rows.append(ForestRow(f"{pair}, together", points(together), together, True))
    return rows


def _finding(result: StudyResult, one: PooledDifference) -> str:
    pair = pair_name(result, *one.pair)
    if one.pooled is None:
        return f"{pair} is known of one dataset only."
    together = one.pooled.together
    shown = {1: "above 0", -1: "below 0", 0: "no difference shown"}[together.sign]
    sets = count(len(one.by_dataset), "dataset")
    return f"{pair} over {sets}: {points(together)} points, {shown}."


def _limits(studies: PooledStudies) -> tuple[str, ...]:
    sets = len(studies.studies)
    lines = []
    if sets < FEW_SETS:
        lines.append(
            f"{count(sets, 'dataset')} say little of others: the variance between datasets is hardly "
            "known from so few, and the interval together is wide for that reason."
        )
    if studies.related:
        pairs = ", ".join(f"{a} and {b}" for a, b in studies.related)
        lines.append(
            f"From one archive, so that they are not independent: {pairs}. The interval together is "
            "too narrow for that."
        )
    return (*lines, *_left_out(studies))


def _left_out(studies: PooledStudies) -> tuple[str, ...]:
    return tuple(
        f"Not pooled, since a dataset enters once: further studies of {name} ({', '.join(runs)})."
        for name, runs in studies.left_out.items()
    )


def _table(result: StudyResult, one: PooledDifference) -> list[Row]:
    if one.pooled is None:
        return []
    pooled = one.pooled
    ahead = "–"
    if pooled.prediction:
        low, high = (100 * end for end in pooled.prediction)
        ahead = f"{low:+.1f} to {high:+.1f}".replace("-", "−")
    return [
        {
            "Difference": pair_name(result, *one.pair),
            "Datasets": len(one.by_dataset),
            "Together, points (95 % interval)": points(pooled.together),
            "p": p_value(pooled.p),
            "tau, points": number(100 * pooled.tau),
            "I²": percent(pooled.i2),
            "Next dataset, points": ahead,
        }
    ]


def _numbers(one: PooledDifference) -> list[Row]:
    a, b = one.pair
    weights = one.pooled.weights if one.pooled else (None,) * len(one.by_dataset)
    rows: list[Row] = [
        {"a": a, "b": b, "dataset": name, "mean": row.mean, "low": row.low, "high": row.high}
        | {"se": row.se, "weight": weight}
        for (name, row), weight in zip(one.by_dataset.items(), weights, strict=True)
    ]
    if pooled := one.pooled:
        together = pooled.together
        low, high = pooled.prediction or (None, None)
        rows.append(
            {"a": a, "b": b, "dataset": "together", "mean": together.mean, "low": together.low}
            | {"high": together.high, "se": together.se, "weight": 1.0, "p": pooled.p}
            | {"tau": pooled.tau, "i2": pooled.i2, "q": pooled.q, "q_p": pooled.q_p}
            | {"prediction_low": low, "prediction_high": high}
        )
    return rows
