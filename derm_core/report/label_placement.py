"""Where the labels of a few points with intervals stand, so that they cover as little as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import formatting

LETTER, CUT = (
    0.03,
    4,
)  # a letter on a phone, the narrowest chart; to be cut off is worse than to lie over lines


def _ends(row: Mapping[str, Any], axis: str) -> tuple[float, float]:
    low, high = row.get(f"{axis}_low"), row.get(f"{axis}_high")
    return (row[axis] if formatting.missing(low) else low), (
        row[axis] if formatting.missing(high) else high
    )


def edges(rows: Sequence[Mapping[str, Any]], axis: str) -> tuple[float, float]:
    """Lowest and highest end of all intervals along an axis; (0, 1) without rows."""
    ends = [end for row in rows for end in _ends(row, axis)]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def label_spots(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Where each point's label covers the fewest points, intervals and earlier labels."""
    reach = {axis: edges(rows, axis) for axis in "xy"}

    def unit(value: float, axis: str) -> float:
        low, high = reach[axis]
        return (value - low) / max(high - low, 1e-12)

    crosses = []  # per point: two thin boxes (x0, y0, x1, y1), its intervals
    for row in rows:
        (x0, x1), (y0, y1) = ([unit(end, axis) for end in _ends(row, axis)] for axis in "xy")
        x, y = unit(row["x"], "x"), unit(row["y"], "y")
        crosses.append(
            [
                (x0 - 0.01, y - 0.025, x1 + 0.01, y + 0.025),
                (x - 0.012, y0 - 0.02, x + 0.012, y1 + 0.02),
            ]
        )
    spots, taken = [], []
    for index, (row, name) in enumerate(zip(rows, names)):
        x, y, wide = unit(row["x"], "x"), unit(row["y"], "y"), LETTER * len(name)
        boxes = {
            f"{up} {side}": (
                x + (0.015 if side == "right" else -0.015 - wide),
                y + (0.03 if up == "top" else -0.11),
                x + (0.015 + wide if side == "right" else -0.015),
                y + (0.11 if up == "top" else -0.03),
            )
            for up in ("top", "bottom")
            for side in ("right", "left")
        }
        others = [
            box for place, pair in enumerate(crosses) if place != index for box in pair
        ] + 3 * taken
        cost = {
            spot: sum(_overlap(box, other) for other in others)
            + CUT * ((box[0] < -0.16) + (box[2] > 1.16))
            for spot, box in boxes.items()
        }
        spots.append(min(cost, key=cost.get))
        taken.append(boxes[spots[-1]])
    return spots


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
