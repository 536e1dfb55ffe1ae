"""What a run has said so far, kept in the session and grown by its new events only.

feed = live.follow(workspace, run_id)     in a fragment with run_every=1
feed.progress                             the latest events.Progress
live.progress_text(feed.progress)         what stands on its bar
feed.curves()                             {arm: table} for figures.learning_curves
feed.series("val/loss")                   (epochs, values)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st

from derm_core.events import Progress, counted, read_events_from
from derm_core.workspace import Workspace
from pages.ui import words

LOG_LINES = 400


@dataclass
class Feed:
    """A run's events, sorted by what they are. `points`: series → [(epoch, step, value)]."""

    offset: int = 0
    points: dict[str, list[tuple[float, int | None, Any]]] = field(default_factory=dict)
    images: dict[str, tuple[str, float | None]] = field(default_factory=dict)
    log: list[tuple[float, str]] = field(default_factory=list)
    progress: Progress | None = None

    def add(self, rows: list[dict[str, Any]]) -> None:
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
        """Epochs and values of a series with one number an event; gaps in it are left out."""
        found = [
            (epoch, value)
            for epoch, _, value in self.points.get(name, [])
            if isinstance(value, (int, float))
        ]
        return [epoch for epoch, _ in found], [value for _, value in found]

    def curves(self) -> dict[str, pd.DataFrame]:
        """Series "ARM/SPLIT/QUANTITY" with one number a seed, as tables like artefacts/curves/ARM.csv."""
        cells: dict[str, dict[tuple[float, int], dict[str, Any]]] = {}
        for name, points in self.points.items():
            arm, _, rest = name.partition("/")
            split, _, quantity = rest.partition("/")
            if split not in ("train", "val") or not quantity:
                continue
            for epoch, step, value in points:
                for seed, number in enumerate(value if isinstance(value, list) else [value]):
                    row = cells.setdefault(arm, {}).setdefault(
                        (epoch, seed), {"epoch": epoch, "step": step, "seed": seed}
                    )
                    row[f"{split}_{quantity}"] = number
        return {
            arm: pd.DataFrame(list(rows.values())).astype({"epoch": float})
            for arm, rows in cells.items()
        }


def follow(workspace: Workspace, run_id: str) -> Feed:
    """The run's feed, brought up to date by reading what was appended since the last call."""
    feeds = st.session_state.setdefault("feeds", {})
    path = workspace.run(run_id).events
    feed = feeds.get(run_id)
    if feed is None or (path.exists() and path.stat().st_size < feed.offset):
        feed = feeds[run_id] = Feed()
    rows, feed.offset = read_events_from(path, feed.offset)
    feed.add(rows)
    return feed


def share(value: Progress | None) -> float:
    """How much of a piece of work is done, 0 to 1; 0 where nobody knows."""
    return value.share if value else 0.0


def progress_text(value: Progress) -> str:
    """`Decoding mine at 64 pixels · 1,200 of 10,015 images · 850 images/s · about 10 s left`."""
    rate, left = value.rate, value.eta_seconds
    parts = [words.plain(value.what[:1].upper() + value.what[1:])]
    if value.total:
        parts += [
            f"{value.done:,.0f} of {value.total:,.0f} {value.unit}",
            f"{words.number(rate, 1 if rate < 100 else 0)} {value.unit}/s" if rate else "",
            f"about {words.duration(left)} left" if left is not None else "",
        ]
    elif value.elapsed_seconds:
        parts.append(f"{words.duration(value.elapsed_seconds)} so far")
    return " · ".join(filter(None, parts))


def counter(bar: Any, what: str) -> Callable[[int, int], None]:
    """A callback (done, total) that shows images, their rate and the time left on a progress bar."""
    count = counted(what)

    def update(done: int, total: int) -> None:
        value = count(done, total).value
        bar.progress(share(value), progress_text(value))

    return update
