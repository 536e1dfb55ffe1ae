"""Workers as in real life, detached processes, but with a scripted job in place of training."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from derm_core.config import PretrainConfig
from derm_core.jobs import spawning, supervisor
from derm_core.jobs.store import RunStore


def eventually(condition, seconds: float = 60.0):
    """The first true value of `condition()`, or a failure after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("did not come true in time")


class Jobs:
    """Short hands for the tests: submit a script, look at its run."""

    def __init__(self, workspace):
        self.workspace, self.store = workspace, RunStore(workspace)

    def submit(self, script: str, **fields) -> str:
        return supervisor.submit(
            self.workspace, PretrainConfig(dataset=script, device="cpu", **fields)
        )

    def state(self, run_id: str) -> str:
        return self.store.get(run_id).state

    def until(self, run_id: str, *states: str):
        return eventually(lambda: (run := self.store.get(run_id)).state in states and run)

    def counter(self, run_id: str) -> int:
        path = self.workspace.run(run_id).checkpoints / "counter"
        text = path.read_text() if path.exists() else ""
        return int(text or 0)


@pytest.fixture
def jobs(workspace, monkeypatch):
    script = Path(__file__).with_name("scripted_worker.py")
    monkeypatch.setattr(
        spawning, "worker_command", lambda run_id: [sys.executable, str(script), run_id]
    )
    yield Jobs(workspace)
    for run in RunStore(workspace).list():
        RunStore(workspace).transition(run.id, ("queued", "running"), "cancelled")
        if not run.final and run.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(run.pid, signal.SIGKILL)
