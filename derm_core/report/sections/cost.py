"""What every arm cost: images, seconds and, as an estimate, energy."""

from __future__ import annotations

from functools import partial

from ...arms import in_order
from ...formatting import THIN, duration, missing, number
from ...study.study_result import StudyResult
from ..csv_tables import csv_table
from ..section import Section
from ..templating import words
from .parts import style

DEVICES = {"cpu": "processor", "cuda": "GPU"}


def cost(result: StudyResult) -> Section | None:
    """Images, time and estimated energy of every arm."""
    answer = result.cost
    if answer is None or not answer.arms:
        return None
    rows = []
    for arm in in_order(answer.arms):
        of = answer.arms[arm]
        rows.append(
            {
                "Arm": style(result, arm),
                "Images, pretraining": _images(of.pretraining_images),
                "Images, heads": _images(of.head_images),
                "Pretraining": duration(of.pretraining_seconds),
                "Features": duration(of.feature_seconds),
                "Heads": duration(of.head_seconds),
                "Energy, estimated": _energy(of.energy_kwh),
            }
        )
    power = "; ".join(
        f"{DEVICES.get(kind, kind)} {of.watts:.0f}{THIN}W ({of.source})"
        for kind, of in answer.power.items()
    )
    folds = " Times and energy are those of all folds together." if result.folds else ""
    return Section(
        **words("cost", power=power or "no time was measured", folds=folds),
        table=rows,
        numbers=partial(csv_table, result, "cost"),
    )


def _images(count: float | None) -> str:
    return "–" if missing(count) else f"{count:,.0f}"


def _energy(kwh: float | None) -> str:
    """'1.25 kWh', '3.4 Wh'."""
    if missing(kwh):
        return "–"
    return f"{number(kwh, 2)}{THIN}kWh" if kwh >= 0.1 else f"{number(1000 * kwh, 1)}{THIN}Wh"
