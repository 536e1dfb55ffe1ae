import os
import signal
import subprocess
import sys
import time

from derm_core.workspace import REPOSITORY


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_ends_when_its_parent_is_killed():
    child = ("import os, time; from derm_core.processes import end_with; end_with(os.getppid()); "
             "print('up', flush=True); time.sleep(600)")
    parent = subprocess.Popen(["sh", "-c", f'{sys.executable} -c "{child}" & echo $!; wait'], stdout=subprocess.PIPE,
                              text=True, cwd=REPOSITORY)
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
            try:
                os.kill(left, signal.SIGKILL)
            except ProcessLookupError:
                pass
        parent.wait()
        parent.stdout.close()
