"""Generating in several processes: fresh interpreters that take chunks of views and answer line by line.

Not multiprocessing: a spawned pool imports the caller's main module again, which under Streamlit is
a page. A worker whose caller has died ends when it next writes.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import DataError
from ...processes import start_module
from .generator import View, write_views

Chunk = tuple[list[View], int, int, str, str]  # arguments of `write_views`
Written = tuple[int, list[dict[str, Any]]]  # number of the chunk, its rows of the manifest


def write_chunks(chunks: Sequence[Chunk], workers: int) -> Iterator[Written]:
    """Write chunks of views with several processes, or here where `workers` is 1.

    Yields:
        (number of the chunk, its rows of the manifest) as chunks finish.

    Raises:
        DataError: a worker ended early. The others are ended then, as when the caller stops
            iterating.
    """
    if workers == 1:
        yield from ((number, write_views(*chunk)) for number, chunk in enumerate(chunks))
        return
    numbered = list(enumerate(chunks))
    answers: queue.Queue[Written | None] = queue.Queue()
    children = [
        _start(numbered[worker::workers], answers) for worker in range(min(workers, len(chunks)))
    ]
    try:
        for _ in chunks:
            answer = answers.get()
            if answer is None:
                raise DataError(
                    "A process that generates synthetic images ended early, perhaps for want of "
                    "memory or disk space; repeat the command."
                )
            yield answer
    finally:
        for child in children:
            child.kill()
            child.wait()


def _start(
    task: list[tuple[int, Chunk]], answers: queue.Queue[Written | None]
) -> subprocess.Popen[str]:
    child = start_module("derm_core.data.synth.workers")
    threading.Thread(target=_listen, args=(child, task, answers), daemon=True).start()
    return child


def _listen(
    child: subprocess.Popen[str],
    task: list[tuple[int, Chunk]],
    answers: queue.Queue[Written | None],
) -> None:
    """Send a child its task, and its answers to the caller; None where it fails."""
    assert child.stdin is not None and child.stdout is not None
    try:
        with child.stdin as pipe:
            json.dump(task, pipe)
        for _ in task:
            number, rows = json.loads(child.stdout.readline())
            answers.put((number, rows))
    except (OSError, ValueError):
        answers.put(None)


def _main() -> None:
    for number, chunk in json.load(sys.stdin):
        print(json.dumps([number, write_views(*chunk)]), flush=True)


if __name__ == "__main__":
    _main()
