"""A click on the latent map shows the image behind the dot; what is chosen in one map is lit in the other."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.app.maps import put_map
from tests.browser.support import (
    calm,
    draw_until_chosen,
    no_exception,
    pixel_of_point,
    until,
    visit,
)

pytestmark = pytest.mark.browser
LAID_OUT = """count => [...document.querySelectorAll('.js-plotly-plot')].filter(
    chart => chart._fullLayout?.xaxis?._length > 0).length >= count"""


@pytest.fixture
def mapped(furnished) -> str:
    return put_map(furnished, "little")


def test_a_click_on_a_dot_shows_its_image(page, furnished, furnished_app, mapped):
    points = pd.read_parquet(furnished.run(mapped).map_points)
    visit(page, f"{furnished_app}/latent?run={mapped}", "Latent space")
    page.wait_for_function(LAID_OUT, arg=1)
    shown = page.evaluate(
        "() => Array.from(document.querySelector('.js-plotly-plot')._fullData[0].customdata)"
    )
    lonely = most_alone(points, set(shown))
    image_id = points.loc[points["row"] == lonely, "image_id"].iloc[0]
    click_until_chosen(page, shown.index(lonely), image_id)
    page.get_by_text("Nearest in feature space", exact=True).wait_for()
    calm(page)
    no_exception(page)
    picture = page.get_by_role("img", name=f"Image {image_id}")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0, (
        "decode() waits until it is loaded"
    )


def test_a_box_in_one_map_lights_the_same_images_in_the_other(
    page, furnished, furnished_app, mapped
):
    second = put_map(furnished, "little", seed=1, arm="imagenet", opinions=False, trouble=False)
    visit(page, f"{furnished_app}/latent?run={mapped}&beside={second}", "Latent space")
    page.wait_for_function(LAID_OUT, arg=2)
    page.locator('[data-attr="dragmode"][data-val="select"]').first.click()
    draw_until_chosen(page)
    page.wait_for_function("""() => {
        const lit = [...document.querySelectorAll('.js-plotly-plot')].map(chart => chart._fullData.flatMap(
            trace => trace.customdata ? (trace.selectedpoints || []).map(i => trace.customdata[i]) : []
        ).sort((a, b) => a - b));
        return lit.length === 2 && lit[0].length > 1 && lit[0].join() === lit[1].join();
    }""")
    calm(page)
    no_exception(page)


def click_until_chosen(page, point: int, image_id: str) -> None:
    """Click a dot as a person would: again, where the chart was still being laid out under the first click.

    The address has what is chosen, so that a selection can be sent to a colleague; the image's name alone also stands
    beside a dot that is only pointed at.
    """

    def clicked() -> bool:
        page.mouse.move(*pixel_of_point(page, 0, point))
        page.mouse.click(*pixel_of_point(page, 0, point))
        for _ in range(40):
            if f"image={image_id}" in page.url:
                return True
            page.wait_for_timeout(200)
        return False

    until(clicked, "an answer to a click on a dot", 90)


def most_alone(points: pd.DataFrame, candidates: set[int]) -> int:
    """The row, of the candidates, whose dot is farthest from all others: a click there can mean no other."""
    place = points[["umap_x", "umap_y"]].to_numpy(float)
    away = ((place[:, None] - place[None]) ** 2).sum(-1)
    away[range(len(away)), range(len(away))] = float("inf")
    nearest = pd.Series(away.min(axis=1), index=points["row"])
    return int(nearest[nearest.index.isin(candidates)].idxmax())
