"""Images of the latent map are chosen with a lasso, and without a mouse.

By the number of a line of the sorted table.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from tests.app.maps import put_map
from tests.browser.support import becomes, calm, no_exception, until, visit

pytestmark = pytest.mark.browser
LAID_OUT = "() => document.querySelector('.js-plotly-plot')?._fullLayout?.xaxis?._length > 0"
CHOSEN = re.compile(r"^\d+ images chosen$")


@pytest.fixture
def mapped(furnished) -> str:
    return put_map(furnished, "little")


def points_of(workspace, run_id: str) -> pd.DataFrame:
    return pd.read_parquet(workspace.run(run_id).map_points)


def test_a_lasso_opens_what_is_inside_it(page, furnished, furnished_app, mapped):
    visit(page, f"{furnished_app}/latent?run={mapped}", "Latent space")
    page.wait_for_function(LAID_OUT)
    page.locator('[data-attr="dragmode"][data-val="lasso"]').first.click()
    lasso_until_chosen(page)
    calm(page)
    no_exception(page)
    rows = page.evaluate("""() => document.querySelector('.js-plotly-plot')._fullData.flatMap(
        trace => trace.customdata ? (trace.selectedpoints || []).map(i => trace.customdata[i]) : []
        ).sort((a, b) => a - b)""")
    points = points_of(furnished, mapped).set_index("row")
    inside = points.loc[rows]
    assert 1 < len(rows) < len(points), "some and not all"
    page.get_by_text(f"{len(rows)} images chosen", exact=True).wait_for()

    mix = table_of(page, "Classes inside the selection and on the whole map").set_index("Class")[
        "Inside"
    ]
    assert mix.astype(int).to_dict() == inside["label"].value_counts().to_dict()
    accuracy = table_of(page, "Accuracy of each model inside the selection")
    unseen = inside[inside["split"] != "train"]
    assert len(accuracy) == 2
    for told, slot in zip(accuracy["Validation and test"], "ab", strict=True):
        share, _, count = told.partition(" of ")
        assert int(count) == len(unseen)
        assert float(re.sub(r"[^\d.]", "", share)) == pytest.approx(
            100 * unseen[f"correct_{slot}"].mean(), abs=0.051
        )
    pictures = page.get_by_role("img", name=re.compile(f"^({'|'.join(inside['image_id'])}), "))
    until(lambda: pictures.count() == min(len(rows), 36), "a gallery of what is inside")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").first.click()
    assert sorted(pd.read_csv(download.value.path())["row"]) == rows


def lasso_until_chosen(page) -> None:
    """Draw a lasso over the left of the map as a person would: again, where the chart was still being laid out."""
    corners = [(0.55, 0.08), (0.6, 0.5), (0.4, 0.92), (0.06, 0.9), (0.04, 0.1)]

    def drawn() -> bool:
        page.locator(".js-plotly-plot").first.scroll_into_view_if_needed()
        area = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
        places = [
            (area["x"] + x * area["width"], area["y"] + y * area["height"]) for x, y in corners
        ]
        page.mouse.move(*places[-1])
        page.mouse.down()
        for place in places:
            page.mouse.move(*place, steps=8)
        page.mouse.up()
        for _ in range(40):
            if page.get_by_text(CHOSEN).count():
                return True
            page.wait_for_timeout(200)
        return False

    until(drawn, "an answer to a lasso", 90)


def table_of(page, name: str) -> pd.DataFrame:
    found = page.get_by_role("table", name=name)
    found.wait_for()
    cells = found.evaluate(
        "table => [...table.querySelectorAll('tr')].map(row => [...row.cells].map(cell => cell.innerText))"
    )
    return pd.DataFrame(cells[1:], columns=cells[0])


def test_any_image_is_reached_by_keyboard_alone(page, furnished, furnished_app, mapped):
    """The table is opened, sorted and a line of it chosen without the mouse."""
    points = points_of(furnished, mapped)
    visit(page, f"{furnished_app}/latent?run={mapped}", "Latent space")
    tab_to(page, "SUMMARY", "Table")
    page.keyboard.press("Enter")
    line = page.get_by_role("spinbutton", name="Choose line")
    line.wait_for()
    calm(page)
    before = line.element_handle()
    tab_to(page, "INPUT", "Sort by")
    until(lambda: sorted_by(page, "Confidence", before), "a new order", 90)
    calm(page)
    tab_to(page, "INPUT", "Choose line")
    page.keyboard.type("3")
    page.keyboard.press("Enter")
    third = points.iloc[np.argsort(points["confidence_a"].to_numpy(), kind="stable")[2]]["image_id"]
    page.get_by_role("img", name=f"Image {third}").wait_for()
    page.wait_for_url(f"**image={third}*")
    page.get_by_text(f"Line 3: {third}").wait_for()
    calm(page)
    no_exception(page)


def sorted_by(page, name: str, line) -> bool:
    """Choose an order from the list that has the focus, once.

    Whether it came: each order has a field `line` of its own.
    """
    page.keyboard.press("Escape")
    page.keyboard.type(name)
    page.get_by_role("option", name=re.compile(f"^{name}")).first.wait_for()
    page.keyboard.press("Enter")
    return becomes(lambda: not line.is_visible())


def tab_to(page, tag: str, label: str) -> None:
    """Press Tab until the element with this tag and name has the focus."""
    asked = """([tag, label]) => { const found = document.activeElement; return found && found.tagName === tag &&
        ((found.getAttribute('aria-label') || '')
         + (found.labels ? [...found.labels].map(x => x.innerText).join(' ') : '')
         + (tag === 'SUMMARY' ? found.innerText : '')).includes(label); }"""
    for _ in range(150):
        if page.evaluate(asked, [tag, label]):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"no {label} is reached by the Tab key")
