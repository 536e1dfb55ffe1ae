import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from derm_core import processes
from derm_core.workspace import REPOSITORY


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_ends_when_its_parent_is_killed():
    child = (
        "import os, time; from derm_core.processes import end_with; end_with(os.getppid()); "
        "print('up', flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        ["sh", "-c", f'{sys.executable} -c "{child}" & echo $!; wait'],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    pid = int(parent.stdout.readline())
    try:
        assert parent.stdout.readline() == "up\n" and is_running(pid)
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 60
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_running(pid)
    finally:
        for left in (parent.pid, pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        parent.wait()
        parent.stdout.close()


def test_the_cores_are_busy_where_another_thread_wants_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "LOAD", tmp_path / "loadavg")
    assert not processes.cores_are_busy(), "a system without it"
    for running, busy in (("1", False), ("3", True)):
        (tmp_path / "loadavg").write_text(f"0.50 0.40 0.30 {running}/214 4242\n")
        assert processes.cores_are_busy() is busy


def test_a_process_with_a_session_of_its_own_steps_back_behind_other_sessions():
    if not processes.AUTOGROUP.exists():
        pytest.skip("this system does not group processes by session")
    script = (
        "from derm_core import processes; processes.lower_priority(5); import os; "
        "print(os.nice(0), processes.AUTOGROUP.read_text().split()[-1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        start_new_session=True,
        check=True,
    )
    own, session = map(int, done.stdout.split())
    assert own == session == os.nice(0) + 5
