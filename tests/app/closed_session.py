"""`python -m tests.app.closed_session`.

A server in this process, a visitor with a photograph who leaves, and what is left of both.

Prints one JSON object: {during, after}, each {files, media, answers, session}: the visitor's
uploads in the server's memory, pictures that it serves to that session, answers that were kept for
it, and whether the session is known. Here closed sessions are given up and garbage is collected
after a second, not after two minutes and one; `after` is asked while others come and go.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
import weakref
from pathlib import Path

from streamlit import runtime
from streamlit.web import bootstrap

from benchmarks._streamlit_client import Session
from pages.ui import scheduling
from tests.browser.support import free_port
from tests.builders import encode, noise

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 240.0


def left(session_id: str, answers: list[weakref.ref]) -> dict:
    here = runtime.get_instance()
    return {
        "files": len(here.uploaded_file_mgr.file_storage.get(session_id, {})),
        "media": len(here.media_file_mgr._files_by_session_and_coord.get(session_id, {})),
        "answers": sum(ref() is not None for ref in answers),
        "session": here._session_mgr.get_session_info(session_id) is not None,
    }


async def visit_and_leave(address: str) -> dict:
    async with Session(address) as visitor:
        await visitor.open("classify")
        await visitor.upload("photograph.png", encode(noise(60, 80)))
        state = (
            runtime.get_instance()
            ._session_mgr.get_session_info(visitor.session_id)
            .session.session_state
        )
        answers = [weakref.ref(answer) for answer in state["predictions"].values()]
        counts = {"during": left(visitor.session_id, answers)}
        del state
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        async with Session(address):
            pass
        counts["after"] = left(visitor.session_id, answers)
        if not any(counts["after"].values()):
            break
    return counts


def drive(port: int) -> None:
    status = 1
    try:
        while not runtime.exists():
            time.sleep(0.05)
        while runtime.get_instance().state.name == "INITIAL":
            time.sleep(0.05)
        print(json.dumps(asyncio.run(visit_and_leave(f"http://127.0.0.1:{port}"))), flush=True)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    scheduling.COLLECT_SECONDS = scheduling.FREEZE_SECONDS = 1.0
    number = free_port()
    threading.Thread(target=drive, args=(number,), daemon=True).start()
    flags = {"server.port": number, "server.headless": True, "server.disconnectedSessionTTL": 1}
    bootstrap.load_config_options(flags)
    bootstrap.run(str(REPOSITORY / "app.py"), False, [], flags)
