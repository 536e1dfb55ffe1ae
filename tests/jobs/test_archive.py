"""Archived runs leave the lists and nothing else: they stay on disk, usable and findable, and come back."""

from __future__ import annotations

import sqlite3

import pytest

from derm_core.config import PretrainConfig, StudyConfig, to_dict
from derm_core.errors import ConfigError
from derm_core.files import read_json
from derm_core.jobs import archive, dependencies, supervisor
from derm_core.jobs.queries import RunFilter
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace

CONFIG = {"kind": "pretrain", "device": "cpu", "dataset": "moles"}
CURRENT, ARCHIVED = RunFilter(archived=False), RunFilter(archived=True)


@pytest.fixture
def store(workspace, monkeypatch):
    monkeypatch.setattr(supervisor, "spawn", lambda workspace, run_id, seen=None: True)
    return RunStore(workspace)


def done(store, kind="pretrain", config=CONFIG, state="done", **fields) -> str:
    run_id = store.create(kind, config, **fields)
    store.transition(run_id, "queued", state, finished=2.0)
    return run_id


def ids(runs) -> list[str]:
    return [run.id for run in runs]


def test_only_runs_that_have_ended_are_archived(store):
    ended, queued, running = done(store), store.create("study", CONFIG), store.create("s", CONFIG)
    store.transition(running, "queued", "running")
    assert ids(store.set_archived([ended, queued, running], True)) == [ended]
    assert ids(store.select(CURRENT)) == [running, queued] and ids(store.active())
    assert ids(store.select(ARCHIVED)) == [ended] and ids(store.list()) == [running, queued, ended]
    assert store.set_archived([ended], True) == []
    assert ids(store.set_archived([ended, queued], False)) == [ended]
    assert store.count(CURRENT) == 3 and store.get(ended).archived is None


def test_an_archived_run_keeps_its_folder_its_texts_and_its_place_in_a_table_built_anew(store):
    workspace, run_id = store.workspace, done(store, name="first")
    store.set_archived([run_id], True)
    store.annotate(run_id, note="kept")
    archived = store.get(run_id).archived
    about = {"name": "first", "tags": [], "note": "kept", "archived": archived}
    assert archived and read_json(workspace.run(run_id).about) == about
    workspace.run(run_id).events.write_text(
        '{"time": 1.0, "kind": "state", "value": "done"}\n', encoding="utf-8"
    )
    for file in workspace.root.glob("runs.db*"):
        file.unlink()
    run = RunStore(Workspace.open(workspace.root)).get(run_id)
    assert (run.archived, run.name, run.dataset) == (archived, "first", "moles")
    store.set_archived([run_id], False)
    assert "archived" not in read_json(workspace.run(run_id).about)


def test_a_resumed_run_is_in_the_lists_again(store):
    run_id = done(store, state="failed")
    store.set_archived([run_id], True)
    supervisor.resume(store.workspace, run_id)
    assert ids(store.select(CURRENT)) == [run_id]
    assert "archived" not in read_json(store.workspace.run(run_id).about)


def test_an_archived_pretraining_is_used_again_and_waited_for(store):
    config = PretrainConfig(dataset="moles")
    pretraining = done(store, config=to_dict(config))
    study = StudyConfig(dataset="moles", arms=("vae", "random"), vae_run=pretraining)
    store.set_archived([pretraining], True)
    assert dependencies.matching_run(store.workspace, config).id == pretraining
    run_id = supervisor.submit(store.workspace, study)
    assert store.get(run_id).depends_on == pretraining
    assert supervisor.unfinished_before(store.workspace, run_id) == []
    assert dependencies.dependents(store.workspace, pretraining) == [run_id]


def test_an_age_is_that_of_the_end(store):
    old, new = done(store), store.create("study", CONFIG)
    store.transition(new, "queued", "done")  # ended when is not known: made a moment ago
    assert ids(store.select(archive.ended_filter(1))) == [old]
    assert ids(store.select(archive.ended_filter(0))) == [new, old]
    assert (archive.age_in_days("90d"), archive.age_in_days("2w")) == (90, 14)
    for text in ("90", "d", "-1d", "1.5d"):
        with pytest.raises(ConfigError, match="90d"):
            archive.age_in_days(text)


def test_runs_are_found_by_words_of_their_texts_dataset_and_preset(store):
    study = {"kind": "study", "dataset": "moles", "preset": "laptop"}
    first = store.create("study", study, name="Main 100%")
    second = store.create("pretrain", CONFIG | {"recipe": {"name": "masked"}})
    store.annotate(second, tags=["fünf", "a_b"], note="Ink")
    for text, wanted in {
        "": [second, first],
        "MOLES": [second, first],
        "laptop main": [first],
        "laptop ink": [],
        "masked": [second],
        "fünf": [second],
        "a_b": [second],
        "aXb": [],
        "100%": [first],
        "%": [first],
        first: [first],
        first[-4:]: [first],
        "2": [],
    }.items():
        assert ids(store.select(RunFilter(text=text))) == wanted, text


def test_a_page_of_a_list_is_the_newest_first_and_counted_whole(store):
    made = [store.create("study", CONFIG) for _ in range(5)]
    assert ids(store.select(CURRENT, 2)) == made[:2:-1]
    assert ids(store.select(CURRENT, 2, 4)) == made[:1] and store.count(CURRENT) == 5
    assert store.count(RunFilter(kinds=("embed", "study"), states=("queued",))) == 5
    assert store.count(RunFilter(kinds=("embed",))) == 0


def test_lists_are_answered_from_an_index(store):
    store.create("study", CONFIG)
    active, _ = RunFilter(states=("queued", "running")).condition()
    with sqlite3.connect(store.path) as table:
        plan = table.execute(
            f"EXPLAIN QUERY PLAN SELECT * FROM runs WHERE {active}", ("queued", "running")
        ).fetchall()
    table.close()
    assert "runs_by_state" in str(plan)


def test_an_older_table_learns_the_datasets_of_its_runs(store):
    run_id = store.create("study", {"kind": "study", "dataset": "moles", "preset": "laptop"})
    with sqlite3.connect(store.path) as table:
        table.execute("DROP INDEX runs_by_state")
        for column in ("archived", "dataset", "detail"):
            table.execute(f"ALTER TABLE runs DROP COLUMN {column}")
        table.execute("PRAGMA user_version=2")
    table.close()
    run = store.get(run_id)
    assert (run.dataset, run.detail, run.archived) == ("moles", "laptop", None)
