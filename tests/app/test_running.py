"""The running app as a browser meets it, over its websocket: what a page says of a bug, where an upload goes."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from benchmarks._load_home import blur, photograph
from benchmarks._streamlit_client import PageError, Session
from benchmarks.load import served
from derm_core.files import read_json, write_json

LARGE = 5 * 2**20


def first_page(address: str) -> Session:
    """A session after its first page, whose script has failed."""

    async def visit() -> Session:
        session = Session(address)
        with pytest.raises(PageError):
            async with session:
                pass
        return session

    return asyncio.run(visit())


@pytest.mark.slow
def test_a_page_with_a_bug_shows_no_trace_and_no_path(finished):
    path = next(finished.root.glob("runs/study-*/artefacts/study.json"))
    study = read_json(path)
    for arm in study["arms"].values():
        arm[
            "test"
        ] = {}  # no version wrote this, and the records allow it: the page raises KeyError
    write_json(path, study)
    with served("app.py", finished.root) as (address, _):
        session = first_page(address)
    shown = session.elements["exception"][0]
    assert "redacted" in shown.message and not shown.stack_trace
    everything = "".join(str(element) for kind in session.elements.values() for element in kind)
    assert not any(
        word in everything
        for word in ("Traceback", "KeyError", "balanced_accuracy", str(finished.root), "home.py")
    )
    log = next(finished.root.parent.glob("server-*.log")).read_text()
    assert "KeyError: 'balanced_accuracy'" in log  # the details are where the app was started


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(psutil.Process, "rlimit"),
    reason="file sizes are limited for another process on Linux only",
)
def test_a_large_upload_is_answered_by_an_app_that_could_write_no_large_file(workspace):
    data = photograph([blur()], 1)
    data += bytes(LARGE - len(data))

    async def classify(address: str, process: psutil.Process) -> Session:
        async with Session(address) as session:
            await session.open("classify")
            process.rlimit(psutil.RLIMIT_FSIZE, (LARGE // 4, LARGE // 4))
            await session.upload("large.jpg", data)
            return session

    with served("app.py", workspace.root) as (address, process):
        session = asyncio.run(classify(address, process))
    assert session.need("download_button") and session.need("markdown", "large.jpg")
