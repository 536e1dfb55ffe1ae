"""Fine-tuning in the form of a new study: its epochs, LoRA where arms have attention, and what is left out."""

from __future__ import annotations

import pytest

from derm_core.config import StudyConfig, from_dict
from derm_core.files import read_json
from derm_core.jobs.store import RunStore
from pages.ui.new_study.finetuning import NO_ATTENTION, describe_lora
from tests.app.test_train import press, text

pytestmark = pytest.mark.slow
VIT = "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k"


def test_which_arms_lora_trains_is_said():
    assert describe_lora({"vae": False}, 0) == NO_ATTENTION
    assert describe_lora({"vae": False, "timm:deit": True}, 0) == ""
    said = describe_lora({"imagenet": False, "timm:deit": True, "hf-hub:a/b": None}, 8)
    assert said == (
        "LoRA: deit. Trained whole, without attention: ImageNet. Known when the run starts: a/b."
    )


def rank_of(app):
    [field] = [one for one in app.number_input if one.label.startswith("LoRA rank")]
    return field


def choose(app, regime: str, arms: list[str]):
    [control] = [one for one in app.segmented_control if one.label == "Regime"]
    control.set_value(regime)
    app.multiselect[0].set_value(arms)
    app.run()
    assert not app.exception
    return app


def test_lora_and_epochs_reach_the_run(open_page, workspace, monkeypatch):
    monkeypatch.setattr("derm_core.jobs.preflight.require_obtainable", lambda own: None)
    app = open_page("train", preset="demo", scale="0.1")
    app.session_state["added-networks"] = [VIT]
    app.run()
    assert rank_of(app).disabled and "Frozen features" in rank_of(app).help
    choose(app, "finetune", [VIT, "random"])
    next(one for one in app.number_input if one.label == "Epochs of fine-tuning").set_value(3)
    rank_of(app).set_value(8)
    app.run()
    assert "Trained whole, without attention: Random initialisation." in text(app)
    press(app, "Launch")
    study = RunStore(workspace).list("study")[0]
    launched = from_dict(read_json(workspace.run(study.id).config), StudyConfig)
    assert (launched.regime, launched.finetune.epochs, launched.finetune.lora_rank) == (
        "finetune",
        3,
        8,
    )


def test_lora_is_not_offered_without_attention_and_forgotten_with_frozen_features(open_page):
    app = open_page("train", preset="demo", scale="0.1")
    app.session_state["added-networks"] = [VIT]
    choose(app.run(), "finetune", [VIT, "random"])
    rank_of(app).set_value(4)
    app.run()
    choose(app, "finetune", ["random", "imagenet"])
    assert rank_of(app).disabled and NO_ATTENTION in text(app)
    choose(app, "frozen", [VIT, "random"])
    assert not app.error  # a rank beside frozen features is no valid study


def test_arms_that_are_not_fine_tuned_are_named_with_the_reason(open_page):
    app = choose(open_page("train", preset="demo", scale="0.1"), "finetune", ["vae", "both"])
    assert "VAE + SimCLR + ImageNet is left out: two backbones side by side" in text(app)
    choose(app, "finetune", ["both"])
    assert "arms is" in app.error[0].value
    assert next(one for one in app.button if one.label == "Launch").disabled
