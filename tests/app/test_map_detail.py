"""Points that a map's chart leaves out: those of a region, those inside a lasso, and their colours."""

from __future__ import annotations

import numpy as np
import pytest

from derm_core.insight.regions import Region
from pages.ui import map_route, map_scatter
from pages.ui.latent import loaded_map, map_chart
from pages.ui.latent.filters import MapSettings
from pages.ui.latent.map_detail import MapDetail
from tests.app.maps import put_map
from tests.builders import write_dataset

EVERYWHERE = Region(-1e9, 1e9, -1e9, 1e9)


@pytest.fixture
def first(workspace, monkeypatch) -> loaded_map.LoadedMap:
    """A map of 60 images, of which 20 are drawn."""
    monkeypatch.setattr(map_scatter, "MAP_LIMIT", 20)
    write_dataset(workspace, images=60)
    return loaded_map.load_map(workspace, put_map(workspace))


def chart_of(first, colour: str = "label", mask=None, ringed=()) -> map_chart.MapChart:
    mask = np.ones(60, bool) if mask is None else mask
    return map_chart.build_chart(first, first, MapSettings("umap", colour, mask), list(ringed), 560)


def read(answer: bytes) -> dict[str, np.ndarray]:
    """The arrays of `MapDetail.within`."""
    count, left_out = np.frombuffer(answer, "<u4", 2)
    parts, at = {"left_out": left_out}, 8
    for name, kind, each in (
        ("rows", "<i4", 1),
        ("x", "<f4", 1),
        ("y", "<f4", 1),
        ("traces", "u1", 1),
        ("chosen", "u1", 1),
        ("colours", "u1", 3),
    ):
        parts[name] = np.frombuffer(answer, kind, count * each, at)
        at += parts[name].nbytes
    assert at == len(answer)
    return parts


def test_a_chart_that_draws_all_has_no_further_points(first, monkeypatch):
    monkeypatch.setattr(map_scatter, "MAP_LIMIT", 60)
    chart = chart_of(first)
    assert chart.detail is None and not chart.figure["layout"].get("images")


def test_a_chart_of_some_has_the_density_of_all_below(first):
    chart = chart_of(first)
    [image] = chart.figure["layout"]["images"]
    assert image["layer"] == "below" and image["source"].startswith("data:image/png;base64,")
    assert "20 of 60 points are drawn" in chart.caption and "zoom in" in chart.caption


def test_a_region_is_filled_up_to_the_limit_and_a_small_one_is_complete(first):
    detail: MapDetail = chart_of(first).detail
    whole = read(detail.within(EVERYWHERE))
    assert len(whole["rows"]) == 0 and whole["left_out"] == 40
    x, y = detail.places.T
    west, east = np.sort(x)[[0, 17]]
    part = read(detail.within(Region(west, east, -1e9, 1e9)))
    drawn = set(detail.rows[detail.is_drawn & (x <= east)])
    assert part["left_out"] == 0
    assert (
        set(part["rows"]) | drawn == set(detail.rows[x <= east]) and not set(part["rows"]) & drawn
    )
    place = {row: (a, b) for row, a, b in zip(detail.rows, x, y, strict=True)}
    assert [place[row] for row in part["rows"]] == list(zip(part["x"], part["y"], strict=True))


@pytest.mark.parametrize("colour", ["label", "split", "disagree"])
def test_further_points_have_the_colours_and_traces_of_the_chart(first, colour):
    chart = chart_of(first, colour)
    traces = [trace for trace in chart.figure["data"] if trace.get("customdata") is not None]
    names = dict(zip(first.points["row"], map_chart.categories(first.points[colour]), strict=True))
    for row, number, colours in zip(
        chart.detail.rows, chart.detail.traces, chart.detail.colours, strict=True
    ):
        assert traces[number]["name"] == names[row]
        assert traces[number]["marker"]["color"].lower() == "#" + bytes(colours).hex()


def test_on_a_scale_a_higher_value_is_lighter(first):
    detail = chart_of(first, "confidence_a").detail
    order = np.argsort(first.points["confidence_a"].to_numpy())
    lightness = detail.colours.astype(int).sum(1)[order]
    assert lightness[-1] > lightness[len(order) // 2] > lightness[0]
    assert len(np.unique(detail.traces)) == 1


def test_a_lasso_holds_what_is_not_drawn_but_no_class_that_the_legend_hides(first):
    detail = chart_of(first).detail
    drawn = detail.rows[detail.is_drawn]
    assert sorted(detail.inside([EVERYWHERE], [], drawn)) == list(range(60))
    hidden = detail.traces[detail.is_drawn][0]
    seen = detail.rows[detail.is_drawn & (detail.traces != hidden)]
    assert set(detail.inside([EVERYWHERE], [], seen)) == set(detail.rows[detail.traces != hidden])
    corners = np.array([(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)])
    assert sorted(detail.inside([], [corners], drawn)) == list(range(60))


def test_what_a_filter_leaves_out_is_no_further_point(first):
    mask = np.arange(60) < 40
    detail = chart_of(first, mask=mask).detail
    assert sorted(detail.rows) == list(range(40))


def test_what_was_selected_elsewhere_is_marked(first):
    detail = chart_of(first, ringed=range(50)).detail
    assert set(detail.rows[detail.is_chosen]) == set(range(50))


@pytest.mark.parametrize(
    "query", [{}, {"west": "0", "east": "1", "south": "0", "north": "nan"}, {"west": "a"}]
)
def test_what_is_no_region_is_refused_with_what_to_send(first, query):
    with pytest.raises(map_route.BadQuery, match="west, east, south, north"):
        chart_of(first).detail.respond(query)


def test_a_region_is_answered_as_bytes(first):
    detail = chart_of(first).detail
    query = {"west": "-1e9", "east": "1e9", "south": "-1e9", "north": "1e9"}
    assert detail.respond(query).body == detail.within(EVERYWHERE)
