"""What takes room in the workspace, and the button that empties the cache of features."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from derm_core.errors import ConfigError
from derm_core.formatting import ago
from derm_core.records import to_json
from derm_core.space import cache_limit, clean_features, decoded_limit, describe_use, space_used
from derm_core.workspace import Workspace
from pages.ui import frame, words

TITLE = "What takes room"
LISTED = 200  # rows, the largest


def draw_space_button(workspace: Workspace) -> None:
    """Opens the list in a dialog; adding up sizes waits until then."""
    if st.button(TITLE, icon=":material/hard_drive:", type="tertiary"):
        st.dialog(TITLE, width="large", icon=":material/hard_drive:")(draw_space)(workspace)


def draw_space(workspace: Workspace) -> None:
    """The list, the largest first, and the button."""
    uses = space_used(workspace)
    if not uses:
        st.caption("The workspace is empty.")
        return
    table = pd.DataFrame(
        {
            "What": [_capitalised(describe_use(use)) for use in uses],
            "Size": [words.size(use.bytes) for use in uses],
            "Last used": [ago(use.used) for use in uses],
            "Made again when needed": ["Yes" if use.again else "No" for use in uses],
        }
    )
    st.dataframe(
        table.head(LISTED), hide_index=True, height=min(420, 35 * (min(LISTED, len(table)) + 1) + 3)
    )
    if len(table) > LISTED:
        st.caption(f"The largest {LISTED} of {len(table):,}; the CSV has all.")
    try:
        limits = (
            "Runs remove what was not used for the longest, until cached features take at most "
            f"{words.size(cache_limit())} (`DERM_CACHE_GB`) and decoded images {words.size(decoded_limit())} "
            "(`DERM_IMAGES_GB`). Both are made again when needed."
        )
    except ConfigError as error:
        limits = str(error)
    st.caption(
        f"{limits} Runs are deleted on *Train*, datasets with their decoded images on *Data*, models on *Models*."
    )
    cached = any(use.what == "features" for use in uses)
    with st.container(horizontal=True):
        remove = st.button(
            "Remove cached features", icon=":material/delete_sweep:", disabled=not cached
        )
        numbers = pd.DataFrame([to_json(use) for use in uses])
        frame.download_table(numbers, "CSV", name="space")
    if remove:
        freed = clean_features(workspace, 0)
        frame.announce(
            f"Removed {words.size(freed)} of cached features."
            if freed
            else "Nothing was removed: features used within the last hour stay."
        )
        st.rerun()


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
