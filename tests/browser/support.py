"""What browser tests share: the app as a real process, and what can be asked of a page."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = {
    "": "Skin images or ImageNet?",
    "classify": "Classify",
    "train": "Train",
    "compare": "Compare",
    "latent": "Latent space",
    "data": "Data",
    "models": "Models",
}
CALM = """() => document.querySelector('[data-testid="stHeading"]') &&
    !document.querySelector('[data-testid="stSkeleton"], [data-testid="stSpinner"]') &&
    document.querySelector('[data-testid="stApp"]').dataset.testScriptState === 'notRunning'"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serve(
    home: Path, *, port: int | None = None, path: str = "", **environment: str
) -> Iterator[str]:
    """The app on a port of 127.0.0.1 with its workspace at `home`, offline; yields its address.

    port: a free one where none is given; path: that the environment's base URL path has, such as /lesions.
    """
    port = port or free_port()
    with open(home.parent / f"streamlit-{port}.log", "w+") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "streamlit",
                "run",
                "app.py",
                "--server.port",
                str(port),
                "--server.headless",
                "true",
            ],
            cwd=REPOSITORY,
            env={**os.environ, "DERM_HOME": str(home), "HF_HUB_OFFLINE": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_healthy(process, f"http://127.0.0.1:{port}{path}", log)
            yield f"http://127.0.0.1:{port}{path}"
        finally:
            process.kill()  # an orderly end takes two seconds and nothing depends on it
            process.wait(60)


def wait_until_healthy(process: subprocess.Popen, address: str, log) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).read()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                raise RuntimeError(f"the app did not start: {log.read()[-2000:]}") from None
            time.sleep(0.1)


def visit(tab, address: str, heading: str) -> None:
    """Open a page and wait until it stands, with its heading and no traceback."""
    tab.goto(address, wait_until="commit")
    tab.get_by_role("heading", level=1, name=heading).wait_for()
    calm(tab)
    no_exception(tab)


def calm(tab) -> None:
    """Wait until the page's script has ended and everything it sent is drawn."""
    tab.wait_for_function(CALM)


def unfold(tab, name: str) -> None:
    """Open an expander and wait until it stands: it grows for half a second, and the page scrolls at its end.

    While it grows it scrolls itself, to a field in it that gets the focus. A list that was opened meanwhile closes
    then, as it does whenever something round it scrolls; what was typed into its field is lost. At its end the page is
    shorter for a frame: a button that is pressed just then is not where it was.
    """
    tab.locator("summary").filter(has_text=name).first.click()
    tab.wait_for_function(
        "() => [...document.querySelectorAll('details')].every(one => !one.getAnimations({subtree: true}).length)"
    )


def no_exception(tab) -> None:
    """Assert that the page shows no traceback."""
    box = tab.get_by_test_id("stException")
    assert box.count() == 0, box.first.inner_text()


def becomes(question: Callable, seconds: float = 10) -> bool:
    """Whether `question` is answered with yes within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.25)
    return bool(answer)


def until(question: Callable, what: str, seconds: float = 60):
    """The first truthy answer to `question`, asked four times a second; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.25)
    return answer


def sideways(tab) -> bool:
    """Whether the page can be scrolled to the side."""
    return tab.evaluate("""() => [document.documentElement, document.querySelector('[data-testid="stMain"]')]
        .some(part => part.scrollWidth > part.clientWidth + 1)""")


def drawn_points(tab) -> int:
    """How many points all charts of the page show together."""
    return tab.evaluate("""() => [...document.querySelectorAll('.js-plotly-plot')]
        .flatMap(chart => chart._fullData || []).filter(trace => trace.hoverinfo !== 'skip')
        .reduce((sum, trace) => sum + (trace.x ? trace.x.length : 0), 0)""")


def pixel_of_point(tab, trace: int, point: int) -> tuple[float, float]:
    """Where a point of the page's first chart lies in the window; the chart is brought into view first."""
    tab.locator(".js-plotly-plot").first.scroll_into_view_if_needed()
    x, y = tab.evaluate(
        """([trace, point]) => {
        const chart = document.querySelector('.js-plotly-plot'), box = chart.getBoundingClientRect();
        const {xaxis, yaxis} = chart._fullLayout, data = chart._fullData[trace];
        return [box.left + xaxis._offset + xaxis.l2p(data.x[point]),
                box.top + yaxis._offset + yaxis.l2p(data.y[point])];
    }""",
        [trace, point],
    )
    return x, y


def draw_until_chosen(page) -> None:
    """Draw a box over the first map as a person would: again, where the chart was still being laid out."""

    def drawn() -> bool:
        page.locator(".js-plotly-plot").first.scroll_into_view_if_needed()
        area = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
        page.mouse.move(area["x"] + 0.1 * area["width"], area["y"] + 0.1 * area["height"])
        page.mouse.down()
        page.mouse.move(area["x"] + 0.9 * area["width"], area["y"] + 0.9 * area["height"], steps=6)
        page.mouse.up()
        for _ in range(40):
            if page.get_by_text(re.compile(r"^\d+ images chosen$")).count():
                return True
            page.wait_for_timeout(200)
        return False

    until(drawn, "an answer to a box", 90)
