"""The marks of a dataset's images on Data: counts, the table, export and import."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pandas as pd
import streamlit as st

from derm_core.data.manifest import Dataset
from derm_core.data.marks import COLUMNS, MARKS, summarise
from derm_core.data.marks_file import import_marks
from derm_core.report.csv_tables import to_csv
from derm_core.workspace import Workspace
from pages.ui import cached, frame, image_marks, words
from pages.ui.login import user_name

MEGABYTES = 15  # of a file of marks
HEADINGS = {
    "image_id": "Image",
    "mark": "Mark",
    "new_label": "Right class",
    "note": "Note",
    "by": "By",
    "when": "When (UTC)",
}


def draw_marks(workspace: Workspace, dataset: Dataset) -> None:
    """Marks of a dataset, folded: a line of counts, the table to remove from, CSV out and in."""
    marks = cached.marks(workspace, dataset.name)
    title = f"Marks of images · {len(marks):,}" if marks else "Marks of images"
    with st.expander(title, icon=":material/flag:", key="marks"):
        st.markdown(
            "Images that people marked as **wrong label**, **duplicate** or **exclude**, or with a **note**: in "
            "the gallery below, on *Latent space* among data issues and selections. A study can leave marked "
            "images out and use the right classes (*Train*). The dataset itself is not changed."
        )
        image_marks.draw_undo(workspace, dataset, "table")
        if marks:
            st.caption(words.plain(summarise(dataset, marks)))
            _draw_table(workspace, dataset)
        _draw_import(dataset)


def _draw_table(workspace: Workspace, dataset: Dataset) -> None:
    marks = list(cached.marks(workspace, dataset.name).values())
    table = pd.DataFrame([dataclasses.asdict(mark) for mark in marks])
    table["mark"] = table["mark"].map(MARKS)
    ticked = st.dataframe(
        table[list(COLUMNS)],
        hide_index=True,
        column_config=HEADINGS,
        selection_mode="multi-row",
        on_select="rerun",
        key=f"marks-table-{dataset.name}-{len(marks)}",
        alt=f"Marks of images of {dataset.name}",
    )
    rows = [row for row in ticked.selection.rows if row < len(marks)]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        frame.download(
            "Export marks (CSV)",
            lambda: to_csv([dataclasses.asdict(mark) for mark in marks]),
            name=f"{dataset.name}-marks.csv",
            key="marks-csv",
            mime="text/csv",
            type="tertiary",
        )
    if rows:
        names = [marks[row].image_id for row in rows]
        image_marks.draw_marks(workspace, dataset, names, "table")


def _draw_import(dataset: Dataset) -> None:
    file = st.file_uploader(
        "Import marks (CSV)",
        ["csv", "tsv", "txt"],
        key="marks-file",
        max_upload_size=MEGABYTES,
        help=f"Columns image_id and mark, and {', '.join(COLUMNS[2:])} if there are any. They take the place of "
        "the marks of the same images; other marks stay.",
    )
    if st.button("Import marks", disabled=file is None, key="import-marks") and file is not None:
        with frame.errors(), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "marks.csv"
            path.write_bytes(file.getvalue())
            done = import_marks(dataset, path, by=user_name())
            frame.announce(
                f"Imported: {words.count(done.added, 'new mark')}, {done.changed:,} changed, "
                f"{done.unchanged:,} as before."
            )
            st.rerun()
