"""Objects that imports leave behind are frozen, so that not every run of a page pays for their collection."""

from __future__ import annotations

import subprocess
import sys

import pytest

SETTLED = """
import gc, sys, types
from pages.ui import scheduling

scheduling.settle()
held = [["alive"]]
scheduling.settle()
assert any(known is held for known in gc.get_objects()), "nothing was imported since: no need"
for number in range(scheduling.NEW_MODULES):
    sys.modules[f"new_{number}"] = types.ModuleType(f"new_{number}")
scheduling.settle()
assert not any(known is held for known in gc.get_objects()), "what is alive is frozen"
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
alive = Image()
alive.itself = alive
now += scheduling.FREEZE_SECONDS + 1
scheduling.settle()                          # frozen while it is in use
seen, before = weakref.ref(alive), leave_behind()
del alive
now += scheduling.COLLECT_SECONDS - 1
scheduling.settle()
assert before() is not None, "a few seconds have not passed"
now += 2
scheduling.settle()
assert before() is None and seen() is not None
now += scheduling.FREEZE_SECONDS + 1
scheduling.settle()
assert seen() is None, "what was frozen is collected, too, once it is garbage"
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
def test_living_objects_are_frozen_once_many_modules_are_new():
    run(SETTLED)


@pytest.mark.slow
def test_garbage_is_collected_within_seconds_and_within_a_minute_where_it_was_frozen():
    run(FREED)


@pytest.mark.slow
def test_every_page_freezes_what_its_imports_left():
    run(EVERY_PAGE)
