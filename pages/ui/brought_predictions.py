"""Predictions of other people's models for a dataset: files are uploaded, read, compared, and not saved."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from derm_core.data.manifest import Dataset
from derm_core.data.prediction_files import bring_predictions
from derm_core.events import Progress
from derm_core.report.sections.predictions import prediction_sections
from derm_core.study.predictions_compared import compare_predictions
from derm_core.study.predictions_result import PredictionsCompared
from pages.ui import frame, live_run, section

KEY = "predictions-compared"
TYPES = ["csv", "tsv", "txt", "json", "jsonl", "parquet", "pq"]
MEGABYTES = 15  # of one file: what the server takes


def draw_predictions(dataset: Dataset) -> None:
    """The uploader, its two questions, the button, and the last result for this dataset."""
    if not dataset.classes:
        return
    with st.expander("Predictions of other models", icon=":material/compare_arrows:"):
        st.markdown(
            "Per-image predictions that others have published are compared like the arms of a study: by lesion or "
            "patient, paired, with an audit of the split that came with them. Nothing is trained."
        )
        files = st.file_uploader(
            "Files of predictions",
            TYPES,
            accept_multiple_files=True,
            key="prediction-files",
            max_upload_size=MEGABYTES,
            help="One row an image: its id or file name, and a predicted label or one probability or logit a class. "
            "A table of class numbers may be among them. Files leave this session's memory with the page. "
            "`compare predictions` reads larger ones.",
        )
        order = st.text_input(
            "Order of numbered classes",
            key=f"prediction-classes-{dataset.name}",
            placeholder=", ".join(dataset.classes),
            help="Only where files number their classes and have no true labels that show the order.",
        )
        with_subgroups = st.checkbox(
            "Also by age, sex, site and other attributes", key="prediction-subgroups"
        )
        if st.button("Compare them", disabled=not files, key="compare-predictions"):
            st.session_state.pop(KEY, None)
            with frame.errors():
                result = _compare(dataset, files, order, with_subgroups)
                st.session_state[KEY] = (_mark(dataset, files), result)
        mark, result = st.session_state.get(KEY, (None, None))
        if result is not None and mark == _mark(dataset, files):
            section.draw(*prediction_sections(result), file=dataset.name)


def _mark(dataset: Dataset, files: Sequence[Any]) -> tuple[str, ...]:
    """What a result is of: the dataset and the files."""
    return (dataset.fingerprint, *(hashlib.sha256(file.getvalue()).hexdigest() for file in files))


def _compare(
    dataset: Dataset, files: Sequence[Any], order: str, with_subgroups: bool
) -> PredictionsCompared:
    """The comparison, with progress; the files lie in a private folder while they are read."""
    bar = st.progress(0.0, "Reading the files…")
    with tempfile.TemporaryDirectory(prefix="derm-predictions-") as folder:
        paths = [_write(Path(folder) / str(place), file) for place, file in enumerate(files)]
        names = [part.strip() for part in order.split(",") if part.strip()]
        brought = bring_predictions(dataset, paths, classes=names)
    bar.progress(0.1, "Comparing…")
    steps = compare_predictions(dataset, brought, with_subgroups=with_subgroups)
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            bar.empty()
            result: PredictionsCompared = stop.value
            return result
        if isinstance(event.value, Progress):
            bar.progress(live_run.share(event.value), live_run.progress_text(event.value))


def _write(folder: Path, file: Any) -> Path:
    """An uploaded file under its own name, without what a path may not hold."""
    folder.mkdir(mode=0o700)
    path = folder / (re.sub(r"[^\w .()+@-]", "_", Path(file.name).name).strip(". ") or "file")
    path.write_bytes(file.getvalue())
    return path
