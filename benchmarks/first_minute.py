"""The first minute: clicks and seconds from a new app to a verdict, to a map with images, to a prediction of one's own.

    seconds_to_up                                  from the start of the app's process until it answers; without a limit
    clicks_to_verdict, seconds_to_verdict          the headline of a finished study on Home
    clicks_to_map, seconds_to_map                  a published map on Latent space, and an image beside it for the dot
                                                   under the pointer; null where studies/ has no map
    clicks_to_prediction, seconds_to_prediction    a generated image is dropped on Classify; the answers of two models
    seconds_from_home_to_map, seconds_from_home_to_prediction
                                                   the same from the moment that Home stands, with its verdict and its
                                                   figure, as for somebody who looks before clicking
    hover_ms                                       of `benchmarks hover`; null with --hover-images 0
    missed                                         which of these miss their limit: 1 click, 3 s, 150 ms

Each is measured with an app of its own, started as `make app` does, on an empty workspace, offline, in a fresh tab of
a browser that is open already. The app is up when it answers: on a quiet machine that is when it has imported what its
first page needs, and PyTorch (pages/ui/warm_up.py); connections wait until then. With the first answer to the tab's
request for Home seconds_to_up ends and the clock of the others starts; the scripts of the page are still to come. From
the start of the process it is the sum of both. Seconds are medians. Needs Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from derm_core.bundles.sample_images import sample_images
from derm_core.errors import NotFound, RunError
from derm_core.jobs.published import published_runs
from derm_core.published import published_studies
from derm_core.study.study_result import read_study
from derm_core.workspace import REPOSITORY, Workspace

from . import hover

LIMITS = {"clicks": 1, "seconds": 3.0, "hover_ms": 150.0}
REPEATS = 3
PATIENCE_MS = 120_000
POINTER_MS = 100  # between two movements of the pointer over a dot
SHARED = Path(os.environ.get("DERM_SHARED") or REPOSITORY.parent / "shared")
POINTS = 100  # a map has more than that
MAP_DRAWN = f"""() => [...document.querySelectorAll('.js-plotly-plot')].some(chart => (chart._fullData || [])
    .reduce((sum, trace) => sum + (trace.x ? trace.x.length : 0), 0) > {POINTS})"""


Goal = Callable[["Reader"], None]


class Reader:
    """Somebody in front of a tab, whose clicks are counted.

    Attributes:
        waited: seconds from the start of the app's process to its first answer.
    """

    def __init__(self, tab: Any, waited: float) -> None:
        self.tab, self.waited = tab, waited
        self.clicks = 0

    def click(self, role: str, name: str) -> None:
        self.tab.get_by_role(role, name=name).first.click()
        self.clicks += 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", default=str(SHARED / "weights"), help="the weights folder")
    parser.add_argument(
        "--hover-images", type=int, default=10_000, help="dots of hover_ms; 0: not measured"
    )


def run(args: argparse.Namespace) -> dict:
    """Clicks and median seconds to each goal. Raises NotFound without a browser."""
    goals = {"verdict": verdict(), "map": published_map(), "prediction": prediction()}
    result: dict[str, Any] = {}
    ups: list[float] = []
    for name, goal in goals.items():
        measured = [measure(goal, args.weights) for _ in range(args.repeats)] if goal else []
        print(f"{name}: {measured or 'nothing to measure'}", file=sys.stderr)
        result |= summary(name, [(clicks, seconds) for clicks, seconds, _ in measured])
        ups += [up for _, _, up in measured]
    for name in ("map", "prediction"):
        goal = goals[name]
        both = goal is not None and goals["verdict"] is not None
        later = [
            measure(goal, args.weights, home_stands) for _ in range(args.repeats if both else 0)
        ]
        print(f"{name} from Home: {later or 'nothing to measure'}", file=sys.stderr)
        result |= {f"seconds_from_home_to_{name}": median([seconds for _, seconds, _ in later])}
    result["hover_ms"] = None
    if args.hover_images:
        pointer = argparse.Namespace(images=args.hover_images, repeats=hover.REPEATS)
        result["hover_ms"] = hover.run(pointer)["hover_ms"]
    slowest = max(result[f"seconds_to_{name}"] or 0.0 for name in goals)
    return {
        "ratio": slowest / LIMITS["seconds"],
        "limit": 1.0,
        "better": "lower",
        "ours": slowest,
        "against": LIMITS["seconds"],
        "unit": "s",
        "peer": "the limit of 3 s to a verdict, a map and a prediction; ours is the slowest of the three",
        "seconds_to_up": statistics.median(ups),
        **result,
        "limits": LIMITS,
        "missed": missed(result),
        "repeats": args.repeats,
    }


def missed(result: dict) -> list[str]:
    """Which figures miss their limit; one that is not known misses none."""
    kinds = {name: next(kind for kind in LIMITS if name.startswith(kind)) for name in result}
    return [
        name for name, value in result.items() if value is not None and value > LIMITS[kinds[name]]
    ]


def summary(name: str, measured: list[tuple[int, float]]) -> dict[str, float | None]:
    """The most clicks and the median seconds; None without a measurement."""
    return {
        f"clicks_to_{name}": max((clicks for clicks, _ in measured), default=None),
        f"seconds_to_{name}": median([seconds for _, seconds in measured]),
    }


def median(seconds: list[float]) -> float | None:
    """None without a measurement."""
    return statistics.median(seconds) if seconds else None


def measure(
    goal: Goal, weights: str, first: Goal = lambda reader: None
) -> tuple[int, float, float]:
    """(clicks, seconds) from the first answer of a new app to a goal, and seconds from its start to that answer.

    What is waited for `first` is not counted.
    """
    with new_app(weights) as reader:
        first(reader)
        started = time.perf_counter()
        goal(reader)
        return reader.clicks, time.perf_counter() - started, reader.waited


@contextlib.contextmanager
def new_app(weights: str) -> Iterator[Reader]:
    """A new app on an empty workspace, and somebody whose request for Home has been answered."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import FLAGS
    from tests.browser.support import serve

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise NotFound(
            "benchmarks first-minute needs Chromium, which is not installed (Debian: apt-get install chromium)."
        )
    settings = {"DERM_WEIGHTS": weights} if Path(weights).is_dir() else {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        try:
            tab = browser.new_page(viewport={"width": 1440, "height": 1000})
            tab.set_default_timeout(PATIENCE_MS)
            started = time.perf_counter()
            with serve(Path(folder) / "home", **settings) as address:
                tab.goto(address, wait_until="commit")
                yield Reader(tab, time.perf_counter() - started)
        finally:
            browser.close()


def home_stands(reader: Reader) -> None:
    """Home has its verdict and its figure, and its script has ended."""
    reader.tab.locator(".js-plotly-plot .main-svg").first.wait_for()
    reader.tab.locator("[data-test-script-state=notRunning]").first.wait_for()


def verdict() -> Goal | None:
    """The headline of the first published study stands on Home. None where no study ships."""
    studies = [one.files for one in published_studies() if one.files]
    if not studies:
        return None
    headline = read_study(studies[0].study).verdict.headline[:60]
    return lambda reader: reader.tab.get_by_text(headline).first.wait_for()


def published_map() -> Goal | None:
    """A published map is drawn, and the image of the dot under the pointer. None where no map ships."""

    def reach(reader: Reader) -> None:
        from playwright.sync_api import TimeoutError as NotYet

        from tests.browser.support import pixel_of_point

        reader.click("link", "Latent space")
        reader.tab.wait_for_function(MAP_DRAWN, polling=50)
        image = reader.tab.locator(".card img:visible").first
        for attempt in range(PATIENCE_MS // POINTER_MS):  # until the page listens to the pointer
            x, y = pixel_of_point(reader.tab, 0, 0)
            reader.tab.mouse.move(x + attempt % 2, y)
            with contextlib.suppress(NotYet):
                image.wait_for(timeout=POINTER_MS)
                return
        raise RunError("The map showed no image of the dot under the pointer.")

    return reach if published_runs("embed") else None


def prediction() -> Goal:
    """Two models' answers about a generated image that is dropped on Classify."""
    with tempfile.TemporaryDirectory() as folder:
        name, image, _ = sample_images(Workspace.open(folder), 1, 0)[0]

    def reach(reader: Reader) -> None:
        reader.click("link", "Classify")
        file = {"name": name, "mimeType": "image/png", "buffer": image}
        reader.tab.locator("input[type=file]").first.set_input_files(file)
        reader.tab.get_by_test_id("stMetric").nth(1).wait_for()

    return reach
