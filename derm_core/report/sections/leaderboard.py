"""The leaderboard: arms ranked, their ties, and beside the rank what else decides between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from ...formatting import THIN, count, interval, listed, percent
from ...stats.intervals import Interval
from ...study.leaderboard import LEAST_ARMS, ArmFilter, Leaderboard, Place
from ...study.leaderboard import leaderboard as rank_arms
from ...study.study_result import ArmResult, StudyResult
from ..figure_style import INK, Figure, blank, error_bar, labels_above, marker, scatter
from ..section import Bullet, Row, Section
from ..templating import words
from .networks import SEEN
from .parts import columns, style

ROW_HEIGHT = 48  # pixels
TIE_WIDTH = 0.035  # of the figure, for each line that joins a tie
TUNED = "Told apart: corrected p below 0.05, or for the primary test an interval that excludes 0"
TWICE_TUNED = f"{TUNED}; each arm at its own best setting and with one setting for all alike."
RANKED_APART = "Arms that saw these images in their pretraining are ranked apart, at the end."
IMPLIED = (
    "Input size and pretraining follow from the study’s settings: an earlier version made this result and "
    "recorded no networks."
)


@dataclass(frozen=True)
class Column:
    """A column beside the ranking: its heading, its name in CSV files, how to read it, and its value for an arm."""

    title: str
    name: str
    about: str
    value: Callable[[str], Interval | None]


def leaderboard(result: StudyResult, chosen: ArmFilter | None = None) -> list[Section]:
    """The ranking of the arms, and of those that have seen the dataset; nothing for fewer than three arms."""
    if len(result.arms) < LEAST_ARMS:
        return []
    board = rank_arms(result, chosen)
    beside = side_columns(result)
    about = " ".join(
        [column.about for column in beside]
        + ([] if all(place.network.recorded for place in board.places) else [IMPLIED])
    )
    rows = [_row(result, place, beside) for place in board.places]
    text = " ".join(f"{place.first}: {style(result, place.arm).name}." for place in board.places)
    rule = TWICE_TUNED if result.shared else f"{TUNED}."
    shown = words("leaderboard", rule=rule, columns=about, rows=text)
    main = Section(
        **shown,
        finding=_finding(result, board),
        text=_about_filter(board, len(result.arms)),
        bullets=_ties(result, board),
        figure=(lambda: ranking_figure(result, board)) if board.places else None,
        table=rows,
        numbers=(lambda: _numbers(result, board, beside)) if board.places else None,
    )
    if not board.seen:
        return [main]
    apart = Section(
        **words("leaderboard-seen"),
        table=[_row(result, place, beside) for place in board.seen],
        numbers=lambda: _numbers(result, board, beside),
    )
    return [main, apart]


def short_leaderboard(result: StudyResult) -> Section | None:
    """Rank, balanced accuracy and ties alone, for a terminal; None for fewer than three arms."""
    if len(result.arms) < LEAST_ARMS:
        return None
    board = rank_arms(result)
    places = [*board.places, *board.seen]
    apart = RANKED_APART if board.seen else ""
    return Section(
        **words("leaderboard-short", apart=apart),
        finding=_finding(result, board),
        table=[_place_cells(result, place) for place in places],
    )


def side_columns(result: StudyResult) -> list[Column]:
    """What stands beside the ranking, as far as the study has measured it."""
    offered = [
        Column(
            "Accuracy gap",
            "accuracy_gap",
            "Accuracy gap: training less validation accuracy at the end.",
            lambda arm: _gap(result.arms[arm]),
        ),
        Column(
            "Calibration error",
            "ece",
            "Calibration error: before temperature scaling.",
            lambda arm: result.arms[arm].test.get("ece"),
        ),
    ]
    if robustness := result.robustness:
        offered.append(
            Column(
                "Lost to corruptions",
                "relative_loss",
                "Lost to corruptions: the share of its balanced accuracy, mean over all of them.",
                robustness.mean.get,
            )
        )
    if (answer := result.saliency_inside) and answer.rows:
        offered.append(
            Column(
                "Saliency inside",
                "saliency_inside",
                f"Saliency inside: the share within the lesion mask of {count(answer.sampled, 'test image')}; an even "
                f"map has {percent(answer.rows[0].area)} there, the lesion’s share of the area. –: no map.",
                lambda arm: row.inside if (row := answer.of_arm(arm)) else None,
            )
        )
    if labels := _fewest_labels(result):
        fraction, of_arms = labels
        offered.append(
            Column(
                f"With {100 * fraction:g}{THIN}% of the labels",
                "fewest_labels",
                f"With {100 * fraction:g} % of the labels: balanced accuracy.",
                of_arms.get,
            )
        )
    return [column for column in offered if any(column.value(arm) for arm in result.arms)]


def _gap(entry: ArmResult) -> Interval | None:
    """The accuracy gap at the final epoch, with an interval where there is one."""
    value = entry.gaps.get("accuracy")
    final = entry.gaps_detail.get("accuracy", {}).get("final")
    return final or (None if value is None else Interval(mean=value))


def _fewest_labels(result: StudyResult) -> tuple[float, dict[str, Interval]] | None:
    """The smallest share of labels, and balanced accuracy with it; None where none below all was asked for."""
    rows = result.label_efficiency.rows if result.label_efficiency else ()
    fraction = min((row.fraction for row in rows), default=1.0)
    if fraction >= 1:
        return None
    return fraction, {row.arm: row.balanced_accuracy for row in rows if row.fraction == fraction}


def _place_cells(result: StudyResult, place: Place) -> Row:
    return {
        "Rank": _rank(place),
        "Arm": style(result, place.arm),
        "Balanced accuracy": interval(result.arms[place.arm].test["balanced_accuracy"]),
        "Ties": place.ties or "–",
        "Saw these images": SEEN.get(place.network.seen or "", "–"),
    }


def _row(result: StudyResult, place: Place, beside: Sequence[Column]) -> Row:
    cells, network = _place_cells(result, place), place.network
    seen = cells.pop("Saw these images")
    return {
        **cells,
        **{column.title: interval(column.value(place.arm)) for column in beside},
        "Network": _network(place),
        "Pretrained on": network.pretrained_on or "–",
        "Saw these images": seen,
    }


def _network(place: Place) -> str:
    """'resnet18, 64 px, 2.8 M'."""
    network = place.network
    parts = [
        network.architecture,
        network.input_size and f"{network.input_size:,}{THIN}px",
        network.parameters and f"{network.parameters / 1e6:,.1f}{THIN}M",
    ]
    return ", ".join(part for part in parts if part) or "–"


def _rank(place: Place) -> str:
    """'1–5', or '6' where the tests leave one place open."""
    return f"{place.first}" if place.first == place.last else f"{place.first}–{place.last}"


def _finding(result: StudyResult, board: Leaderboard) -> str:
    """Who may stand first."""
    if not board.places:
        return "No arm is left to rank."
    ranked = "arm ranked here" if board.seen or board.left_out else "arm"
    may_lead = [place for place in board.places if place.first == 1]
    names = [style(result, place.arm).name for place in may_lead]
    if len(board.places) == 1:
        return f"{names[0]} is the only arm to rank."
    if len(names) == 1 and may_lead[0].last == 1:
        return f"{names[0]} is shown to be more accurate than every other {ranked}."
    if len(names) == 1:
        tied = set(may_lead[0].ties.split())
        alike = [
            style(result, place.arm).name
            for place in board.places[1:]
            if tied & set(place.ties.split())
        ]
        return (
            f"No {ranked} is shown to be more accurate than {names[0]}, which is not told apart from "
            f"{listed(alike)}."
        )
    return f"No {ranked} is shown to be the most accurate: {listed(names)} may each stand first."


def _about_filter(board: Leaderboard, total: int) -> tuple[str, ...]:
    """How many arms the filter leaves, where it leaves out any."""
    if not board.left_out:
        return ()
    return (
        f"{count(total - board.left_out, 'arm')} of {total} shown. Ranks count these; p values stay corrected over "
        "all tests of the study. An arm of which a filtered fact is not known is left out.",
    )


def _ties(result: StudyResult, board: Leaderboard) -> tuple[Bullet, ...]:
    return tuple(
        Bullet(
            text=f"{listed([style(result, arm).name for arm in group])} are not told apart.",
            badge=letter,
        )
        for letter, group in board.groups.items()
    )


def ranking_figure(result: StudyResult, board: Leaderboard) -> Figure:
    """Balanced accuracy of every arm with its interval, best first; a line at the right for each tie."""
    places = board.places
    values = [result.arms[place.arm].test["balanced_accuracy"] for place in places]
    edge = 1 - TIE_WIDTH * (len(board.groups) + bool(board.groups))
    figure = blank(
        "Arms ranked by balanced accuracy",
        ROW_HEIGHT * len(places) + 70,
        x="Balanced accuracy, test",
    )
    for row, (place, value) in enumerate(zip(places, values, strict=True)):
        arm = style(result, place.arm)
        figure.add_trace(
            scatter(
                [value.mean],
                [row],
                "markers",
                name=arm.name,
                marker=marker(arm, 11),
                error_x=error_bar(value, arm.colour),
                hovertemplate=f"{arm.name}: {interval(value)}<extra></extra>",
            )
        )
    for number, (letter, group) in enumerate(board.groups.items()):
        rows = [row for row, place in enumerate(places) if place.arm in group]
        tied = listed([style(result, arm).name for arm in group])
        figure.add_trace(
            scatter(
                [number] * len(rows),
                rows,
                "lines+markers+text",
                name=letter,
                text=[letter, *[""] * (len(rows) - 1)],
                textposition="top center",
                xaxis="x2",
                line={"color": INK, "width": 2},
                marker={"color": INK, "size": 6},
                hovertemplate=f"{letter}: {tied} are not told apart<extra></extra>",
            )
        )
    names = [f"{_rank(place)}  {style(result, place.arm).name}" for place in places]
    labels = labels_above(range(len(places)), names, [percent(value.mean) for value in values])
    for label in labels:
        label["x"] *= edge
    figure.update_layout(
        annotations=labels,
        xaxis2={
            "domain": [edge, 1],
            "range": [-1, len(board.groups) - 0.5],
            "visible": False,
            "fixedrange": True,
        },
    )
    figure.update_yaxes(visible=False, range=[len(places) - 0.55, -0.85])
    return figure.update_layout(
        xaxis={"domain": [0, edge], "tickformat": ".0%", "nticks": 8}, showlegend=False
    )


def _numbers(result: StudyResult, board: Leaderboard, beside: Sequence[Column]) -> pd.DataFrame:
    """A line for each arm, those that have seen the dataset last, with plain numbers."""
    return pd.DataFrame(
        {
            "first": place.first,
            "last": place.last,
            "arm": place.arm,
            "name": style(result, place.arm).name,
            "ties": place.ties,
            "ranked_apart": place in board.seen,
            **columns(result.arms[place.arm].test["balanced_accuracy"], "balanced_accuracy_"),
            **{
                key: number
                for column in beside
                for key, number in columns(
                    column.value(place.arm) or Interval(mean=None), f"{column.name}_"
                ).items()
            },
            "architecture": place.network.architecture,
            "input_size": place.network.input_size,
            "parameters": place.network.parameters,
            "pretrained_on": place.network.pretrained_on,
            "seen": place.network.seen,
        }
        for place in (*board.places, *board.seen)
    )
