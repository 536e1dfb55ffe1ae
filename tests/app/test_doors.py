"""The app's doors: what it listens to, who may come in, what it reads, and what it leaves on the disk."""

from __future__ import annotations

import io
import os
import re
import stat
import tomllib
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from derm_core.data.importers import import_dataset
from derm_core.data.roots import check_root, import_roots
from derm_core.errors import ConfigError
from derm_core.files import write_json
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from pages.ui import door

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_server_listens_to_this_machine_alone_and_keeps_its_protections_on():
    config = tomllib.loads((REPOSITORY / ".streamlit" / "config.toml").read_text())
    assert config["server"]["address"] == "127.0.0.1"
    assert config["server"]["enableXsrfProtection"] and config["server"]["enableCORS"]
    assert 0 < config["server"]["maxUploadSize"] <= 50
    assert config["client"]["showErrorDetails"] == "none"


def test_no_page_writes_html_of_its_own():
    for path in [REPOSITORY / "app.py", *(REPOSITORY / "pages").rglob("*.py")]:
        assert not re.search(r"unsafe_allow_html|st\.html\(|components\.v[12]|unsafe_allow_javascript", path.read_text()), path.name


@pytest.mark.parametrize("typed", ["/etc", "/", "{inside}/../..", "{inside}/link", "~root", "", "a\0b", "/proc/self/root/etc"])
def test_the_import_page_stays_below_its_roots(typed, tmp_path, monkeypatch):
    inside = tmp_path / "allowed"
    inside.mkdir()
    (inside / "link").symlink_to("/etc")
    monkeypatch.setenv("DERM_IMPORT_ROOTS", f"{inside}{os.pathsep}{tmp_path / 'other'}")
    with pytest.raises(ConfigError):
        check_root(typed.format(inside=inside))
    assert check_root(f"{inside}/images/../more") == Path(os.path.realpath(inside)) / "more"


def test_without_a_setting_the_roots_are_home_and_the_working_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("DERM_IMPORT_ROOTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert import_roots() == [Path(os.path.realpath(tmp_path)), Path(os.path.realpath(Path.cwd()))]


def test_a_path_outside_is_refused_on_the_page(open_page, tmp_path, monkeypatch):
    monkeypatch.setenv("DERM_IMPORT_ROOTS", str(tmp_path / "allowed"))
    app = open_page("data")
    app.text_input[0].set_value("/etc")
    app.text_input[1].set_value("stolen")
    next(button for button in app.button if button.label == "Import").click()
    app.run()
    assert not app.exception and "imports from" in app.error[0].value


def test_with_a_login_set_up_nothing_is_shown_before_it(open_page, monkeypatch):
    assert not door.login_configured()
    monkeypatch.setattr(st, "secrets", {"auth": {"client_id": "x"}})
    app = open_page("data")
    assert [button.label for button in app.button] == ["Log in"] and not app.text_input
    monkeypatch.setattr(st, "user", {"is_logged_in": True})
    app = open_page("data")
    assert app.text_input and "Log in" not in [button.label for button in app.button]


def part_of_a_page() -> None:
    import streamlit as st

    from pages.ui import process
    process.in_turn(lambda: st.text_input("A patient"))()


def test_a_part_of_a_page_that_runs_by_itself_asks_for_the_login_too(monkeypatch):
    app = AppTest.from_function(part_of_a_page)
    assert app.run().text_input and not app.button
    monkeypatch.setattr(st, "secrets", {"auth": {"client_id": "x"}})
    assert [button.label for button in app.run().button] == ["Log in"] and not app.text_input
    monkeypatch.setattr(st, "user", {"is_logged_in": True})
    assert app.run().text_input and not app.button


def photo_with_gps() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "SECRET-PATIENT"
    exif.get_ifd(0x8825)[1] = "N"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif, comment=b"SECRET-PATIENT")
    return buffer.getvalue()


def test_what_is_stored_is_its_owners_alone_and_holds_no_metadata_of_a_photo(tmp_path, monkeypatch):
    from pages.ui.images import webp
    from derm_core.data.decode import decode
    before = os.umask(0o022)
    try:
        workspace = Workspace.open(tmp_path / "home")
        for label in ("a", "b"):
            (tmp_path / "in" / label).mkdir(parents=True)
            for i in range(3):
                (tmp_path / "in" / label / f"{i}.jpg").write_bytes(photo_with_gps() + bytes([i]))
        import_dataset(workspace, tmp_path / "in", "photos", sizes=(32,), processes=1)
        RunStore(workspace).create("pretrain", {"schema": 1, "kind": "pretrain", "dataset": "photos"})
        write_json(workspace.root / "note.json", {})
    finally:
        os.umask(before)
    for path in [workspace.root, *workspace.root.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert path.is_file() or mode == 0o700, f"{path.relative_to(tmp_path)} {mode:o}"
        if path.is_file():
            assert b"SECRET-PATIENT" not in path.read_bytes() and b"Exif" not in path.read_bytes(), path.name
    assert stat.S_IMODE((workspace.root / "note.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(workspace.database.stat().st_mode) == 0o600
    assert b"SECRET" not in webp(decode(photo_with_gps())) and b"EXIF" not in webp(decode(photo_with_gps()))
