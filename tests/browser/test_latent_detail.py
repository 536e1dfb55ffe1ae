"""A map of more points than its chart draws: zooming in shows those that it leaves out, and they can be chosen."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from benchmarks._latent_maps import furnish
from pages.ui.map_scatter import MAP_LIMIT
from tests.browser.support import calm, no_exception, serve, until, visit

pytestmark = pytest.mark.browser
IMAGES = MAP_LIMIT + 10_000
VIEW = """() => { const {xaxis, yaxis} = document.querySelector('.js-plotly-plot')._fullLayout;
    return [...xaxis.range, ...yaxis.range]; }"""
DRAWN = """() => document.querySelector('.js-plotly-plot')._fullData.flatMap(
    trace => trace.customdata ? [...trace.customdata] : [])"""
PIXEL = """([x, y]) => { const chart = document.querySelector('.js-plotly-plot'), box = chart.getBoundingClientRect();
    const {xaxis, yaxis} = chart._fullLayout;
    return [box.left + xaxis._offset + xaxis.l2p(x), box.top + yaxis._offset + yaxis.l2p(y)]; }"""
CANVAS = "document.querySelector('canvas.map-images')"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """(address, points) of an app with a map of 60,000 images."""
    from derm_core.workspace import Workspace

    workspace = Workspace.open(tmp_path_factory.mktemp("many") / "home")
    run_id = furnish(workspace, IMAGES)[0]
    points = pd.read_parquet(workspace.run(run_id).map_points).set_index("row")
    with serve(workspace.root) as address:
        yield f"{address}/latent?run={run_id}", points


def drag(page, mode: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw from one place of the chart to another, as shares of its width and height, with a tool."""
    chart = page.locator(".js-plotly-plot").first
    chart.locator(f'[data-attr="dragmode"][data-val="{mode}"]').click()
    chart.scroll_into_view_if_needed()
    area = chart.locator(".nsewdrag").first.bounding_box()
    places = [
        (area["x"] + x * area["width"], area["y"] + y * area["height"]) for x, y in (start, end)
    ]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=6)
    page.mouse.up()


def zoom_in(page) -> pd.Series:
    """Zoom into the middle; the region whose further dots are there then."""
    drag(page, "zoom", (0.45, 0.4), (0.55, 0.6))
    until(lambda: int(page.evaluate(f"{CANVAS}.dataset.further")) > 0, "further dots")
    west, east, south, north = page.evaluate(VIEW)
    return pd.Series({"west": west, "east": east, "south": south, "north": north})


def test_zooming_in_draws_every_point_of_the_region_and_each_can_be_seen_and_chosen(page, many):
    address, points = many
    visit(page, address, "Latent space")
    page.get_by_text(f"{MAP_LIMIT:,} of {IMAGES:,} points are drawn").wait_for()
    page.wait_for_function(f"() => {CANVAS}?.width > 0")
    view = zoom_in(page)
    drawn = set(page.evaluate(DRAWN))
    inside = points[
        points["umap_x"].between(view.west, view.east)
        & points["umap_y"].between(view.south, view.north)
    ]
    further = inside[~inside.index.isin(drawn)]
    assert 0 < len(further) <= int(page.evaluate(f"{CANVAS}.dataset.further"))

    row = farthest_from_others(further, inside)
    place = page.evaluate(PIXEL, further.loc[row, ["umap_x", "umap_y"]].astype(float).tolist())
    page.mouse.move(*place)
    page.locator(f'.card[data-row="{row}"]').wait_for()
    page.mouse.down()
    page.mouse.up()
    page.get_by_role("img", name=f"Image many_{row:07d}").wait_for()
    page.wait_for_url(f"**image=many_{row:07d}*")
    calm(page)
    assert page.evaluate(VIEW) == pytest.approx(view.tolist()), "the map stays where it was"

    chosen = page.url
    page.locator('[data-attr="dragmode"][data-val="pan"]').first.click()
    calm(page)
    assert page.url == chosen, "a button beside the map is no dot"
    no_exception(page)


def farthest_from_others(further: pd.DataFrame, inside: pd.DataFrame) -> int:
    """The row of a further point that a pointer cannot mistake: far from its neighbours and from the view's edge."""
    places, ends = inside[["umap_x", "umap_y"]].to_numpy(), inside[["umap_x", "umap_y"]]
    low, high = ends.quantile(0.1).to_numpy(), ends.quantile(0.9).to_numpy()
    middle = further[
        ((further[["umap_x", "umap_y"]] > low) & (further[["umap_x", "umap_y"]] < high)).all(axis=1)
    ]
    away = [
        np.sort(((places - place) ** 2).sum(1))[1]
        for place in middle[["umap_x", "umap_y"]].to_numpy()
    ]
    return int(middle.index[int(np.argmax(away))])


def test_a_box_chooses_points_that_are_not_drawn(page, many):
    address, points = many
    visit(page, address, "Latent space")
    page.wait_for_function(f"() => {CANVAS}?.width > 0")
    drag(page, "select", (0.3, 0.3), (0.6, 0.6))
    page.get_by_text("also those that the map does not draw").wait_for()
    chosen = page.get_by_text(re.compile(r"^[\d,]+ images chosen$")).inner_text()
    [box] = page.evaluate("() => document.querySelector('.js-plotly-plot')._fullLayout.selections")
    inside = points["umap_x"].between(*sorted((box["x0"], box["x1"]))) & points["umap_y"].between(
        *sorted((box["y0"], box["y1"]))
    )
    assert int(chosen.split()[0].replace(",", "")) == pytest.approx(inside.sum(), abs=2)
    no_exception(page)
