"""From one click on Launch to a finished comparison, with curves that grow meanwhile."""

from __future__ import annotations

import pytest

from derm_core.files import read_json
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from tests.browser.support import drawn_points, no_exception, until, visit

pytestmark = pytest.mark.browser


def test_a_launched_demo_moves_its_curves_and_ends_in_a_verdict(page, app, tmp_path):
    visit(page, f"{app}/train?preset=demo&scale=0.05", "Train")
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url("**run=study-*")
    first = until(lambda: drawn_points(page), "the first point of a live curve", 120)
    until(lambda: drawn_points(page) > first, "a curve that grows", 120)
    no_exception(page)
    page.get_by_role("button", name="Compare", exact=True).click(timeout=180_000)
    page.get_by_role("heading", level=1, name="Compare").wait_for()
    workspace = Workspace.open(tmp_path / "home")
    study, pretraining = RunStore(workspace).list()
    assert (study.kind, study.state, pretraining.kind, pretraining.state) == (
        "study",
        "done",
        "pretrain",
        "done",
    )
    result = read_json(workspace.run(study.id).study)
    page.get_by_text(result["verdict"]["headline"], exact=False).first.wait_for()
    assert study.id in page.url
    no_exception(page)


def test_a_network_of_the_list_becomes_an_arm(page, app):
    visit(page, f"{app}/train?preset=demo", "Train")
    page.get_by_role("button", name="Add networks").click()
    search = page.get_by_label("Search", exact=True)
    search.fill("resnet34.a1_in1k")
    search.press("Enter")
    page.get_by_text("1 of 1,8", exact=False).wait_for()
    table = page.get_by_test_id("stDialog").get_by_test_id("stDataFrame").bounding_box()
    page.mouse.click(table["x"] + 18, table["y"] + 52)  # the box of the first row, below the header
    page.get_by_role("button", name="Add 1 network").click()
    form = page.get_by_test_id("stMain")
    form.get_by_text("resnet34.a1_in1k").first.wait_for()
    no_exception(page)
