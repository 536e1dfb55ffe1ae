"""What browser tests share: the app as a real process, and a check for tracebacks."""


from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serve(home: Path, **environment: str) -> Iterator[str]:
    """The app on a free port of 127.0.0.1 with its workspace at `home`; yields its address."""
    port = free_port()
    log = open(home.parent / f"streamlit-{port}.log", "w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.headless", "true"],
        cwd=REPOSITORY, env={**os.environ, "DERM_HOME": str(home), **environment},
        stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).read()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"the app did not start: {log.read()[-2000:]}") from None
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def no_exception(tab) -> None:
    """Assert that the page shows no traceback."""
    box = tab.get_by_test_id("stException")
    assert box.count() == 0, box.first.inner_text()
