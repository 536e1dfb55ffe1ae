"""An image is marked in the page, and the mark exported."""

from __future__ import annotations

import csv

import pytest

from derm_core.data.marks import read_marks
from derm_core.data.synth.dataset import make_synth
from derm_core.workspace import Workspace
from tests.browser.support import no_exception, unfold, visit

pytestmark = pytest.mark.browser


@pytest.fixture
def dataset(tmp_path):
    """120 synthetic lesions in the workspace of `app`."""
    workspace = Workspace.open(tmp_path / "home")
    return make_synth(workspace, "little", images=120, size=64, processes=1)


def test_an_image_of_the_gallery_is_marked_and_the_mark_exported(page, dataset, app):
    visit(page, f"{app}/data?dataset=little", "Data")
    image = page.get_by_text("synth-0").first.inner_text().split(" ")[0]
    chooser = page.get_by_role("combobox", name="Mark images of this page")
    chooser.evaluate("part => part.scrollIntoView({block: 'center'})")
    page.wait_for_timeout(300)  # scrolling closes an open list
    chooser.fill(image)
    chooser.press("Enter")
    chooser.press("Escape")
    page.get_by_role("button", name="Mark 1 image").click()
    page.get_by_text("1 image marked exclude.").last.wait_for()
    assert list(read_marks(dataset.paths)) == [image]
    unfold(page, "Marks of images · 1")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export marks (CSV)").click()
    [row] = csv.DictReader(download.value.path().read_text("utf-8-sig").splitlines())
    assert (row["image_id"], row["mark"]) == (image, "exclude") and row["when"]
    no_exception(page)
