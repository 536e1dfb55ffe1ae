"""A study from config to verdict, on a dataset small enough to run in seconds."""

import dataclasses
import json
import time

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from derm_core.config import BackboneConfig, FinetuneSchedule, PretrainConfig, StudyConfig, to_dict
from derm_core.data.manifest import load_dataset, save_dataset
from derm_core.data.marks import Mark, set_marks
from derm_core.data.official_split import describe_official
from derm_core.data.triage import save_map
from derm_core.errors import RunError
from derm_core.files import read_json
from derm_core.heads import grid
from derm_core.nets.vae import build_vae, save_vae
from derm_core.report.files import report_files
from derm_core.report.sections import method_sections
from derm_core.report.terminal import text_report
from derm_core.study import protocol
from derm_core.study.marks import with_marks
from derm_core.study.protocol import study
from derm_core.study.protocol_record import digest, fix_protocol
from derm_core.study.study_data import prepare
from derm_core.study.study_result import study_result
from derm_core.workspace import Workspace
from tests.builders import name_parts, write_dataset
from tests.steps import finish

SMALL = BackboneConfig(architecture="resnet18", stage=1)


def make_config(workspace):
    """A study whose VAE was never trained, but looks as if pretrained on this split."""
    wanted = StudyConfig(
        dataset="tiny",
        arms=("vae", "random"),
        backbone=SMALL,
        input_size=32,
        vae_run="pretrain-1",
        seeds=(0, 1),
        hidden=16,
        epochs=8,
        batch_size=16,
        learning_rates=(1e-3, 1e-2),
        weight_decays=(1e-2,),
        bootstrap=100,
        device="cpu",
    )
    _, data = finish(prepare(wanted, workspace))
    save_vae(
        workspace.run("pretrain-1").create().artefacts,
        build_vae(SMALL, 32, 8, 16, seed=3),
        {
            "dataset": "tiny",
            "split_fingerprint": data.fingerprint,
            "config": to_dict(PretrainConfig(dataset="tiny", backbone=SMALL, input_size=32)),
        },
    )
    return wanted


def run_study(config, workspace, run_id="study-1"):
    run = workspace.run(run_id).create()
    events, _ = finish(study(config, workspace, run))
    return json.loads((run.study).read_text()), events, run


@pytest.fixture
def config(workspace, tiny):
    return make_config(workspace)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished study for the tests that only read it: (study.json, events, run)."""
    workspace = Workspace.open(tmp_path_factory.mktemp("finished"))
    write_dataset(workspace)
    return run_study(make_config(workspace), workspace)


@pytest.mark.slow
def test_every_part_of_the_record_is_there(finished):
    result, events, run = finished
    assert list(result["arms"]) == ["vae", "random"]
    for arm, entry in result["arms"].items():
        interval = entry["test"]["balanced_accuracy"]
        assert interval["low"] <= interval["mean"] <= interval["high"] and "std" in interval
        assert {"macro_auroc", "accuracy", "log_loss", "brier", "ece"} <= set(entry["test"])
        assert {row["class"] for row in entry["per_class"]} == set(result["classes"])
        assert (run.root / entry["curves"]).exists() and entry["features"] == 64
        assert np.array(result["confusion"][arm]).sum() == result["split"]["counts"]["test"]
    assert sum(result["split"]["counts"].values()) == result["dataset"]["images"] == 90
    assert {row["arm"] for row in result["paper_table"]} == {"vae", "random", "majority"}
    assert result["verdict"]["headline"] and result["majority"]["accuracy"]["mean"] > 0
    assert events[-1].kind == "result" and set(events[-1].value) == {
        "arms",
        "paper_table",
        "verdict",
        "grid",
    }


@pytest.mark.slow
def test_gaps_are_the_difference_of_the_last_row_of_the_curves(finished):
    result, _, run = finished
    for entry in result["arms"].values():
        last = pd.read_csv(run.root / entry["curves"]).query("epoch == 8").mean(numeric_only=True)
        assert entry["gaps"]["loss"] == pytest.approx(
            last["val_loss"] - last["train_loss"], abs=1e-6
        )
        assert entry["gaps"]["accuracy"] == pytest.approx(
            last["train_accuracy"] - last["val_accuracy"], abs=1e-6
        )


@pytest.mark.slow
def test_of_a_large_set_a_step_takes_more_images_with_few_labels_too(
    config, workspace, monkeypatch
):
    """Large here is what has more than two steps an epoch."""
    monkeypatch.setattr(grid, "MOST_STEPS", 2)
    config = dataclasses.replace(config, label_fractions=(0.5,))
    result, events, run = run_study(config, workspace)
    _, data = finish(prepare(config, workspace))
    images = len(data.members("train"))
    size = grid.images_of_step(config.batch_size, images)
    assert size > config.batch_size and images <= 2 * size
    trained = [event.value for event in events if str(event.value).startswith("Training")]
    assert trained and all(f"steps of {size} images" in text for text in trained)
    for entry in result["arms"].values():
        curves = pd.read_csv(run.root / entry["curves"])
        assert curves["step"].max() == config.epochs * -(-images // size)


@pytest.mark.slow
def test_a_study_on_the_official_split_says_what_crosses_it(workspace, tiny):
    # Two images a group, of which every third pair stands in training and test.
    parts = ("train", "train", "test", "train", "val", "val")
    named = name_parts(workspace, tiny, parts)
    config = dataclasses.replace(
        make_config(workspace), arms=("random", "colour"), vae_run=None, splits="official"
    )
    result, events, run = run_study(config, workspace)
    assert result["split"]["official"]["groups_across"] == 15
    assert result["split"]["counts"] == {"train": 45, "val": 30, "test": 15}
    tested = pd.read_parquet(run.predictions).query("split == 'test'")["image_id"]
    official = named.frame["image_id"][named.frame["official_split"] == "test"]
    assert set(tested) == set(official)
    sentence = describe_official(study_result(result).split.official)
    assert sentence in result["notes"] and sentence in result["cautions"]
    assert any(event.kind == "log" and event.value == sentence for event in events)
    assert sentence in " ".join(text_report(study_result(result)).split())


def test_predictions_say_what_the_metrics_say(finished):
    result, _, run = finished
    table = pd.read_parquet(run.predictions)
    p = table[["p_0", "p_1", "p_2"]].to_numpy()
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    hit = table.assign(hit=p.argmax(1) == table["label"]).query("split == 'test'")
    for arm, entry in result["arms"].items():
        assert hit[hit["arm"] == arm]["hit"].mean() == pytest.approx(
            entry["test"]["accuracy"]["mean"]
        )
    assert not set(table[table["split"] == "val"]["group"]) & set(
        table[table["split"] == "test"]["group"]
    )


def test_each_arm_is_at_its_own_lowest_validation_loss_and_one_setting_stands_beside_it(finished):
    result, _, run = finished
    grid, shared = result["grid"], result["shared"]["arms"]
    for arm, entry in result["arms"].items():
        own = grid["points"][int(np.argmin(grid["val_loss"][arm]))]
        assert entry["setting"] == grid["chosen"][arm] == own
    common = grid["points"][int(np.mean(list(grid["val_loss"].values()), 0).argmin())]
    assert all(entry["setting"] == grid["shared"] == common for entry in shared.values())
    heads = load_file(run.artefacts / "heads" / "vae.safetensors")
    assert heads["head.0.weight"].shape == (2, 16, 64) and heads["feature_mean"].shape == (2, 64)


def test_live_curves_carry_a_number_for_every_seed(finished):
    _, events, _ = finished
    points = [event for event in events if event.series == "vae/val/accuracy"]
    assert (
        points[0].epoch == 0
        and points[-1].epoch == 8
        and all(len(point.value) == 2 for point in points)
    )
    assert any(event.kind == "progress" for event in events)


@pytest.mark.slow
def test_a_second_run_gives_the_same_numbers_and_counts_as_a_look(config, workspace):
    first, _, _ = run_study(config, workspace)
    second, _, _ = run_study(config, workspace, "study-2")
    assert first["looks"] == {"mean": 0, "max": 0} and second["looks"] == {"mean": 1, "max": 1}
    assert first["arms"] == second["arms"]


@pytest.mark.slow
def test_a_stopped_study_goes_on_and_looks_at_the_test_set_once(config, workspace, monkeypatch):
    whole, _, _ = run_study(config, workspace)
    steps = study(config, workspace, workspace.run("study-2").create())
    for event in steps:
        if event.kind == "metric" and event.epoch > 2:
            break
    steps.close()
    resumed, events, _ = run_study(config, workspace, "study-2")
    progress = [event.series for event in events if event.kind == "progress"]
    assert progress and not any(series.startswith("Features") for series in progress)
    assert resumed["arms"] == whole["arms"] and resumed["looks"] == {"mean": 1, "max": 1}
    monkeypatch.setattr(protocol, "prepare", None)
    _, events, _ = run_study(config, workspace, "study-2")
    assert [event.kind for event in events] == ["result"]


def test_the_protocol_is_fixed_before_an_image_is_read(config, workspace, monkeypatch):
    run = workspace.run("study-1").create()
    monkeypatch.setattr(protocol, "prepare", None)
    with pytest.raises(TypeError):
        finish(study(config, workspace, run))
    fixed = read_json(run.protocol)
    assert fixed["sha256"] == digest(fixed["content"]) and time.time() - fixed["created"] < 60


def test_a_study_says_which_protocol_it_followed(finished):
    result, _, run = finished
    assert result["protocol"] == read_json(run.protocol)
    assert result["protocol"]["content"]["primary"]["arms"] == ["vae", "random"]
    sections = {section.key: section for section in method_sections(study_result(result))}
    assert result["protocol"]["sha256"] in sections["protocol"].bullets[-1].text


def test_a_study_begun_under_another_protocol_does_not_go_on(config, workspace):
    run = workspace.run("study-1").create()
    fix_protocol(dataclasses.replace(config, seeds=(0, 1, 2)), "as it was", run)
    before = run.protocol.read_bytes()
    with pytest.raises(RunError, match="new study") as refusal:
        finish(study(config, workspace, run))
    assert "seeds" in str(refusal.value) and "dataset" in str(refusal.value)
    assert run.protocol.read_bytes() == before and not run.study.exists()


@pytest.mark.slow
def test_a_vae_that_saw_another_training_split_is_refused(config, workspace):
    with pytest.raises(RunError, match="split_seed 0"):
        run_study(dataclasses.replace(config, split_seed=5), workspace)
    assert not (workspace.run("study-1").study).exists()


@pytest.mark.slow
def test_fine_tuning_leaves_the_same_kind_of_record(config, workspace):
    schedule = FinetuneSchedule(epochs=1, batch_size=16)
    result, _, run = run_study(
        dataclasses.replace(config, regime="finetune", seeds=(0,), finetune=schedule), workspace
    )
    assert list(result["arms"]) == ["vae", "random"] and result["grid"]["schedule"]["epochs"] == 1
    assert (run.artefacts / "models" / "vae-seed0.safetensors").exists()
    table = pd.read_parquet(run.predictions)
    assert set(table["split"]) == {"val", "test"} and set(table["seed"]) == {0}
    assert "VAE (plain)" in text_report(study_result(result))


def test_the_report_shows_every_arm_beside_the_paper(finished):
    text = " ".join(text_report(study_result(finished[0])).split())
    for words in (
        "VAE (plain)",
        "Random initialisation",
        "Majority class",
        "Balanced accuracy",
        "−33.3 %",
        "Loss gap, validation − training",
        "not looked at before",
        finished[0]["verdict"]["headline"][:40],
    ):
        assert words in text


@pytest.mark.slow
def test_a_transductive_vae_is_said_to_be_one_in_notes_and_verdict(workspace, config):
    sidecar = workspace.run("pretrain-1").vae
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "transductive": True}))
    result, _, _ = run_study(config, workspace)
    for texts in (result["notes"], result["cautions"]):
        assert sum("VAE (plain) is transductive" in text for text in texts) == 1
    assert "transductive" in text_report(study_result(result))


@pytest.mark.slow
def test_a_study_of_priorities_keeps_the_split_and_sees_the_mapped_classes(workspace, config):
    mapping = {"amber": "low", "brown": "high", "violet": "medium"}
    save_map(workspace, "tiny", mapping)
    plain, _, _ = run_study(config, workspace)
    result, _, _run = run_study(
        dataclasses.replace(config, labels="priority"), workspace, "study-2"
    )
    assert result["classes"] == ["high", "medium", "low"] and plain["labels"] == {"kind": "classes"}
    assert result["labels"] == {"kind": "priority", "map": mapping, "ours": False}
    assert (
        result["split"]["fingerprint"] == plain["split"]["fingerprint"]
    )  # the VAE's, so it is accepted
    assert any("Priority triage: high: brown" in note for note in result["notes"])
    ours, theirs = (
        pd.read_parquet(workspace.run(name).predictions)
        .drop_duplicates("image_id")
        .set_index("image_id")["label"]
        for name in ("study-2", "study-1")
    )
    for image, level in ours.items():
        assert result["classes"][level] == mapping[plain["classes"][theirs[image]]]


@pytest.mark.slow
def test_a_study_does_not_go_on_with_other_priorities_than_it_began_with(workspace, config):
    save_map(workspace, "tiny", {"amber": "low", "brown": "high", "violet": "medium"})
    config = dataclasses.replace(config, labels="priority")
    run = workspace.run("study-1").create()
    steps = study(config, workspace, run)
    next(event for event in steps if event.kind == "log")
    steps.close()
    save_map(workspace, "tiny", {"amber": "low", "brown": "high", "violet": "low"})
    with pytest.raises(RunError, match="priorities of tiny were changed"):
        finish(study(config, workspace, run))


@pytest.mark.slow
def test_a_study_says_how_many_images_its_input_enlarged(workspace, tiny):
    small = np.arange(90) % 10 == 0
    frame = tiny.frame.assign(width=np.where(small, 20, 32), height=40)
    save_dataset(workspace, "tiny", frame, dataclasses.replace(tiny.info, license="CC0"))
    result, _, _ = run_study(make_config(workspace), workspace)
    assert result["dataset"]["enlarged"] == 0.1 and result["dataset"]["license"] == "CC0"
    assert any("10.0" in one and "32 px" in one for one in result["cautions"])


@pytest.mark.slow
def test_a_study_with_marks_leaves_images_out_changes_labels_and_says_so(workspace, config):
    dataset = load_dataset(workspace, "tiny")
    tested = sorted(finish(prepare(config, workspace))[1].members("test"))
    out, relabelled = dataset.frame["image_id"].iloc[[tested[0], tested[-1]]]
    other = next(c for c in dataset.classes if c != dataset.frame["label"].iloc[tested[-1]])
    set_marks(
        dataset,
        [
            Mark(image_id=out, mark="exclude"),
            Mark(image_id=relabelled, mark="wrong_label", new_label=other),
        ],
    )
    config = with_marks(config, dataset, new_labels=True)
    result, _, run = run_study(config, workspace)
    table = pd.read_parquet(run.predictions).drop_duplicates("image_id").set_index("image_id")
    assert out not in table.index and result["dataset"]["images"] == 89
    assert result["classes"][table.at[relabelled, "label"]] == other
    assert result["dataset"]["marks"] == {
        "sha256": config.marks.sha256,
        "exclusions": 1,
        "new_labels": 1,
    }
    # its VAE was pretrained without marks
    assert any("may have seen the pixels" in note for note in result["notes"])
    study = study_result(result)
    text = " ".join(text_report(study).split())
    assert "3 classes, with 1 exclusion and 1 changed label" in text
    assert any("Images marked exclude or duplicate are left out" in one for one in result["notes"])
    assert config.marks.sha256 in str(method_sections(study))
    files = report_files(study, run.root)
    assert out in files["marks.csv"].decode()
    assert result["config"]["marks"] == json.loads(files["config.json"])["marks"]
