"""Data issues: near-duplicates, likely label errors and outliers of the space, each a ranked gallery with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from derm_core.data.manifest import Dataset
from derm_core.data.marks import Mark
from derm_core.insight.saved_map import IssueCounts
from derm_core.workspace import Workspace
from pages.ui import cached, frame, glossary, image_marks, images, scheduling, words
from pages.ui.latent import marking
from pages.ui.latent.loaded_map import LoadedMap

KINDS = {
    "near_duplicate": "Near-duplicates",
    "label_error": "Likely label errors",
    "outlier": "Outliers",
}
ABOUT = {
    "near_duplicate": "Pairs of images that show the same photograph, or nearly. A pair across splits leaks: the "
    "model has seen what it is tested on.",
    "label_error": "Labels to check: for a linear classifier that was trained without the image and its group, another "
    "class is as probable as for that class's own images (confident learning) and at least 30 times as probable as "
    "the label. Unusual images with the right label are among them; confusions of similar classes are mostly missed.",
    "outlier": "Images far from all others in this space: rare, badly photographed, or not what the dataset is about.",
}
MARK_OF_KIND = {"near_duplicate": "duplicate", "label_error": "wrong_label", "outlier": "exclude"}
PAGE = 24  # images, and further ones for each press of the button


def draw_data_issues(workspace: Workspace, first: LoadedMap) -> None:
    """The issues of one kind, ranked."""
    issues = cached.data_issues(workspace, first.run_id)
    run = cached.run(workspace, first.run_id)
    if issues is None and run is not None and not run.final:
        frame.empty(
            "Near-duplicates across splits, likely label errors and outliers come last, after UMAP and the models' "
            "predictions.",
            title="Not sought yet",
            icon=":material/report:",
        )
        return
    if issues is None:
        frame.empty(
            "Near-duplicates, likely label errors and outliers are searched for when a map is made. This map is older, "
            "or its UMAP is not done: make it again below, under New map.",
            title="Not computed yet",
            icon=":material/report:",
        )
        return
    counts = issues["kind"].value_counts()
    labels = {kind: f"{name} · {counts.get(kind, 0):,}" for kind, name in KINDS.items()}
    kind = frame.segments("Kind", labels, "kind", label_visibility="collapsed")
    glossary.explain(terms=("near-duplicate", "label-error", "outlier", "leakage"))
    st.caption(
        f"{ABOUT[kind]} Ranked by {words.plain(first.name)}, the worst first.{_recall(first, kind)}"
    )
    is_running = run is not None and not run.final
    if kind == "near_duplicate" and (left := (first.info.trouble or IssueCounts()).pairs_left):
        st.caption(_not_compared(left, is_running))
    part = issues[issues["kind"] == kind]
    across = int(part["across_splits"].sum()) if kind == "near_duplicate" else 0
    if across and st.toggle(f"Only across splits ({across:,})", key="across"):
        part = part[part["across_splits"]]
    if not len(part):
        so_far = " so far" if is_running and kind == "near_duplicate" else ""
        st.markdown(f":material/check_circle: No {KINDS[kind].lower()} found{so_far}.")
        return
    _draw_gallery(workspace, first, part, kind)


def _not_compared(left: int, is_running: bool) -> str:
    """What is not known yet of near-duplicates, or will not be."""
    pairs = words.count(left, "pair")
    if is_running:
        return f":material/hourglass_top: More may follow: {pairs} are still to be compared."
    return (
        f":material/warning: The map's run ended before {pairs} were compared: near-duplicates among them are missing. "
        "Resume the run on Train, or make the map again."
    )


def _recall(first: LoadedMap, kind: str) -> str:
    """How many of the known duplicate pairs are listed; how many labels no overlap of classes can explain."""
    counts = first.info.trouble or IssueCounts()
    if kind == "near_duplicate" and counts.known_pairs:
        missed = counts.known_pairs - (counts.found or 0)
        others = "the other is" if missed == 1 else "the others are"
        last = f" ({others} listed last)" if missed else ""
        return (
            f" {counts.found} of {counts.known_pairs} known duplicate pairs were found{last}; the threshold was chosen "
            "on these pairs, so that a smaller share of others may be found."
        )
    if kind == "label_error" and counts.confused_labels is not None:
        errors = (
            f"At least {words.count(counts.random_labels or 0, 'label')} cannot be explained by overlapping classes"
            if counts.random_labels
            else "Overlapping classes could explain all of them"
        )
        return (
            f" {errors}. Confident learning without the second condition would count {counts.confused_labels:,}: "
            "all that these features cannot tell apart."
        )
    return ""


def _with_ids(first: LoadedMap, part: pd.DataFrame, marks: Mapping[str, Mark]) -> pd.DataFrame:
    """The table with image ids, labels, splits and marks in place of row numbers."""
    frame_, split = first.dataset.frame, first.points.set_index("row")["split"]
    own, other = part["row"].to_numpy(), part["other"].to_numpy()
    table = pd.DataFrame(
        {
            "rank": range(1, len(part) + 1),
            "kind": part["kind"].to_numpy(),
            "image_id": frame_["image_id"].to_numpy()[own],
            "label": frame_["label"].to_numpy()[own],
            "split": split.reindex(own).to_numpy(),
        }
    )
    table["mark"] = _marks_of(table["image_id"], marks)
    if (other >= 0).any():
        table["other_image_id"] = frame_["image_id"].to_numpy()[other]
        table["other_label"] = frame_["label"].to_numpy()[other]
        table["other_split"] = split.reindex(other).to_numpy()
        table["other_mark"] = _marks_of(table["other_image_id"], marks)
    columns = ("score", "suggestion", "across_splits", "reason")
    return table.assign(**{name: part[name].to_numpy() for name in columns})


def _marks_of(image_ids: pd.Series, marks: Mapping[str, Mark]) -> list[str]:
    return [str(marks[name]) if name in marks else "" for name in image_ids]


@st.fragment
@scheduling.in_turn
def _draw_gallery(workspace: Workspace, first: LoadedMap, part: pd.DataFrame, kind: str) -> None:
    """Cards with the image (both of a pair), the reason and a form to mark it; each links to its dot on the map."""
    dataset = marking.marked_dataset(workspace, first)
    marks = cached.marks(workspace, dataset.name) if dataset else {}
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        table = _with_ids(first, part, marks)
        frame.download_table(table, "Download CSV", name=kind.replace("_", "-"))
        marked = (
            table[[name for name in ("mark", "other_mark") if name in table]].ne("").any(axis=1)
        )
        if marked.any() and st.toggle(f"Hide marked ({marked.sum():,})", key=f"unmarked-{kind}"):
            part = part[~marked.to_numpy()]
    if dataset:
        image_marks.draw_undo(workspace, dataset, "issues")
    else:
        marking.draw_marking(workspace, first, [])
    notice, reconstructed = st.empty(), False
    key = f"issues-{kind}-shown"
    shown = part.head(st.session_state.setdefault(key, PAGE))
    columns, width = (4, 250) if kind == "near_duplicate" else (6, 150)
    with st.grid(columns, min_column_width=width, gap="small"):
        for rank, issue in enumerate(shown.itertuples(), 1):
            rows = [int(issue.row)] + ([int(issue.other)] if issue.other >= 0 else [])
            with st.container(border=True, gap="xsmall", height="stretch"):
                pair = len(rows) == 2
                with st.grid(2, min_column_width=90, gap="xsmall") if pair else st.container():
                    for row in rows:
                        reconstructed |= _draw_image(first, row)
                names = [str(name) for name in first.dataset.frame["image_id"].iloc[rows]]
                reason = issue.reason.replace(" -", " −")  # of an angle
                st.caption(f"**{rank}.** {words.plain(reason)}")
                for name in (one for one in names if one in marks):
                    about = f" {words.aside(words.plain(name))}" if pair else ""
                    st.markdown(image_marks.badge(marks[name]) + about)
                with st.container(horizontal=True, gap="small", vertical_alignment="center"):
                    frame.link(
                        "latent",
                        "On the map",
                        icon=":material/scatter_plot:",
                        run=first.run_id,
                        image=names[0],
                    )
                    if dataset:
                        _draw_marking(workspace, dataset, names, kind, issue.suggestion)
    if reconstructed:
        notice.caption(f":material/blur_on: {images.RECONSTRUCTIONS}.")
    if len(part) > len(shown):

        def show_more() -> None:
            st.session_state[key] += PAGE

        more = min(PAGE, len(part) - len(shown))
        st.button(f"Show {more} more of {len(part):,}", on_click=show_more, key=f"more-{kind}")


def _draw_marking(
    workspace: Workspace, dataset: Dataset, names: Sequence[str], kind: str, suggestion: object
) -> None:
    """A popover that marks the image of a card, or one of its pair: the second, unless another is chosen."""
    key = f"{kind}-{'-'.join(names)}"
    popover = st.popover(
        "Mark",
        icon=":material/flag:",
        type="tertiary",
        key=f"mark-card-{key}",
        on_change="rerun",
    )
    if not popover.open:
        return
    with popover:
        chosen = names[-1]
        if len(names) > 1:
            chosen = st.segmented_control(
                "Image", names, default=names[-1], required=True, key=f"mark-image-{key}"
            )
        image_marks.draw_marks(workspace, dataset, [chosen], key)
        label = suggestion if isinstance(suggestion, str) else None
        image_marks.draw_form(dataset, [chosen], key, MARK_OF_KIND[kind], label)


def _draw_image(first: LoadedMap, row: int) -> bool:
    """One image with its id and label; returns whether a VAE drew it."""
    entry = first.dataset.frame.iloc[row]
    label = words.plain(entry["label"] or "no label")
    with st.container(gap=None):
        [picture] = images.pictures(first.dataset, [row], reconstruct=first.reconstruct)
        if picture is None:
            st.caption(f":material/broken_image: {images.ABSENT}")
        else:
            about = f", {images.RECONSTRUCTED}" if picture.is_reconstruction else ""
            alt = f"{entry['image_id']}, {label}{about}"
            st.image(picture.webp, width="stretch", alt=alt)
        st.caption(f"{words.plain(entry['image_id'])} · {label}")
    return picture is not None and picture.is_reconstruction
