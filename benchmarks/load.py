"""Sessions on loopback that upload, switch pages and select points, and what that costs a classification.

Sessions speak Streamlit's own websocket protocol and upload over HTTP, as a browser does, without
drawing anything (_streamlit_client.py). What they upload are synthetic lesions that the models do not
call unlike their training images, so
that the page gives an answer: opinions, and to a session alone charts and maps of where each model
looks. The workspace holds a finished study and a map, so that every page has something to show
(_load_home.py). Measured:

    errors                  every upload without an answer, every page without its content, and every page that
                            says that something went wrong
    memory_slope_mb_per_min of the server, after a warm-up of a third of the time, with the standard
    error of a line
                            through means of ten seconds
    p95_ratio               the p95 of a classification, times cores over the sessions that wait for the server on
                            average, against a single session's median
    throughput_ratio        classifications a second, against a page with an uploader and the same predictor alone,
                            under this app's setting for the collection of garbage, in turn, the median of
                            ROUNDS; an answer is brief while other sessions wait
                            (pages/classify.py); _streamlit_gc: under Streamlit's own setting;
                            _unlike: of pictures that the models call unlike
    training_slowdown       of a single session's classification while a training runs; pages_beside_training_seconds:
                            and the slowest opening of each page
    missed                  the limits that were not held
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from derm_core.config import PretrainConfig
from derm_core.jobs import supervisor
from derm_core.workspace import REPOSITORY, Workspace

from ._load_home import CONTENT, blur, furnish, lesions, photograph
from ._streamlit_client import PATIENCE_SECONDS, PageError, Session

SINGLE = 20  # classifications of one session alone
ANSWER = ("markdown", "The models ")  # agree, or disagree
ROUNDS = 5  # of ours and the peer's in turn
# 0.7, not 0.8: predictions without TorchScript and without settings of malloc may cost that much.
LIMITS = {"errors": 0, "p95_ratio": 1.5, "throughput_ratio": 0.7, "training_slowdown": 2.5}
FLOORS = ("throughput_ratio",)  # limits from below; all others are from above


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, default=20, help="at once (default 20)")
    parser.add_argument(
        "--seconds", type=float, default=300.0, help="of the mixed load (default 300)"
    )
    parser.add_argument(
        "--home",
        help="a workspace of which a copy is used; a study and a map are made where it has none",
    )


def run(args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        workspace = furnish(home, args.home)
        pictures = lesions(workspace)
        brief = max(10.0, args.seconds / 10)
        with served("app.py", home) as (address, process):
            alone = asyncio.run(classifications(address, pictures, 1, count=SINGLE))
            pairs, others = {}, []
            for collects in (
                "true",
                "false",
            ):  # after every run: Streamlit's own setting, and this app's
                with served(
                    "benchmarks/_load_page.py", home, "--runner.postScriptGC", collects
                ) as (peer, _):
                    pairs[collects] = in_turn(
                        address, peer, pictures, args.sessions, brief / ROUNDS
                    )
                others += [one for pair in pairs[collects] for one in pair]
            unlike = asyncio.run(
                classifications(
                    address, [blur()], args.sessions, brief, answer=("download_button",)
                )
            )
            mixed = asyncio.run(mixed_load(address, pictures, args.sessions, args.seconds, process))
            training = supervisor.submit(
                workspace, PretrainConfig(dataset="loaded", input_size=64, device="cpu")
            )
            until_training(workspace, training)
            beside = asyncio.run(
                classifications(address, pictures, 1, count=SINGLE, visits=tuple(CONTENT))
            )
            supervisor.cancel(workspace, training, wait=60)
    single = statistics.median(alone["times"]) if alone["times"] else float("nan")
    waiting = max(1.0, mixed["waiting"] / len(os.sched_getaffinity(0)))
    errors = [error for part in (*others, alone, unlike, mixed, beside) for error in part["errors"]]
    slowest = {page: max(times) for page, times in beside["visits"].items()}
    result = {
        "sessions": args.sessions,
        "seconds": args.seconds,
        "errors": len(errors),
        "first_errors": errors[:5],
        "p95_ratio": share(percentile_95(mixed["times"]), waiting * single),
        "throughput_ratio": ratio_of(pairs["false"]),
        "throughput_ratio_streamlit_gc": ratio_of(pairs["true"]),
        "throughput_ratios": [share(ours["rate"], peer["rate"]) for ours, peer in pairs["false"]],
        "throughput_ratio_unlike": share(unlike["rate"], middle(pairs["false"], 1)),
        "memory_slope_mb_per_min": mixed["slope"],
        "memory_slope_standard_error": mixed["slope_error"],
        "training_slowdown": share(
            statistics.median(beside["times"]) if beside["times"] else None, single
        ),
    }
    return {
        **result,
        "limits": LIMITS,
        "missed": missed(result),
        "single_seconds": share(single, 1),
        "p95_seconds": percentile_95(mixed["times"]),
        "waiting": mixed["waiting"],
        "classifications": len(mixed["times"]),
        "visits": mixed["visits"],
        "selections": mixed["selections"],
        "memory_mb": mixed["memory_mb"],
        "rate": middle(pairs["false"], 0),
        "peer_rate": middle(pairs["false"], 1),
        "peer_rate_streamlit_gc": middle(pairs["true"], 1),
        "visit_p95_seconds": mixed["visit_p95"],
        "pages_beside_training_seconds": slowest,
        "slowest_page_beside_training_seconds": max(slowest.values(), default=None),
    }


def in_turn(
    ours: str, peer: str, pictures: list[Image.Image], sessions: int, seconds: float
) -> list[tuple[dict, dict]]:
    """Classifications at this app's address and at the peer's, one after the other, ROUNDS times.

    The machine's own speed changes from minute to minute.
    """
    return [
        (
            asyncio.run(classifications(ours, pictures, sessions, seconds)),
            asyncio.run(
                classifications(peer, pictures, sessions, seconds, page=None, answer=("json",))
            ),
        )
        for _ in range(ROUNDS)
    ]


def ratio_of(pairs: list[tuple[dict, dict]]) -> float | None:
    """The median over rounds of the rate against the peer's; None where a round has none."""
    ratios = [share(ours["rate"], peer["rate"]) for ours, peer in pairs]
    return None if None in ratios else statistics.median(ratios)


def middle(pairs: list[tuple[dict, dict]], side: int) -> float:
    """The median rate of one side."""
    return statistics.median(pair[side]["rate"] for pair in pairs)


def share(value: float | None, of: float) -> float | None:
    """value / of; None where one of them was not measured."""
    return None if value is None or not of or np.isnan(value / of) else float(value / of)


def missed(result: dict) -> list[str]:
    """Names of the limits that a result does not hold; what could not be measured is held by none."""
    return [
        name
        for name, limit in LIMITS.items()
        if result[name] is None
        or (result[name] < limit if name in FLOORS else result[name] > limit)
    ]


def until_training(workspace: Workspace, run_id: str) -> None:
    """Return when the training has made steps."""
    from derm_core.events import read_events
    from derm_core.jobs.store import RunStore

    while not any(
        row["kind"] == "progress" and row["series"] == "pretraining"
        for row in read_events(workspace.run(run_id).events)
    ):
        if RunStore(workspace).get(run_id).final:
            raise RuntimeError(f"the training ended: {RunStore(workspace).get(run_id).error}")
        time.sleep(0.5)


@contextlib.contextmanager
def served(script: str, home: Path, *settings: str) -> Iterator[tuple[str, psutil.Process]]:
    """A Streamlit server on a free port of 127.0.0.1: its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = open(home.parent / f"server-{port}.log", "wb")  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", script, "--server.port", str(port), *settings],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={
            **os.environ,
            "DERM_HOME": str(home),
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(REPOSITORY),
        },
    )
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


class Tally:
    """What sessions went through together, with photographs of `pictures`."""

    def __init__(self, pictures: list[Image.Image]) -> None:
        self.pictures, self.times, self.visits, self.errors = pictures, [], defaultdict(list), []
        self.selections, self.inside, self.waits, self.warm_at = 0, 0, [], 0.0

    async def timed(
        self,
        what: str,
        work: Awaitable,
        session: Session,
        shows: tuple[str, ...],
        into: list[float] | None = None,
    ) -> bool:
        """Whether the page has what it `shows` (as for `Session.need`) after `work`; errors are noted.

        The seconds of what succeeded go to `into`, where it began after the warm-up.
        """
        started, warm = time.monotonic(), time.monotonic() >= self.warm_at
        self.inside += 1
        if warm:
            self.waits.append(self.inside)
        try:
            await work
            session.need(*shows)
        except PageError as error:
            self.errors.append(f"{what}: {error}")
            return False
        finally:
            self.inside -= 1
        if into is not None and warm:
            into.append(time.monotonic() - started)
        return True

    async def classify(
        self, session, number: int, answer: tuple[str, ...] = ANSWER, counted: bool = True
    ) -> None:
        data = photograph(self.pictures, number)
        await self.timed(
            "upload",
            session.upload(f"{number}.jpg", data),
            session,
            answer,
            self.times if counted else None,
        )

    async def visit(self, session, page: str, counted: bool = True) -> bool:
        return await self.timed(
            page,
            session.open(page),
            session,
            (CONTENT.get(page, "file_uploader"),),
            self.visits[page] if counted else None,
        )


async def together(
    address: str, sessions: int, behave: Callable[..., Awaitable[None]]
) -> list[str]:
    """`behave(session, number)` of all sessions at once; returns what ended sessions."""

    async def one(number: int) -> None:
        async with Session(address) as session:
            await behave(session, number)

    found = await asyncio.gather(
        *(one(number) for number in range(sessions)), return_exceptions=True
    )
    return [
        f"{type(error).__name__}: {error}" for error in found if isinstance(error, BaseException)
    ]


async def classifications(
    address: str,
    pictures: list[Image.Image],
    sessions: int,
    seconds: float = 1e9,
    *,
    count: int = 10**9,
    page: str | None = "classify",
    answer: tuple[str, ...] = ANSWER,
    visits: tuple[str, ...] = (),
) -> dict:
    """Sessions that only classify, `count` times each or for `seconds`, once each has an answer.

    Opening the page and loading the models is not counted.

    answer: what a page with an answer shows, as for `Session.need`; visits: pages to open in turn,
    one before each classification.
    """
    tally, ready = Tally(pictures), asyncio.Barrier(sessions)
    began, ended = [], []

    async def behave(session, number: int) -> None:
        if page:
            await tally.visit(session, page, counted=False)
        await tally.classify(session, -1 - number, answer, counted=False)
        await asyncio.wait_for(ready.wait(), PATIENCE_SECONDS)  # a session that ended does not come
        began.append(time.monotonic())
        for turn in range(count):
            if time.monotonic() > began[0] + seconds:
                break
            if visits:
                await tally.visit(session, visits[turn % len(visits)])
                await tally.visit(session, page, counted=False)
            await tally.classify(session, 1000 * (number + 1) + turn, answer)
        ended.append(time.monotonic())

    errors = await together(address, sessions, behave)
    took = max(ended) - began[0] if ended else float("nan")
    return {
        "times": tally.times,
        "visits": dict(tally.visits),
        "errors": tally.errors + errors,
        "rate": len(tally.times) / took,
    }


async def mixed_load(
    address: str,
    pictures: list[Image.Image],
    sessions: int,
    seconds: float,
    process: psutil.Process,
) -> dict:
    """All sessions upload, switch pages and select points; the server's memory is sampled meanwhile."""
    tally, ends, memory = Tally(pictures), time.monotonic() + seconds, []
    tally.warm_at = ends - 2 * seconds / 3

    async def behave(session, number: int) -> None:
        choose = random.Random(number)
        turn = 0
        while time.monotonic() < ends:
            turn += 1
            await tally.visit(session, "classify", counted=False)
            await tally.classify(session, 10**6 + 1000 * number + turn)
            await tally.visit(session, choose.choice(tuple(CONTENT)))
            await tally.visit(session, "latent", counted=False)
            chosen = await tally.timed(
                "point", session.select_point(choose.randrange(20)), session, ("imgs",)
            )
            tally.selections += chosen  # not in one line with the wait: others add to it meanwhile
            await asyncio.sleep(choose.uniform(0.5, 2.0))  # someone looks

    async def watch() -> None:
        while time.monotonic() < ends:
            memory.append((time.monotonic(), process.memory_info().rss / 1e6))
            await asyncio.sleep(1.0)

    watching = asyncio.create_task(watch())
    errors = await together(address, sessions, behave)
    await watching
    warm = np.array([row for row in memory if row[0] >= tally.warm_at])
    slope, error = slope_of(warm[:, 0] / 60, warm[:, 1])
    visits = [seconds for times in tally.visits.values() for seconds in times]
    return {
        "times": tally.times,
        "visits": len(visits),
        "visit_p95": percentile_95(visits),
        "selections": tally.selections,
        "errors": tally.errors + errors,
        "waiting": statistics.mean(tally.waits),
        "slope": slope,
        "slope_error": error,
        "memory_mb": [memory[0][1], float(warm[0, 1]), memory[-1][1]],
    }


def percentile_95(values: list[float]) -> float | None:
    return float(np.percentile(values, 95)) if values else None


def slope_of(
    minutes: np.ndarray, values: np.ndarray, block: int = 10
) -> tuple[float | None, float | None]:
    """Slope of a line through the means of `block` values each, and its standard error.

    None where there are too few.
    """
    count = len(values) // block
    if count < 3:
        return None, None
    x, y = (
        part[: count * block].reshape(count, block).mean(1)
        for part in (minutes - minutes[0], values)
    )
    line, covariance = np.polyfit(x, y, 1, cov="unscaled")
    residual = y - np.polyval(line, x)
    return float(line[0]), float(np.sqrt(covariance[0, 0] * (residual @ residual) / (count - 2)))
