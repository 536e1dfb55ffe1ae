"""`runs edit` and `runs list --tag`: what a user says of a run, from the command line."""

import json
import time

import pytest

from derm_core import cli
from derm_core.commands import doctor
from derm_core.jobs import supervisor
from derm_core.jobs.store import RunStore


@pytest.fixture
def call(workspace, capsys):
    def run(*argv: str, status: int = 0):
        assert cli.main([*argv, "--json"]) == status
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def finished_run(workspace):
    store = RunStore(workspace)
    run_id = store.create("study", {"kind": "study", "device": "cpu"})
    store.transition(run_id, "queued", "done")
    return run_id


def test_edit_changes_what_is_given_and_leaves_the_rest(call, finished_run):
    call("runs", "edit", finished_run, "--name", "Main study", "--tags", "paper, five seeds")
    edited = call("runs", "edit", finished_run, "--note", "Ink on some images.")
    assert edited == {
        "run_id": finished_run,
        "name": "Main study",
        "tags": ["paper", "five seeds"],
        "note": "Ink on some images.",
    }
    assert call("runs", "edit", finished_run, "--tags", "")["tags"] == []
    shown = call("runs", "show", finished_run)
    assert (shown["name"], shown["note"]) == ("Main study", "Ink on some images.")


def test_list_by_tag_shows_those_runs_alone(call, finished_run, workspace):
    other = RunStore(workspace).create("study", {"kind": "study", "device": "cpu"})
    RunStore(workspace).transition(other, "queued", "cancelled")
    call("runs", "edit", finished_run, "--tags", "paper")
    assert [row["run_id"] for row in call("runs", "list", "--tag", "paper")["runs"]] == [
        finished_run
    ]
    assert len(call("runs", "list")["runs"]) == 2


def test_an_edit_without_a_change_or_with_too_long_a_name_is_refused(call, finished_run):
    assert "--note" in call("runs", "edit", finished_run, status=1)["error"]
    assert "at most 80" in call("runs", "edit", finished_run, "--name", "n" * 81, status=1)["error"]


@pytest.fixture
def aged(workspace) -> list[str]:
    """Runs that ended 200, 100 and 10 days ago, and one that is queued."""
    store, day = RunStore(workspace), 86_400
    ids = [store.create("study", {"kind": "study", "dataset": "d"}) for _ in range(4)]
    for run_id, age in zip(ids, (200, 100, 10), strict=False):
        store.transition(run_id, "queued", "done", finished=time.time() - age * day)
    return ids


@pytest.fixture
def listed(call, monkeypatch):
    monkeypatch.setattr(supervisor, "spawn", lambda workspace, run_id, seen=None: True)
    return lambda *options: [row["run_id"] for row in call("runs", "list", *options)["runs"]]


def test_old_runs_are_archived_by_age_and_brought_back(call, listed, aged, workspace):
    wanted = ("runs", "archive", "--older-than", "90d")
    assert call(*wanted, "--dry-run")["runs"] == aged[1::-1] and listed() == aged[::-1]
    assert call(*wanted)["runs"] == aged[1::-1] and call(*wanted)["runs"] == []
    assert listed() == aged[:1:-1] and listed("--archived") == aged[1::-1]
    assert all(workspace.run(run_id).config.exists() for run_id in aged)
    assert call("runs", "unarchive", aged[0])["runs"] == [aged[0]]
    assert listed("--archived") == [aged[1]]


def test_a_queued_run_is_not_archived_by_age_nor_by_name(call, listed, aged):
    assert aged[3] not in call("runs", "archive", "--older-than", "0d")["runs"]
    call("runs", "unarchive", "--older-than", "0d")
    answer = call("runs", "archive", aged[0], aged[3], status=1)
    assert f"{aged[3]} is queued" in answer["error"] and listed() == aged[::-1]


@pytest.mark.parametrize(
    "options", [(), ("study-1", "--older-than", "90d"), ("--older-than", "soon")]
)
def test_archive_takes_runs_or_an_age(call, options):
    assert "90d" in call("runs", "archive", *options, status=1)["error"]


def test_a_list_that_is_cut_says_so(listed, aged, workspace, capsys):
    assert listed("--limit", "2") == aged[:1:-1]
    assert cli.main(["runs", "archive", aged[0]]) == 0
    capsys.readouterr()
    assert cli.main(["runs", "list", "--limit", "1"]) == 0
    text = capsys.readouterr().out
    assert "newest 1 of 3" in text and "1 archived run not listed: --archived" in text


def test_doctor_says_what_archived_runs_take_and_lists_small_runs_together(
    call, aged, workspace, monkeypatch, capsys
):
    monkeypatch.setattr(doctor, "NAMED_RUNS", 1)
    call("runs", "archive", *aged[:2])
    value = call("doctor", "--space")
    sizes = {use["name"]: use["bytes"] for use in value["space"] if use["what"] == "run"}
    assert set(sizes) == set(aged) and value["archived_runs"] == 2
    assert value["archived_bytes"] == sizes[aged[0]] + sizes[aged[1]] > 0
    assert cli.main(["doctor", "--space"]) == 0
    text = capsys.readouterr().out
    assert "3 smaller runs" in text and "Of these 2 archived runs take" in text
