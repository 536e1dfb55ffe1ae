"""How the app's one process shares its time among sessions."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import sys
import time
from collections.abc import Callable

from derm_core.bundles.turn_queue import REQUESTS
from derm_core.files import keep_private
from pages.ui.login import require_login

STEP = 50  # modules: each time as many are new, what is alive is set aside once more
COLLECT_SECONDS, ASIDE_SECONDS = 5.0, 60.0
SWITCH_SECONDS = 2e-3
M_ARENA_MAX, HEAPS = -8, 2
_known, _collected, _set_aside = 0, 0.0, 0.0


def turn() -> contextlib.AbstractContextManager[bool | None]:
    """Around every run of a page's script: two at a time, in the order in which they were asked for.

    All sessions share Python's lock. Were all runs at work at once, each would last as long as all of them together, a
    short one with the long ones. A run that takes longer than two seconds keeps no one out any more.
    """
    return REQUESTS.take()


def others_wait() -> bool:
    """Whether another session waits for its turn: what nobody asked for by name is then left until someone does."""
    return REQUESTS.waiting > 0


def in_turn(function: Callable) -> Callable:
    """For a fragment, which also runs by itself: then it has a turn of its own and begins as a page does (`settle`, login)."""

    @functools.wraps(function)
    def run(*args, **settings):
        with turn() as waited:
            if waited is not None:
                settle()
                require_login()
            return function(*args, **settings)

    return run


def settle() -> None:
    """Called at the start of every run: what the app writes is its owner's alone. Every few seconds the garbage of earlier
    runs goes, too.

    Streamlit would look over the whole heap after each run (runner.postScriptGC, off in .streamlit/config.toml). With
    PyTorch, plotly and pandas loaded that takes a quarter of a second of every click, and Python's lock from every other
    session. Here what is alive, modules above all, is set aside (gc.freeze) once a minute and where much was imported;
    what came since is looked through every five seconds. Closed sessions' images so stay a minute at most while pages run.

    PyTorch gives Python's lock away at every operation and gets it back when a thread that runs Python has had its turn,
    5 ms unless a shorter one is asked for; with twenty sessions at work these turns add up to seconds.
    """
    global _known, _collected, _set_aside
    keep_private()
    now = time.monotonic()
    if len(sys.modules) >= _known + STEP or now > _set_aside + ASIDE_SECONDS:
        _known, _collected, _set_aside = len(sys.modules), now, now
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        _return_memory()
    elif now > _collected + COLLECT_SECONDS:
        _collected = now
        gc.collect()


def _return_memory() -> None:
    """What the C library keeps of freed memory goes back to the system.

    Each run of a page is a thread of its own: with a heap for every one of them, freed pieces would lie about in all.
    """
    with contextlib.suppress(
        AttributeError, OSError, TypeError
    ):  # other C libraries, macOS, Windows
        library = ctypes.CDLL(None)
        library.mallopt(M_ARENA_MAX, HEAPS)
        library.malloc_trim(0)
