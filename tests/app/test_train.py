"""Train: what is launched is what was set, and a run's events become curves."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from derm_core import machine
from derm_core.config import EmbedConfig, PretrainConfig, StudyConfig, from_dict, to_dict
from derm_core.config.recipes import recipe
from derm_core.data.embedding_files import BroughtEmbeddings
from derm_core.data.embeddings import register_embeddings
from derm_core.events import Event, EventLog, log, progress
from derm_core.files import read_json
from derm_core.jobs.dependencies import stored_config, waits_for
from derm_core.jobs.store import RunStore
from derm_core.study.presets import EARLIER_VAE, SALIENCY_IMAGES, preset
from pages.ui import frame
from tests.app.bundles import put_extractor
from tests.builders import import_ham10000, name_parts, write_dataset

pytestmark = pytest.mark.slow


def press(app, label):
    next(button for button in app.button if button.label == label).click()
    app.run()
    assert not app.exception, app.exception
    return app


def text(app) -> str:
    return "\n".join(
        element.value for kind in (app.markdown, app.caption, app.subheader) for element in kind
    )


def test_one_click_queues_pretraining_and_study(open_page, workspace):
    app = press(open_page("train", preset="demo", scale="0.1"), "Launch")
    study, pretraining = RunStore(workspace).list()
    assert (study.kind, pretraining.kind) == ("study", "pretrain")
    assert study.depends_on == pretraining.id
    assert app.query_params["run"] == study.id


def test_the_form_calls_its_vae_after_the_recipe_as_results_do(open_page):
    [arms] = [one.value for one in open_page("train").markdown if one.value.startswith("Arms:")]
    assert "VAE + SimCLR" in arms and "from scratch" not in arms


def test_a_map_is_called_after_the_recipe_of_its_vae(workspace):
    store = RunStore(workspace)
    vae_run = store.create("pretrain", to_dict(PretrainConfig(dataset="d", recipe=recipe("views"))))
    mapped = store.create(
        "embed", to_dict(EmbedConfig(dataset="d", arm="vae", vae_run=vae_run, input_size=64))
    )
    assert frame.run_name(workspace, store.get(mapped)) == "Map, VAE + SimCLR"


def test_an_untouched_form_launches_the_preset(open_page, workspace):
    press(open_page("train", preset="demo", scale="0.1"), "Launch")
    study = RunStore(workspace).list("study")[0]
    launched = from_dict(read_json(workspace.run(study.id).config))
    expected = preset("demo", scale=0.1)
    assert launched.pretrain == expected.pretrain
    assert to_dict(launched) == {**to_dict(expected), "vae_run": study.depends_on}


def test_settings_reach_the_run(open_page, workspace):
    app = open_page("train", preset="demo", scale="0.1")
    by_label = {element.label: element for element in app.number_input}
    by_label["Seeds"].set_value(3)
    by_label["Pretraining epochs"].set_value(5)
    by_label["Input size, pixels"].set_value(48)
    app.multiselect[0].set_value(["vae", "random"])
    press(app.run(), "Launch")
    study = RunStore(workspace).list("study")[0]
    launched = from_dict(read_json(workspace.run(study.id).config))
    assert (launched.seeds, launched.arms, launched.input_size) == (
        (0, 1, 2),
        ("vae", "random"),
        48,
    )
    assert (launched.pretrain.recipe.epochs, launched.pretrain.input_size) == (5, 48)


def test_the_official_split_is_offered_where_the_dataset_names_one(open_page, workspace):
    def choices(app):
        return [one for one in app.segmented_control if one.label == "Split"]

    dataset = write_dataset(workspace)
    assert not choices(open_page("train", preset="demo", scale="0.1", data="tiny"))
    name_parts(workspace, dataset, ("train", "test", "train", "val"))
    app = open_page("train", preset="demo", scale="0.1", data="tiny")
    [control] = choices(app)
    assert control.value == "grouped"
    control.set_value("official")
    app.run()
    assert "0 equal images" in text(app)
    press(app, "Launch")
    study = RunStore(workspace).list("study")[0]
    launched = from_dict(read_json(workspace.run(study.id).config))
    assert launched.splits == launched.pretrain.splits == "official"


@pytest.mark.slow
def test_an_extractor_of_the_shelf_takes_the_place_of_a_pretraining(open_page, workspace):
    put_extractor(workspace, "skin-vae")
    app = open_page("train", preset="demo", scale="0.1")
    next(box for box in app.selectbox if box.label == "VAE").set_value("shelf:skin-vae")
    press(app.run(), "Launch")
    [study] = RunStore(workspace).list()
    launched = from_dict(read_json(workspace.run(study.id).config))
    assert (launched.vae, launched.vae_run, launched.pretrain, study.depends_on) == (
        "skin-vae",
        None,
        None,
        None,
    )


def test_networks_are_found_with_what_decides_and_become_arms(open_page, workspace):
    app = open_page("train", preset="demo", scale="0.1")
    app.session_state["networks-search"] = "vit_small dinov2 lvd142m"
    press(app, "Add networks")
    table = app.dataframe[0].value
    assert list(table["Network"]) == [
        "timm:vit_small_patch14_dinov2.lvd142m",
        "timm:vit_small_patch14_reg4_dinov2.lvd142m",
    ]
    row = table.iloc[0]
    assert (row["Pixels"], row["Licence"], round(row["Parameters"])) == (518, "apache-2.0", 22)
    assert row["Saw these images"] == "No" and row["Fits"] in ("Yes", "No")  # synthetic images


def test_an_added_network_is_an_arm_of_the_launched_study(open_page, workspace, monkeypatch):
    monkeypatch.setattr("derm_core.jobs.preflight.require_obtainable", lambda own: None)
    app = open_page("train", preset="demo", scale="0.1")
    app.session_state["added-networks"] = ["timm:resnet34.a1_in1k"]
    app.run()
    assert r"resnet34.a1\_in1k" in text(app)
    app.multiselect[0].set_value(["timm:resnet34.a1_in1k", "random"]).run()
    press(app, "Launch")
    launched = stored_config(workspace, RunStore(workspace).list("study")[0].id)
    assert set(launched["arms"]) == {"timm:resnet34.a1_in1k", "random"}


def test_the_field_of_arms_is_set_only_by_what_is_added(open_page):
    def field():
        return next(one for one in app.multiselect if one.label == "Arms")

    app = open_page("train", preset="demo", scale="0.1")
    chosen = [*field().value, "timm:resnet18@64"]
    field().set_value(chosen).run()
    app.toggle[0].set_value(True).run()
    assert field().value == chosen and not field().proto.set_value
    app.session_state["added-networks"] = ["timm:resnet34.a1_in1k", "random"]
    app.run()
    assert field().value == [*chosen, "timm:resnet34.a1_in1k"] and field().proto.set_value
    app.run()
    assert field().value == [*chosen, "timm:resnet34.a1_in1k"] and not field().proto.set_value
    assert r"resnet18 at 64 px" in text(app) and not app.error


def test_a_network_that_does_not_fit_the_memory_is_warned_of(open_page, monkeypatch):
    small = dataclasses.replace(machine.describe(), memory_bytes=1_500_000_000)
    monkeypatch.setattr("pages.ui.cached.machine", lambda: small)
    app = open_page("train", preset="demo", scale="0.1")
    assert not [one for one in app.warning if "memory" in one.value]
    app.session_state["added-networks"] = [
        "timm:vit_giant_patch14_dinov2.lvd142m",
        "timm:resnet34.a1_in1k@64",
    ]
    app.run()
    (warning,) = [one.value for one in app.warning if "memory" in one.value]
    assert "Extracting features takes about" in warning and r"vit\_giant" in warning
    assert "resnet34" not in warning and "choose a smaller network" in warning


def test_folds_offer_no_weights_that_were_trained_here(open_page, workspace):
    put_extractor(workspace, "skin-vae")
    for preset_name, is_offered in (("demo", True), ("folds", False)):
        app = open_page("train", preset=preset_name, data="synth", scale="0.1")
        app.session_state["networks-here"] = True
        press(app, "Add networks")
        listed = list(app.dataframe[0].value["Network"])
        assert ("bundle:skin-vae" in listed) is is_offered


def test_settings_that_cannot_be_are_refused_in_one_sentence(open_page):
    app = open_page("train")
    app.multiselect[0].set_value([])
    app.run()
    assert "arms" in app.error[0].value
    assert next(button for button in app.button if button.label == "Launch").disabled


@pytest.mark.slow
@pytest.mark.parametrize(
    "query", [{"scale": "many"}, {"preset": "unknown"}, {"data": "unknown"}, {"run": "study-1"}]
)
def test_a_wrong_address_does_not_break_the_page(open_page, query):
    app = open_page("train", **query)
    assert not app.error


def test_a_missing_dataset_is_said_with_the_way_to_it(open_page):
    app = open_page("train", preset="laptop")
    assert "**HAM10000**, which is not imported here" in text(app)
    app = press(app, "Get HAM10000")
    assert app.title[0].value == "Data" and app.selectbox(key="public-set").value == "ham10000"


def test_a_preset_takes_its_dataset_whatever_it_is_called(open_page, workspace, tmp_path):
    import_ham10000(workspace, tmp_path / "files", "ham")
    write_dataset(workspace, "ham10000", images=12)
    app = open_page("train", preset="laptop")
    assert "not imported here" not in text(app)
    press(app, "Launch")
    study = stored_config(workspace, RunStore(workspace).list("study")[0].id)
    assert study["dataset"] == study["pretrain"]["dataset"] == "ham"


def test_the_demos_earlier_vae_has_its_name_while_heads_train(open_page, workspace, working):
    config = dataclasses.replace(preset("demo"), pretrain=None, arms=(EARLIER_VAE, "random"))
    run_id = RunStore(workspace).create("study", to_dict(config))
    working(run_id)
    for arm in config.arms:
        EventLog(workspace.run(run_id).events).append(
            Event(kind="metric", series=f"{arm}/val/loss", value=[1.0, 0.9], epoch=0.0)
        )
    assert "VAE pretrained on HAM10000 earlier" in text(open_page("train", run=run_id))


def running_study(workspace, working):
    store = RunStore(workspace)
    run_id = store.create(
        "study", to_dict(StudyConfig(dataset="synth", arms=("random", "imagenet"), preset="demo"))
    )
    working(run_id)
    events = EventLog(workspace.run(run_id).events)
    events.append(log("Extracting features."))
    for epoch in (0.0, 0.5, 1.0):
        for arm in ("random", "imagenet"):
            for split in ("train", "val"):
                events.append(
                    Event(
                        kind="metric",
                        series=f"{arm}/{split}/loss",
                        value=[1.0 - epoch / 4, 0.9],
                        epoch=epoch,
                    )
                )
    events.append(
        Event(
            kind="progress",
            value={
                "what": "training the heads",
                "done": 30,
                "total": 60,
                "unit": "epochs",
                "rate": 2.0,
                "eta_seconds": 15.0,
            },
        )
    )
    return run_id, events


def test_events_become_progress_and_one_panel_an_arm(open_page, workspace, working):
    run_id, _ = running_study(workspace, working)
    app = open_page("train", run=run_id)
    assert app.progress[0].value == 50
    assert "30 of 60 epochs" in app.progress[0].text and "15" in app.progress[0].text
    assert len(app.get("plotly_chart")) == 2
    assert any("ImageNet" in element.value for element in app.markdown)


@pytest.mark.slow
def test_long_work_shows_its_rate_and_the_time_left_or_how_long_it_has_taken(
    open_page, workspace, working
):
    run_id, events = running_study(workspace, working)
    events.append(
        Event(
            kind="progress",
            value={
                "what": "decoding mine at 64 pixels",
                "done": 1200,
                "total": 10015,
                "unit": "images",
                "rate": 850.4,
                "eta_seconds": 10.4,
            },
        )
    )
    shown = open_page("train", run=run_id).progress[0]
    assert (
        shown.text
        == "Decoding mine at 64 pixels · 1,200 of 10,015 images · 850 images/s · about 10\u202fs left"
    )
    assert shown.value == 11
    events.append(
        Event(
            kind="progress",
            value={
                "what": "UMAP",
                "done": 0,
                "total": 0,
                "unit": "epochs",
                "rate": None,
                "eta_seconds": None,
                "elapsed_seconds": 12.2,
            },
        )
    )
    shown = open_page("train", run=run_id).progress[0]
    assert shown.text == "UMAP · 12\u202fs so far" and shown.value == 0


def test_only_new_events_are_read(open_page, workspace, working):
    run_id, events = running_study(workspace, working)
    app = open_page("train", run=run_id)
    events_read = app.session_state["run-events"][run_id]
    before = events_read.offset
    assert before == workspace.run(run_id).events.stat().st_size
    events.append(Event(kind="metric", series="random/val/loss", value=[0.5, 0.5], epoch=2.0))
    app.run()
    events_read = app.session_state["run-events"][run_id]
    assert events_read.offset == workspace.run(run_id).events.stat().st_size > before
    assert len(events_read.points["random/val/loss"]) == 4


def test_cancel_asks_the_run_to_stop(open_page, workspace, working):
    run_id, _ = running_study(workspace, working)
    press(open_page("train", run=run_id), "Cancel")
    assert RunStore(workspace).get(run_id).cancel_requested


def test_an_interrupted_run_can_be_resumed(open_page, workspace):
    store = RunStore(workspace)
    run_id = store.create("pretrain", to_dict(PretrainConfig(dataset="synth")))
    store.transition(run_id, "queued", "interrupted", error="The worker ended.")
    app = open_page("train", run=run_id)
    assert app.error[0].value == "The worker ended."
    press(app, "Resume")
    assert store.get(run_id).state == "queued"


@pytest.mark.slow
def test_a_study_that_waits_shows_its_pretraining(open_page, workspace, working):
    app = press(open_page("train", preset="demo", scale="0.1"), "Launch")
    study = RunStore(workspace).list("study")[0]
    working(study.depends_on)
    events = EventLog(workspace.run(study.depends_on).events)
    for epoch in (0.0, 1.0):
        for name in ("train/loss", "val/loss", "train/kl", "val/kl", "probe/balanced_accuracy"):
            events.append(
                Event(
                    kind="metric",
                    series=name,
                    value=1.0 / (1 + epoch),
                    epoch=epoch,
                    step=int(epoch * 10),
                )
            )
    events.append(progress(5, 10, "images", what="pretraining", started=0.0))
    app = open_page("train", run=study.id)
    assert "Step 1 of 2" in text(app)
    assert len(app.get("plotly_chart")) == 3
    assert app.progress[0].value == 50


@pytest.mark.slow
def test_five_folds_are_launched_with_all_their_arms(open_page, workspace):
    press(open_page("train", preset="folds", data="synth", scale="0.1"), "Launch")
    configs = [stored_config(workspace, run.id) for run in RunStore(workspace).list("study")]
    [whole] = [config for config in configs if config["fold"] is None]
    assert (whole["folds"], len(whole["fold_runs"]), len(configs)) == (5, 5, 6)
    assert {"recipe:paper", "imagenet@96", "imagenet+random"} <= set(whole["arms"])
    assert whole["label_fractions"] == [0.1, 1.0] and not whole["corruptions"]


@pytest.mark.slow
def test_a_study_of_several_recipes_shows_the_pretraining_that_is_under_way(
    open_page, workspace, working
):
    app = open_page("train", preset="demo", scale="0.1")
    [arms] = [widget for widget in app.multiselect if widget.label == "Arms"]
    arms.set_value(["vae", "recipe:paper", "random"]).run()
    press(app, "Launch")
    study = RunStore(workspace).list("study")[0]
    vae, plain = waits_for(workspace, study)
    assert "First of 2 runs" in text(open_page("train", run=study.id))
    assert RunStore(workspace).transition(vae, "queued", "done")
    working(plain)
    assert "Step 1 of 2" in text(open_page("train", run=study.id))


def test_a_finished_study_leads_to_its_comparison_and_can_be_deleted(open_page, workspace):
    store = RunStore(workspace)
    run_id = store.create("study", to_dict(StudyConfig(dataset="synth", arms=("random",))))
    store.transition(run_id, "queued", "running", started=1.0)
    store.transition(run_id, "running", "done", finished=61.0)
    app = open_page("train", run=run_id)
    assert any(button.label == "Compare" for button in app.button)
    press(app, "Delete the run")
    assert store.list() == [] and "run" not in app.query_params


def test_a_full_study_asks_every_further_question(open_page, workspace):
    press(open_page("train", preset="demo", scale="0.1", full="true"), "Launch")
    launched = from_dict(read_json(workspace.run(RunStore(workspace).list("study")[0].id).config))
    expected = preset("demo", scale=0.1, full=True)
    for name in ("label_fractions", "corruptions", "shortcut"):
        assert getattr(launched, name) == getattr(expected, name) != ()
    assert launched.saliency_images == SALIENCY_IMAGES  # synthetic images have masks


def test_further_questions_can_be_asked_one_by_one_and_of_other_sets(open_page, workspace):
    for name in ("here", "there"):
        write_dataset(workspace, name, images=12)
    app = open_page("train", preset="demo", scale="0.1", data="here")
    toggles = {element.label: element for element in app.toggle}
    toggles["Corruptions"].set_value(True)
    next(element for element in app.multiselect if element.label == "External test sets").set_value(
        ["there"]
    )
    press(app.run(), "Launch")
    launched = from_dict(read_json(workspace.run(RunStore(workspace).list("study")[0].id).config))
    assert (
        len(launched.corruptions),
        launched.external,
        launched.label_fractions,
        launched.shortcut,
    ) == (13, ("there",), (), ())


def test_what_trains_heads_is_not_asked_of_fine_tuned_models(open_page, workspace):
    app = open_page("train", preset="demo", scale="0.1", full="true")
    next(element for element in app.segmented_control if element.label == "Regime").set_value(
        "finetune"
    ).run()
    assert {
        element.label: element.disabled
        for element in app.toggle
        if element.label in ("Fewer labels", "Planted shortcut")
    } == {"Fewer labels": True, "Planted shortcut": True}
    press(app, "Launch")
    launched = from_dict(read_json(workspace.run(RunStore(workspace).list("study")[0].id).config))
    assert launched.label_fractions == launched.shortcut == () and launched.corruptions


def test_metadata_and_embeddings_are_offered_and_refused_in_words_where_the_dataset_has_none(
    open_page, workspace
):
    tiny = write_dataset(workspace)
    vectors = np.random.default_rng(0).normal(size=(len(tiny), 4)).astype(np.float32)
    brought = BroughtEmbeddings(np.arange(len(tiny)), vectors, {}, ())
    register_embeddings(workspace, tiny, "clip", brought, "clip.npz")
    app = open_page("train", preset="laptop", data="tiny")
    [arms] = [widget for widget in app.multiselect if widget.label == "Arms"]
    offered = {"Metadata (age, sex, site)", "VAE + metadata", "clip (embeddings)"}
    assert offered <= set(arms.options)
    arms.set_value(["random", "metadata"]).run()
    press(app, "Launch")
    assert "tiny has no age, sex or site" in app.error[0].value
    assert not RunStore(workspace).list("study")
