"""What the server imports and loads before somebody asks for it.

Importing what a page needs takes a second, PyTorch with the models that ship two more. Without this, the first person
would wait for them. UMAP is not loaded: only workers use it.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
import streamlit as st

import pages.ui

FIRST = ("pages.ui.frame", "pages.ui.cached_models", "pages.ui.demo", "pages.ui.section", "torch")
PATIENCE_SECONDS = 5.0  # after which a server on a busy machine answers in any case
_log = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """The server answers when what takes long is imported; the rest is loaded while it answers already."""
    imported = threading.Event()
    threading.Thread(target=_warm_up, args=(imported,), name="warm-up", daemon=True).start()
    await anyio.to_thread.run_sync(imported.wait, PATIENCE_SECONDS)
    yield


def _warm_up(imported: threading.Event) -> None:
    """Without it the app is slower and nothing else: the page that needs what is broken says so."""
    try:
        import_first()
        imported.set()
        load_rest()
    except Exception:
        _log.exception("The warm-up ended early; pages load what they need when they are opened.")
    finally:
        imported.set()


def import_first() -> None:
    """The modules of Home and PyTorch: a browser takes longer to open than they take."""
    for name in FIRST:
        importlib.import_module(name)


def load_rest() -> None:
    """In the order in which they are asked for: Home's results, the models, the modules of all other pages."""
    first_answers = importlib.import_module("pages.ui.first_answers")
    first_answers.read_results()
    first_answers.load_networks()
    for module in pkgutil.walk_packages(pages.ui.__path__, "pages.ui."):
        importlib.import_module(module.name)
