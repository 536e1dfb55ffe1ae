"""The table of runs: states move by compare-and-set, and a database that cannot be used says why."""

import dataclasses
import multiprocessing
import sqlite3
import stat

import pytest

from derm_core.errors import ConfigError, NotFound, RunError
from derm_core.events import Progress
from derm_core.files import read_json
from derm_core.jobs import store as store_module
from derm_core.jobs.store import RunStore, device_slot
from derm_core.workspace import Workspace

CONFIG = {"kind": "pretrain", "device": "cpu"}


def test_a_created_run_is_queued_and_has_its_config_on_disk(workspace):
    store = RunStore(workspace)
    run = store.get(store.create("pretrain", CONFIG, name="first"))
    assert (run.state, run.kind, run.name, run.device, run.cancel_requested) == (
        "queued",
        "pretrain",
        "first",
        "cpu",
        False,
    )
    assert workspace.run(run.id).config.exists()


def test_runs_are_listed_newest_first_and_by_kind_and_state(workspace):
    store = RunStore(workspace)
    first, second, third = (
        store.create("pretrain", CONFIG),
        store.create("study", CONFIG),
        store.create("pretrain", CONFIG),
    )
    store.transition(first, "queued", "running")
    assert [run.id for run in store.list()] == [third, second, first]
    assert [run.id for run in store.list(kind="pretrain")] == [third, first]
    assert [run.id for run in store.list(kind="pretrain", state="running")] == [first]


def test_a_transition_from_another_state_changes_nothing(workspace):
    store = RunStore(workspace)
    run_id = store.create("pretrain", CONFIG)
    assert not store.transition(run_id, "running", "done", summary={"x": 1})
    assert store.get(run_id).state == "queued" and store.get(run_id).summary is None
    assert store.transition(run_id, ("queued", "running"), "done", summary={"x": 1})
    assert store.get(run_id).state == "done" and store.get(run_id).summary == {"x": 1}


def test_unknown_states_columns_and_runs_are_refused(workspace):
    store = RunStore(workspace)
    run_id = store.create("pretrain", CONFIG)
    with pytest.raises(ValueError):
        store.transition(run_id, "queued", "asleep")
    with pytest.raises(ValueError):
        store.transition(run_id, "queued", "running", id="other")
    with pytest.raises(NotFound, match="runs list"):
        store.get("pretrain-0")
    with pytest.raises(ConfigError):
        store.get("../../etc")


def test_the_first_request_to_cancel_keeps_its_time_and_ended_runs_take_none(workspace):
    store = RunStore(workspace)
    run_id = store.create("pretrain", CONFIG)
    assert store.request_cancel(run_id)
    first = store.get(run_id).cancel_time
    assert store.request_cancel(run_id) and store.get(run_id).cancel_time == first
    store.transition(run_id, "queued", "cancelled")
    assert not store.request_cancel(run_id)


def test_progress_is_kept_only_while_running(workspace):
    store = RunStore(workspace)
    run_id = store.create("pretrain", CONFIG)
    store.set_progress(run_id, Progress(what="w", done=1, total=2, unit="images"))
    assert store.get(run_id).progress is None
    store.transition(run_id, "queued", "running")
    halfway = Progress(what="w", done=1, total=2, unit="images", rate=float("nan"))
    store.set_progress(run_id, halfway)
    assert store.get(run_id).progress == dataclasses.replace(halfway, rate=None)


def _win(root, run_id, barrier, wins):
    from derm_core.workspace import Workspace

    store = RunStore(Workspace.open(root))
    barrier.wait()
    if store.transition(run_id, "queued", "running"):
        wins.put(1)


def test_of_many_processes_one_wins_a_transition_even_on_a_fresh_database(workspace):
    context = multiprocessing.get_context("fork")
    barrier, wins = context.Barrier(4), context.Queue()
    run_id = RunStore(workspace).create("pretrain", CONFIG)
    processes = [
        context.Process(target=_win, args=(workspace.root, run_id, barrier, wins)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    assert wins.get(timeout=60) == 1 and wins.empty()


def _create_many(root, barrier):
    from derm_core.workspace import Workspace

    store = RunStore(Workspace.open(root))
    barrier.wait()
    for _ in range(5):
        store.create("pretrain", CONFIG)


def test_processes_that_make_the_database_together_all_succeed(workspace):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    processes = [
        context.Process(target=_create_many, args=(workspace.root, barrier)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 4
    assert sorted(run.seq for run in RunStore(workspace).list()) == list(range(1, 21))


def test_the_database_is_readable_by_its_owner_only_and_in_wal_mode(workspace):
    RunStore(workspace).create("pretrain", CONFIG)
    assert stat.S_IMODE(workspace.database.stat().st_mode) == 0o600
    assert sqlite3.connect(workspace.database).execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_a_newer_database_is_refused_and_left_alone(workspace):
    RunStore(workspace).create("pretrain", CONFIG)
    with sqlite3.connect(workspace.database) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(RunError, match="newer version"):
        RunStore(workspace).list()


def test_a_damaged_database_is_named(workspace):
    workspace.database.write_bytes(b"this is no database, " * 500)
    with pytest.raises(RunError, match="damaged"):
        RunStore(workspace).list()


def test_a_locked_database_says_busy(workspace, monkeypatch):
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0.1)
    store = RunStore(workspace)
    run_id = store.create("pretrain", CONFIG)
    other = sqlite3.connect(workspace.database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RunError, match="busy"):
        store.transition(run_id, "queued", "running")
    other.close()


def test_a_run_that_cannot_be_recorded_leaves_no_folder(workspace):
    workspace.database.write_bytes(b"this is no database, " * 500)
    with pytest.raises(RunError):
        RunStore(workspace).create("pretrain", CONFIG)
    assert list((workspace.root / "runs").iterdir()) == []


def test_short_jobs_stand_in_a_queue_of_their_own(monkeypatch):
    assert device_slot("embed", "cuda:0") == "cpu-short"
    assert device_slot("study", "cuda") == device_slot("pretrain", "cuda:0") == "cuda-0"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device_slot("study", "auto") == "cpu"


def test_name_tags_and_note_can_be_changed_in_any_state_and_lie_in_the_folder_too(workspace):
    store = RunStore(workspace)
    run_id = store.create("study", CONFIG, name="first")
    store.transition(run_id, "queued", "running")
    run = store.annotate(
        run_id, tags=["paper", " paper ", "", "five seeds"], note=" why <b>this</b> \n"
    )
    assert (run.name, run.tags, run.note) == ("first", ("paper", "five seeds"), "why <b>this</b>")
    assert read_json(workspace.run(run_id).about) == {
        "name": "first",
        "tags": list(run.tags),
        "note": run.note,
    }
    assert store.annotate(run_id, name="", note="").tags == run.tags
    assert (store.get(run_id).name, store.get(run_id).note, store.get(run_id).state) == (
        "",
        "",
        "running",
    )


def test_runs_are_listed_by_tag(workspace):
    store = RunStore(workspace)
    first, second = store.create("study", CONFIG), store.create("study", CONFIG)
    store.annotate(first, tags=["a", "both"])
    store.annotate(second, tags=["both"])
    assert [run.id for run in store.list(tag="a")] == [first]
    assert [run.id for run in store.list(tag="both")] == [second, first] and store.list(
        tag="c"
    ) == []


@pytest.mark.parametrize(
    "change",
    [
        {"name": "n" * 81},
        {"note": "n" * 4001},
        {"tags": ["t" * 31]},
        {"tags": ["a,b"]},
        {"tags": [str(i) for i in range(21)]},
    ],
)
def test_texts_that_are_too_long_change_nothing(workspace, change):
    store = RunStore(workspace)
    run_id = store.create("study", CONFIG, name="first")
    with pytest.raises(ConfigError, match="at most"):
        store.annotate(run_id, **change)
    assert store.get(run_id).name == "first" and store.get(run_id).tags == ()


OLD_SCHEMA = """CREATE TABLE runs (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    name TEXT NOT NULL, state TEXT NOT NULL, device TEXT NOT NULL, created REAL NOT NULL, started REAL, finished REAL,
    pid INTEGER, spawned REAL, spawns INTEGER NOT NULL DEFAULT 0, depends_on TEXT, error TEXT, progress TEXT,
    summary TEXT, cancel_time REAL)"""


def test_a_database_of_the_first_version_is_brought_up_to_date_with_its_runs(workspace):
    with sqlite3.connect(workspace.database) as connection:
        connection.execute(OLD_SCHEMA)
        connection.execute("PRAGMA user_version=1")
        connection.execute(
            "INSERT INTO runs (id, kind, name, state, device, created) VALUES "
            "('study-1','study','old','done','cpu',1.0)"
        )
    connection.close()
    store = RunStore(workspace)
    assert (store.get("study-1").name, store.get("study-1").tags, store.get("study-1").note) == (
        "old",
        (),
        "",
    )
    assert store.annotate("study-1", note="kept").note == "kept"
    new = RunStore(Workspace.open(workspace.root)).create("pretrain", CONFIG)
    assert [run.id for run in store.list()] == [new, "study-1"]
