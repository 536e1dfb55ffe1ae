"""How the app's one process is shared among sessions: a queue of page runs, and garbage collection between them."""

from __future__ import annotations

import functools
import gc
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ParamSpec, TypeVar

from derm_core.bundles.turn_queue import REQUESTS
from derm_core.files import keep_private
from pages.ui.login import require_login

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

NEW_MODULES = 50  # imported since the last freeze, after which living objects are frozen again
FREEZE_SECONDS = 60.0
COLLECT_SECONDS = 5.0
SWITCH_SECONDS = 2e-3


def turn() -> AbstractContextManager[bool | None]:
    """Around every run of a page's script: two at a time, first come, first served.

    All sessions share Python's interpreter lock. If all runs worked at once, each would last as long as all of them
    together. A run of more than two seconds no longer holds the others up.
    """
    return REQUESTS.take()


def others_wait() -> bool:
    """Whether another session waits for its turn: what no one asked for explicitly is then drawn on request only."""
    return REQUESTS.waiting > 0


def in_turn(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """For a fragment: when it runs by itself, it waits for its turn and starts as a page does (`settle`, login)."""

    @functools.wraps(function)
    def run(*args: Parameters.args, **settings: Parameters.kwargs) -> Result:
        with turn() as waited:
            if waited is not None:
                settle()
                require_login()
            return function(*args, **settings)

    return run


def settle() -> None:
    """At the start of every run: new files are private to their owner, and garbage of earlier runs is collected.

    Streamlit would collect garbage in the whole heap after each run (runner.postScriptGC, off in
    .streamlit/config.toml). With PyTorch, plotly and pandas loaded that takes a quarter of a second, during which all
    sessions wait. Here living objects, mostly modules, are frozen (gc.freeze) once a minute and after many imports, and
    only what is newer is collected, every five seconds. Images of closed sessions stay a minute at most.

    PyTorch releases the interpreter lock at every operation, and waits for it until the thread that runs Python has had
    its interval (sys.setswitchinterval, 5 ms by default): with twenty sessions these waits add up to seconds.
    """
    keep_private()
    _garbage.collect(time.monotonic())


class _Garbage:
    """When garbage was collected last. See `settle`."""

    def __init__(self) -> None:
        self.modules, self.collected, self.frozen = 0, 0.0, 0.0

    def collect(self, now: float) -> None:
        if len(sys.modules) >= self.modules + NEW_MODULES or now > self.frozen + FREEZE_SECONDS:
            self.modules, self.collected, self.frozen = len(sys.modules), now, now
            sys.setswitchinterval(SWITCH_SECONDS)
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        elif now > self.collected + COLLECT_SECONDS:
            self.collected = now
            gc.collect()


_garbage = _Garbage()
