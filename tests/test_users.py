"""Users of a shared server: a workspace each, the server's datasets and models to read, devices in common."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from derm_core.bundles.model_library import find_bundle, list_bundles
from derm_core.config import PretrainConfig, to_dict
from derm_core.data.import_roots import check_root, import_roots
from derm_core.data.importers import import_dataset
from derm_core.data.manifest import delete_dataset, list_datasets, load_dataset, save_dataset
from derm_core.data.marks import Mark, read_marks, set_marks
from derm_core.data.store import open_store
from derm_core.data.synth.dataset import make_synth
from derm_core.data.triage import save_map
from derm_core.errors import ConfigError, NotFound
from derm_core.files import read_json
from derm_core.jobs import turns
from derm_core.jobs.dependencies import dataset_users
from derm_core.jobs.store import RunStore
from derm_core.jobs.supervisor import waits_for_another_user
from derm_core.locks import hold
from derm_core.study.looks import count_looks
from derm_core.users import user_folder, user_workspace
from derm_core.workspace import Workspace
from tests.app.bundles import put_bundle
from tests.builders import write_dataset

ANNA = {"iss": "https://login.example", "sub": "1", "email": "anna@example.org"}
BEN = {"iss": "https://login.example", "sub": "2", "email": "ben@example.org"}


@pytest.fixture
def anna(workspace) -> Workspace:
    return user_workspace(workspace, ANNA)


@pytest.fixture
def ben(workspace) -> Workspace:
    return user_workspace(workspace, BEN)


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder, but for those of the server's users."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and "users" not in path.relative_to(folder).parts
    }


def test_a_folder_is_that_of_issuer_and_subject_alone():
    folder = user_folder(ANNA)
    assert folder == user_folder({**ANNA, "email": "new@example.org", "name": "A. New"})
    others = [
        BEN,
        {**ANNA, "iss": "https://other.example"},
        {"iss": "https://login.example1", "sub": ""},
    ]
    others[2] |= {"email": "anna@example.org", "email_verified": True}
    assert len({folder, *map(user_folder, others)}) == 4


@pytest.mark.parametrize("subject", ["../../etc", "a/b", "", "\0", "~root", "A" * 500, "é"])
def test_no_text_of_a_user_becomes_a_path(workspace, subject):
    claims = {"iss": "../x", "sub": subject, "email": "../../y@example.org", "email_verified": True}
    folder = user_workspace(workspace, claims).root
    assert folder.parent == workspace.root / "users" and folder.name.startswith("user-")
    assert set(folder.name.removeprefix("user-")) <= set("0123456789abcdef")
    assert read_json(folder / "user.json")["sub"] == subject
    with pytest.raises(ConfigError):
        workspace.of_user(subject)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"is_logged_in": True},
        {"sub": "1"},
        {"iss": "i", "sub": None},
        {"iss": "i", "sub": 7},
        {"iss": "i", "email": "a@b.c"},
        {"iss": "i", "email": "a@b.c", "email_verified": False},
        {"iss": "i", "email": "a@b.c", "email_verified": "true"},
    ],
)
def test_who_does_not_say_who_it_is_gets_no_workspace(workspace, claims):
    with pytest.raises(ConfigError, match=r"server\.md"):
        user_workspace(workspace, claims)
    assert not (workspace.root / "users").exists()


def test_an_address_serves_where_there_is_no_subject_and_is_not_taken_for_one(workspace):
    by_address = user_folder({"iss": "i", "email": "1", "email_verified": True})
    assert by_address != user_folder({"iss": "i", "sub": "1"})


def test_runs_of_one_user_are_not_there_for_another(workspace, anna, ben):
    run_id = RunStore(anna).create("pretrain", to_dict(PretrainConfig(dataset="synth")))
    assert [run.id for run in RunStore(anna).list()] == [run_id]
    for other in (ben, workspace):
        assert RunStore(other).list() == [] and not other.run(run_id).root.exists()
        with pytest.raises(NotFound):
            RunStore(other).get(run_id)


def test_a_users_dataset_is_theirs_and_the_servers_is_everyones(workspace, anna, ben):
    write_dataset(workspace, "common", images=12)
    write_dataset(anna, "private", images=12)
    assert [(one.name, one.shared) for one in list_datasets(anna)] == [
        ("common", True),
        ("private", False),
    ]
    assert [one.name for one in list_datasets(ben)] == ["common"]
    assert [(one.name, one.shared) for one in list_datasets(workspace)] == [("common", False)]
    with pytest.raises(NotFound):
        load_dataset(ben, "private")
    assert load_dataset(ben, "common").frame.equals(load_dataset(workspace, "common").frame)


def test_no_user_changes_a_dataset_of_the_server(workspace, anna, tmp_path):
    write_dataset(workspace, "common", images=12)
    make_synth(workspace, "synth-60", images=60, size=32, processes=1)
    (tmp_path / "in").mkdir()
    before = files_of(workspace.root)
    dataset = load_dataset(anna, "common")
    changes = [
        lambda: delete_dataset(anna, "common"),
        lambda: save_map(anna, "common", dict.fromkeys(dataset.classes, "high")),
        lambda: import_dataset(anna, tmp_path / "in", "common"),
        lambda: save_dataset(anna, "common", dataset.frame, dataset.info),
        lambda: anna.remove(workspace.dataset("common").root),
    ]
    for change in changes:
        with pytest.raises(ConfigError):
            change()
    assert len(open_store(anna, dataset, 40, processes=1)) == 12
    count_looks(anna, "common", "a-run", dataset.frame["image_id"].to_numpy())
    set_marks(dataset, [Mark(image_id=dataset.frame["image_id"][0], mark="exclude")])
    assert len(read_marks(anna.dataset("common"))) == 1
    assert not read_marks(workspace.dataset("common"))
    assert len(make_synth(anna, "synth-60", images=60, size=32)) == 60
    with pytest.raises(ConfigError):
        make_synth(anna, "synth-60", images=61, size=32)
    assert files_of(workspace.root) == before


def test_looks_at_test_images_are_counted_for_each_user(workspace, anna, ben):
    ids = write_dataset(workspace, "common", images=12).frame["image_id"].to_numpy()
    assert count_looks(anna, "common", "first", ids).mean == 0
    assert count_looks(anna, "common", "second", ids).mean == 1
    assert count_looks(ben, "common", "third", ids).mean == 0


def test_pixels_that_the_server_has_decoded_are_read_where_they_are(workspace, anna):
    shared = write_dataset(workspace, "common", images=12)
    open_store(workspace, shared, 32, processes=1)
    store = open_store(anna, load_dataset(anna, "common"), 32, processes=1)
    assert Path(store.images.filename).is_relative_to(workspace.dataset("common").root)
    assert not (anna.root / "shared").exists()


def test_a_users_dataset_stays_theirs_where_the_server_gets_one_of_that_name(workspace, anna, ben):
    own = write_dataset(anna, "moles", images=12)
    write_dataset(workspace, "moles", images=20)
    assert (
        len(load_dataset(anna, "moles")) == len(own) == 12 and len(load_dataset(ben, "moles")) == 20
    )
    delete_dataset(anna, "moles")
    assert len(load_dataset(anna, "moles")) == 20


def test_models_of_the_server_are_everyones_and_a_users_are_theirs(workspace, anna, ben):
    put_bundle(workspace, "of-all", "vae")
    put_bundle(anna, "of-anna", "vae")
    shelves = {one.name: one.shelf for one in list_bundles(anna)}
    assert shelves["of-all"] == "server" and shelves["of-anna"] == "workspace"
    assert "of-anna" not in {one.name for one in list_bundles(ben)} and find_bundle(ben, "of-all")
    with pytest.raises(NotFound) as refusal:
        find_bundle(ben, "of-anna")
    assert "there are" in str(refusal.value) and str(refusal.value).count("of-anna") == 1
    with pytest.raises(ConfigError):
        anna.remove(find_bundle(anna, "of-all"))


def test_a_worker_finds_the_servers_datasets_by_the_folder_it_is_given(workspace, anna):
    write_dataset(workspace, "common", images=12)
    code = "from derm_core.workspace import Workspace as W; w = W.open(); print(w.root, w.dataset_names())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DERM_HOME": str(anna.root)},
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"{anna.root} ['common']"


def test_users_share_the_devices_and_are_told_of_each_other_no_more_than_that(workspace, anna, ben):
    run_id = RunStore(ben).create(
        "pretrain", to_dict(PretrainConfig(dataset="synth", device="cpu"))
    )
    run = RunStore(ben).get(run_id)
    assert not waits_for_another_user(ben, run)
    with hold(anna.device_lock("cpu"), math.inf):
        assert waits_for_another_user(ben, run)
        RunStore(ben).transition(run_id, "queued", "running", started=1.0)
        assert not waits_for_another_user(ben, RunStore(ben).get(run_id))
    assert workspace.device_lock("cpu") == anna.device_lock("cpu") == ben.device_lock("cpu")


def test_the_log_of_a_run_that_waits_names_no_other_user(anna, ben, monkeypatch, capsys):
    monkeypatch.setattr(turns, "OTHER_RUN_SECONDS", 0.0)
    config = to_dict(PretrainConfig(dataset="synth", device="cpu"))
    waiting, working = (RunStore(home).create("pretrain", config) for home in (ben, anna))

    class StopAfterFourLooks:
        looks = 0

        def check(self):
            self.looks += 1
            if self.looks > 4:
                raise turns.Stopped("cancelled")

    with hold(anna.device_lock("cpu")), pytest.raises(turns.Stopped):  # noqa: SIM117
        with turns.device_turn(ben, waiting, ["cpu"], StopAfterFourLooks()):
            pytest.fail("two runs on one device")
    log = capsys.readouterr().out
    assert log.count("another user's run uses it") == 1 and working not in log


def test_a_dataset_of_the_server_is_in_use_while_a_users_run_reads_it(workspace, anna, ben):
    for home in (ben, workspace):
        write_dataset(home, "common", images=12)
    config = to_dict(PretrainConfig(dataset="common"))
    run_id, _ = (RunStore(home).create("pretrain", config) for home in (anna, ben))
    assert dataset_users(workspace, "common") == [run_id]  # ben's run reads his own


def test_a_user_imports_from_the_allowed_folders_and_never_from_a_workspace(
    workspace, anna, ben, tmp_path, monkeypatch
):
    monkeypatch.delenv("DERM_IMPORT_ROOTS", raising=False)
    assert import_roots(anna) == [] and import_roots(workspace)
    with pytest.raises(ConfigError, match="DERM_IMPORT_ROOTS"):
        check_root(str(tmp_path), anna)
    allowed = f"{tmp_path}{os.pathsep}/srv/drop/{{user}}"
    monkeypatch.setenv("DERM_IMPORT_ROOTS", allowed)
    assert import_roots(anna) == [tmp_path, Path("/srv/drop") / anna.root.name]
    assert check_root(str(tmp_path / "images"), anna) == tmp_path / "images"
    (tmp_path / "link").symlink_to(ben.root)
    for inside in (tmp_path, workspace.root, ben.root / "runs", anna.root, tmp_path / "link"):
        with pytest.raises(ConfigError, match="users"):
            check_root(str(inside), anna)
    with pytest.raises(ConfigError):
        check_root(f"/srv/drop/{ben.root.name}", anna)


def test_only_a_folder_of_a_users_form_is_taken_for_one(tmp_path):
    for name in ("users/anna", "users/user-1", "other/" + user_folder(ANNA)):
        assert Workspace.open(tmp_path / name).shared_root is None
    assert Workspace.open(tmp_path / "users" / user_folder(ANNA)).shared_root == tmp_path
