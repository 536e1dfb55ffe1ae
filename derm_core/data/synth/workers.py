"""Painting in several processes: fresh interpreters that take chunks of views and answer line by line.

Not multiprocessing: a spawned pool imports the caller's main module again, which under Streamlit is
a page. A worker whose caller has died ends when it next writes.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator

from ...errors import DataError
from ...workspace import REPOSITORY


def paint_chunks(chunks: list[tuple], workers: int) -> Iterator[tuple[int, list[dict]]]:
    """(number of the chunk, its rows of the manifest) as chunks finish, dealt out in turn.

    chunks: arguments of `synth.write_chunk`. Raises DataError where a worker ends early; the others
    are ended then, as when the caller stops iterating.
    """
    answers: queue.Queue = queue.Queue()
    children = [
        _start([(i, chunks[i]) for i in range(w, len(chunks), workers)], answers)
        for w in range(min(workers, len(chunks)))
    ]
    try:
        for _ in chunks:
            answer = answers.get()
            if answer is None:
                raise DataError(
                    "A process that paints synthetic images ended early, perhaps for want of memory or "
                    "disk space; repeat the command."
                )
            yield answer
    finally:
        for child in children:
            child.kill()
            child.wait()


def _start(task: list[tuple[int, tuple]], answers: queue.Queue) -> subprocess.Popen:
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    child = subprocess.Popen(
        [sys.executable, "-m", "derm_core.data.synth.workers"],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    threading.Thread(target=_listen, args=(child, task, answers), daemon=True).start()
    return child


def _listen(child: subprocess.Popen, task: list[tuple[int, tuple]], answers: queue.Queue) -> None:
    """Hand a child its task and its lines to the caller; None where it fails."""
    try:
        with child.stdin as pipe:
            json.dump(task, pipe)
        for _ in task:
            number, records = json.loads(child.stdout.readline())
            answers.put((number, records))
    except (OSError, ValueError):
        answers.put(None)


def _main() -> None:
    from .generator import write_chunk

    for number, chunk in json.load(sys.stdin):
        print(json.dumps([number, write_chunk(*chunk)]), flush=True)


if __name__ == "__main__":
    _main()
