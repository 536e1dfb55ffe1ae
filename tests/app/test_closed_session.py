"""What a visitor brought is forgotten with the session: observed in the server's own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.app.bundles import put_bundle
from tests.app.closed_session import REPOSITORY


@pytest.mark.slow
def test_a_closed_sessions_photograph_and_answers_leave_the_servers_memory(workspace):
    put_bundle(workspace, "a-vae", "vae")
    put_bundle(workspace, "b-imagenet", "imagenet")
    done = subprocess.run(
        [sys.executable, "-m", "tests.app.closed_session"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=480,
        env={**os.environ, "DERM_HOME": str(workspace.root), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout.strip().splitlines()[-1])
    during, after = counts["during"], counts["after"]
    assert (
        during["files"] == 1
        and during["answers"] == 1
        and during["media"] >= 1
        and during["session"]
    )
    assert after == {"files": 0, "media": 0, "answers": 0, "session": False}
