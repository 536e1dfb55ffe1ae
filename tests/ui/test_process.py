"""What imports leave behind is not looked through after every run of a page."""

from __future__ import annotations

import subprocess
import sys

SETTLED = """
import gc, sys, types
from pages.ui import process

process.settle()
held = [["kept"]]
process.settle()
assert any(found is held for found in gc.get_objects()), "nothing was imported since: no need"
for number in range(process.STEP):
    sys.modules[f"new_{number}"] = types.ModuleType(f"new_{number}")
process.settle()
assert not any(found is held for found in gc.get_objects()), "what is alive is set aside"
"""

EVERY_PAGE = """
import gc
from streamlit.testing.v1 import AppTest

AppTest.from_file("app.py", default_timeout=300).run()
assert gc.get_freeze_count() > 10_000, gc.get_freeze_count()
"""


def run(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_what_is_alive_is_set_aside_once_many_modules_are_new():
    run(SETTLED)


def test_every_page_sets_aside_what_its_imports_left():
    run(EVERY_PAGE)
