"""Fixtures of the whole suite: the shared data beside the checkout, and a fresh workspace."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from derm_core.workspace import Workspace

REQUIRED = {name for name in os.environ.get("DERM_TEST_REQUIRE", "").split(",") if name}
SHARED = Path(os.environ.get("DERM_SHARED") or Path(__file__).resolve().parents[2] / "shared")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and weights beside the checkout; tests that need it skip without."""
    if not (SHARED / "data").is_dir():
        pytest.skip(
            f"needs the shared images and weights, not found at {SHARED.name}/ beside the checkout"
        )
    return SHARED


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    """An empty workspace; DERM_HOME points at it, so that child processes find it too."""
    monkeypatch.setenv("DERM_HOME", str(tmp_path / "home"))
    return Workspace.open()


@pytest.fixture
def studies(tmp_path, monkeypatch) -> Path:
    """An empty folder in the place of studies/; pages then show no published result."""
    folder = tmp_path / "studies"
    folder.mkdir()
    _use_studies(monkeypatch, folder)
    return folder


def _use_studies(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for module in ("derm_core.workspace", "derm_core.published", "tools.studies"):
        monkeypatch.setattr(f"{module}.studies_folder", lambda: folder)


@pytest.fixture(scope="session")
def published_once(tmp_path_factory) -> Path:
    """A folder with a workspace ("source") and what was published from it ("studies/moles")."""
    from tests.published import publish_maps

    root = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        _use_studies(patch, root / "studies")
        publish_maps(Workspace.open(root / "source"))
    return root


@pytest.fixture
def published(published_once, studies, tmp_path) -> Path:
    """studies/moles with two aligned maps; the workspace that they come from is `source`."""
    for name in ("studies", "source"):
        shutil.copytree(published_once / name, tmp_path / name, dirs_exist_ok=True)
    return studies / "moles"


@pytest.fixture
def source(published, tmp_path) -> Workspace:
    """The workspace of `published`, with the images, the models and the maps' runs."""
    return Workspace.open(tmp_path / "source")


@pytest.fixture
def disk(tmp_path):
    """disk(megabytes): a file system of its own with so much room; the test is skipped where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
        )
        if done.returncode:
            pytest.skip("no file system may be mounted here")
        return folder

    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("mounting needs root")
    yield mount
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)


@pytest.fixture(autouse=True)
def no_worker_outlives_its_test():
    """Ends every worker, with its own children, that a test started and left; not those of wider fixtures."""

    def children() -> dict:
        spawning = sys.modules.get("derm_core.jobs.spawning")
        return spawning.workers if spawning else {}

    before = set(children())
    yield
    for pid in set(children()) - before:
        child = children().pop(pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # a worker leads a session of its own
        child.wait()


def pytest_collection_modifyitems(items):
    """Every browser test is a slow one."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where $DERM_TEST_REQUIRE names a marker, a skipped test with that marker has failed."""
    report = yield
    marks = REQUIRED & {mark.name for mark in item.iter_markers()}
    if report.skipped and marks and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = (
            f"skipped although {', '.join(sorted(marks))} tests must run here: {report.longrepr}"
        )
    return report
