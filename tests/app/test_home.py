"""Home answers before it asks: what to do first on an empty machine, the latest result on a used one."""

from __future__ import annotations

import os

import pytest
from streamlit.testing.v1 import AppTest

from derm_core.config import from_dict, to_dict
from derm_core.files import read_json, write_json
from derm_core.jobs.store import RunStore
from derm_core.study.presets import preset


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


def press(app, label):
    next(button for button in app.button if button.label == label).click()
    app.run()
    assert not app.exception, app.exception
    return app


@pytest.mark.slow
def test_one_click_runs_the_demo_and_a_second_one_shows_it(open_page, workspace):
    app = press(open_page("home"), "Run the demo")
    store = RunStore(workspace)
    study, pretraining = store.list()
    assert (study.kind, study.depends_on) == ("study", pretraining.id)
    launched = from_dict(read_json(workspace.run(study.id).config))
    assert to_dict(launched) == {**to_dict(preset("demo")), "vae_run": pretraining.id}
    assert app.title[0].value == "Train" and app.query_params["run"] == study.id
    assert "not evidence" in app.info[0].value

    app = press(open_page("home"), "Run the demo")
    assert len(store.list()) == 2 and app.query_params["run"] == study.id
    store.transition(study.id, "queued", "failed", error="The disk was full.")
    press(open_page("home"), "Run the demo")
    assert [run.kind for run in store.list()] == ["study", "study", "pretrain"]


@pytest.mark.slow
def test_a_demo_that_is_done_is_shown_and_can_be_run_again(open_page, finished):
    store = RunStore(finished)
    done = store.list("study")[0].id
    config = to_dict(preset("demo")) | {"vae_run": store.list("pretrain")[0].id}
    write_json(finished.run(done).config, config)
    app = press(open_page("home"), "Run the demo")
    assert app.title[0].value == "Compare" and app.query_params["run"] == done
    app = press(open_page("compare", run=done), "Run again")
    newest = store.list("study")[0].id
    assert newest != done and (app.title[0].value, app.query_params["run"]) == ("Train", newest)
    app = press(open_page("compare", run=done), "Run again")
    assert app.query_params["run"] == newest, "the one under way is shown"
    assert any(button.label == "Run again" for button in open_page("train", run=done).button)


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


def _space_alone() -> None:
    from derm_core.workspace import Workspace
    from pages.ui.space import draw_space

    draw_space(Workspace.open())


@pytest.mark.slow
def test_what_takes_room_is_listed_and_cached_features_are_removed(open_page, workspace):
    cached = workspace.cache / "features" / "tiny--aa.npy"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(bytes(5000))
    os.utime(cached, (0, 0))
    app = press(open_page("home"), "What takes room")
    assert "Features of tiny" in app.dataframe[0].value["What"].tolist()
    press(AppTest.from_function(_space_alone).run(), "Remove cached features")
    assert not cached.exists()
