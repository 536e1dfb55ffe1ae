"""How long zooming into a map takes that has more points than its chart draws, in a real browser."""

from __future__ import annotations

import statistics
import time

SEEN = "document.querySelector('canvas.map-images').dataset"


def zooms(tab, repeats: int) -> dict:
    """zoom_s, the median from the end of a zoom to the further points of the region, and zoom_points, how many then.

    Args:
        tab: with a map that is drawn.
        repeats: how often; one more goes before.
    """
    seconds, counts = [], []
    for number in range(repeats + 1):
        _zoom(tab, 0.4 + 0.02 * number)
        started = time.perf_counter()
        before = tab.evaluate(f"{SEEN}.region")
        tab.mouse.up()
        tab.wait_for_function(
            f"before => {SEEN}.region !== before && Number({SEEN}.further) > 0",
            arg=before,
            polling=10,
        )
        seconds.append(time.perf_counter() - started)
        counts.append(int(tab.evaluate(f"{SEEN}.further")))
        before = tab.evaluate(f"{SEEN}.region")
        tab.locator('[data-title="Reset axes"]').first.click()
        tab.wait_for_function(f"before => {SEEN}.region !== before", arg=before, polling=10)
    return {"zoom_s": statistics.median(seconds[1:]), "zoom_points": max(counts)}


def _zoom(tab, left: float) -> None:
    """Draw the box of a zoom, a sixth of the chart wide, up to the release of the button."""
    tab.locator('[data-attr="dragmode"][data-val="zoom"]').first.click()
    area = tab.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    tab.mouse.move(area["x"] + left * area["width"], area["y"] + 0.4 * area["height"])
    tab.mouse.down()
    tab.mouse.move(
        area["x"] + (left + 1 / 6) * area["width"], area["y"] + 0.6 * area["height"], steps=5
    )
