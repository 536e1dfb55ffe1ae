"""`runs edit` and `runs list --tag`: what a user says of a run, from the command line."""

import json

import pytest

from derm_core import cli
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
