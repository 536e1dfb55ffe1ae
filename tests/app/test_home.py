"""Home answers before it asks: what to do first on an empty machine, the latest result on a used one."""

from __future__ import annotations

import pytest

from derm_core.files import read_json
from derm_core.jobs.store import RunStore


def text(app) -> str:
    return "\n".join(
        element.value
        for kind in (app.title, app.markdown, app.caption, app.subheader)
        for element in kind
    )


@pytest.mark.slow
def test_an_empty_workspace_offers_both_first_steps(open_page):
    app = open_page("home")
    assert {"Classify an image", "Run the demo"} <= {button.label for button in app.button}
    assert "No comparison yet" in text(app)


def test_the_demo_button_opens_train_with_the_demo_chosen(open_page):
    app = open_page("home")
    next(button for button in app.button if button.label == "Run the demo").click()
    app.run()
    assert not app.exception
    assert (
        app.title[0].value == "Train" and app.segmented_control(key="preset-choice").value == "demo"
    )


def test_the_latest_comparison_stands_on_home_with_its_chart(open_page, finished):
    run_id = RunStore(finished).list("study")[0].id
    study = read_json(finished.run(run_id).study)
    app = open_page("home")
    assert study["verdict"]["headline"] in text(app)
    assert len(app.get("plotly_chart")) == 1
    assert any(link.label == "The whole comparison" for link in app.page_link)


def test_the_machine_is_described(open_page):
    shown = {
        str(key): str(value) for key, value in open_page("home").table[0].value.iloc[:, 0].items()
    }
    assert {"Device", "Software", "ImageNet weights", "Datasets", "Workspace"} <= set(shown)
    assert "PyTorch" in shown["Software"]
