"""Marking images, the same wherever images are shown: what is marked, a form, and a way back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from derm_core.data.manifest import Dataset
from derm_core.data.marks import MARKS, Change, Mark, remove_marks, set_marks, undo, utc_now
from derm_core.errors import DermError
from derm_core.workspace import Workspace
from pages.ui import cached, frame, words
from pages.ui.login import user_name

LAST, FAILED = "marks-last-change", "marks-error"
EFFECTS = {
    "wrong_label": "A study with marks uses the new class where new labels are asked for.",
    "duplicate": "A study with marks leaves it out. Mark the copy, not both.",
    "exclude": "A study with marks leaves it out.",
    "note": "No study changes; the note stays with the image.",
}


@dataclass(frozen=True)
class LastChange:
    """What this session marked last: of which dataset, and what it was before."""

    dataset: str
    change: Change
    sentence: str


def draw_undo(workspace: Workspace, dataset: Dataset, key: str) -> None:
    """What was marked last, with *Undo*; or why it could not be."""
    if error := st.session_state.pop(FAILED, None):
        frame.show_error(error)
    last = st.session_state.get(LAST)
    if not isinstance(last, LastChange) or last.dataset != dataset.name:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f":material/check: {words.plain(last.sentence)}", width="content")
        if last.change.before:
            st.button(
                "Undo",
                icon=":material/undo:",
                type="tertiary",
                key=f"undo-{key}",
                on_click=_undo,
                args=(workspace, last),
            )


def badge(mark: Mark) -> str:
    """A mark in markdown."""
    return f":orange-badge[:material/flag: Marked {words.plain(mark)}]"


def draw_marks(workspace: Workspace, dataset: Dataset, image_ids: Sequence[str], key: str) -> None:
    """What these images are marked, with a button that takes it away."""
    known = cached.marks(workspace, dataset.name)
    marked = [known[name] for name in image_ids if name in known]
    if not marked:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if len(image_ids) == 1:
            [mark] = marked
            about = " · ".join(filter(None, (mark.note, mark.by, mark.when[:10])))
            st.markdown(f"{badge(mark)} {words.aside(words.plain(about))}", width="content")
        else:
            counts = Counter(MARKS[mark.mark].lower() for mark in marked)
            listed = ", ".join(f"{name} {number:,}" for name, number in counts.items())
            st.markdown(f":material/flag: Marked of these: {listed}", width="content")
        st.button(
            "Remove mark" if len(marked) == 1 else f"Remove {len(marked):,} marks",
            type="tertiary",
            icon=":material/close:",
            key=f"unmark-{key}",
            on_click=_change,
            args=(dataset.name, "removed", _remover(dataset, [mark.image_id for mark in marked])),
        )


def draw_form(
    dataset: Dataset,
    image_ids: Sequence[str],
    key: str,
    kind: str = "exclude",
    new_label: str | None = None,
) -> None:
    """Give images one mark.

    Args:
        dataset: of the images; it holds all of them.
        image_ids: of the images.
        key: of the widgets, one for each place of a page.
        kind: the mark that is chosen first.
        new_label: the class that is chosen first for a wrong label.
    """
    kinds = [name for name in MARKS if name != "wrong_label" or len(dataset.classes) > 1]
    chosen = st.segmented_control(
        "Mark",
        kinds,
        default=kind if kind in kinds else "exclude",
        required=True,
        format_func=lambda name: MARKS[name],
        key=f"mark-kind-{key}",
        label_visibility="collapsed",
    )
    st.caption(EFFECTS[chosen])
    names, label = list(image_ids), None
    if chosen == "wrong_label":
        label = _choose_label(dataset, names, key, new_label)
        own = dict(zip(dataset.frame["image_id"], dataset.frame["label"], strict=True))
        names = [name for name in names if own[name] != label]
    note = st.text_input(
        "Note",
        key=f"mark-note-{key}",
        max_chars=500,
        placeholder="What a colleague should know" if chosen == "note" else "Why (optional)",
    )
    few = f"Mark {len(names):,} of {words.count(len(image_ids), 'image')}"
    st.button(
        few if len(names) < len(image_ids) else f"Mark {words.count(len(names), 'image')}",
        type="primary",
        key=f"mark-{key}",
        disabled=not names or (chosen == "note" and not note.strip()),
        on_click=_change,
        args=(dataset.name, "marked", _marker(dataset, names, chosen, label, note.strip())),
    )
    if len(names) < len(image_ids):
        st.caption(f"{words.count(len(image_ids) - len(names), 'image')} of this class already.")


def _choose_label(
    dataset: Dataset, names: Sequence[str], key: str, first: str | None
) -> str | None:
    """The right class; that of all images, where they have one, is not offered."""
    of_these = dataset.frame["label"][dataset.frame["image_id"].isin(names)].unique()
    offered = [c for c in dataset.classes if len(of_these) > 1 or c not in of_these]
    meaning = dataset.info.class_descriptions or {}
    label: str = st.selectbox(
        "Right class",
        offered,
        index=offered.index(first) if first in offered else 0,
        format_func=lambda c: f"{c} · {meaning[c]}" if c in meaning else c,
        key=f"mark-label-{key}",
    )
    return label


def _marker(
    dataset: Dataset, names: Sequence[str], kind: str, label: str | None, note: str
) -> Callable[[], Change]:
    def mark() -> Change:
        by, when = user_name(), utc_now()
        marks = [
            Mark(image_id=name, mark=kind, new_label=label, note=note, by=by, when=when)
            for name in names
        ]
        return set_marks(dataset, marks)

    return mark


def _remover(dataset: Dataset, names: Sequence[str]) -> Callable[[], Change]:
    return lambda: remove_marks(dataset.paths, names)


def _change(dataset: str, verb: str, change: Callable[[], Change]) -> None:
    """Callback of the buttons: change marks, and remember how to go back."""
    try:
        made = change()
    except DermError as error:
        st.session_state[FAILED] = str(error)
        return
    [*given] = {str(mark) for mark in made.after.values() if mark is not None}
    images = words.count(len(made.after), "image")
    sentence = f"{images} marked {given[0]}." if given else f"Marks of {images} {verb}."
    st.session_state[LAST] = LastChange(dataset, made, sentence)


def _undo(workspace: Workspace, last: LastChange) -> None:
    """Callback of *Undo*."""
    try:
        restored = undo(workspace.dataset(last.dataset), last.change)
    except DermError as error:
        st.session_state[FAILED] = str(error)
        return
    sentence = f"Undone for {words.count(restored, 'image')}."
    if restored < len(last.change.before):
        sentence += " The others were marked again since and keep their newer mark."
    st.session_state[LAST] = LastChange(last.dataset, Change({}, {}), sentence)
