"""Compare shows what the study wrote, and nothing that it did not."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from derm_core import formatting
from derm_core.arms import in_order
from derm_core.files import read_json, write_json
from derm_core.glossary import TERMS
from derm_core.jobs.store import RunStore
from derm_core.report.sections import gaps, metrics, paper
from derm_core.study.study_result import study_result
from tests.report.full_study import complete, example


@pytest.fixture
def study(finished) -> dict:
    run_id = RunStore(finished).list("study")[0].id
    return read_json(finished.run(run_id).study)


def text(app) -> str:
    return "\n".join(
        element.value for kind in (app.header, app.markdown, app.caption) for element in kind
    )


def test_no_study_yet_runs_the_demo(open_page, workspace):
    app = open_page("compare")
    assert [button.label for button in app.button] == ["Run the demo"]
    app.button[0].click()
    app.run()
    assert not app.exception and app.title[0].value == "Train"
    assert app.query_params["run"] == RunStore(workspace).list("study")[0].id


@pytest.mark.slow
def test_the_verdict_comes_first(open_page, finished, study):
    app = open_page("compare")
    assert app.header[0].value == study["verdict"]["headline"]
    for sentence in study["verdict"]["sentences"]:
        assert sentence in text(app)


@pytest.mark.slow
def test_terms_are_explained_beside_their_heading_and_metric(open_page, finished):
    app = open_page("compare")
    assert all(TERMS["balanced-accuracy"].text in metric.help for metric in app.metric)
    for term in ("learning-curve", "gap", "underfitting"):
        assert f"**{TERMS[term].name}.** {TERMS[term].text}" in text(app)


@pytest.mark.slow
def test_every_arm_shows_its_accuracy_with_its_gap(open_page, finished, study):
    app = open_page("compare")
    shown = [metric.value for metric in app.metric]
    assert shown == [
        formatting.percent(study["arms"][arm]["test"]["balanced_accuracy"]["mean"])
        for arm in in_order(study["arms"])
    ]
    for arm in study["arms"].values():
        assert formatting.percent(arm["gaps"]["accuracy"], sign=True) in text(app)


def put_study(workspace, study: dict) -> str:
    """A finished study of invented numbers; returns its id."""
    store = RunStore(workspace)
    run_id = store.create("study", study["config"])
    store.transition(run_id, "queued", "running", started=1.0)
    store.transition(run_id, "running", "done", finished=2.0)
    write_json(workspace.run(run_id).create().study, study | {"run_id": run_id})
    return run_id


@pytest.fixture
def three(workspace) -> str:
    """The id of a finished study of three arms, of invented numbers."""
    study = example(classes=("amber", "blue"))
    for arm, (size, answer) in {
        "vae": (64, "no"),
        "imagenet": (96, "unknown"),
        "random": (64, "no"),
    }.items():
        facts = {"architecture": "resnet18", "input_size": size, "parameters": size * 100_000}
        study["arms"][arm] |= facts | {"pretrained_on": "x", "seen": answer}
    return put_study(workspace, study)


def ranked(app) -> list[str]:
    """The arms of the leaderboard, as badges."""
    return list(app.table[0].value["Arm"])


@pytest.mark.slow
def test_three_arms_open_with_their_leaderboard_and_two_do_not(open_page, three):
    app = open_page("compare")
    control = app.segmented_control(key="section-choice")
    assert control.options[0] == "Leaderboard" and control.value == "leaderboard"
    assert len(ranked(app)) == 3 and "Random" in ranked(app)[0]
    assert [chart.key for chart in app.get("plotly_chart")] == ["leaderboard"]


@pytest.mark.slow
def test_of_many_arms_the_leaderboard_says_what_cards_would(open_page, workspace):
    arms = ("vae", "imagenet", "both", "colour", "scratch", "metadata", "random")
    put_study(workspace, example(arms=arms))
    app = open_page("compare")
    assert not app.metric and len(ranked(app)) == len(arms)


@pytest.mark.slow
def test_two_arms_have_no_leaderboard(open_page, finished):
    control = open_page("compare").segmented_control(key="section-choice")
    assert control.options[0] == "Overview" and control.value == "overview"


@pytest.mark.slow
def test_an_address_restores_the_filters_of_the_leaderboard(open_page, three):
    app = open_page("compare", section="leaderboard", pixels="64", seen="no")
    assert len(ranked(app)) == 2 and "2 arms of 3 shown" in text(app)
    app.selectbox(key="pixels-choice").set_value("any").run()
    assert "pixels" not in app.query_params and app.query_params["seen"] == "no"
    app.selectbox(key="seen-choice").set_value("unknown").run()
    assert not app.exception and ["ImageNet" in arm for arm in ranked(app)] == [True]
    app = open_page("compare", parameters="wrong")
    assert len(ranked(app)) == 3


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
    section = paper.paper_table(study_result(study))[0]
    numbers, shown = section.numbers(), section.table
    assert len(numbers) == len(study["paper_table"]) == len(shown)
    row = next(
        row for row in study["paper_table"] if (row["arm"], row["quantity"]) == ("vae", "val_loss")
    )
    mine = numbers[(numbers["arm"] == "vae") & (numbers["quantity"] == "val_loss")].iloc[0]
    assert (mine["final"], mine["paper_final"]) == (row["final"], 0.110)
    assert any("0.165†" in row["The paper"] for row in shown), "what was computed back is marked"


def test_gaps_are_drawn_against_accuracy_for_every_arm(study):
    points = gaps.gap_points(study_result(study), "loss")
    assert [point.arm.key for point in points] == ["vae", "random"]
    for point in points:
        arm = study["arms"][point.arm.key]
        assert point.x.mean == arm["test"]["balanced_accuracy"]["mean"]
        assert point.y.mean == arm["gaps"]["loss"]
        assert point.y.low == arm["gaps_detail"]["loss"]["final"]["low"]


SECTIONS = (
    "overview",
    "differences",
    "classes",
    "labels",
    "robustness",
    "external",
    "calibration",
    "subgroups",
    "method",
)
DRAWN = {
    "overview": 4,
    "differences": 1,
    "classes": 4,
    "labels": 1,
    "robustness": 4,
    "external": 2,
    "calibration": 2,
}


@pytest.fixture
def full(finished, study) -> dict:
    """The finished study with an answer to every further question."""
    answered = complete(study)
    write_json(finished.run(study["run_id"]).study, answered)
    return answered


def walk(app, sections=SECTIONS):
    """The page in each of its sections, one after another."""
    for section in sections:
        app.segmented_control(key="section-choice").set_value(section).run()
        assert not app.exception and app.query_params.get("section", "overview") == section
        yield section, app


@pytest.mark.slow
def test_every_section_shows_its_charts_each_with_alternative_text_below_the_verdict(
    open_page, full
):
    for section, app in walk(open_page("compare")):
        drawn = app.get("plotly_chart")
        assert len(drawn) >= DRAWN.get(section, 0) and all(chart.proto.alt for chart in drawn), (
            section
        )
        assert app.header[0].value == full["verdict"]["headline"]


@pytest.mark.slow
def test_a_study_that_was_asked_nothing_more_says_what_to_press(open_page, finished, study):
    bare = {
        key: value
        for key, value in study.items()
        if key not in ("detail", "claims", "mcnemar", "gap_differences", "matched")
    }
    write_json(finished.run(study["run_id"]).study, bare)
    for section, app in walk(open_page("compare")):
        assert ("Set up a full study" in [button.label for button in app.button]) == (
            section in ("labels", "robustness", "external")
        )


def test_an_evaluation_without_curves_and_gaps_is_shown_as_well(open_page, finished, study):
    bare = {
        key: study[key]
        for key in (
            "run_id",
            "config",
            "dataset",
            "split",
            "classes",
            "majority",
            "differences",
            "confusion",
            "verdict",
            "versions",
        )
    }
    bare["kind"] = "evaluate"
    bare["arms"] = {
        arm: {key: entry[key] for key in ("label", "kind", "features", "test", "per_class")}
        for arm, entry in study["arms"].items()
    }
    path = finished.run(study["run_id"]).artefacts
    write_json(path / "study.json", bare)
    for curves in (path / "curves").glob("*.csv"):
        curves.unlink()
    app = open_page("compare")
    assert app.segmented_control(key="section-choice").options == [
        "Overview",
        "Differences",
        "Classes",
        "Method",
    ]
    for _, section in walk(app, ("overview", "differences", "classes", "method")):
        assert len(section.metric) == len(bare["arms"])


def test_a_section_of_the_address_is_opened(open_page, full):
    assert [chart.key for chart in open_page("compare", section="labels").get("plotly_chart")] == [
        "labels-balanced_accuracy"
    ]


def test_the_paper_s_claims_are_answered(open_page, full):
    shown = text(open_page("compare"))
    for claim in full["claims"]:
        assert (
            claim["claim"] in shown
            and claim["text"] in shown
            and f"[{claim['answer'].capitalize()}]" in shown
        )


def test_the_metric_of_the_forest_is_part_of_the_address(open_page, full):
    app = open_page("compare", section="differences", metric="brier")
    assert app.segmented_control(key="metric-choice").value == "brier"
    assert [chart.key for chart in app.get("plotly_chart")] == ["forest-brier"]


def test_the_specificity_moves_the_operating_point(open_page, full):
    app = open_page("compare", section="calibration")
    assert "curve at 90 %" in text(app)
    app.slider(key="specificity").set_value(95).run()
    assert not app.exception and "curve at 95 %" in text(app)


def test_a_cell_of_the_address_opens_its_images(open_page, finished, full):
    decisions = pd.read_parquet(finished.run(full["run_id"]).decisions)
    first = decisions.iloc[0]
    i, j = int(first["decision:vae"]), int(first["decision:random"])
    expected = ((decisions["decision:vae"] == i) & (decisions["decision:random"] == j)).sum()
    app = open_page("compare", section="classes", cell=f"vae~random~{i}~{j}")
    assert formatting.count(expected, "test image") in text(app) and len(pictures(app)) == expected


def pictures(app) -> list[str]:
    """Captions below the images of a cell: each begins with what the image is."""
    return [caption.value for caption in app.caption if caption.value.startswith("**")]


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["vae~9~9", "nobody~0~0", "vae~x~1"])
def test_an_address_with_a_wrong_cell_opens_none(open_page, full, cell):
    assert not pictures(open_page("compare", section="classes", cell=cell))


def test_images_of_a_dataset_that_changed_since_are_not_shown(open_page, finished, full):
    path = finished.run(full["run_id"]).artefacts
    write_json(
        path / "study.json", full | {"dataset": full["dataset"] | {"fingerprint": "another"}}
    )
    first = pd.read_parquet(path / "decisions.parquet").iloc[0]
    app = open_page(
        "compare", section="classes", cell=f"vae~{int(first['label'])}~{int(first['decision:vae'])}"
    )
    assert not pictures(app) and "not on this machine" in text(app)


def test_several_studies_stand_side_by_side_with_what_differs(open_page, finished, study):
    store = RunStore(finished)
    other = store.create("study", study["config"])
    store.transition(other, "queued", "running", started=1.0)
    store.transition(other, "running", "done", finished=2.0)
    folder = finished.run(other).create().artefacts
    write_json(
        folder / "study.json",
        study | {"run_id": other, "config": study["config"] | {"input_size": 64}},
    )
    app = open_page("compare", run=study["run_id"], **{"with": other})
    assert app.multiselect(key="with-choice").value == [other]
    assert any("input size" in warning.value for warning in app.warning)
    assert app.query_params["with"] == other and app.selectbox[0].value == study["run_id"]


@pytest.mark.slow
def test_studies_of_several_datasets_are_pooled_under_other_sets(open_page, finished, study):
    assert "On several datasets" not in headings(open_page("compare", section="external"))
    store = RunStore(finished)
    other = store.create("study", study["config"] | {"dataset": "elsewhere"})
    store.transition(other, "queued", "running", started=1.0)
    store.transition(other, "running", "done", finished=2.0)
    dataset = study["dataset"] | {"name": "elsewhere", "fingerprint": "another"}
    written = study | {"run_id": other, "dataset": dataset}
    write_json(finished.run(other).create().study, written)
    app = open_page("compare", run=study["run_id"], section="external")
    assert not app.exception and "On several datasets" in headings(app)
    assert "2 datasets" in text(app)


def headings(app) -> list[str]:
    return [heading.value for heading in app.subheader]


def test_a_note_and_tags_are_kept_with_the_run(open_page, finished, study):
    RunStore(finished).annotate(
        study["run_id"], name="First try", tags=["pilot"], note="Look at *mel*."
    )
    app = open_page("compare")
    assert "pilot" in text(app) and [info.value for info in app.info if "mel" in info.value] == [
        "Look at \\*mel\\*."
    ]


@pytest.mark.slow
def test_curves_are_those_of_the_study(open_page, finished, study):
    path = finished.run(study["run_id"]).artefacts / "curves" / "vae.csv"
    assert {"epoch", "seed", "train_loss", "val_loss", "train_accuracy", "val_accuracy"} <= set(
        pd.read_csv(path)
    )
    app = open_page("compare")
    before = len(app.get("plotly_chart"))
    app.segmented_control(key="curve").set_value("accuracy").run()
    assert not app.exception and len(app.get("plotly_chart")) == before


def test_majority_stands_in_the_test_metrics(study):
    section = metrics.arm_metrics(study_result(study))
    assert "majority" in set(section.numbers()["arm"])
    assert len(section.table) == len(study["arms"]) + 1


@pytest.mark.slow
def test_a_confused_cell_opens_by_keyboard(open_page, finished, full):
    decisions = pd.read_parquet(finished.run(full["run_id"]).decisions)
    first = decisions.iloc[0]
    i, j = int(first["label"]), int(first["decision:random"])
    app = open_page("compare", section="classes")
    app.selectbox(key="confused-arm").set_value("random")
    app.selectbox(key="confused-0").set_value(i)
    app.selectbox(key="confused-1").set_value(j)
    app.button(key="confused-open").click().run()
    assert app.query_params["cell"] == f"random~{i}~{j}"
    assert (
        len(pictures(app))
        == ((decisions["label"] == i) & (decisions["decision:random"] == j)).sum()
    )


@pytest.mark.slow
def test_a_disagreement_opens_by_keyboard_and_begins_with_the_most_frequent_one(
    open_page, finished, full
):
    entry = full["detail"]["disagreement"][0]
    most = max(
        (count, -i, -j)
        for i, row in enumerate(entry["matrix"])
        for j, count in enumerate(row)
        if i != j
    )
    app = open_page("compare", section="classes")
    places = [app.selectbox(key=f"disagreed-{side}").value for side in (0, 1)]
    assert entry["matrix"][places[0]][places[1]] == most[0]
    app.button(key="disagreed-open").click().run()
    assert app.query_params["cell"] == f"{entry['a']}~{entry['b']}~{places[0]}~{places[1]}"
    assert len(pictures(app)) == most[0]


def test_the_planted_artefact_is_explained_before_its_numbers(open_page, full):
    shown = text(open_page("compare", section="robustness"))
    assert (
        "0: the prediction comes from the rest of the image" in shown
        and "Guessing has a balanced accuracy of" in shown
    )


@pytest.mark.slow
def test_a_comparison_in_folds_says_so_and_links_its_folds(open_page, finished, full):
    arms = {arm: {"balanced_accuracy": 0.5, "accuracy_gap_final": 0.1} for arm in full["arms"]}
    rows = [
        {
            "fold": fold,
            "run": f"study-{fold}",
            "pretrain": None,
            "counts": {"test": 60},
            "arms": arms,
        }
        for fold in (1, 2)
    ]
    grid = {
        "rule": "",
        "folds": [{"fold": fold, "learning_rate": 1e-3, "weight_decay": 0.01} for fold in (1, 2)],
    }
    bare = {arm: entry | {"setting": {}, "best_setting": {}} for arm, entry in full["arms"].items()}
    write_json(
        finished.run(full["run_id"]).study,
        full | {"folds": rows, "grid": grid, "arms": bare, "split": full["split"] | {"folds": 2}},
    )
    app = open_page("compare", section="method")
    assert "2 folds, every image tested" in text(app) and "looked at" in text(app)
    shown = next(table.value for table in app.table if "Fold 1 (60 images)" in table.value)
    assert len(shown) == len(arms) + 1 and "(gap" in shown["Fold 2 (60 images)"][0]
    assert list(shown.iloc[-1])[1:] == ["0.001,\u00a00.01"] * 2
    assert [fold["fold"] for fold in json.loads(app.json[0].value)["folds"]] == [1, 2]
    assert "The statistics over all folds took" in text(app)
    for _, section in walk(
        app, ("overview", "differences", "classes", "labels", "calibration", "subgroups")
    ):
        assert len(section.metric) == len(arms)
