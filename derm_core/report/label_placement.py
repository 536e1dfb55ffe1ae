"""Where the labels of a few points with intervals stand, so that they cover as little as possible.

Labels of more points than there is room for would lie on each other: a legend has them then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..arms import ArmStyle
from ..stats.intervals import Interval
from .figure_style import ends

LETTER = 0.03  # width of a letter on a phone, the narrowest chart; the chart is 1 wide
CUT_OFF = 4  # a label that is cut off is worse than one that lies over lines

Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True)
class Point:
    """An arm in a plane, with an interval along each axis."""

    arm: ArmStyle
    x: Interval
    y: Interval


def edges(values: Sequence[Interval]) -> tuple[float, float]:
    """Lowest and highest end of all intervals; (0, 1) without any."""
    low, high = ends(values)
    return (min(low), max(high)) if values else (0.0, 1.0)


def point_labels(points: Sequence[Point]) -> list[dict[str, Any]]:
    """The part of each point's trace that writes the arm's name beside it; without text where labels would meet."""
    spots = label_spots(points)
    if not spots:
        return [{"mode": "markers"} for _ in points]
    return [
        {"mode": "markers+text", "text": [point.arm.name], "textposition": spot}
        for point, spot in zip(points, spots, strict=True)
    ]


def label_spots(points: Sequence[Point]) -> list[str]:
    """For each point "top right", …: where its label covers the fewest points, intervals, labels.

    Returns:
        Nothing where a label would lie on another one or be cut off on a phone.
    """
    x_edges, y_edges = edges([point.x for point in points]), edges([point.y for point in points])
    centres, crosses = [], []
    for point in points:
        (x0,), (x1,) = ends([point.x])
        (y0,), (y1,) = ends([point.y])
        x0, x, x1 = (_share(value, x_edges) for value in (x0, point.x.mean, x1))
        y0, y, y1 = (_share(value, y_edges) for value in (y0, point.y.mean, y1))
        centres.append((x, y))
        crosses.append(
            [
                (x0 - 0.01, y - 0.025, x1 + 0.01, y + 0.025),
                (x - 0.012, y0 - 0.02, x + 0.012, y1 + 0.02),
            ]
        )
    spots: list[str] = []
    taken: list[Box] = []
    for index, (point, centre) in enumerate(zip(points, centres, strict=True)):
        boxes = _boxes(*centre, LETTER * len(point.arm.name))
        others = [box for place, cross in enumerate(crosses) if place != index for box in cross]
        cost = {
            spot: sum(_overlap(box, other) for other in others + 3 * taken)
            + CUT_OFF * _is_cut_off(box)
            for spot, box in boxes.items()
        }
        spots.append(min(cost, key=cost.__getitem__))
        label = boxes[spots[-1]]
        if _is_cut_off(label) or any(_overlap(label, other) for other in taken):
            return []
        taken.append(label)
    return spots


def _is_cut_off(box: Box) -> bool:
    return box[0] < -0.16 or box[2] > 1.16


def _share(value: float | None, reach: tuple[float, float]) -> float:
    low, high = reach
    return ((value or 0.0) - low) / max(high - low, 1e-12)


def _boxes(x: float, y: float, width: float) -> dict[str, Box]:
    """Where the label of a point at (x, y) may stand."""
    return {
        f"{vertical} {side}": (
            x + (0.015 if side == "right" else -0.015 - width),
            y + (0.03 if vertical == "top" else -0.11),
            x + (0.015 + width if side == "right" else -0.015),
            y + (0.11 if vertical == "top" else -0.03),
        )
        for vertical in ("top", "bottom")
        for side in ("right", "left")
    }


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
