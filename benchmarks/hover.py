"""The image of the dot under the pointer on Latent space, 10,000 points in a real browser; at most 150 ms.

    hover_ms             from the pointer's event to the image on the screen, 95th percentile of jumps to dots drawn
                         at random, most of whose images the page has to fetch
    median_ms, slowest_ms
    points               dots of the map
    jumps                how many were measured

Every dot has an image file of its own.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from derm_core.errors import NotFound, RunError
from derm_core.workspace import Workspace

from ._latent_maps import furnish

LIMIT_MS = 150.0
REPEATS = 60
PAUSE_MS = 500  # between two jumps, as somebody looks at an image
PEER = "the limit of 150 ms from the pointer's event to the image of its dot, 10,000 points"
APART = 4  # pixels to the next dot, so that the pointer can mean no other
DRAWN = """points => (document.querySelector('.js-plotly-plot')?._fullData || [])
    .reduce((sum, trace) => sum + (trace.x ? trace.x.length : 0), 0) >= points
    && document.querySelector('.js-plotly-plot canvas.map-images')
    && document.querySelector('[data-testid="stApp"]').dataset.testScriptState === 'notRunning'"""
DOTS = """() => {
    const chart = document.querySelector('.js-plotly-plot'), box = chart.getBoundingClientRect();
    const {xaxis, yaxis} = chart._fullLayout;
    return chart._fullData.filter(trace => trace.customdata).flatMap(trace => [...trace.customdata].map((row, i) =>
            [row, xaxis.l2p(trace.x[i]), yaxis.l2p(trace.y[i])]))
        .filter(([row, x, y]) => x > 0 && y > 0 && x < xaxis._length && y < yaxis._length)
        .map(([row, x, y]) => [row, box.left + xaxis._offset + x, box.top + yaxis._offset + y]);
}"""
WATCH = """row => { window.shown = new Promise(resolve => {
    const roots = [...document.querySelectorAll('*')].map(part => part.shadowRoot).filter(Boolean);
    const card = roots.map(root => root.querySelector('.card')).find(Boolean), image = card.querySelector('img');
    let start = null;
    document.querySelector('.js-plotly-plot').addEventListener(
        'mousemove', event => { start = event.timeStamp; }, {capture: true, once: true});
    const look = now => {
        if (start !== null && Number(card.dataset.row) === row && card.dataset.row && !image.hidden && image.complete)
            resolve(performance.now() - start);
        else if (start !== null && performance.now() - start > 10000) resolve(null);
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}); }"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int, default=10_000)


def run(args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder) / "home")
        run_id = furnish(workspace, args.images, pictures=args.images)[0]
        waits = on_the_page(workspace, run_id, args.images, args.repeats)
    return summary(waits, args.images)


def summary(waits_ms: list[float], points: int) -> dict:
    """The result of these waits, one a jump."""
    hover_ms = float(np.percentile(waits_ms, 95))
    return {
        "ratio": hover_ms / LIMIT_MS,
        "limit": 1.0,
        "better": "lower",
        "ours": hover_ms,
        "against": LIMIT_MS,
        "unit": "ms",
        "peer": PEER,
        "hover_ms": hover_ms,
        "median_ms": float(np.median(waits_ms)),
        "slowest_ms": max(waits_ms),
        "points": points,
        "jumps": len(waits_ms),
    }


def on_the_page(workspace: Workspace, run_id: str, points: int, jumps: int) -> list[float]:
    """Milliseconds of each jump of the pointer. Raises NotFound without a browser."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import CHROMIUM, FLAGS
    from tests.browser.support import serve

    if CHROMIUM is None:
        raise NotFound(
            "benchmarks hover needs Chromium, which is not installed (Debian: apt-get install chromium)."
        )
    with serve(Path(workspace.root)) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            tab = browser.new_page(viewport={"width": 1440, "height": 1000})
            tab.set_default_timeout(120_000)
            tab.goto(f"{address}/latent?run={run_id}")
            tab.wait_for_function(DRAWN, arg=points)
            tab.wait_for_timeout(2000)
            return [jump(tab, *dot) for dot in drawn_dots(tab.evaluate(DOTS), jumps + 1)][1:]
        finally:
            browser.close()


def drawn_dots(dots: list[tuple[int, float, float]], count: int) -> list[tuple[int, float, float]]:
    """`count` of the dots (row, x, y), at random, of those that are APART from all others."""
    places = np.array([[x, y] for _, x, y in dots])
    chosen = []
    for index in np.random.default_rng(0).permutation(len(dots)):
        away = np.hypot(*(places - places[index]).T)
        if np.partition(away, 1)[1] >= APART:
            chosen.append(tuple(dots[index]))
        if len(chosen) == count:
            return chosen
    raise RunError(f"Only {len(chosen)} of {len(dots)} dots stand apart; ask for fewer --repeats.")


def jump(tab, row: int, x: float, y: float) -> float:
    """Milliseconds from the pointer's arrival at a dot to its image."""
    tab.evaluate(WATCH, row)
    tab.mouse.move(x, y)
    waited = tab.evaluate("() => window.shown")
    if waited is None:
        raise RunError(f"The image of row {row} was not shown within ten seconds.")
    tab.wait_for_timeout(PAUSE_MS)
    return waited
