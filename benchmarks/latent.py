"""The page Latent space with 10,000 points in a real browser, travelling and placing, UMAP's ratio, duplicates found.

    open_s               from the address to a drawn map in a tab that has shown the app, median; open_pair_s: two maps;
                         new_tab_s: in a new tab, which compiles Streamlit's and plotly's scripts
                         first
    select_s             from a click on a dot to the name of its image, median; select_box_s, select_lasso_s: from
                         the end of a box or lasso to what is in it; lasso_images: how many the last lasso
                         chose
    zoom_s               from the end of a zoom to the points of the region that the chart does not draw, median;
                         zoom_points: how many these are; both null where it draws all
    figure_mb            the largest message with a map's figure
    page_heap_mb         JavaScript's memory of a tab with one map, garbage collected
    drawn                points of a map; `said`: what the page says where they are fewer than the images
    traverse_ms          one latent decoded by the shipped VAE, warm, median
    traverse_page_ms     from a key pressed on a dimension's slider to the new picture, median
    place_ms             one image placed among 10,000 by the shipped encoder, warm, median
    place_page_ms        from the choice of a file to its cross on the map, the extractor warm, median
    umap_ratio           `python -m benchmarks umap`
    duplicate_recall     known pairs found in the map of --home that finds most, that of duplicate_recall_arm; null
                         without
    recalls              and in the newest map of each arm
    trouble              in the newest map of each arm: near-duplicates, those across splits, likely label errors,
                         outliers
    missed               which of these miss their limit

For 400,000 images: python -m benchmarks latent --images 400000 --repeats 5 --umap-repeats 0 --json
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from derm_core.errors import NotFound
from derm_core.files import read_json
from derm_core.workspace import Workspace
from pages.ui.map_scatter import MAP_LIMIT

from ._latent_maps import MODEL, furnish, keep_features, noise
from ._latent_zoom import zooms

MANY_LIMITS = {
    "open_s": 3.0,
    "select_s": 1.0,
    "zoom_s": 0.5,
}  # ours, for "still usable": a map of more images than are drawn
LIMITS = {
    "open_s": 1.5,
    "select_s": 0.7,
    "figure_mb": 1.5,
    "traverse_ms": 150,
    "place_ms": 200,
    "umap_ratio": 1.1,
    "duplicate_recall": 1.0,
}
PEER = "a saved map of {:,} images, from the address to the drawn points; in a tab that has shown the app"
REPEATS = 7
KINDS = ("near_duplicate", "across_splits", "label_error", "outlier")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument(
        "--home", help="a workspace with a finished map of HAM10000, for duplicate_recall"
    )
    parser.add_argument(
        "--umap-repeats", type=int, default=5, help="0 leaves umap_ratio out (default 5)"
    )


def run(args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder) / "home")
        maps = furnish(workspace, args.images)
        keep_features(workspace, maps[0])
        result = on_the_page(workspace, maps, args.images, args.repeats)
        say(
            "page: {open_s:.2f} s to open, {select_s:.2f} s to select, figure {figure_mb:.2f} MB".format(
                **result
            )
        )
        result |= {"traverse_ms": traverse_ms(workspace), "place_ms": place_ms(workspace, maps[0])}
        say(
            "a frame in {traverse_ms:.0f} ms ({traverse_page_ms:.0f} ms on the page), a place in {place_ms:.0f} ms "
            "({place_page_ms:.0f} ms)".format(**result)
        )
    limits = LIMITS if args.images <= MAP_LIMIT else LIMITS | MANY_LIMITS
    result |= {"umap_ratio": umap_ratio(args.images, args.umap_repeats), **found_trouble(args.home)}
    return {
        "ratio": result["open_s"] / limits["open_s"],
        "limit": 1.0,
        "better": "lower",
        "ours": result["open_s"],
        "against": limits["open_s"],
        "unit": "s",
        "peer": PEER.format(args.images),
        **result,
        "limits": limits,
        "missed": missed(result, limits),
        "images": args.images,
        "repeats": args.repeats,
    }


def missed(result: dict, limits: dict) -> list[str]:
    """Which limits the result misses; what was not measured is None and misses none."""

    def misses(name: str) -> bool:
        value = result.get(name)
        return value is not None and (
            value < limits[name] if name == "duplicate_recall" else value > limits[name]
        )

    return [name for name in limits if misses(name)]


def say(text: str) -> None:
    print(text, file=sys.stderr)


# ---- in a browser ------------------------------------------------------------------------------


def on_the_page(workspace: Workspace, maps: list[str], images: int, repeats: int) -> dict:
    """Seconds and bytes of a page as a reader sees it, over loopback. Raises NotFound without a browser."""
    import shutil

    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import FLAGS
    from tests.browser.support import serve

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise NotFound(
            "benchmarks latent needs Chromium, which is not installed (Debian: apt-get install chromium)."
        )
    with serve(Path(workspace.root)) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context(viewport={"width": 1440, "height": 1000})
        drawn = min(images, MAP_LIMIT)
        alone, pair = (
            f"{address}/latent?run={maps[0]}",
            f"{address}/latent?run={maps[0]}&beside={maps[1]}",
        )
        messages: list[int] = []
        try:
            first = opened(
                context.new_page(), alone, drawn, messages
            )  # the server imports, the browser fills its cache
            fresh = [opened(context.new_page(), alone, drawn, messages) for _ in range(repeats)]
            tab = context.new_page()
            opened(tab, alone, drawn, messages)
            single = [opened(tab, alone, drawn, messages) for _ in range(repeats)]
            both = [opened(tab, pair, 2 * drawn, messages) for _ in range(repeats)]
            measured = selections(context, alone, drawn, repeats)
            measured |= zoomed(context, alone, drawn, images, repeats)
            measured |= {
                "place_page_ms": place_page_ms(context, alone, drawn, repeats),
                "traverse_page_ms": traverse_page_ms(
                    context, f"{alone}&view=traversal&vae={MODEL}", repeats
                ),
            }
        finally:
            browser.close()
    return {
        "open_s": statistics.median(single),
        "first_open_s": first,
        "new_tab_s": statistics.median(fresh),
        "open_pair_s": statistics.median(both),
        **measured,
        "figure_mb": max(messages) / 1e6,
        "drawn": drawn,
    }


def opened(tab, address: str, points: int, messages: list[int]) -> float:
    """Seconds until all points are drawn and the page's script is at its end; sizes of what the server sent."""
    tab.set_default_timeout(120_000)
    tab.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda frame: messages.append(len(frame or b""))),
    )
    tab.goto("about:blank")
    started = time.perf_counter()
    tab.goto(address, wait_until="commit")
    _until_drawn(tab, points)
    return time.perf_counter() - started


def _until_drawn(tab, points: int) -> None:
    tab.wait_for_function(
        """points => {
        const app = document.querySelector('[data-testid="stApp"]');
        const drawn = [...document.querySelectorAll('.js-plotly-plot')].flatMap(chart => chart._fullData || [])
            .reduce((sum, trace) => sum + (trace.x ? trace.x.length : 0), 0);
        return app && app.dataset.testScriptState === 'notRunning' && drawn >= points;
    }""",
        arg=points,
        polling=10,
    )


def selections(context, address: str, points: int, repeats: int) -> dict:
    """Seconds from a click to the image's name and from a box or lasso to its images; memory of the tab."""
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    tab.goto(address)
    _until_drawn(tab, points)
    session = context.new_cdp_session(tab)
    session.send("HeapProfiler.collectGarbage")
    heap = tab.evaluate("performance.memory.usedJSHeapSize") / 1e6
    caption = tab.get_by_text(" points are drawn")
    clicks, boxes, lassos = [], [], []
    for number in range(repeats + 1):
        x, y, name = _lonely(tab, number)
        tab.mouse.move(x, y)
        tab.wait_for_timeout(300)  # plotly finds what is below the pointer
        clicks.append(_timed(lambda: tab.mouse.click(x, y), tab.get_by_text(name).first.wait_for))
    area = tab.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    top = area["y"] + area["height"] * 0.3
    for mode, seconds in (("select", boxes), ("lasso", lassos)):
        tab.locator(f'[data-attr="dragmode"][data-val="{mode}"]').first.click()
        for number in range(repeats + 1):
            left = area["x"] + area["width"] * (
                0.2 + 0.06 * number
            )  # away from the last one's handles
            corners = (
                [(120, 120)] if mode == "select" else [(120, 20), (150, 120), (40, 150), (0, 0)]
            )
            seconds.append(_drawn_round(tab, left, top, corners))
    chosen = _chosen(tab)
    result = {
        "page_heap_mb": heap,
        "said": caption.first.inner_text() if caption.count() else None,
        "lasso_images": int(chosen.split()[0].replace(",", "")),
    }
    tab.close()
    return {
        "select_s": statistics.median(clicks[1:]),
        "select_box_s": statistics.median(boxes[1:]),
        "select_lasso_s": statistics.median(lassos[1:]),
        **result,
    }


def zoomed(context, address: str, points: int, images: int, repeats: int) -> dict:
    """`zooms`, of a map whose chart does not draw all."""
    if points == images:
        return {"zoom_s": None, "zoom_points": None}
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    tab.goto(address)
    _until_drawn(tab, points)
    result = zooms(tab, repeats)
    tab.close()
    return result


def _drawn_round(tab, left: float, top: float, corners: list[tuple[int, int]]) -> float:
    """Seconds from the end of a box or lasso, given by its corners from (left, top), to the count of what it holds."""
    before = _chosen(tab)
    tab.mouse.move(left, top)
    tab.mouse.down()
    for x, y in corners:
        tab.mouse.move(left + x, top + y, steps=4)
    return _timed(
        tab.mouse.up,
        lambda: tab.wait_for_function(
            "before => [...document.querySelectorAll('strong')].some(found => / chosen$/.test(found.innerText) "
            "&& found.innerText !== before)",
            arg=before,
            polling=10,
        ),
    )


def _chosen(tab) -> str:
    return tab.get_by_text(" chosen").first.inner_text()


def _timed(act: Callable[[], None], wait: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    wait()
    return time.perf_counter() - started


def _lonely(tab, number: int) -> tuple[float, float, str]:
    """Where one of the farthest dots of the rarest class lies in the window, and the name of its image."""
    tab.locator(".js-plotly-plot").first.scroll_into_view_if_needed()
    x, y, row = tab.evaluate(
        """number => {
        const chart = document.querySelector('.js-plotly-plot'), box = chart.getBoundingClientRect();
        const {xaxis, yaxis} = chart._fullLayout;
        const dots = chart._fullData.filter(trace => trace.customdata).flatMap(trace => [...trace.x].map((x, i) =>
            [xaxis.l2p(x), yaxis.l2p(trace.y[i]), trace.customdata[i]]));
        const inside = dots.filter(([x, y]) => x > 5 && y > 5 && x < xaxis._length - 5 && y < yaxis._length - 5);
        const away = ([x, y, row]) => Math.min(...dots.map(([u, v, other]) =>
            other === row ? 1e9 : (u - x) ** 2 + (v - y) ** 2));
        const edge = inside.sort((a, b) => Math.hypot(b[0] - xaxis._length / 2, b[1] - yaxis._length / 2)
                                         - Math.hypot(a[0] - xaxis._length / 2, a[1] - yaxis._length / 2))
            .slice(0, 200);
        const [x, y, row] = edge.map(dot => [...dot, away(dot)]).sort((a, b) => b[3] - a[3])[number];
        return [box.left + xaxis._offset + x, box.top + yaxis._offset + y, row];
    }""",
        number,
    )
    return x, y, f"many_{int(row):07d}"


def place_page_ms(context, address: str, points: int, repeats: int) -> float:
    """Milliseconds from a file in the uploader to its cross on the map.

    The first, which loads the extractor, left out.
    """
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    tab.goto(address)
    _until_drawn(tab, points)
    tab.get_by_role("button", name="Your image").click()
    uploader = tab.locator('[data-testid="stFileUploader"] input[type="file"]')
    cross = """before => [...document.querySelectorAll('.js-plotly-plot')].flatMap(chart => chart._fullData || []).some(
        trace => trace.name === 'your image, approximately' && `${trace.x[0]},${trace.y[0]}` !== before)"""
    where = """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(chart => chart._fullData || []).filter(
        trace => trace.name === 'your image, approximately').map(trace => `${trace.x[0]},${trace.y[0]}`)[0] || ''"""
    rng, seconds = np.random.default_rng(1), []
    for number in range(repeats + 1):
        file = {"name": f"{number}.jpg", "mimeType": "image/jpeg", "buffer": noise(rng)}
        before = tab.evaluate(where)
        seconds.append(
            _timed(
                lambda: uploader.set_input_files(file),
                lambda: tab.wait_for_function(cross, arg=before, polling=10),
            )
        )
        _until_drawn(tab, points)
    tab.close()
    return 1000 * statistics.median(seconds[1:])


def traverse_page_ms(context, address: str, repeats: int) -> float:
    """Milliseconds from an arrow key on the first dimension's slider to another picture; the first left out."""
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    tab.goto(address)
    slider = tab.get_by_role("slider").first
    slider.focus()
    _until_drawn(tab, 0)
    source = """() => document.querySelector('img[alt^="Decoded latent"]')?.src"""
    seconds = []
    for _ in range(repeats + 1):
        before = tab.evaluate(source)
        seconds.append(
            _timed(
                lambda: slider.press("ArrowRight"),
                lambda: tab.wait_for_function(
                    f"before => ({source})() !== before", arg=before, polling=10
                ),
            )
        )
        _until_drawn(tab, 0)
    tab.close()
    return 1000 * statistics.median(seconds[1:])


# ---- in this process ---------------------------------------------------------------------------


def median_ms(work: Callable[[], object], times: int = 30) -> float:
    """Median milliseconds of `work`, warm."""
    for _ in range(3):
        work()
    return 1000 * statistics.median(_timed(work, lambda: None) for _ in range(times))


def traverse_ms(workspace: Workspace) -> float:
    from derm_core.insight.traversal_sources import open_traversal

    traversal = open_traversal(workspace, MODEL)
    dimensions = len(traversal.statistics.mean_d)
    z = np.random.default_rng(0).normal(size=(1, dimensions)).astype(np.float32)
    return median_ms(lambda: traversal.decode(z))


def place_ms(workspace: Workspace, run_id: str) -> float:
    """One image through the shipped encoder and among the map's points, with drawn features in place of theirs."""
    import torch

    from derm_core.config import EmbedConfig
    from derm_core.config.shared import ImageForm
    from derm_core.insight.placement import Placer
    from derm_core.insight.saved_map import read_map
    from derm_core.study.arms import build_extractors

    saved = read_map(workspace, run_id)
    extractor = build_extractors(
        f"bundle:{MODEL}", EmbedConfig(dataset="many", arm=f"bundle:{MODEL}"), workspace
    )[0]
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    width = extractor.features(torch.from_numpy(image)).shape[1]
    space = rng.normal(size=(len(saved.points), width)).astype(np.float32)
    placer = Placer(
        saved,
        ImageForm(64),
        extractor,
        space,
        np.zeros(width, np.float32),
        np.ones(width, np.float32),
    )
    return median_ms(lambda: placer.place(image))


def umap_ratio(images: int, repeats: int) -> float | None:
    from . import umap

    return umap.run(SimpleNamespace(images=images, repeats=repeats))["ratio"] if repeats else None


def found_trouble(home: str | None) -> dict:
    """duplicate_recall, duplicate_recall_arm, recalls and trouble of the newest map of each arm."""
    maps = sorted(
        Path(home).glob("runs/embed-*/artefacts/map.json") if home else (),
        key=lambda path: path.stat().st_mtime,
    )
    result = {
        known["arm"]: known["trouble"] for known in map(read_json, maps) if known.get("trouble")
    }
    recalls = {
        arm: counts["found"] / counts["known_pairs"]
        for arm, counts in result.items()
        if counts.get("known_pairs")
    }
    best = max(recalls, key=recalls.get, default=None)
    return {
        "duplicate_recall": recalls.get(best),
        "duplicate_recall_arm": best,
        "recalls": recalls,
        "trouble": {
            arm: {kind: counts.get(kind) for kind in KINDS} for arm, counts in result.items()
        },
    }
