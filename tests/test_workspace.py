"""Paths come from checked ids only; files appear whole; streams of a seed are independent."""

import os
import stat

import pytest

from derm_core.errors import ConfigError
from derm_core.files import disk_bytes, read_json, write_atomic, write_json
from derm_core.seeds import stream_seed
from derm_core.workspace import Workspace, check_id, new_run_id


@pytest.mark.parametrize("text", ["", "..", "a/b", "A", "-a", "a" * 41, "a b", "é", "a\n", None])
def test_ids_that_could_leave_the_workspace_are_refused(workspace, text):
    with pytest.raises(ConfigError, match="allowed"):
        workspace.run(text)


def test_a_new_run_id_is_a_valid_id():
    assert check_id(new_run_id("pretrain"))


def test_remove_refuses_what_lies_outside(workspace, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    with pytest.raises(ConfigError, match="not inside"):
        workspace.remove(victim)
    assert victim.exists()


def test_remove_tells_what_it_freed(workspace):
    run = workspace.run("r1").create()
    run.config.write_bytes(b"x" * 1000)
    assert disk_bytes(run.root) == workspace.remove(run.root) == 1000
    assert not run.root.exists()


def test_a_workspace_that_cannot_be_made_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="DERM_HOME"):
        Workspace.open(tmp_path / "file")


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    monkeypatch.setattr(
        os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(OSError):
        write_atomic(path, "{}")
    assert read_json(path) == {"a": 1} and os.listdir(tmp_path) == ["a.json"]


def test_written_files_are_private(tmp_path):
    write_atomic(tmp_path / "a", "x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_streams_differ_by_seed_name_and_step():
    seeds = {stream_seed(s, n, k) for s in range(5) for n in ("order", "noise") for k in range(50)}
    assert len(seeds) == 500 and all(0 <= value < 2**63 for value in seeds)
