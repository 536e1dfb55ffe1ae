"""The image gate against thousands of broken and hostile files: decoded or refused, never worse.

Every file of a corpus drawn from a seed goes through `derm_core.data.decode.decode` in a process of
its own pool: it must become a bounded picture or be refused with a reason, within 5 seconds of the
processor and 1 GB of memory. With --minutes the corpus goes on, with new damage, until that time.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from derm_core.workspace import REPOSITORY

SECONDS, MEMORY_MB = 5.0, 1024.0
SILENCE = 60.0  # seconds of the wall clock without an answer: the process waits for something
MAKING = 600.0  # seconds to make a file: a large one takes long where others compute as well
WORKER = [sys.executable, "-m", "benchmarks._fuzz_worker"]
KEPT = 50  # findings told one by one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--files", type=int, default=5000, help="how many files at least (default 5000)"
    )
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="go on with new files for so many minutes"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the corpus (default 0)")
    parser.add_argument(
        "--processes", type=int, default=2, help="that decode at the same time (default 2)"
    )


class Decoder:
    """A process that decodes one file after another, and is replaced when one ends it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self.said = ""

    def __call__(self, seed: int, index: int) -> dict:
        """{"index", "kind", "outcome": decoded, refused, crashed or hung, "reason", "seconds", "peak_mb"}."""
        if self.process is None or self.process.poll() is not None:
            self.said = ""
            self.process = subprocess.Popen(
                WORKER,
                cwd=REPOSITORY,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        verdict = {"index": index, "kind": "?", "seconds": 0.0, "peak_mb": 0.0}
        self.process.stdin.write(f"{seed} {index}\n")
        self.process.stdin.flush()
        for patience in (MAKING, SILENCE):
            line = self._line(patience)
            if line is None:
                self.close()
                return {**verdict, "outcome": "hung", "reason": f"no answer for {patience:.0f} s"}
            if not line:
                message = self.process.stderr.read().strip()[-600:]
                code = self.process.wait()
                return {
                    **verdict,
                    "outcome": "crashed",
                    "reason": f"the process ended with {code}: {message}",
                }
            verdict |= json.loads(line)
        if verdict["seconds"] > SECONDS:
            verdict |= {
                "outcome": "hung",
                "reason": f"{verdict['outcome']} after {verdict['seconds']:.1f} s. {verdict['reason']}",
            }
        elif verdict["peak_mb"] > MEMORY_MB:
            verdict |= {
                "outcome": "crashed",
                "reason": f"{verdict['outcome']} with {verdict['peak_mb']:.0f} MB. {verdict['reason']}",
            }
        return verdict

    def _line(self, patience: float) -> str | None:
        """The process's next line, "" at its end, None where none comes for `patience` seconds."""
        stream = (
            self.process.stdout.fileno()
        )  # read here: what a file object keeps back, a selector does not see
        with selectors.DefaultSelector() as ready:
            ready.register(stream, selectors.EVENT_READ)
            while "\n" not in self.said:
                if not ready.select(patience):
                    return None
                more = os.read(stream, 65536)
                if not more:
                    return ""
                self.said += more.decode()
        line, _, self.said = self.said.partition("\n")
        return line

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process = None


def fuzz(
    seed: int, indices: Iterator[int], processes: int, until: float = float("inf")
) -> list[dict]:
    """What became of every file of `indices`, as `Decoder` says it; no file is begun after `until` (monotonic)."""
    lock = threading.Lock()

    def following() -> int | None:
        with lock:
            return next(indices, None) if time.monotonic() < until else None

    def work() -> list[dict]:
        decoder, verdict = Decoder(), []
        try:
            while (index := following()) is not None:
                verdict.append(decoder(seed, index))
        finally:
            decoder.close()
        return verdict

    with ThreadPoolExecutor(processes) as pool:
        parts = [pool.submit(work) for _ in range(processes)]
        return sorted(
            (row for part in parts for row in part.result()), key=lambda row: row["index"]
        )


def summary(rows: list[dict], minutes: float) -> dict:
    """The counts, the worst time and memory, and every finding."""
    outcomes = Counter(row["outcome"] for row in rows)
    bad = [row for row in rows if row["outcome"] in ("crashed", "hung")]
    return {
        "files": len(rows),
        **{name: outcomes[name] for name in ("decoded", "refused", "crashed", "hung")},
        "peak_mb": round(max(row["peak_mb"] for row in rows), 1),
        "slowest_seconds": round(max(row["seconds"] for row in rows), 2),
        "median_seconds": round(statistics.median(row["seconds"] for row in rows), 4),
        "minutes": round(minutes, 2),
        "findings": [
            {key: row[key] for key in ("index", "kind", "outcome", "reason")} for row in bad[:KEPT]
        ],
    }


def run(args: argparse.Namespace) -> dict:
    started = time.monotonic()
    rows = fuzz(args.seed, iter(range(args.files)), args.processes)
    if args.minutes:
        rows += fuzz(args.seed, count(args.files), args.processes, started + 60 * args.minutes)
    return {
        "seed": args.seed,
        "limit_seconds": SECONDS,
        "limit_mb": MEMORY_MB,
        **summary(rows, (time.monotonic() - started) / 60),
    }
