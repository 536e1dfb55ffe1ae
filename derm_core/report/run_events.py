"""The events of a run sorted by what they are: series, learning curves, images, log lines, progress."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..events import Progress, read_events_from

LOG_LINES = 400


@dataclass
class RunEvents:
    """What a run has reported so far; `update` reads only what was appended since the last call.

    Attributes:
        offset: bytes of events.jsonl that have been read.
        points: by series, (epoch, step, value) of each event.
        images: by kind, file name and epoch of the last image.
        log: (time, line), the last LOG_LINES.
        progress: the latest.
    """

    offset: int = 0
    points: dict[str, list[tuple[float, int | None, Any]]] = field(default_factory=dict)
    images: dict[str, tuple[str, float | None]] = field(default_factory=dict)
    log: list[tuple[float, str]] = field(default_factory=list)
    progress: Progress | None = None

    def update(self, path: Path) -> None:
        """Read what was appended to the run's events.jsonl."""
        rows, self.offset = read_events_from(path, self.offset)
        self.add(rows)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            if row["kind"] == "metric":
                epoch = row["epoch"] if row["epoch"] is not None else row["step"] or 0
                self.points.setdefault(row["series"], []).append((epoch, row["step"], row["value"]))
            elif row["kind"] == "image":
                self.images[row["series"] or "image"] = (row["value"], row["epoch"])
            elif row["kind"] == "progress":
                self.progress = Progress.from_json(row["value"])
            elif row["kind"] == "log":
                self.log.append((row["time"], str(row["value"])))
        del self.log[:-LOG_LINES]

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """Epochs and values of a series with one number per event, without its gaps."""
        numbers = [
            (epoch, value)
            for epoch, _, value in self.points.get(name, [])
            if isinstance(value, int | float)
        ]
        return [epoch for epoch, _ in numbers], [value for _, value in numbers]

    def curves(self) -> dict[str, pd.DataFrame]:
        """The learning curves of each arm, as tables, of the series "ARM/SPLIT/QUANTITY" of all seeds."""
        cells: dict[str, dict[tuple[float, int], dict[str, Any]]] = {}
        for name, points in self.points.items():
            rest, _, quantity = name.rpartition("/")  # an arm of the hub has a slash in its name
            arm, _, split = rest.rpartition("/")
            if not arm or split not in ("train", "val") or not quantity:
                continue
            rows = cells.setdefault(arm, {})
            for epoch, step, value in points:
                for seed, number in enumerate(value if isinstance(value, list) else [value]):
                    row = rows.setdefault(
                        (epoch, seed), {"epoch": epoch, "step": step, "seed": seed}
                    )
                    row[f"{split}_{quantity}"] = number
        return {
            arm: pd.DataFrame(list(rows.values())).astype({"epoch": float})
            for arm, rows in cells.items()
        }
