"""From one click on Launch to a finished comparison, with curves that grow meanwhile."""

from __future__ import annotations

import pytest

from derm_core.files import read_json
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace
from tests.browser.support import calm, drawn_points, no_exception, unfold, until, visit

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


def type_arm(page, name: str) -> None:
    """Type an arm into the field of arms."""
    arms = page.get_by_role("combobox", name="Arms")
    arms.fill(name)
    page.get_by_role("option", name=f"Add: {name}", exact=True).wait_for()
    arms.press("Enter")


def test_networks_of_the_list_and_typed_ones_become_arms(page, app):
    visit(page, f"{app}/train?preset=demo", "Train")
    page.get_by_role("button", name="Add networks").click()
    search = page.get_by_label("Search", exact=True)
    search.fill("resnet34.a1_in1k")
    search.press("Enter")
    page.get_by_text("1 of 1,8", exact=False).wait_for()
    calm(page)  # until then the table of all networks is there, too
    table = page.get_by_test_id("stDialog").get_by_test_id("stDataFrame").bounding_box()
    page.mouse.click(table["x"] + 18, table["y"] + 52)  # the box of the first row, below the header
    page.get_by_role("button", name="Add 1 network").click()
    form = page.get_by_test_id("stMain")
    form.get_by_text("resnet34.a1_in1k").first.wait_for()
    unfold(page, "All settings")
    type_arm(page, "timm:resnet18@64")
    type_arm(page, "timm:mobilenetv2_100@96")
    for label in ("resnet18 at 64 px", "mobilenetv2_100 at 96 px"):
        form.get_by_text(label).first.wait_for()
    assert not form.get_by_text("arms is").count()
    no_exception(page)


def test_what_is_typed_into_the_arms_outlives_a_run_of_the_page(page, app):
    visit(page, f"{app}/train?preset=demo", "Train")
    unfold(page, "All settings")
    type_arm(page, "timm:resnet18@64")
    arms = page.get_by_role("combobox", name="Arms")
    arms.fill("timm:mobile")  # before the page has answered to the first
    page.get_by_test_id("stMain").get_by_text("resnet18 at 64 px").first.wait_for()
    calm(page)
    assert arms.input_value() == "timm:mobile"
    arms.press_sequentially("netv2_100@96")
    arms.press("Enter")
    page.get_by_test_id("stMain").get_by_text("mobilenetv2_100 at 96 px").first.wait_for()
    no_exception(page)
