"""Uploaded files leave the server's memory when their uploader no longer holds them.

Streamlit itself holds every file until its session ends, also those of a page that was left long ago.
"""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

# Keys of the widgets that take files, on all pages.
UPLOADERS = (
    "files",
    "pasted",
    "camera",
    "map-file",
    "bundle",
    "prediction-files",
    "marks-file",
    "embeddings-file",
)
HELD = "uploads-held"


def release() -> None:
    """At the start of every page's run: remove files that an uploader held at an earlier run and holds no longer.

    A file that no run has seen yet may be on its way, and stays.
    """
    held = {file.file_id for key in UPLOADERS for file in _files(st.session_state.get(key))}
    context: Any = get_script_run_ctx()
    for file_id in st.session_state.get(HELD, set()) - held:
        context.uploaded_file_mgr.remove_file(session_id=context.session_id, file_id=file_id)
    st.session_state[HELD] = held


def drop() -> None:
    """Remove every file that this session was sent, before its state is dropped."""
    context: Any = get_script_run_ctx()
    if context is not None:
        context.uploaded_file_mgr.remove_session_files(session_id=context.session_id)


def _files(value: Any) -> list[Any]:
    """The files in a widget's value: one, a list, or those of a chat message."""
    value = getattr(value, "files", value) or []
    return value if isinstance(value, list) else [value]
