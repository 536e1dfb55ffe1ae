"""What imports leave behind is not looked through after every run of a page."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pages.ui import scheduling

SETTLED = """
import gc, sys, types
from pages.ui import scheduling

scheduling.settle()
held = [["kept"]]
scheduling.settle()
assert any(found is held for found in gc.get_objects()), "nothing was imported since: no need"
for number in range(scheduling.STEP):
    sys.modules[f"new_{number}"] = types.ModuleType(f"new_{number}")
scheduling.settle()
assert not any(found is held for found in gc.get_objects()), "what is alive is set aside"
"""

FREED = """
import gc, types, weakref
from pages.ui import scheduling

now = 1000.0
scheduling.time = types.SimpleNamespace(monotonic=lambda: now)

class Image: pass

def leave_behind():
    image = Image()
    image.itself = image
    return weakref.ref(image)

gc.disable()
scheduling.settle()
kept = Image()
kept.itself = kept
now += scheduling.ASIDE_SECONDS + 1
scheduling.settle()                          # kept is set aside while it is in use
seen, before = weakref.ref(kept), leave_behind()
del kept
now += scheduling.COLLECT_SECONDS - 1
scheduling.settle()
assert before() is not None, "a few seconds have not passed"
now += 2
scheduling.settle()
assert before() is None and seen() is not None
now += scheduling.ASIDE_SECONDS + 1
scheduling.settle()
assert seen() is None, "what was set aside goes, too, once it is garbage"
"""

EVERY_PAGE = """
import gc
from streamlit.testing.v1 import AppTest

AppTest.from_file("app.py", default_timeout=300).run()
assert gc.get_freeze_count() > 10_000, gc.get_freeze_count()
"""


def run(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_what_is_alive_is_set_aside_once_many_modules_are_new():
    run(SETTLED)


@pytest.mark.slow
def test_garbage_goes_within_seconds_and_within_a_minute_where_it_was_set_aside():
    run(FREED)


def test_memory_that_cannot_be_returned_is_left_alone(monkeypatch):
    def refused(_):
        raise TypeError("what Windows says to a library without a name")

    monkeypatch.setattr(scheduling.ctypes, "CDLL", refused)
    scheduling._return_memory()


@pytest.mark.slow
def test_every_page_sets_aside_what_its_imports_left():
    run(EVERY_PAGE)
