"""Data trouble: near-duplicates, likely label errors and outliers of the space, each a ranked gallery with reasons."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.ui import cached, frame, images, scheduling, words
from pages.ui.latent.loaded_map import LoadedMap

KINDS = {
    "near_duplicate": "Near-duplicates",
    "label_error": "Likely label errors",
    "outlier": "Outliers",
}
ABOUT = {
    "near_duplicate": "Pairs of images that show the same photograph, or nearly. A pair across splits leaks: the model has "
    "seen what it is tested on.",
    "label_error": "Labels to look at again: to a plain classifier that has seen neither the image nor its group, another "
    "class is as probable as for that class's own images (confident learning) and at least 30 times as "
    "probable as the label. Unusual images of the right class are among them; errors between classes that "
    "look alike are mostly not.",
    "outlier": "Images far from all others in this space: rare, badly photographed, or not what the dataset is about.",
}
AT_ONCE = 24


def draw_data_issues(workspace, first: LoadedMap) -> None:
    found = cached.trouble(workspace, first.run_id)
    if found is None:
        frame.empty(
            "Near-duplicates across splits, likely label errors and outliers are sought when a map is made. This "
            "map is older, or its UMAP is not done: make it again below, under New map.",
            title="Not sought yet",
            icon=":material/report:",
        )
        return
    counts = {kind: int((found["kind"] == kind).sum()) for kind in KINDS}
    kind = frame.linked(
        "Kind",
        list(KINDS),
        "kind",
        widget=st.segmented_control,
        required=True,
        always=False,
        label_visibility="collapsed",
        format_func=lambda key: f"{KINDS[key]} · {counts[key]:,}",
    )
    st.caption(
        f"{ABOUT[kind]} Ranked by {words.plain(first.name)}, the worst first.{known(first, kind)}"
    )
    part = found[found["kind"] == kind]
    if kind == "near_duplicate" and part["across_splits"].any():
        across = int(part["across_splits"].sum())
        if st.toggle(f"Only across splits ({across:,})", key="across"):
            part = part[part["across_splits"]]
    if not len(part):
        st.markdown(f":material/check_circle: No {KINDS[kind].lower()} found.")
        return
    frame.download_table(with_ids(first, part), "Download CSV", name=kind.replace("_", "-"))
    gallery(first, part, kind)


def known(first: LoadedMap, kind: str) -> str:
    """How many of the dataset's known duplicate pairs were found; how many labels are wrong beyond all overlap of classes."""
    told = first.about.get("trouble") or {}
    if kind == "near_duplicate" and told.get("known_pairs"):
        missed = told["known_pairs"] - told["found"]
        last = (
            f" ({'the other stands' if missed == 1 else 'the others stand'} last)" if missed else ""
        )
        return (
            f" {told['found']} of {told['known_pairs']} known duplicate pairs were found{last}; what counts as agreement "
            "was set on these, so of others a smaller share may be found."
        )
    if kind == "label_error" and told.get("confused_labels") is not None:
        given = (
            f"At least {words.count(told['random_labels'], 'label')} cannot be explained by classes that overlap"
            if told["random_labels"]
            else "Overlap of the classes could explain all of them"
        )
        return (
            f" {given}. Confident learning without the second condition would count {told['confused_labels']:,}: "
            "all that these features cannot tell apart."
        )
    return ""


def with_ids(first: LoadedMap, part: pd.DataFrame) -> pd.DataFrame:
    """The table with image ids, labels and splits in place of row numbers."""
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
    if (other >= 0).any():
        table["other_image_id"] = frame_["image_id"].to_numpy()[other]
        table["other_label"], table["other_split"] = (
            frame_["label"].to_numpy()[other],
            split.reindex(other).to_numpy(),
        )
    return table.assign(
        **{
            name: part[name].to_numpy()
            for name in ("score", "suggestion", "across_splits", "reason")
        }
    )


@st.fragment
@scheduling.in_turn
def gallery(first: LoadedMap, part: pd.DataFrame, kind: str) -> None:
    """Cards with the image (both of a pair) and the reason, some at once; each leads to its dot on the map."""
    key = f"trouble-{kind}-shown"
    shown = part.head(st.session_state.setdefault(key, AT_ONCE))
    columns, least = (4, 250) if kind == "near_duplicate" else (6, 150)
    with st.grid(columns, min_column_width=least, gap="small"):
        for place, one in enumerate(shown.itertuples(), 1):
            with st.container(border=True, gap="xsmall", height="stretch"):
                rows = [int(one.row)] + ([int(one.other)] if one.other >= 0 else [])
                with (
                    st.grid(2, min_column_width=90, gap="xsmall")
                    if len(rows) == 2
                    else st.container()
                ):
                    for row in rows:
                        portrait(first, row)
                st.caption(f"**{place}.** {words.plain(one.reason)}")
                image_id = str(first.dataset.frame["image_id"].iloc[rows[0]])
                frame.link(
                    "latent",
                    "On the map",
                    icon=":material/scatter_plot:",
                    run=first.run_id,
                    image=image_id,
                )
    if len(part) > len(shown):

        def more() -> None:
            st.session_state[key] += AT_ONCE

        st.button(
            f"Show {min(AT_ONCE, len(part) - len(shown))} more of {len(part):,}",
            on_click=more,
            key=f"more-{kind}",
        )


def portrait(first: LoadedMap, row: int) -> None:
    """One image with its id and label."""
    found = first.dataset.frame.iloc[row]
    label = words.plain(found["label"] or "no label")
    with st.container(gap=None):
        picture = images.thumbnail(first.dataset, row)
        if picture is None:
            st.caption(":material/broken_image: its file is gone or has changed")
        else:
            st.image(picture, width="stretch", alt=f"{found['image_id']}, {label}")
        st.caption(f"{words.plain(found['image_id'])} · {label}")
