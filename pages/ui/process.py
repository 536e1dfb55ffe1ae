"""How the app's one process shares its time among sessions."""

from __future__ import annotations

import gc
import sys

STEP = 50                # modules: each time as many are new, what is alive is set aside once more
SWITCH_SECONDS = 5e-4
_known = 0


def settle() -> None:
    """Called at the start of every page's run; cheap unless many modules were imported since the last time.

    Streamlit collects garbage over the whole heap after each run of a page, which frees a closed session's images soon.
    With PyTorch, plotly and pandas loaded that takes a quarter of a second of every click, and Python's lock from every
    other session. What modules hold is never garbage: it is set aside (gc.freeze) and not looked through.

    PyTorch gives Python's lock away at every operation and gets it back when a thread that runs Python has had its turn,
    5 ms unless a shorter one is asked for; with twenty sessions at work these turns add up to seconds.
    """
    global _known
    if len(sys.modules) >= _known + STEP:
        _known = len(sys.modules)
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.collect()
        gc.freeze()
