"""Settings survive JSON and refuse what they do not know."""

import dataclasses
import json

import pytest

from derm_core.config import (
    KINDS,
    AugmentConfig,
    BackboneConfig,
    EmbedConfig,
    FinetuneSchedule,
    PretrainConfig,
    Recipe,
    StudyConfig,
    from_dict,
    to_dict,
)
from derm_core.errors import ConfigError
from derm_core.records import description

CONFIGS = [
    PretrainConfig(dataset="d", recipe=Recipe(name="masked", epochs=3)),
    StudyConfig(
        dataset="d", arms=("vae", "bundle:a"), seeds=(3, 1), pretrain=PretrainConfig(dataset="d")
    ),
    StudyConfig(
        dataset="d", folds=5, fold=2, pretrain=PretrainConfig(dataset="d", folds=5, fold=2)
    ),
    StudyConfig(
        dataset="d",
        arms=("recipe:masked", "imagenet@96", "imagenet+imagenet@96", "random+recipe:views"),
        pretrain=PretrainConfig(dataset="d"),
        recipe_runs=("pretrain-1", "pretrain-2"),
    ),
    EmbedConfig(
        dataset="d", arm="run:x", backbone=BackboneConfig(architecture="convnext_tiny", stage=2)
    ),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.kind} {getattr(c, 'fold', None)}")
def test_json_round_trip_keeps_every_value(config):
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"regime": "both"}, ["regime", "'both'", "'frozen'"]),
        ({"seeds": []}, ["seeds", "one or more"]),
        ({"input_size": 4}, ["input_size", "4", "16 to 1024"]),
        ({"input_size": "64"}, ["input_size", "'64'", "whole number"]),
        ({"arms": ["vae", "vae"]}, ["arms", "different"]),
        ({"colour": 1}, ["colour", "one of"]),
        ({"backbone": {"stage": -1}}, ["stage", "-1"]),
        ({"schema": 99}, ["schema", "99", "newer"]),
        ({"kind": "party"}, ["kind", "'party'", "study"]),
        ({"folds": 1}, ["folds", "2 to 20"]),
        ({"fold": 1}, ["fold", "1 to folds"]),
        ({"folds": 5, "arms": ["imagenet", "bundle:a"]}, ["bundle:a", "in folds"]),
        ({"arms": ["imagenet@8"]}, ["imagenet@8", "imagenet@SIZE"]),
        ({"arms": ["imagenet@64"]}, ["imagenet@64", "imagenet, which reads 64"]),
        ({"arms": ["vae+imagenet"]}, ["vae+imagenet", "both"]),
        ({"arms": ["vae+vae"]}, ["vae+vae"]),
        ({"arms": ["colour+random"]}, ["colour+random"]),
        ({"arms": ["vae+imagenet+random"]}, ["vae+imagenet+random"]),
        ({"arms": ["imagenet+random", "random+imagenet"]}, ["arms", "different"]),
        ({"arms": ["vae", "recipe:other"]}, ["recipe:other", "masked"]),
        ({"arms": ["vae", "recipe:paper"]}, ["recipe:paper", "pretrain"]),
        (
            {"arms": ["vae", "recipe:paper"], "pretrain": {"dataset": "d"}},
            ["recipe:paper", "vae, which has that recipe"],
        ),
        ({"folds": 5, "vae_run": "pretrain-1"}, ["vae_run", "of its own"]),
        (
            {"folds": 5, "fold": 2, "pretrain": {"dataset": "d", "folds": 5, "fold": 3}},
            ["pretrain.fold", "3", "study, 2"],
        ),
    ],
)
def test_errors_name_field_value_and_what_is_allowed(change, words):
    body = {**to_dict(StudyConfig(dataset="d")), **change}
    with pytest.raises(ConfigError) as caught:
        from_dict(body)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"consistency": -1.0}, ["consistency", "-1.0", "0 or more"]),
        ({"elbo_weight": 0.0}, ["elbo_weight", "above 0"]),
        ({"temperature": 0.0}, ["temperature", "0.01 to 10"]),
        ({"target": "other"}, ["target", "'other'", "clean"]),
        ({"target": "view", "augment": {"mask_ratio": 0.5}}, ["target", "hidden patches"]),
        ({"free_bits": -0.1}, ["free_bits", "0 or more"]),
        ({"ema_decay": 1.0}, ["ema_decay", "below 1"]),
        ({"projection_dim": 1}, ["projection_dim", "2 to 4096"]),
    ],
)
def test_a_recipe_that_cannot_be_names_its_field(change, words):
    with pytest.raises(ConfigError) as caught:
        from_dict({**to_dict(PretrainConfig(dataset="d")), "recipe": change})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_study_knows_the_pretrainings_and_sizes_of_its_arms():
    config = StudyConfig(
        dataset="d",
        arms=("recipe:masked", "imagenet+imagenet@96", "recipe:views+random"),
        pretrain=PretrainConfig(dataset="d"),
    )
    assert config.recipes == ("masked", "views") and config.other_sizes == (96,)
    assert config.parts == (
        "recipe:masked",
        "imagenet",
        "imagenet@96",
        "recipe:views",
        "random",
    )


def test_features_of_two_stages_need_frozen_networks_of_two_stages():
    assert StudyConfig(dataset="d", pooling="multi").pooling == "multi"
    for change in ({"regime": "finetune"}, {"backbone": BackboneConfig(stage=0)}):
        with pytest.raises(ConfigError, match="pooling"):
            StudyConfig(dataset="d", pooling="multi", **change)


def test_a_required_field_is_named_when_missing():
    with pytest.raises(ConfigError, match=r"StudyConfig.dataset"):
        from_dict({"kind": "study"})


@pytest.mark.parametrize(
    "cls", [*KINDS.values(), AugmentConfig, BackboneConfig, FinetuneSchedule, Recipe]
)
def test_every_field_has_a_description(cls):
    assert all(description(cls, field.name) for field in dataclasses.fields(cls))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": ["study"]},
        {"kind": {}},
        {"schema": True},
        {"schema": 10**30},
        {"epochs": 10**30},
        {"bootstrap": 1e999},
        {"bootstrap": float("nan")},
        {"learning_rates": [float("inf")]},
        {"weight_decays": [10**400]},
        {"x" * 10**6: 1},
        {"dataset": ["x" * 10**6]},
        {"dataset": {"a": [[[[[[1]]]]]]}},
        {"regime": ["frozen"]},
        {"backbone": "resnet18"},
        {"backbone": {"architecture": 3}},
    ],
)
def test_a_config_that_lies_is_refused_with_the_field_and_a_short_message(change):
    with pytest.raises(ConfigError, match="allowed") as refusal:
        from_dict({"schema": 1, "kind": "study", "dataset": "d", **change})
    assert len(str(refusal.value)) < 3000
