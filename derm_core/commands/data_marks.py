"""`data marks`: what people marked of a dataset's images, as a list, to a CSV file and from one."""

from __future__ import annotations

import argparse
import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

from ..data.manifest import load_dataset
from ..data.marks import COLUMNS, Mark, current_user, marks_table, read_marks, summarise
from ..data.marks_file import import_marks
from ..formatting import count
from ..records import to_json
from ..report.csv_tables import to_csv
from .output import Answer, Screen, table
from .reports import write_file

SHOWN_MARKS = 20
SHOWN_NOTE = 40  # characters
NO_MARKS = (
    "Images are marked on the pages Latent space and Data, or by `data marks NAME --import FILE.csv` with the "
    f"columns {', '.join(COLUMNS)}."
)


def marks_data(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, counts, absent, stale, marks: […]}; with --import {…, imported}, with --export {…, files}."""
    dataset = load_dataset(screen.workspace, args.name)
    value: dict[str, Any] = {"name": args.name}
    lines: list[str] = []
    if args.import_file:
        done = import_marks(dataset, args.import_file, by=current_user())
        value["imported"] = to_json(done)
        lines.append(
            f"Imported: {count(done.added, 'new mark')}, {done.changed:,} changed, {done.unchanged:,} as before."
        )
    marks = read_marks(dataset.paths)
    summary = summarise(dataset, marks)
    value |= to_json(summary)
    if args.export:
        rows = [dataclasses.asdict(mark) for mark in marks.values()]
        path = write_file(args.export, to_csv(rows) if rows else marks_table([]).encode())
        value["files"] = [str(path)]
        lines.append(f"{path}: {count(len(rows), 'mark')}")
    lines.append(str(summary))
    if args.list or not (args.import_file or args.export):
        value["marks"] = to_json(list(marks.values()))
        lines += _list(list(marks.values())) if marks else [NO_MARKS]
    return Answer(value, "\n".join(lines))


def _list(marks: Sequence[Mark]) -> list[str]:
    rows = [
        (mark.image_id, mark, textwrap.shorten(mark.note, SHOWN_NOTE), mark.by, mark.when)
        for mark in marks[-SHOWN_MARKS:]
    ]
    lines = [table(("image", "mark", "note", "by", "when"), rows)]
    if len(marks) > len(rows):
        lines.append(
            f"and {len(marks) - len(rows):,} earlier ones; --json and --export have them all"
        )
    return lines
