"""A chart leaves the app: as a picture in both formats, as its table, as code with its points."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from tests.browser.support import calm, visit

pytestmark = pytest.mark.browser


def saved(page, button) -> tuple[str, bytes]:
    """Name and content of the file that a button saves."""
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def camera(page, title: str = "Download plot as a PNG"):
    page.locator(".js-plotly-plot").first.hover()
    return page.locator(f'.modebar-btn[data-title="{title}"]').first


def test_a_chart_leaves_as_picture_table_and_code(page, furnished_app):
    visit(page, f"{furnished_app}/data?dataset=little", "Data")
    name, picture = saved(page, camera(page))
    assert name == "images-by-class-and-split.png" and picture.startswith(b"\x89PNG")

    page.get_by_role("button", name="Export").first.click()
    calm(page)
    name, table = saved(page, page.get_by_role("button", name="Table (CSV)"))
    assert name == "images-by-class-and-split.csv" and b"train" in table.splitlines()[0]
    name, packed = saved(page, page.get_by_role("button", name="Code and data (ZIP)"))
    assert name == "images-by-class-and-split-figure.zip"
    names = zipfile.ZipFile(io.BytesIO(packed)).namelist()
    assert {Path(one).suffix for one in names} == {".csv", ".py"}

    page.get_by_test_id("stPopoverBody").get_by_text("SVG", exact=True).click()
    calm(page)
    page.keyboard.press("Escape")
    # The button's title names the format only of PNG: it changes once the chart is drawn anew.
    camera(page, "Download plot").wait_for()
    name, picture = saved(page, camera(page, "Download plot"))
    assert name == "images-by-class-and-split.svg" and picture.startswith(b"<svg")
