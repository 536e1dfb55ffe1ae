"""What goes wrong around a run: disks, clocks, folders, tables, several apps. A clear state, nothing lost, resumable.

The worker is the real one, called in this process with a scripted job, unless a test is about
processes.
"""

import errno
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from derm_core import events as events_module
from derm_core import files
from derm_core.config import PretrainConfig, to_dict
from derm_core.errors import DermError, StorageError
from derm_core.events import TICK, Event, EventLog, Progress, log, read_events
from derm_core.files import read_json, write_json
from derm_core.jobs import spawning, supervisor, worker
from derm_core.jobs.store import RunStore
from derm_core.locks import hold, is_held
from derm_core.workspace import Workspace

STEPS = 6
CONFIG = to_dict(PretrainConfig(dataset="scripted", device="cpu"))


def counting(config, workspace, run, between=lambda step: None):
    """Counts to STEPS with a checkpoint a step; `between` is called after each."""
    path = run.checkpoints / "counter.json"
    first = read_json(path) if path.exists() else 0
    for step in range(first, STEPS):
        write_json(path, step + 1)
        yield log(f"step {step + 1}")
        between(step + 1)
        yield TICK
    yield Event(kind="result", value={"counted": STEPS, "from": first})


class Here:
    """Runs of the real worker in this process."""

    def __init__(self, workspace, monkeypatch):
        self.workspace, self.store, self.monkeypatch = workspace, RunStore(workspace), monkeypatch

    def new(self, **about) -> str:
        return self.store.create("pretrain", CONFIG, **about)

    def work(self, run_id: str, between=lambda step: None, job=counting):
        self.monkeypatch.setattr(
            worker, "load_job", lambda kind: lambda *given: job(*given, between)
        )
        worker.main(run_id, self.workspace)
        return self.store.get(run_id)

    def resumed(self, run_id: str):
        """The run after `runs resume` and a worker that is not disturbed."""
        supervisor.reconcile(self.workspace)
        supervisor.resume(self.workspace, run_id)
        return self.work(run_id)


@pytest.fixture
def here(workspace, monkeypatch):
    monkeypatch.setattr(supervisor, "spawn", lambda workspace, run_id, seen=None: True)
    monkeypatch.setattr(worker.os, "nice", lambda by: 0)
    before = signal.getsignal(signal.SIGTERM)
    yield Here(workspace, monkeypatch)
    signal.signal(signal.SIGTERM, before)


# ---- disks


def fails(number):
    def fail(*given, **named):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("number", "problem"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "may not be written")]
)
@pytest.mark.parametrize(
    "target", [(events_module, "open"), (files.os, "fsync")], ids=["events", "checkpoint"]
)
def test_a_disk_that_takes_no_more_fails_the_run_in_a_sentence_and_it_goes_on_later(
    here, number, problem, target
):
    run_id = here.new()
    with pytest.MonkeyPatch.context() as patch:
        run = here.work(
            run_id,
            lambda step: (
                patch.setattr(*target, fails(number), raising=False) if step == 3 else None
            ),
        )
    assert run.state == "failed" and problem in run.error and "Traceback" not in run.error
    assert read_json(here.workspace.run(run_id).checkpoints / "counter.json") in (3, 4)
    run = here.resumed(run_id)
    assert run.state == "done" and run.summary["from"] >= 3 and run.error is None
    rows = list(read_events(here.workspace.run(run_id).events))
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    assert [row["value"] for row in rows if row["kind"] == "log"][-1] == f"step {STEPS}"


def test_a_read_only_workspace_is_read_and_nothing_else(disk, here):
    room = disk("size=4m")
    here.workspace = workspace = Workspace.open(room / "home")
    here.store = RunStore(workspace)
    finished, waiting = here.work(here.new()).id, here.new()
    subprocess.run(["mount", "-o", "remount,ro", str(room)], check=True)
    again = Workspace.open(workspace.root)
    store = RunStore(again)
    assert {run.id: run.state for run in store.list()} == {finished: "done", waiting: "queued"}
    supervisor.reconcile(again)  # what every page calls
    for change in (
        lambda: store.create("pretrain", CONFIG),
        lambda: store.request_cancel(waiting),
        lambda: supervisor.delete_run(again, finished),
        lambda: write_json(again.root / "a.json", 1),
    ):
        with pytest.raises(DermError, match="permission"):
            change()
    assert store.get(finished).summary["counted"] == STEPS


# ---- the table


def test_a_lost_table_is_made_anew_from_the_folders(here):
    done, failed = here.work(here.new(name="kept")).id, here.new()
    here.store.annotate(done, tags=["paper"], note="a note")
    here.work(failed, fails(errno.ENOSPC))
    cut = here.new()  # as a killed worker leaves it
    EventLog(here.workspace.run(cut).events).append(Event(kind="state", value="running"))
    before = {run.id: run for run in here.store.list()}
    for path in here.workspace.root.glob("runs.db*"):
        path.unlink()
    after = {run.id: run for run in here.store.list()}
    assert after.keys() == before.keys()
    for field in ("kind", "name", "tags", "note", "summary", "device"):
        assert {i: getattr(run, field) for i, run in after.items()} == {
            i: getattr(run, field) for i, run in before.items()
        }, field
    assert {run.id: run.state for run in after.values()} == {
        done: "done",
        failed: "failed",
        cut: "interrupted",
    }
    assert here.resumed(cut).state == "done" and here.resumed(failed).state == "done"


def test_a_worker_at_work_keeps_its_run_when_the_table_is_lost(here):
    run_id = here.new()

    def lose(step: int) -> None:
        if step == 2:
            for path in here.workspace.root.glob("runs.db*"):
                path.unlink()
            assert here.store.get(run_id).state == "running"

    assert here.work(run_id, lose).state == "done"


def test_folders_that_are_no_runs_make_no_rows(workspace):
    for name, text in (("half", "{"), ("other", '{"kind": "cake"}'), ("Not-An-Id", "{}")):
        (workspace.root / "runs" / name).mkdir()
        (workspace.root / "runs" / name / "config.json").write_text(text)
    assert RunStore(workspace).list() == []


def test_a_table_that_stays_busy_does_not_stop_training(here, monkeypatch):
    monkeypatch.setattr("derm_core.jobs.store.BUSY_SECONDS", 0.05)
    monkeypatch.setattr(worker, "PROGRESS_SECONDS", 0.0)
    run_id, other = (
        here.new(),
        sqlite3.connect(here.workspace.database, isolation_level=None, timeout=0),
    )

    def telling(config, workspace, run, between):
        for step in range(STEPS):
            if step == 2:
                other.execute("BEGIN EXCLUSIVE")
            elif step == 4:
                assert here.store.get(run_id).progress.done == 1
                other.execute("COMMIT")
            yield Event(kind="progress", value=Progress(done=step))

    assert here.work(run_id, job=telling).state == "done"
    other.close()
    assert here.store.get(run_id).progress.done == STEPS - 1


# ---- folders


def test_a_run_whose_folder_was_removed_by_hand_says_so(here):
    queued, running = here.new(), here.new()
    shutil.rmtree(here.workspace.run(queued).root)
    run = here.work(queued)
    assert run.state == "failed" and "removed" in run.error and "delete this run" in run.error
    run = here.work(
        running, lambda step: shutil.rmtree(here.workspace.run(running).root) if step == 2 else None
    )
    assert run.state == "failed" and "removed" in run.error
    assert supervisor.delete_run(here.workspace, queued) >= 0
    supervisor.delete_run(here.workspace, running)
    assert here.store.list() == []


def test_what_a_killed_writer_left_unfinished_goes_when_the_run_goes_on(here):
    run_id = here.new()
    folder = here.workspace.run(run_id).create().artefacts
    code = (
        "import os, signal, sys; from pathlib import Path; from derm_core.files import writing\n"
        "with writing(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(folder / "picture.png")],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert killed.returncode == -signal.SIGKILL and len(list(folder.iterdir())) == 1
    running = folder / f".other.png.{files.HERE}-{os.getpid()}-a1b2c3d4"
    elsewhere = folder / f".other.png.00000000-{2**22 + 1}-a1b2c3d4"  # written on another machine
    running.touch()
    elsewhere.touch()
    assert here.work(run_id).state == "done"
    assert set(folder.iterdir()) == {running, elsewhere}


# ---- clocks


def test_order_is_that_of_the_sequence_when_the_clock_is_set_back(here, monkeypatch):
    now = iter(range(10_000, 0, -100))
    monkeypatch.setattr(events_module.time, "time", lambda: float(next(now)))
    run_id = here.new()
    assert here.work(run_id).state == "done"
    rows = list(read_events(here.workspace.run(run_id).events))
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    assert [row["value"] for row in rows if row["kind"] == "log"] == [
        f"step {i + 1}" for i in range(STEPS)
    ]
    first, second = here.new(), here.new()
    assert [run.id for run in here.store.list()] == [second, first, run_id]


@pytest.mark.parametrize("shift", [1e6, -1e6], ids=["back", "forward"])
def test_a_dead_worker_is_replaced_and_a_cancelled_one_stopped_after_the_clock_was_set(
    here, monkeypatch, shift
):
    spawned, killed = [], []
    monkeypatch.setattr(
        supervisor, "spawn", lambda workspace, run_id, seen=None: spawned.append(run_id)
    )
    monkeypatch.setattr(supervisor, "alive", lambda pid: False)
    monkeypatch.setattr(supervisor.os, "killpg", lambda pid, number: killed.append((pid, number)))
    run_id, noted = here.new(), time.time() + shift
    with sqlite3.connect(here.workspace.database) as table:
        table.execute("UPDATE runs SET spawned=?, spawns=1, pid=1 WHERE id=?", (noted, run_id))
    supervisor.reconcile(here.workspace)
    assert spawned == [run_id]
    with sqlite3.connect(here.workspace.database) as table:
        table.execute(
            "UPDATE runs SET state='running', pid=12345, cancel_time=? WHERE id=?", (noted, run_id)
        )
    with hold(here.workspace.run(run_id).lock):
        supervisor.reconcile(here.workspace)
        supervisor.reconcile(here.workspace)
        assert killed == [(12345, signal.SIGTERM)]  # it has its seconds to save what it learned
        monkeypatch.setattr(supervisor, "KILL_AFTER_SECONDS", supervisor.TERM_AFTER_SECONDS)
        supervisor.reconcile(here.workspace)
    assert killed == [(12345, signal.SIGTERM), (12345, signal.SIGKILL)]


# ---- locks and several apps


def test_a_lock_file_without_a_living_holder_holds_nothing(tmp_path):
    path = tmp_path / "lock"
    path.write_text("4194304\n")  # whatever an ended process left
    assert not is_held(path)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from derm_core.locks import hold; from pathlib import Path\n"
            f"with hold(Path({str(path)!r})): print(1, flush=True); sys.stdin.read()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    holder.stdout.readline()
    assert is_held(path)
    holder.kill()
    holder.wait()
    with hold(path) as held:
        assert held


def _reconcile(root, barrier, started):
    spawning.subprocess.Popen = lambda command, **options: started.put(command[-1]) or _Started()
    barrier.wait()
    supervisor.reconcile(Workspace.open(root))


class _Started:
    pid = os.getpid()  # of a living process: one that has died would rightly be replaced

    def poll(self):
        return 0


def test_two_apps_on_one_workspace_start_one_worker_for_a_run(workspace):
    run_id = RunStore(workspace).create("pretrain", CONFIG)
    context = multiprocessing.get_context("fork")
    barrier, started = context.Barrier(2), context.SimpleQueue()
    apps = [
        context.Process(target=_reconcile, args=(workspace.root, barrier, started))
        for _ in range(2)
    ]
    for app in apps:
        app.start()
    for app in apps:
        app.join()
    assert (
        started.get() == run_id and started.empty() and RunStore(workspace).get(run_id).spawns == 1
    )


def test_an_app_that_looked_before_another_started_the_worker_starts_none(workspace, monkeypatch):
    started, store = [], RunStore(workspace)
    monkeypatch.setattr(
        spawning.subprocess, "Popen", lambda command, **options: started.append(command)
    )
    seen = store.get(store.create("pretrain", CONFIG))
    assert store.claim_spawn(seen)  # the other app, meanwhile
    assert not spawning.spawn(workspace, seen.id, seen)
    assert started == [] and store.get(seen.id).spawns == 1


def test_a_run_goes_on_when_the_app_that_started_it_is_killed(jobs):
    """The app submits, leaves the counting to its worker and dies with all of its process group."""
    script = (
        "import sys; sys.path[:0] = [sys.argv[1], '.']; import scripted_worker, time; from "
        "derm_core.config import PretrainConfig\n"
        "from derm_core.jobs.supervisor import submit; from derm_core.workspace import Workspace\n"
        "print(submit(Workspace.open(), PretrainConfig(dataset='count-40', device='cpu')), flush=True); time.sleep(600)"
    )
    app = subprocess.Popen(
        [sys.executable, "-c", script, str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    run_id = app.stdout.readline().strip()
    jobs.until(run_id, "running", "done")
    os.killpg(app.pid, signal.SIGKILL)
    app.wait()
    run = supervisor.wait(jobs.workspace, run_id)
    assert run.state == "done" and run.summary == {"counted": 40, "from": 0}


def test_storage_errors_are_both_the_programs_and_the_systems(tmp_path):
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(StorageError, match="Make room") as raised,
    ):
        patch.setattr(files.os, "fsync", fails(errno.EDQUOT))
        write_json(tmp_path / "a.json", 1)
    assert (
        isinstance(raised.value, OSError)
        and raised.value.errno == errno.EDQUOT
        and os.listdir(tmp_path) == []
    )
