"""Compare shows what the study wrote, and nothing that it did not."""

from __future__ import annotations

import pandas as pd
import pytest

from derm_core.files import read_json
from derm_core.jobs.store import RunStore
from derm_core.report import tables, words


@pytest.fixture
def study(finished) -> dict:
    run_id = RunStore(finished).list("study")[0].id
    return read_json(finished.run(run_id).artefacts / "study.json")


def text(app) -> str:
    return "\n".join(element.value for kind in (app.header, app.markdown, app.caption) for element in kind)


def test_no_study_yet_offers_the_demo(open_page):
    app = open_page("compare")
    assert [button.label for button in app.button] == ["Run the demo"]
    app.button[0].click()
    app.run()
    assert not app.exception and app.title[0].value == "Train"
    assert app.segmented_control(key="preset-choice").value == "demo"


def test_the_verdict_comes_first(open_page, finished, study):
    app = open_page("compare")
    assert app.header[0].value == study["verdict"]["headline"]
    for sentence in study["verdict"]["sentences"]:
        assert sentence in text(app)


def test_every_arm_shows_its_accuracy_with_its_gap(open_page, finished, study):
    app = open_page("compare")
    shown = [metric.value for metric in app.metric]
    assert shown == [words.percent(study["arms"][arm]["test"]["balanced_accuracy"]["mean"]) for arm in tables.arms(study)]
    for arm in study["arms"].values():
        assert words.percent(arm["gaps"]["accuracy"], sign=True) in text(app)


def test_the_link_to_a_study_opens_it(open_page, finished, study):
    app = open_page("compare", run=study["run_id"])
    assert app.selectbox[0].value == study["run_id"]
    assert app.query_params["run"] == study["run_id"]


def test_a_link_to_a_study_that_is_gone_opens_another(open_page, finished, study):
    assert open_page("compare", run="study-gone").selectbox[0].value == study["run_id"]


def test_whoever_sees_the_paper_s_numbers_reads_what_they_claim(open_page, finished):
    shown = text(open_page("compare"))
    assert "ImageNet wins on validation accuracy and on validation loss" in shown
    assert "its claim is about the gap" in shown


def test_the_paper_s_table_is_the_study_s(finished, study):
    numbers, shown = tables.paper_table(study)
    assert len(numbers) == len(study["paper_table"]) == len(shown)
    row = next(row for row in study["paper_table"] if (row["arm"], row["quantity"]) == ("vae", "val_loss"))
    found = numbers[(numbers["arm"] == words.arm("vae").name) & (numbers["quantity"] == "val_loss")].iloc[0]
    assert (found["final"], found["paper_final"]) == (row["final"], 0.110)
    assert "0.165†" in " ".join(shown["The paper"]), "what was computed back is marked"


def test_gaps_are_drawn_against_accuracy_for_every_arm(study):
    rows = tables.gap_rows(study, "loss")
    assert [row["arm"] for row in rows] == ["vae", "random"]
    for row in rows:
        result = study["arms"][row["arm"]]
        assert (row["x"], row["y"]) == (result["test"]["balanced_accuracy"]["mean"], result["gaps"]["loss"])
        assert row["y_low"] == result["gaps_detail"]["loss"]["final"]["low"]


def test_charts_have_an_alternative_text_and_a_table(open_page, finished):
    app = open_page("compare")
    drawn = app.get("plotly_chart")
    assert len(drawn) >= 6
    assert all(chart.proto.alt for chart in drawn)
    tables_offered = [block for block in app.get("popover")]
    assert len(tables_offered) >= 3


def test_curves_are_those_of_the_study(open_page, finished, study):
    path = finished.run(study["run_id"]).artefacts / "curves" / "vae.csv"
    assert {"epoch", "seed", "train_loss", "val_loss", "train_accuracy", "val_accuracy"} <= set(pd.read_csv(path))
    app = open_page("compare")
    before = len(app.get("plotly_chart"))
    app.segmented_control(key="curve").set_value("accuracy").run()
    assert not app.exception and len(app.get("plotly_chart")) == before


def test_majority_stands_in_the_test_metrics(study):
    numbers, shown = tables.test_metrics(study)
    assert words.arm("majority").name in set(numbers["arm"])
    assert len(shown) == len(study["arms"]) + 1
