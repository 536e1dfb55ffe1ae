"""The installed package: what the wheel holds, and that it works outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from derm_core import __version__

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = folder.glob("*.whl")
    return path


def test_nothing_is_installed_beside_the_package(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"derm_core", f"derm_core-{__version__}.dist-info"}


def test_the_wheel_holds_the_engine_the_app_and_the_shipped_models(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    engine = [path.relative_to(ROOT) for path in (ROOT / "derm_core").rglob("*.py")]
    assert {path.as_posix() for path in engine} <= names
    app = [ROOT / "app.py", ROOT / ".streamlit" / "config.toml", *(ROOT / "pages").rglob("*.py")]
    app += [path for path in (ROOT / "models").rglob("*") if path.is_file()]
    wanted = {f"derm_core/_app/{path.relative_to(ROOT).as_posix()}" for path in app}
    assert len(wanted) > 40 and wanted <= names
    assert not [name for name in names if name.endswith((".pyc", "secrets.toml"))]
