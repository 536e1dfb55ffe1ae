"""What an import would read: counts, groups, cautions, sample images, and what is left out."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from derm_core.data.cautions import describe_groups, groups_known, sort_notes
from derm_core.data.dataset_facts import listed_counts
from derm_core.data.import_preview import ImportPreview
from derm_core.data.import_roots import check_root
from derm_core.errors import ConfigError
from derm_core.workspace import Workspace
from pages.ui import frame, images, words

CLASSES = 12  # of which sample images are shown
SAMPLES = 4  # of a class
SIDE = 64  # pixels of a sample on the page
SPLITS = {"train": "training", "val": "validation", "test": "test", "": "in none of them"}


def draw_facts(preview: ImportPreview, for_page: Callable[[str], str]) -> None:
    """Counts, groups and splits; cautions as a warning, other notes as a list.

    Args:
        preview: what would be imported.
        for_page: a sentence of the import in markdown.
    """
    known = groups_known(preview.group_kinds)
    with st.grid(4, min_column_width=150):
        st.metric("Images", f"{preview.images:,}", border=True)
        st.metric("Classes", len(preview.class_counts), border=True)
        st.metric("Without a label", f"{preview.unlabelled:,}", border=True)
        st.metric("Groups", f"{preview.groups:,}" if known else "Unknown", border=True)
    lines = [f"Layout: {preview.source.layout}"]
    if known:
        lines.append(f"Groups: {describe_groups(preview.groups, preview.group_kinds)}")
    if preview.splits:
        lines.append(f"Official split: {listed_counts(preview.splits, SPLITS)}")
    if preview.source.companions:
        lines.append(f"Other tables used: {', '.join(preview.source.companions)}")
    cautions, notes = sort_notes(preview.notes)
    if cautions:
        st.warning("\n\n".join(map(for_page, cautions)), icon=":material/warning:")
    st.markdown("\n".join(f"- {for_page(line)}" for line in (*lines, *notes)))


def draw_images(workspace: Workspace, preview: ImportPreview) -> None:
    """A few images of each class, and the counts of all classes where there are many."""
    counts = dict(sorted(preview.class_counts.items(), key=lambda pair: -pair[1]))
    if preview.unlabelled:
        counts[""] = preview.unlabelled
    has_samples = any(preview.examples.values())
    if has_samples:
        with st.grid(3, min_column_width=320):
            for name in list(counts)[:CLASSES]:
                _draw_class(workspace, name, counts[name], preview.examples.get(name, ()))
        if len(counts) <= CLASSES:
            return
    title = f"Images of all {len(counts)} classes"
    with st.expander(title, icon=":material/table_rows:", expanded=not has_samples):
        names = [name or "no label" for name in counts]
        table = pd.DataFrame({"class": names, "images": list(counts.values())})
        frame.show_table(table, title="Images by class", key="import-classes")


def _draw_class(workspace: Workspace, name: str, count: int, paths: tuple[str, ...]) -> None:
    with st.container(border=True):
        st.markdown(f"**{words.plain(name or 'no label')}** · {words.count(count, 'image')}")
        with st.container(horizontal=True, gap="xsmall"):
            for path in paths[:SAMPLES]:
                picture = _sample(workspace, path)
                if picture is None:
                    st.caption(":material/broken_image: not readable")
                else:
                    st.image(images.data_url(picture), width=SIDE, alt=f"{name or 'no label'}")


def _sample(workspace: Workspace, path: str) -> bytes | None:
    """A small copy of an image below the folders that the app may import from."""
    try:
        return images.file_thumbnail(str(check_root(path, workspace)))
    except ConfigError:
        return None


def draw_left_out(preview: ImportPreview) -> None:
    """What the tables or folders hold and the import would not read, with the reasons."""
    if not preview.skipped:
        return
    title = f"{words.count(len(preview.skipped), 'file')} left out, each with its reason"
    with st.expander(title, icon=":material/warning:"):
        table = pd.DataFrame(list(preview.skipped))
        frame.show_table(table, title="Files left out", key="import-skipped")
