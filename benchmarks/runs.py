"""Train opened in a real browser in a workspace of 10,000 runs, against an empty one; at most 1 s.

Medians, in a tab that has shown the app:

    train_s              from the address to the page with its table of runs
    menu_s               from a click on Train in the menu of Home
    compare_s, latent_s, home_s
                         from the address to the page at rest
    train_empty_s        and so on: the same in an empty workspace, without a table
    runs                 how many there are
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from derm_core.errors import NotFound
from derm_core.workspace import Workspace

from ._many_runs import furnish

LIMIT_S = 1.0
PAGES = ("train", "compare", "latent", "home")  # by their addresses
WAYS = (*PAGES, "menu")
PEER = "the limit of 1 s from the address of Train to its table, 10,000 runs; in a tab that has shown the app"
# The grid of a table is drawn by the browser after the script has ended.
TABLE = "() => document.querySelector('[data-testid=\"stDataFrame\"] canvas')"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=10_000)


def run(args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        many, empty = (Workspace.open(Path(folder) / name / "home") for name in ("many", "empty"))
        furnish(many, args.runs)
        waits = {
            name: in_a_browser(home, args.repeats) for name, home in (("", many), ("_empty", empty))
        }
    return summary(waits[""], waits["_empty"], args.runs)


def summary(many: dict[str, list[float]], empty: dict[str, list[float]], runs: int) -> dict:
    """The result of the seconds that each page took, in the two workspaces."""
    medians = {
        f"{page}{name}_s": statistics.median(waits[page])
        for page in WAYS
        for name, waits in (("", many), ("_empty", empty))
    }
    train_s = medians["train_s"]
    return {
        "ratio": train_s / LIMIT_S,
        "limit": 1.0,
        "better": "lower",
        "ours": train_s,
        "against": LIMIT_S,
        "unit": "s",
        "peer": PEER,
        **medians,
        "runs": runs,
    }


def in_a_browser(workspace: Workspace, repeats: int) -> dict[str, list[float]]:
    """Seconds to open each page, `repeats` times after a first visit to all. Raises NotFound without a browser."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import CHROMIUM, FLAGS
    from tests.browser.support import serve

    if CHROMIUM is None:
        raise NotFound(
            "benchmarks runs needs Chromium, which is not installed (Debian: apt-get install chromium)."
        )
    has_runs = workspace.database.exists()
    waits: dict[str, list[float]] = {way: [] for way in WAYS}
    with serve(Path(workspace.root)) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            tab = browser.new_page(viewport={"width": 1440, "height": 1000})
            tab.set_default_timeout(120_000)
            for visit in range(repeats + 1):
                for way in WAYS:  # Home is the last page before the menu
                    has_table = has_runs and way in ("train", "menu")
                    seconds = open_page(tab, address, way, has_table)
                    if visit:
                        waits[way].append(seconds)
        finally:
            browser.close()
    return waits


def open_page(tab, address: str, way: str, has_table: bool) -> float:
    """Seconds from the address, or the click, to the page at rest, with its table of runs where it has one."""
    from tests.browser.support import calm

    start = time.perf_counter()
    if way == "menu":
        tab.get_by_role("link", name="Train", exact=True).click()
        tab.get_by_role("heading", level=1, name="Train").wait_for()
    else:
        tab.goto(f"{address}/{'' if way == 'home' else way}", wait_until="commit")
    calm(tab)
    if has_table:
        tab.wait_for_function(TABLE)
    return time.perf_counter() - start
