"""The app's doors: what it listens to, who may come in, what it reads, and what it leaves on the disk."""

from __future__ import annotations

import ast
import os
import re
import stat
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from derm_core.config import BackboneConfig, PretrainConfig, to_dict
from derm_core.config.recipes import recipe
from derm_core.data.decode import MAX_BYTES, decode
from derm_core.data.import_roots import check_root, import_roots
from derm_core.data.importers import import_dataset
from derm_core.data.manifest import load_dataset
from derm_core.data.store import open_store
from derm_core.data.synth.dataset import make_synth
from derm_core.errors import ConfigError
from derm_core.files import write_json
from derm_core.jobs.store import RunStore
from derm_core.study.shortcut import paint_ink
from derm_core.workspace import Workspace
from pages.ui import login
from pages.ui.words import THIN
from tests.app.bundles import put_bundle
from tests.builders import encode, noise

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_server_listens_to_this_machine_alone_and_keeps_its_protections_on():
    config = tomllib.loads((REPOSITORY / ".streamlit" / "config.toml").read_text())
    assert config["server"]["address"] == "127.0.0.1"
    assert config["server"]["enableXsrfProtection"] and config["server"]["enableCORS"]
    assert 0 < config["server"]["maxUploadSize"] <= 50
    assert config["client"]["showErrorDetails"] == "none"


def test_streamlits_own_download_of_a_table_which_keeps_formulas_is_off_and_every_table_has_the_products_own():
    assert st.get_option("client.disableDataExport")
    for path in (REPOSITORY / "pages").rglob("*.py"):
        for function in (
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef)
        ):
            called = {
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else getattr(node.func, "id", "")
                for node in ast.walk(function)
                if isinstance(node, ast.Call)
            }
            has_its_own = (path.name, function.name) in {
                ("results_table.py", "choose_answer"),  # its CSV: results_table.draw_downloads
                ("dataset_marks.py", "_draw_table"),  # its CSV: csv_tables, as marks are imported
            }
            if "dataframe" in called and not has_its_own:
                assert "download_table" in called, f"{path.name}: {function.name}"


@pytest.mark.slow
def test_no_uploader_offers_more_than_the_server_takes(open_page, workspace, monkeypatch):
    """Nor less: what it refuses is said on the page, not by the server's bare 413."""
    limit = tomllib.loads((REPOSITORY / ".streamlit" / "config.toml").read_text())["server"][
        "maxUploadSize"
    ]
    assert st.get_option("server.maxUploadSize") == limit == MAX_BYTES // 2**20
    put_bundle(workspace, "a-vae", "vae")
    offered = [
        (page, box.proto.max_upload_size_mb)
        for page in ("models", "classify")
        for box in open_page(page).get("file_uploader")
    ]
    assert offered == [("models", limit), ("classify", limit)]
    shown = [
        element.value
        for element in open_page("models").markdown
        if "models import" in element.value
    ]
    assert len(shown) == 1 and f"{limit} MB" in shown[0].replace(THIN, " ")


def test_no_page_writes_html_of_its_own_but_for_one_component_that_makes_no_markup_of_text():
    pages = REPOSITORY / "pages"
    for path in [REPOSITORY / "app.py", *pages.rglob("*.py")]:
        written = re.findall(
            r"unsafe_allow_html|st\.html\(|components\.v[12]|unsafe_allow_javascript",
            path.read_text(),
        )
        assert written == (["components.v2"] if path.name == "map_hover.py" else []), path.name
    [script] = pages.rglob("*.js")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?:", script.read_text()
    )


@pytest.mark.parametrize(
    "typed",
    ["/etc", "/", "{inside}/../..", "{inside}/link", "~root", "", "a\0b", "/proc/self/root/etc"],
)
def test_the_import_page_stays_below_its_roots(typed, workspace, tmp_path, monkeypatch):
    inside = tmp_path / "allowed"
    inside.mkdir()
    (inside / "link").symlink_to("/etc")
    monkeypatch.setenv("DERM_IMPORT_ROOTS", f"{inside}{os.pathsep}{tmp_path / 'other'}")
    with pytest.raises(ConfigError):
        check_root(typed.format(inside=inside), workspace)
    assert (
        check_root(f"{inside}/images/../more", workspace) == Path(os.path.realpath(inside)) / "more"
    )


def test_without_a_setting_the_roots_are_home_and_the_working_folder(
    workspace, monkeypatch, tmp_path
):
    monkeypatch.delenv("DERM_IMPORT_ROOTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert import_roots(workspace) == [
        Path(os.path.realpath(tmp_path)),
        Path(os.path.realpath(Path.cwd())),
    ]


def test_a_path_outside_is_refused_on_the_page(open_page, tmp_path, monkeypatch):
    monkeypatch.setenv("DERM_IMPORT_ROOTS", str(tmp_path / "allowed"))
    app = open_page("data")
    app.text_input[0].set_value("/etc")
    app.text_input[1].set_value("stolen")
    next(button for button in app.button if button.label == "Preview").click()
    app.run()
    assert not app.exception and "imports from" in app.error[0].value


def test_with_a_login_set_up_nothing_is_shown_before_it(open_page, monkeypatch):
    monkeypatch.setattr(login, "NEEDED", ())
    assert not login.login_configured()
    monkeypatch.setattr(st, "secrets", {"auth": {"client_id": "x"}})
    app = open_page("data")
    assert [button.label for button in app.button] == ["Log in"] and not app.text_input
    monkeypatch.setattr(st, "user", {"is_logged_in": True, "iss": "i", "sub": "7"})
    app = open_page("data")
    assert app.text_input and "Log in" not in [button.label for button in app.button]
    assert [button.label for button in app.sidebar.button] == ["Log out"]


def test_a_login_that_lacks_a_package_stays_closed_and_says_what_to_install(open_page, monkeypatch):
    assert set(login.NEEDED) == {
        requirement.split(">")[0].lower()
        for requirement in requires("streamlit")
        if 'extra == "auth"' in requirement
    }
    monkeypatch.setattr(login, "NEEDED", ("a_package_that_nobody_has",))
    monkeypatch.setattr(st, "secrets", {"auth": {"client_id": "x"}})
    app = open_page("data")
    assert (
        "pip install -r requirements-extras.txt" in app.error[0].value
        and not app.button
        and not app.text_input
    )


def part_of_a_page() -> None:
    import streamlit as st

    from pages.ui import scheduling

    scheduling.in_turn(lambda: st.text_input("A patient"))()


def test_a_part_of_a_page_that_runs_by_itself_asks_for_the_login_too(monkeypatch):
    monkeypatch.setattr(login, "NEEDED", ())
    app = AppTest.from_function(part_of_a_page)
    assert app.run().text_input and not app.button
    monkeypatch.setattr(st, "secrets", {"auth": {"client_id": "x"}})
    assert [button.label for button in app.run().button] == ["Log in"] and not app.text_input
    monkeypatch.setattr(st, "user", {"is_logged_in": True, "iss": "i", "sub": "7"})
    assert app.run().text_input and not app.button


def photo_with_gps() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "SECRET-PATIENT"
    exif.get_ifd(0x8825)[1] = "N"
    return encode(noise(40), "JPEG", exif=exif, comment=b"SECRET-PATIENT")


@pytest.fixture
def usual_mask():
    """The mask of most systems: what a program makes without asking can be read by everyone."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def not_private(folder: Path) -> list[str]:
    """What below a folder others than its owner may read, write or enter."""
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}
    return [
        f"{path.relative_to(folder)} {mode:o}"
        for path, mode in modes.items()
        if mode != (0o700 if path.is_dir() else 0o600)
    ]


def write_photos(folder: Path) -> Path:
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for i in range(3):
            (folder / label / f"{i}.jpg").write_bytes(photo_with_gps() + bytes([i]))
    (folder / "b" / "broken.jpg").write_bytes(b"no image")
    return folder


def test_what_is_stored_is_its_owners_alone_and_holds_no_metadata_of_a_photo(tmp_path, usual_mask):
    from pages.ui.images import webp

    workspace = Workspace.open(tmp_path / "home")
    import_dataset(workspace, write_photos(tmp_path / "in"), "photos", sizes=(32,), processes=1)
    RunStore(workspace).create("pretrain", {"schema": 1, "kind": "pretrain", "dataset": "photos"})
    write_json(workspace.root / "note.json", {})
    assert not_private(workspace.root) == []
    for path in (path for path in workspace.root.rglob("*") if path.is_file()):
        assert b"SECRET-PATIENT" not in path.read_bytes() and b"Exif" not in path.read_bytes(), (
            path.name
        )
    assert b"SECRET" not in webp(decode(photo_with_gps())) and b"EXIF" not in webp(
        decode(photo_with_gps())
    )


@pytest.mark.slow
def test_pixels_of_every_origin_are_their_owners_alone_while_they_are_made_and_after(
    tmp_path, usual_mask
):
    workspace, seen = Workspace.open(tmp_path / "home"), set()

    def look(done: int, total: int) -> None:
        assert not_private(workspace.root) == []
        seen.update(path.name for path in workspace.root.rglob("*"))

    import_dataset(
        workspace, write_photos(tmp_path / "in"), "photos", sizes=(32,), processes=1, progress=look
    )
    open_store(workspace, load_dataset(workspace, "photos"), 40, processes=1, progress=look)
    arrays = {
        f"{split}_{kind}": np.zeros((4, 28, 28, 3) if kind == "images" else (4, 1), np.uint8)
        for split in ("train", "val", "test")
        for kind in ("images", "labels")
    }
    np.savez_compressed(tmp_path / "dermamnist.npz", **arrays)
    import_dataset(
        workspace, tmp_path / "dermamnist.npz", "mnist", sizes=(32,), processes=1, progress=look
    )
    for processes in (1, 2):
        make_synth(
            workspace,
            f"painted-{processes}",
            images=60,
            size=32,
            processes=processes,
            progress=look,
        )
    images = np.zeros((4, 32, 32, 3), np.uint8)
    for _ in paint_ink(images, np.arange(4), list("abcd"), workspace.root / "inked.npy"):
        look(0, 0)
    look(0, 0)
    assert {
        "import.lock",
        "images-32.npy",
        "progress.jsonl",
        "images.npy",
        "train-000000.png",
        "making.lock",
        "masks",
        "inked.npy",
    } <= seen


@pytest.mark.slow
def test_a_run_leaves_nothing_that_others_may_read(workspace, usual_mask):
    """As its worker leaves it, a process of its own."""
    make_synth(workspace, "painted", images=80, size=32, processes=1)
    config = PretrainConfig(
        dataset="painted",
        backbone=BackboneConfig(architecture="resnet18", stage=1),
        input_size=32,
        device="cpu",
        recipe=recipe("paper", epochs=1, batch_size=32, latent_dim=8, decoder_width=16),
    )
    run_id = RunStore(workspace).create("pretrain", to_dict(config))
    done = subprocess.run(
        [sys.executable, "-m", "derm_core.jobs.worker", run_id],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and RunStore(workspace).get(run_id).state == "done", done.stderr[
        -2000:
    ]
    assert list(workspace.run(run_id).checkpoints.iterdir()) and list(
        workspace.run(run_id).artefacts.iterdir()
    )
    assert not_private(workspace.root) == []


@pytest.mark.parametrize("module", ["derm_core", "derm_core.jobs.worker"])
def test_every_process_of_the_engine_makes_private_files_also_where_a_library_writes_them(
    module, tmp_path, usual_mask
):
    """Asked of the process as it stands when its module is run."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os\natexit.register(lambda: open(os.environ['LEFT'], 'w').close())\n"
    )
    subprocess.run(
        [sys.executable, "-m", module],
        cwd=REPOSITORY,
        capture_output=True,
        input="",
        text=True,
        timeout=120,
        env={
            **os.environ,
            "LEFT": str(tmp_path / "left"),
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}",
        },
    )
    assert stat.S_IMODE((tmp_path / "left").stat().st_mode) == 0o600
