"""The arms on request: colours need no weights, and training from scratch is another regime that says so."""

import dataclasses

import numpy as np
import pytest

from derm_core.bundles.bundle import load_bundle
from derm_core.config import (
    BackboneConfig,
    FinetuneSchedule,
    PretrainConfig,
    StudyConfig,
    to_dict,
)
from derm_core.config.recipes import recipe
from derm_core.data.triage import save_map
from derm_core.errors import BundleError, ConfigError
from derm_core.files import write_json
from derm_core.nets.backbone import make_extractor
from derm_core.nets.pretrained import build_pretrained
from derm_core.publish.classifier import publish
from derm_core.study import finetune as finetune_module
from derm_core.study.arms import Arm
from derm_core.study.fitting_arms import fitting_arms
from derm_core.study.protocol import study
from derm_core.study.roles import choose_pair
from derm_core.study.scratch import lora_notes, short_training_notes
from derm_core.workspace import Workspace
from tests.builders import write_dataset
from tests.nets.families import TINY
from tests.study.test_protocol import finish, run_study

SMALL = BackboneConfig(architecture="resnet18", stage=1)


CONFIG = StudyConfig(
    dataset="tiny",
    arms=("scratch", "random", "colour"),
    backbone=SMALL,
    input_size=32,
    seeds=(0, 1),
    hidden=16,
    epochs=8,
    batch_size=16,
    learning_rates=(1e-3, 1e-2),
    weight_decays=(1e-2,),
    bootstrap=100,
    finetune=FinetuneSchedule(epochs=2, batch_size=16, learning_rate=1e-3),
    labels="priority",
    device="cpu",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study of priorities: (workspace, study.json, events, run)."""
    workspace = Workspace.open(tmp_path_factory.mktemp("scratch"))
    write_dataset(workspace)
    save_map(workspace, "tiny", {"amber": "low", "brown": "high", "violet": "medium"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune_module, "CURVE_IMAGES", 10)
        result, events, run = run_study(CONFIG, workspace)
    write_json(run.config, to_dict(CONFIG))
    return workspace, result, events, run


@pytest.mark.slow
def test_a_frozen_study_trains_scratch_beside_its_heads_and_says_that_it_differs(finished):
    _, result, events, run = finished
    assert list(result["arms"]) == ["scratch", "colour", "random"]
    assert any("Supervised from scratch is trained end to end" in note for note in result["notes"])
    assert (result["arms"]["scratch"]["regime"], result["arms"]["colour"]["regime"]) == (
        "finetune",
        "frozen",
    )
    for entry in result["arms"].values():
        assert 0 <= entry["test"]["balanced_accuracy"]["mean"] <= 1 and set(entry["gaps"]) == {
            "loss",
            "accuracy",
        }
        assert (run.root / entry["curves"]).exists()
    assert {path.stem for path in (run.artefacts / "models").iterdir()} == {
        "scratch-seed0",
        "scratch-seed1",
    }
    assert {path.stem for path in (run.artefacts / "heads").iterdir()} == {"colour", "random"}
    assert {row["arm"] for row in result["paper_table"]} >= {"scratch", "colour"}
    assert any(event.kind == "metric" and event.series == "scratch/val/loss" for event in events)
    assert (
        result["arms"]["colour"]["test"]["balanced_accuracy"]["mean"] > 0.9
    )  # the classes are colours


@pytest.mark.slow
def test_the_curves_of_scratch_are_measured_on_the_same_images_as_those_of_the_other_arms(finished):
    _, result, _, run = finished
    with np.load(run.checkpoints / "scratch-seed0.npz") as arrays:
        images = len(arrays["probabilities_train"])
        assert images == result["split"]["counts"]["train"] > 10
        assert np.isfinite(arrays["train_loss"]).all()


@pytest.mark.slow
def test_scratch_is_published_as_the_end_to_end_model_it_is_and_colours_are_not(finished):
    workspace, _, _, run = finished
    card = load_bundle(
        publish(workspace, run.id, "scratch", "from-scratch", seed=1)
    ).card  # repeats the study's numbers
    assert (card.regime, card.initial_weights["kind"]) == ("finetune", "random")
    assert card.classes == ("high", "medium", "low") and card.class_descriptions["high"] == "brown"
    assert any("data priority tiny amber=low" in line for line in card.commands)
    assert any("--labels priority" in line for line in card.commands)
    assert any("no clinical guideline" in line for line in card.limits)
    with pytest.raises(BundleError, match="no network"):
        publish(workspace, run.id, "colour", "colours")


@pytest.mark.slow
def test_a_study_stopped_in_its_second_seed_does_not_train_the_first_again(
    workspace, tiny, monkeypatch
):
    config = dataclasses.replace(CONFIG, labels="classes", arms=("scratch", "random"), epochs=2)
    run = workspace.run("study-1").create()
    steps = study(config, workspace, run)
    for event in steps:
        if (
            event.kind == "metric"
            and event.series == "scratch/val/loss"
            and event.value[1] is not None
        ):
            break
    steps.close()
    trained, fit = [], finetune_module.fit

    def noting(*args, **kwargs):
        trained.append(kwargs["schedule"].seed)
        return fit(*args, **kwargs)

    monkeypatch.setattr(finetune_module, "fit", noting)
    finish(study(config, workspace, run))
    assert trained == [1] and (run.study).exists()


def test_each_regime_keeps_the_arms_it_can_train():
    config = CONFIG
    fitting, notes = fitting_arms(
        dataclasses.replace(
            config, regime="finetune", arms=("vae", "both", "scratch", "random", "colour")
        )
    )
    assert fitting.arms == ("vae", "random") and len(notes) == 3
    fitting, notes = fitting_arms(
        dataclasses.replace(config, regime="finetune", arms=("vae", "scratch"))
    )
    assert fitting.arms == ("vae", "scratch") and notes == []
    assert fitting_arms(dataclasses.replace(config, arms=("vae", "random"))) == (
        dataclasses.replace(config, arms=("vae", "random")),
        [],
    )
    for arms, regime in ((("scratch",), "frozen"), (("both", "colour"), "finetune")):
        with pytest.raises(ConfigError, match="allowed with regime"):
            fitting_arms(dataclasses.replace(config, arms=arms, regime=regime))


def test_lora_says_what_it_trains_of_each_arm():
    arms = [
        Arm(name, [[make_extractor(name, network, (0.5,) * 3, (0.5,) * 3)]], name)
        for name, network in (
            ("vit", build_pretrained("vit_tiny_patch16_224", 32, model_args=TINY)),
            ("mobilevitv2", build_pretrained("mobilevitv2_050", 32)),
            ("resnet", build_pretrained("resnet10t", 32)),
        )
    ]
    [note] = lora_notes(arms, 4)
    assert "rank 4" in note and "Layers with updates: vit 2." in note
    assert note.endswith("no such layer was found are trained whole: mobilevitv2, resnet.")
    assert lora_notes(arms, 0) == []


def test_neither_is_ever_the_pair_of_the_primary_test_where_two_backbones_are_there():
    assert choose_pair(["vae", "scratch", "colour", "random"]) == ("vae", "random")
    assert choose_pair(["vae", "imagenet", "scratch", "colour"]) == ("vae", "imagenet")
    assert choose_pair(["bundle:mole-net", "scratch", "colour", "imagenet"]) == (
        "bundle:mole-net",
        "imagenet",
    )


def test_few_steps_of_batch_normalisation_are_cautioned():
    arms = [
        Arm(name, [[make_extractor(name, network, (0.5,) * 3, (0.5,) * 3)]], name)
        for name, network in (
            ("vit", build_pretrained("vit_tiny_patch16_224", 32, model_args=TINY)),
            ("resnet", build_pretrained("resnet10t", 32)),
        )
    ]
    [note] = short_training_notes(arms, 6)
    assert note.startswith("6 steps") and "with it: resnet." in note
    assert short_training_notes(arms, 30) == short_training_notes(arms[:1], 6) == []


def test_an_arm_that_is_left_out_has_the_name_that_the_study_gives_it():
    pretrain = PretrainConfig(dataset="tiny", recipe=recipe("views"))
    config = dataclasses.replace(CONFIG, arms=("vae", "both"), regime="finetune", pretrain=pretrain)
    left, [note] = fitting_arms(config)
    assert left.arms == ("vae",) and note.startswith("VAE + SimCLR + ImageNet is left out")
