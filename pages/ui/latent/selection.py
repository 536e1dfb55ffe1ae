"""Which images are chosen: by a click, lasso or box in either map, by table, search or the address.

What is chosen in one map is ringed in the other. A chart loses its own selection whenever its figure changes, so a
chart that was chosen in keeps the rings that it had; they are not seen beside a selection of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.ui.latent.loaded_map import LoadedMap

KEY, CLEARED = "atlas-chosen", "cleared"


def selected_rows(first: LoadedMap) -> list[int]:
    """Manifest rows chosen, all of them on the map. An address that names another image than before comes first."""
    state, wanted = st.session_state.get(KEY), st.query_params.get("image")
    if (
        state is None
        or state["dataset"] != first.dataset.name
        or (wanted and wanted != state["image"])
    ):
        linked = first.points.loc[first.points["image_id"] == (wanted or ""), "row"]
        take(first, [int(row) for row in linked], "address")
    known = set(first.points["row"])
    return [row for row in st.session_state[KEY]["rows"] if row in known]


def take(
    first: LoadedMap, chosen: Sequence[int], source: str, among: tuple[int, int] | None = None
) -> None:
    """Choose these rows; one image alone becomes part of the address. among: how many points could be chosen, of how many,
    where it was not all of them."""
    chosen = list(dict.fromkeys(int(row) for row in chosen))
    ids = first.points.loc[first.points["row"].isin(chosen[:1]), "image_id"]
    image = str(ids.iloc[0]) if len(chosen) == 1 and len(ids) else None
    before = st.session_state.get(KEY) or {}
    st.session_state[KEY] = {
        "dataset": first.dataset.name,
        "rows": chosen,
        "source": source,
        "image": image,
        "among": among,
        "turn": before.get("turn", 0) + (source != "table"),
        "cleared": before.get("cleared", 0) + (source == CLEARED),
    }
    if image is None:
        st.query_params.pop("image", None)
    else:
        st.query_params["image"] = image
        visited = [row for row in st.session_state.get("atlas-visited", []) if row != chosen[0]]
        st.session_state["atlas-visited"] = [*visited[-1:], chosen[0]]


def clicked(key: str) -> list[int]:
    """Manifest rows that are selected in the chart `key`."""
    points = (st.session_state.get(key) or {}).get("selection", {}).get("points", [])
    values = [point["customdata"] for point in points if "customdata" in point]
    return [int(value[0] if isinstance(value, (list, tuple)) else value) for value in values]


def in_chart(first: LoadedMap, key: str, counted: tuple[int, int]) -> None:
    """What a chart calls when the selection in it has changed. counted: how many points it draws, of how many."""
    take(first, clicked(key), key, counted if counted[0] < counted[1] else None)


def among() -> tuple[int, int] | None:
    """(points that were drawn, of how many) where the images were chosen in a chart that does not draw all."""
    return st.session_state.get(KEY, {}).get("among")


def rings(key: str, chosen: list[int]) -> list[int]:
    """The rows that the chart `key` rings: those chosen elsewhere; what it rang before while the choice is its own."""
    drawn = st.session_state.setdefault("atlas-rings", {})
    own = st.session_state[KEY]["source"] == key and clicked(key)
    if not own:
        drawn[key] = list(chosen)
    return drawn.setdefault(key, [])


def in_table(first: LoadedMap, key: str, listed: Sequence[int]) -> None:
    """What the table calls when a row is ticked. listed: the manifest row of each of its lines."""
    ticked = (st.session_state.get(key) or {}).get("selection", {}).get("rows", [])
    take(first, [listed[line] for line in ticked if line < len(listed)], "table")


def cleared() -> int:
    """Changes when the choice was taken back from outside the charts, which then start anew."""
    return st.session_state.get(KEY, {}).get("cleared", 0)


def turn() -> int:
    """Changes when something else than the table has chosen: its ticks are then taken back."""
    return st.session_state.get(KEY, {}).get("turn", 0)
