"""Import in two steps: look at what would be read and decide what is what, then import."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from derm_core.data.import_options import FOLDER, NO_CLASSES, ImportOptions, ImportSource
from derm_core.data.import_preview import ImportPreview, preview_import
from derm_core.data.import_roots import VARIABLE, check_root, import_roots
from derm_core.data.importers import import_dataset
from derm_core.data.table_columns import TableColumns, columns_of_tables
from derm_core.errors import DermError
from derm_core.workspace import Workspace, check_id
from pages.ui import frame, import_preview, live_run, words

LOOK = "import-look"  # what this session looked at last
NUMBER = "import-number"  # of the paths that it looked at
REFUSAL = "import-refusal"  # of a path or name
PATTERN = "pattern"
NO_ROOTS = (
    f"This server imports from no folder yet: whoever runs it allows folders by `{VARIABLE}`, or imports a data "
    "set for all users with `derm data import`."
)
ARRAY = "medmnist"  # the layout of a file in which nothing can be chosen
CLASSES = {FOLDER: "The folders", NO_CLASSES: "None, images without labels", PATTERN: "A pattern"}
FIELDS = {  # option of the command line, as refusals and notes name it: its control here
    "--image-column": "Image column",
    "--label-column": "Label columns",
    "--group-column": "Group columns",
    "--split-column": "Split column",
    "--table": "Tables",
    "--exclude": "Leave out",
    "--classes": "Classes",
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """What an import would read, or why it cannot yet.

    Attributes:
        typed, path: as the user wrote it, and where it leads.
        number: of the path in this session; part of the keys of the controls.
        options: for which `preview` or `refusal` holds; None before the first.
    """

    typed: str
    path: Path
    name: str
    number: int
    options: ImportOptions | None = None
    preview: ImportPreview | None = None
    refusal: str = ""
    tables: TableColumns = TableColumns()

    def key(self, field: str) -> str:
        """The key of a control of this form."""
        return f"import-{self.number}-{field}"


def for_page(text: str) -> str:
    """A sentence of an import with the names of the controls in place of the options, for markdown."""
    return words.plain(re.sub(r"(--[a-z]+(?:-column)?)(?: (folder|none)\b)?", _control, text))


def _control(match: re.Match[str]) -> str:
    option, value = match.groups()
    if option not in FIELDS:
        return match[0]
    if option == "--classes" and value:
        return f"“{FIELDS[option]}: {CLASSES[value]}”"
    return f"“{FIELDS[option]}”" + (f" {value}" if value else "")


@st.fragment
def draw_import(workspace: Workspace, expanded: bool) -> None:
    """The form of an import, folded unless there is no dataset yet."""
    with st.expander("Import images", icon=":material/upload_file:", expanded=expanded):
        if not import_roots(workspace):
            st.markdown(NO_ROOTS)
            return
        st.markdown(
            "A folder or file on this machine: HAM10000 and ISIC tables, PAD-UFES-20, MedMNIST `.npz`, "
            "one folder per class, or any table with an image and a label column. "
            "Your files stay where they are, and nothing is written before you press *Import*."
        )
        look: Look | None = st.session_state.get(LOOK)
        with st.form("import", border=False):
            with st.grid(2, min_column_width=280):
                st.text_input("Path", placeholder="/home/me/HAM10000", key="import-path")
                st.text_input(
                    "Name",
                    placeholder="ham10000",
                    key="import-name",
                    help="Of the dataset: 1 to 40 lower-case letters, digits and hyphens.",
                )
            st.form_submit_button(
                "Preview",
                type="secondary" if look else "primary",
                icon=":material/search:",
                on_click=_begin,
                args=(workspace,),
            )
        if refusal := st.session_state.pop(REFUSAL, None):
            frame.show_error(refusal)
        if look:
            _draw_look(workspace, look)


def _begin(workspace: Workspace) -> None:
    """Look anew; a new path begins without choices."""
    state = st.session_state
    typed, before = state["import-path"].strip(), state.pop(LOOK, None)
    number = state.get(NUMBER, 0) + (before is None or before.typed != typed)
    try:
        path = check_root(typed, workspace)
        name = check_id(state["import-name"].strip(), "dataset name")
    except DermError as error:
        state[REFUSAL] = str(error)
    else:
        state[LOOK] = Look(typed=typed, path=path, name=name, number=number)
        state[NUMBER] = number


def _draw_look(workspace: Workspace, look: Look) -> None:
    """What would be read, the choices, and the button that imports."""
    with st.container():  # one place whatever it holds: controls that moved would lose the focus
        look = _current(look)
        if look.preview is None:
            st.error(for_page(look.refusal), icon=":material/error:")
        else:
            import_preview.draw_facts(look.preview, for_page)
    if look.preview is None or look.preview.source.layout != ARRAY:
        _draw_choices(look)
    if look.preview is None:
        return
    import_preview.draw_images(workspace, look.preview)
    import_preview.draw_left_out(look.preview)
    _draw_button(workspace, look)


def _current(look: Look) -> Look:
    """What the choices as they stand lead to."""
    try:
        options = _options(look)
    except DermError as error:
        return replace(look, options=None, preview=None, refusal=str(error))
    if look.options != options:
        with st.spinner("Reading names and tables…"):
            look = st.session_state[LOOK] = _looked(look, options)
    return look


def _looked(look: Look, options: ImportOptions) -> Look:
    try:
        preview = preview_import(look.path, options)
        tables = TableColumns(preview.tables, preview.columns)
        return replace(look, options=options, preview=preview, refusal="", tables=tables)
    except DermError as error:
        refusal = str(error)
    tables = look.tables
    with contextlib.suppress(DermError):  # the refusal says it
        tables = columns_of_tables(look.path, options.tables)
    return replace(look, options=options, preview=None, refusal=refusal, tables=tables)


def _options(look: Look) -> ImportOptions:
    """The choices as they stand in the controls. Raises ConfigError."""
    state = st.session_state
    classes = state.get(look.key("classes"))
    if classes == PATTERN:
        classes = state.get(look.key("pattern"), "").strip() or None
    exclude = state.get(look.key("exclude"), "").split(",")
    from_tables = state.get(look.key("classes")) is None
    return ImportOptions(
        image_column=state.get(look.key("image")),
        label_columns=tuple(state.get(look.key("labels"), ())) if from_tables else (),
        group_columns=tuple(state.get(look.key("groups"), ())),
        split_column=state.get(look.key("split")),
        tables=tuple(state.get(look.key("tables"), ())) if from_tables else (),
        exclude=tuple(pattern.strip() for pattern in exclude if pattern.strip()),
        classes=classes,
    )


def _draw_choices(look: Look) -> None:
    """A control for each thing that an import takes for something; empty, it shows what was taken."""
    st.markdown(
        "**Columns and classes** · Leave a field empty for automatic. A choice updates the preview."
    )
    with st.grid(4, min_column_width=220):
        st.selectbox(
            "Classes",
            list(CLASSES),
            index=None,
            format_func=CLASSES.__getitem__,
            placeholder="Automatic: folders or a table",
            key=look.key("classes"),
            help="Where the names of the classes come from.",
        )
        classes = st.session_state.get(look.key("classes"))
        if classes == PATTERN:
            st.text_input(
                "Pattern of paths",
                placeholder="{class}/{patient}/*",
                key=look.key("pattern"),
                help="Of the paths below the folder: {class} stands for the folder that names the class.",
            )
        _draw_columns(look, from_tables=classes is None)
        st.text_input(
            "Leave out",
            placeholder="masks/*, *_seg.png",
            key=look.key("exclude"),
            help="Patterns of paths, file names or folders, separated by commas.",
        )


def _draw_columns(look: Look, from_tables: bool) -> None:
    """The tables and columns; from_tables: whether classes may come from a table."""
    source = look.preview.source if look.preview else ImportSource()
    columns, tables = look.tables.columns, look.tables.tables

    def settings(field: str, taken: str | None) -> dict[str, Any]:
        words_taken = "the folder" if taken == FOLDER else taken or "none"
        automatic = f"Automatic: {words_taken}" if look.preview else "Automatic"
        return {"key": look.key(field), "placeholder": automatic}

    def known(names: Sequence[str], field: str) -> list[str]:
        """The names, and those chosen before that are no longer among them."""
        chosen = st.session_state.get(look.key(field)) or ()
        return list(dict.fromkeys((*names, *([chosen] if isinstance(chosen, str) else chosen))))

    if tables and look.path.is_dir():
        st.multiselect(
            "Tables",
            known(tables, "tables"),
            help="With the labels. Several are joined into one set.",
            disabled=not from_tables,
            **settings("tables", source.table),
        )
    if columns:
        st.selectbox(
            "Image column",
            known(columns, "image"),
            index=None,
            help="Names the image files.",
            **settings("image", source.image_column),
        )
        st.multiselect(
            "Label columns",
            known(columns, "labels"),
            help="One that names the class, or several that are one-hot.",
            disabled=not from_tables,
            **settings("labels", source.label_column),
        )
    st.multiselect(
        "Group columns",
        known((*columns, FOLDER), "groups"),
        max_selections=2,
        format_func=lambda name: "The image's folder" if name == FOLDER else name,
        help="The patient's, then the lesion's. Images of one group never stand in two splits.",
        **settings("groups", source.group_column),
    )
    if columns:
        st.selectbox(
            "Split column",
            known(columns, "split"),
            index=None,
            help="Names the official split: training, validation and test.",
            **settings("split", source.split_column),
        )


def _draw_button(workspace: Workspace, look: Look) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        size = st.selectbox(
            "Decoded size (px)",
            [32, 64, 96, 128, 192, 224],
            index=1,
            width=160,
            key="import-size",
            help="Side of the square copies in pixels. Others are made when a run needs them.",
        )
        pressed = st.button("Import", type="primary", key="import-now")
    if pressed:
        _run_import(workspace, look, size)


def _run_import(workspace: Workspace, look: Look, size: int) -> None:
    """Import a dataset, with progress."""
    bar = st.progress(0.0, "Reading the listing…")
    with frame.errors():
        progress = live_run.counter(bar, "Importing")
        path, name = check_root(look.typed, workspace), look.name
        result = import_dataset(
            workspace, path, name, options=look.options, sizes=(size,), progress=progress
        )
        frame.announce(
            f"Imported {result.images:,} images of {result.classes} classes in "
            f"{words.duration(result.seconds)}; {words.count(len(result.skipped), 'file')} skipped."
        )
        del st.session_state[LOOK]
        st.query_params["dataset"] = name
        st.rerun()
