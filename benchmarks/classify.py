"""The first answer on the Classify page with warm models, in a real browser, against one second.

A server of its own with the shipped models, headless Chromium beside it on the same machine.
Measured in the page, from the moment an upload has been sent to the moment when both models'
answers stand on the screen, for a new photograph of 600 x 450 each time; the first upload warms the
models and is not counted. Needs Chromium and playwright.
"""

from __future__ import annotations

import argparse
import io
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from PIL import Image

LIMIT_MS = 1000
TIMES = 10
REPEATS = 1
# Counted in the page itself: from the end of the upload's request to the paint after both answers
# are in the document.
WATCH = """() => {
    window.answers = new Promise(found => {
        const count = () => document.querySelectorAll('[data-testid="stMetricValue"]').length;
        const fresh = () => [...document.querySelectorAll('img')].some(one => one.alt.startsWith(window.wanted));
        const look = () => {
            const sent = performance.getEntriesByType('resource').filter(
                one => one.name.includes('/upload_file/') && one.startTime >= window.begun);
            if (sent.length && count() >= 2 && fresh())
                requestAnimationFrame(() => found(performance.now() - Math.max(...sent.map(one => one.responseEnd))));
            else
                requestAnimationFrame(look);
        };
        look();
    });
}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--times", type=int, default=TIMES, help=f"uploads in one repeat (default {TIMES})"
    )


def run(args: argparse.Namespace) -> dict:
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import FLAGS
    from tests.browser.support import calm, serve, visit

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as driver,
        serve(Path(folder) / "home") as address,
    ):
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1440, "height": 1000})
        tab.set_default_timeout(300_000)
        visit(tab, f"{address}/classify", "Classify")
        took = [answer_ms(tab, number, calm) for number in range(1 + args.repeats * args.times)][1:]
        browser.close()
    median = statistics.median(took)
    return {
        "ratio": median / LIMIT_MS,
        "limit": 1.0,
        "better": "lower",
        "ours": median,
        "against": LIMIT_MS,
        "unit": "ms",
        "peer": "one second from the end of the upload to both answers on the screen",
        "slowest": max(took),
        "all": took,
        "repeats": args.repeats,
        "times": args.times,
    }


def answer_ms(tab, number: int, calm) -> float:
    """Milliseconds from the end of an upload to both answers; the page is emptied first."""
    for button in reversed(tab.get_by_role("button", name="Remove", exact=False).all()):
        button.click()
    tab.wait_for_function("() => !document.querySelector('[data-testid=stMetricValue]')")
    calm(tab)
    name = f"photograph-{number}.jpg"
    tab.evaluate("name => { window.wanted = name; window.begun = performance.now(); }", name)
    tab.evaluate(WATCH)
    tab.locator("input[type=file]").set_input_files(
        [{"name": name, "mimeType": "image/jpeg", "buffer": lesion(number)}]
    )
    took = tab.evaluate("() => window.answers")
    print(f"{name}: {took:.0f} ms", file=sys.stderr)
    calm(tab)
    return took


def lesion(number: int) -> bytes:
    """A synthetic dermatoscopic photograph of 600 x 450 that the models know as one; other bytes for each number."""
    from derm_core.data.synth.generator import generate

    picture = Image.fromarray(next(generate(1, 192, seed=0))[0]).resize(
        (600, 600), Image.Resampling.BICUBIC
    )
    buffer = io.BytesIO()
    picture.crop((0, 75, 600, 525)).save(buffer, "JPEG", quality=80 + number % 16)
    return buffer.getvalue()
