"""Sessions on loopback that upload, switch pages and select points, and what that costs a classification.

Sessions speak Streamlit's own websocket protocol and upload over HTTP, as a browser does, without drawing anything
(_streamlit_client.py). Measured: errors; after a warm-up of a third of the time, the slope of the server's memory, with
the standard error of a line through means of ten seconds, and the p95 of a classification, times cores over the sessions
that wait for the server on average, against a single session's median, and the p95 of opening a page; classifications a
second, against a page with an uploader and the same predictor alone, under this app's setting for the collection of
garbage (throughput_ratio) and under Streamlit's own (throughput_ratio_streamlit_gc); and the slowdown of a single
session's classification while a training runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from derm_core.config import BackboneConfig, EmbedConfig, PretrainConfig
from derm_core.jobs import supervisor
from derm_core.workspace import REPOSITORY, Workspace

PAGES = ("home", "train", "compare", "latent", "data", "models")
SINGLE = 20                     # classifications of one session alone
LIMITS = {"p95_ratio": 1.5, "throughput_ratio": 0.8, "training_slowdown": 2.5}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, default=20, help="at once (default 20)")
    parser.add_argument("--seconds", type=float, default=300.0, help="of the mixed load (default 300)")
    parser.add_argument("--home", help="a workspace with a study and a map, of which a copy is used (default: synthetic images alone)")


def run(args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        workspace = furnish(home, args.home)
        brief = max(10.0, args.seconds / 10)
        peers = {}
        for collects in ("true", "false"):                 # after every run: Streamlit's own setting, and this app's
            with served("benchmarks/_load_page.py", home, "--runner.postScriptGC", collects) as (address, _):
                peers[collects] = asyncio.run(classifications(address, args.sessions, brief, page=None))
        with served("app.py", home) as (address, process):
            alone = asyncio.run(classifications(address, 1, count=SINGLE))
            ours = asyncio.run(classifications(address, args.sessions, brief))
            mixed = asyncio.run(mixed_load(address, args.sessions, args.seconds, process))
            training = supervisor.submit(workspace, PretrainConfig(dataset="loaded", input_size=64, device="cpu"))
            until_training(workspace, training)
            beside = asyncio.run(classifications(address, 1, count=SINGLE, visit="home"))
            supervisor.cancel(workspace, training, wait=60)
    single = statistics.median(alone["times"])
    waiting = max(1.0, mixed["waiting"] / len(os.sched_getaffinity(0)))
    errors = [error for part in (*peers.values(), alone, ours, mixed, beside) for error in part["errors"]]
    return {"sessions": args.sessions, "seconds": args.seconds, "errors": len(errors), "first_errors": errors[:5],
            "p95_ratio": float(np.percentile(mixed["times"], 95)) / (waiting * single),
            "throughput_ratio": ours["rate"] / peers["false"]["rate"],
            "throughput_ratio_streamlit_gc": ours["rate"] / peers["true"]["rate"],
            "memory_slope_mb_per_min": mixed["slope"], "memory_slope_standard_error": mixed["slope_error"],
            "training_slowdown": statistics.median(beside["times"]) / single, "limits": LIMITS,
            "single_seconds": single, "p95_seconds": percentile_95(mixed["times"]), "waiting": mixed["waiting"],
            "classifications": len(mixed["times"]), "visits": mixed["visits"], "selections": mixed["selections"],
            "memory_mb": mixed["memory_mb"], "rate": ours["rate"], "peer_rate": peers["false"]["rate"],
            "peer_rate_streamlit_gc": peers["true"]["rate"],
            "visit_p95_seconds": mixed["visit_p95"],
            "slowest_page_beside_training_seconds": max(beside["visits"], default=None)}


def furnish(home: Path, given: str | None) -> Workspace:
    """A copy of `given`, and in it a synthetic dataset "loaded" with a map."""
    import shutil

    from derm_core.data.synth import make_synth
    if given:
        shutil.copytree(given, home, symlinks=True)
    workspace = Workspace.open(home)
    make_synth(workspace, "loaded", images=400, size=64)
    mapped = supervisor.wait(workspace, supervisor.submit(workspace, EmbedConfig(
        dataset="loaded", arm="random", input_size=32, device="cpu", backbone=BackboneConfig(architecture="resnet18", stage=1))))
    if mapped.state != "done":
        raise RuntimeError(f"the map is {mapped.state}: {mapped.error}")
    return workspace


def until_training(workspace: Workspace, run_id: str) -> None:
    """Return when the training has made steps."""
    from derm_core.events import read_events
    from derm_core.jobs.store import RunStore
    while not any(row["kind"] == "progress" and row["series"] == "pretraining" for row in read_events(workspace.run(run_id).events)):
        if RunStore(workspace).get(run_id).final:
            raise RuntimeError(f"the training ended: {RunStore(workspace).get(run_id).error}")
        time.sleep(0.5)


@contextlib.contextmanager
def served(script: str, home: Path, *settings: str) -> Iterator[tuple[str, psutil.Process]]:
    """A Streamlit server on a free port of 127.0.0.1: its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = open(home.parent / f"server-{port}.log", "wb")
    process = subprocess.Popen([sys.executable, "-m", "streamlit", "run", script, "--server.port", str(port), *settings],
                               cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={
                                   **os.environ, "DERM_HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(REPOSITORY)})
    try:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).read()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{script} did not start") from None
                time.sleep(0.2)
        yield address, psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()
        log.close()


def photograph(seed: int) -> bytes:
    """A JPEG of 600 x 450 pixels that no one has sent before."""
    from PIL import Image
    noise = np.random.default_rng(seed).integers(0, 256, (15, 20, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((600, 450), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


class Tally:
    """What sessions went through together."""

    def __init__(self) -> None:
        self.times, self.visits, self.errors = [], [], []
        self.selections, self.inside, self.waits, self.warm_at = 0, 0, [], 0.0

    async def timed(self, work: Callable[[], Awaitable], into: list[float] | None = None):
        """What `work()` returns; its seconds go to `into`, where it began after the warm-up."""
        started, warm = time.monotonic(), time.monotonic() >= self.warm_at
        self.inside += 1
        if warm:
            self.waits.append(self.inside)
        try:
            value = await work()
        finally:
            self.inside -= 1
        if into is not None and warm:
            into.append(time.monotonic() - started)
        return value

    async def classify(self, session, number: int) -> None:
        data = photograph(number)
        await self.timed(lambda: session.upload(f"{number}.jpg", data), self.times)


async def together(address: str, sessions: int, behave: Callable[..., Awaitable[None]]) -> list[str]:
    """`behave(session, number)` of all sessions at once; returns what went wrong."""
    from ._streamlit_client import Session

    async def one(number: int) -> None:
        async with Session(address) as session:
            await behave(session, number)
    found = await asyncio.gather(*(one(number) for number in range(sessions)), return_exceptions=True)
    return [f"{type(error).__name__}: {error}" for error in found if isinstance(error, BaseException)]


async def classifications(address: str, sessions: int, seconds: float = 1e9, *, count: int = 10**9, page: str | None = "classify",
                          visit: str | None = None) -> dict:
    """Sessions that only classify, `count` times each or for `seconds`; the first, which loads the models, is not counted."""
    tally, ends = Tally(), None

    async def behave(session, number: int) -> None:
        nonlocal ends
        if page:
            await session.open(page)
        await session.upload("first.jpg", photograph(number))
        ends = ends or time.monotonic() + seconds
        for turn in range(count):
            if time.monotonic() > ends:
                return
            if visit:
                await tally.timed(lambda: session.open(visit), tally.visits)
                await session.open(page)
            await tally.classify(session, 1000 * (number + 1) + turn)
    started = time.monotonic()
    errors = await together(address, sessions, behave)
    took = (time.monotonic() - ends + seconds) if ends and seconds < 1e9 else time.monotonic() - started
    return {"times": tally.times, "visits": tally.visits, "errors": errors, "rate": len(tally.times) / took}


async def mixed_load(address: str, sessions: int, seconds: float, process: psutil.Process) -> dict:
    """All sessions upload, switch pages and select points; the server's memory is sampled meanwhile."""
    tally, ends, memory = Tally(), time.monotonic() + seconds, []
    tally.warm_at = ends - 2 * seconds / 3

    async def behave(session, number: int) -> None:
        choose = random.Random(number)
        turn = 0
        while time.monotonic() < ends:
            turn += 1
            await tally.timed(lambda: session.open("classify"))
            await tally.classify(session, 10**6 + 1000 * number + turn)
            await tally.timed(lambda: session.open(choose.choice(PAGES)), tally.visits)
            await tally.timed(lambda: session.open("latent"))
            chosen = await tally.timed(lambda: session.select_point(choose.randrange(20)))
            tally.selections += chosen              # not in one line with the wait: others add to it meanwhile
            await asyncio.sleep(choose.uniform(0.5, 2.0))       # someone looks

    async def watch() -> None:
        while time.monotonic() < ends:
            memory.append((time.monotonic(), process.memory_info().rss / 1e6))
            await asyncio.sleep(1.0)
    watching = asyncio.create_task(watch())
    errors = await together(address, sessions, behave)
    await watching
    warm = np.array([row for row in memory if row[0] >= tally.warm_at])
    slope, error = slope_of(warm[:, 0] / 60, warm[:, 1])
    return {"times": tally.times, "visits": len(tally.visits), "visit_p95": percentile_95(tally.visits),
            "selections": tally.selections, "errors": errors, "waiting": statistics.mean(tally.waits),
            "slope": slope, "slope_error": error, "memory_mb": [memory[0][1], float(warm[0, 1]), memory[-1][1]]}


def percentile_95(values: list[float]) -> float | None:
    return float(np.percentile(values, 95)) if values else None


def slope_of(minutes: np.ndarray, values: np.ndarray, block: int = 10) -> tuple[float | None, float | None]:
    """Slope of a line through the means of `block` values each, and its standard error; None where there are too few."""
    count = len(values) // block
    if count < 3:
        return None, None
    x, y = (part[:count * block].reshape(count, block).mean(1) for part in (minutes - minutes[0], values))
    line, covariance = np.polyfit(x, y, 1, cov="unscaled")
    residual = y - np.polyval(line, x)
    return float(line[0]), float(np.sqrt(covariance[0, 0] * (residual @ residual) / (count - 2)))
