"""The installed package: what the wheel holds, and that it works outside the checkout."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks._streamlit_client import Session
from derm_core import __version__
from tests.browser.support import free_port, wait_until_healthy

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
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
    for shipped in ("models", "studies"):
        app += [path for path in (ROOT / shipped).rglob("*") if path.is_file()]
    app += (ROOT / "docs").glob("*.md")
    wanted = {f"derm_core/_app/{path.relative_to(ROOT).as_posix()}" for path in app}
    assert len(wanted) > 40 and wanted <= names
    assert not [name for name in names if name.endswith((".pyc", "secrets.toml"))]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A fresh environment outside the checkout with the wheel; what it needs is this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    environment = folder / "venv"
    venv.create(environment)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = str(environment / "bin" / "python")
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder


def environment() -> dict[str, str]:
    """This process's environment without what would lead back to the checkout."""
    left_out = ("PYTHONPATH", "DERM_HOME")
    return {key: value for key, value in os.environ.items() if key not in left_out}


def derm(folder: Path, *words: str) -> dict:
    """The JSON answer of the installed command, run outside the checkout."""
    done = subprocess.run(
        [str(folder / "venv" / "bin" / "derm"), *words, "--json"],
        check=False,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_installed_command_finds_the_shipped_models(installed):
    models = derm(installed, "models", "list")["models"]
    assert {card["name"] for card in models} == {
        path.parent.name for path in (ROOT / "models").glob("*/card.json")
    }
    assert derm(installed, "doctor")["ok"]


@pytest.mark.slow
def test_the_installed_command_classifies_an_image(installed):
    picture = installed / "lesion.png"
    Image.fromarray(np.full((96, 96, 3), (180, 120, 100), np.uint8)).save(picture)
    answer = derm(installed, "predict", str(picture))
    (image,) = answer["images"]
    assert (
        set(image["arms"]) == {"vae-resnet18-64", "imagenet-resnet18-64"} and not answer["errors"]
    )


@pytest.mark.slow
def test_the_installed_command_opens_the_app_with_all_its_pages(installed):
    port = free_port()
    command = [str(installed / "venv" / "bin" / "derm"), "app", "--port", str(port)]
    with open(installed / "app.log", "w+") as log:
        app = subprocess.Popen(
            command, cwd=installed, env=environment(), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            wait_until_healthy(app, f"http://127.0.0.1:{port}", log)
            visit = asyncio.run, visit_all(f"http://127.0.0.1:{port}")
            with ThreadPoolExecutor(1) as pool:  # this thread may have a loop of another test
                pages = pool.submit(*visit).result()
        finally:
            app.terminate()
            app.wait(timeout=30)
    assert pages == {path.stem for path in (ROOT / "pages").glob("*.py")}
    assert (installed / "workspace" / "runs").is_dir()


async def visit_all(address: str) -> set[str]:
    """Open every page of the app; returns their names. Raises PageError where one shows an error."""
    async with Session(address) as session:
        names = set(session.pages)
        for name in names:
            await session.open(name)
    return names
