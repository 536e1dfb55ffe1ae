"""A click on the latent map shows the image behind the dot."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.browser.support import calm, no_exception, pixel_of_point, visit

pytestmark = pytest.mark.browser


def test_a_click_on_a_dot_shows_its_image(page, furnished, furnished_app, finished_map):
    points = pd.read_parquet(furnished.run(finished_map).artefacts / "map.parquet")
    visit(page, f"{furnished_app}/latent?run={finished_map}", "Latent space")
    page.wait_for_function("() => document.querySelector('.js-plotly-plot')?._fullLayout?.xaxis?._length > 0")
    shown = page.evaluate("() => Array.from(document.querySelector('.js-plotly-plot')._fullData[0].customdata)")
    lonely = most_alone(points, set(shown))
    page.mouse.move(*pixel_of_point(page, 0, shown.index(lonely)))
    page.mouse.click(*pixel_of_point(page, 0, shown.index(lonely)))
    image_id = points.loc[points["row"] == lonely, "image_id"].iloc[0]
    page.get_by_text(image_id, exact=True).wait_for()
    calm(page)
    no_exception(page)
    picture = page.get_by_role("img", name=f"Image {image_id}")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0, "decode() waits until it is loaded"
    assert page.get_by_text("Nearest in feature space").is_visible()
    assert f"image={image_id}" in page.url, "the selection can be sent to a colleague"


def most_alone(points: pd.DataFrame, candidates: set[int]) -> int:
    """The row, of the candidates, whose dot is farthest from all others: a click there can mean no other."""
    place = points[["umap_x", "umap_y"]].to_numpy(float)
    away = ((place[:, None] - place[None]) ** 2).sum(-1)
    away[range(len(away)), range(len(away))] = float("inf")
    nearest = pd.Series(away.min(axis=1), index=points["row"])
    return int(nearest[nearest.index.isin(candidates)].idxmax())
