"""`data get`: what it shows, asks and refuses; the download itself is tested in tests/data."""

from __future__ import annotations

import io
import json
import sys

import pytest

from derm_core import cli
from derm_core.data.downloads import PUBLIC_SETS
from derm_core.data.manifest import read_info
from tests.builders import write_dataset
from tests.data.public_place import offered_ham10000

pytestmark = pytest.mark.slow


class Keyboard(io.StringIO):
    """Standard input with somebody at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def place(workspace, tmp_path, monkeypatch):
    """HAM10000 in small, offered by a stand-in; the current folder is empty."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with offered_ham10000(monkeypatch) as place:
        yield place


def test_without_a_name_the_sets_are_listed(workspace, capsys):
    assert cli.main(["data", "get", "--json"]) == 0
    sets = json.loads(capsys.readouterr().out)["sets"]
    assert [one["name"] for one in sets] == list(PUBLIC_SETS)
    assert all(one["license"] and one["citation"] and one["bytes"] > 10**7 for one in sets)


def test_without_a_terminal_one_line_refuses_and_nothing_is_written(place, tmp_path, capsys):
    assert cli.main(["data", "get", "ham10000"]) == 1
    output = capsys.readouterr()
    assert "--accept-licence" in output.err and len(output.err.splitlines()) == 1
    assert list((tmp_path / "here").iterdir()) == [] and place.requests == []


def test_at_a_terminal_no_is_the_default(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Keyboard("\n"))
    assert cli.main(["data", "get", "ham10000"]) == 1
    assert list((tmp_path / "here").iterdir()) == [] and place.requests == []


def test_size_licence_and_attribution_are_shown_before_the_question(place, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Keyboard("y\n"))
    assert cli.main(["data", "get", "ham10000", "--no-import"]) == 0
    before, question, _ = capsys.readouterr().err.partition("[y/N]")
    assert question and all(text in before for text in ("CC BY-NC 4.0", "Tschandl", "kB", "/here/"))


def test_agreed_to_it_is_downloaded_and_imported(place, workspace, tmp_path, capsys):
    assert cli.main(["data", "get", "ham10000", "--accept-licence", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["folder"] == str(tmp_path / "here" / "data" / "ham10000")
    assert value["imported"]["images"] == 12 and value["license"] == "CC BY-NC 4.0"
    assert read_info(workspace.dataset("ham10000")).license == "CC BY-NC 4.0"
    assert cli.main(["data", "get", "ham10000", "--accept-licence"]) == 0


def test_a_folder_can_be_named_and_the_import_left_out(place, workspace, tmp_path, capsys):
    arguments = ["--to", str(tmp_path / "mine"), "--no-import", "--accept-licence", "--json"]
    assert cli.main(["data", "get", "ham10000", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["imported"] is None
    assert (tmp_path / "mine" / "HAM10000_metadata.csv").exists()
    assert workspace.dataset_names() == []


def test_a_dataset_of_that_name_is_noticed_before_the_download(place, workspace, capsys):
    write_dataset(workspace, "ham10000")
    assert cli.main(["data", "get", "ham10000", "--accept-licence"]) == 1
    assert "--no-import" in capsys.readouterr().err and place.requests == []


def test_a_folder_in_the_workspace_is_refused(place, workspace, capsys):
    folder = workspace.dataset("mine").root
    assert cli.main(["data", "get", "ham10000", "--to", str(folder), "--accept-licence"]) == 1
    assert place.requests == [] and not folder.exists()
