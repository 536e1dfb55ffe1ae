"""What no uploader holds any more leaves the memory of Streamlit's server, and nothing else does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from pages.ui import uploads


@pytest.fixture
def session(monkeypatch):
    """A session whose widgets' values the test sets.

    `session.files()`: ids of the files that the server keeps for it.
    """
    manager, state = MemoryUploadedFileManager("/upload"), {}
    context = SimpleNamespace(session_id="mine", uploaded_file_mgr=manager)
    monkeypatch.setattr(uploads, "get_script_run_ctx", lambda: context)
    monkeypatch.setattr(uploads, "st", SimpleNamespace(session_state=state))

    def send(file_id: str, to: str = "mine") -> SimpleNamespace:
        manager.add_file(to, UploadedFileRec(file_id, f"{file_id}.png", "image/png", b"pixels"))
        return SimpleNamespace(file_id=file_id)

    return SimpleNamespace(
        state=state, send=send, files=lambda of="mine": set(manager.file_storage.get(of, {}))
    )


def test_files_stay_while_their_uploader_holds_them_and_go_with_it(session):
    session.state.update(
        {
            "files": [session.send("a"), session.send("b")],
            "camera": session.send("c"),
            "pasted": SimpleNamespace(files=[session.send("d")]),
            "map-file": None,
        }
    )
    session.send("e", to="another")
    for _ in range(2):
        uploads.release()
        assert session.files() == {"a", "b", "c", "d"}
    session.state["files"] = session.state["files"][1:]
    uploads.release()
    assert session.files() == {"b", "c", "d"}
    for key in ("files", "camera", "pasted"):  # the page was left
        del session.state[key]
    uploads.release()
    assert session.files() == set() and session.files("another") == {"e"}


def test_a_file_that_arrives_before_its_page_runs_stays(session):
    uploads.release()
    sent = session.send("early")
    uploads.release()  # a run that was asked for before the upload was done
    assert session.files() == {"early"}
    session.state["files"] = [sent]
    uploads.release()
    assert session.files() == {"early"}


def test_every_uploader_of_the_pages_is_known():
    import re
    from pathlib import Path

    text = "".join(path.read_text() for path in Path(uploads.__file__).parents[1].rglob("*.py"))
    calls = re.findall(r"st\.(?:file_uploader|camera_input)\(|accept_file=", text)
    assert len(calls) == len(uploads.UPLOADERS) and all(
        f'key="{key}"' in text for key in uploads.UPLOADERS
    )
