"""Presets: every one is a valid study, and `scale` shrinks it without changing what is compared."""

import pytest

from derm_core.bundles.model_library import find_bundle
from derm_core.config import CORRUPTIONS, from_dict, to_dict
from derm_core.data.downloads import PUBLIC_SETS
from derm_core.errors import ConfigError, NotFound
from derm_core.study.presets import PRESETS, find_preset_dataset, preset, preset_dataset
from derm_core.study.protocol_record import digest, protocol_content
from tests.builders import import_ham10000, write_dataset


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name):
    config = preset(name)
    assert from_dict(to_dict(config)) == config


@pytest.mark.parametrize("name", PRESETS)
def test_pretraining_matches_the_study_it_serves(name):
    config = preset(name, dataset="mine", scale=0.3)
    pretrain = config.pretrain
    assert (
        pretrain.dataset,
        pretrain.backbone,
        pretrain.input_size,
        pretrain.split_seed,
        pretrain.max_images,
    ) == ("mine", config.backbone, config.input_size, config.split_seed, config.max_images)


def test_scale_shrinks_work_and_keeps_the_comparison():
    full, small = preset("demo"), preset("demo", scale=0.1)
    assert (
        small.arms == full.arms
        and small.backbone == full.backbone
        and small.input_size == full.input_size
    )
    assert (
        small.dataset == "synth-200"
        and small.epochs < full.epochs
        and small.bootstrap < full.bootstrap
    )
    assert 2 <= len(small.seeds) < len(full.seeds)
    assert len(small.learning_rates) * len(small.weight_decays) < len(full.learning_rates) * len(
        full.weight_decays
    )
    assert small.pretrain.recipe.epochs < full.pretrain.recipe.epochs


def test_scale_takes_a_share_of_real_images():
    assert preset("laptop", scale=0.1).max_images == 1002 and preset("laptop").max_images is None


def test_a_recipe_can_be_chosen_by_name():
    assert preset("laptop", recipe="paper").pretrain.recipe.name == "paper"


def test_long_is_the_laptops_comparison_with_more_pixels_and_a_longer_pretraining():
    long, laptop = preset("long"), preset("laptop")
    assert (long.backbone, long.arms, long.seeds) == (laptop.backbone, laptop.arms, laptop.seeds)
    assert (
        long.input_size > laptop.input_size
        and long.pretrain.recipe.epochs > 10 * laptop.pretrain.recipe.epochs
    )


def test_the_papers_preset_is_the_papers_backbone():
    config = preset("paper")
    assert (config.backbone.architecture, config.input_size, config.regime) == (
        "convnext_tiny",
        224,
        "frozen",
    )


def test_the_shipped_models_share_one_schedule():
    config = preset("bundles")
    assert config.regime == "finetune" and config.arms == ("vae", "imagenet")


def test_full_asks_about_everything_that_needs_no_other_data():
    config = preset("laptop", full=True)
    assert (
        config.corruptions == CORRUPTIONS
        and config.label_fractions[-1] == 1
        and config.shortcut[0] == 0
    )
    assert preset("laptop").corruptions == () and preset("bundles", full=True).shortcut == ()
    assert config.pretrain == preset("laptop").pretrain


@pytest.mark.parametrize(
    "arguments", [{"name": "huge"}, {"name": "demo", "scale": 0.0}, {"name": "demo", "scale": 2.0}]
)
def test_unknown_values_are_refused_by_name(arguments):
    with pytest.raises(ConfigError, match="allowed"):
        preset(**arguments)


def test_five_folds_hold_the_plain_vae_both_sizes_and_the_controls_of_width():
    config = preset("folds")
    assert config.all_folds and config.folds == 5 and config.label_fractions == (0.1, 1.0)
    assert len(config.seeds) == 3 and config.pretrain.recipe.epochs == 4
    assert set(config.arms) == {
        "recipe:paper",
        "recipe:masked",
        "vae",
        "imagenet",
        "imagenet@96",
        "random",
        "both",
        "imagenet+random",
        "imagenet+imagenet@96",
    }
    assert preset("folds", recipe="paper").recipes == ("masked",), "the plain VAE is the arm vae"
    assert preset("folds", full=True).corruptions == (), "they are not asked in folds"


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("laptop", "72dce729160b0aebb936b0c5b895c1cd6db119afc11a975e84789e3abdaa6413"),
        ("bundles", "c6d94eb446ec6ffc7160abe6dba9600031bcae4da6af047293a15fb6ab5bf8d4"),
    ],
)
def test_the_protocol_of_a_preset_stays_what_it_was(name, sha256):
    """Finished runs go on, and are put together, under the protocol with which they began."""
    assert digest(protocol_content(preset(name), "fingerprint")) == sha256


@pytest.mark.slow
def test_presets_know_their_dataset_by_its_content_whatever_it_is_called(workspace, tmp_path):
    write_dataset(workspace, "ham10000", images=20)
    assert find_preset_dataset(workspace, "laptop") is None, "a name is no proof"
    with pytest.raises(NotFound, match=r"data get ham10000.*data import PATH"):
        preset_dataset(workspace, "folds")
    import_ham10000(workspace, tmp_path / "few", "a-part", images=6)
    import_ham10000(workspace, tmp_path / "more", "ham", images=14)
    for name in PRESETS:
        expected = "synth-600" if name == "demo" else "ham"
        assert preset_dataset(workspace, name) == expected


def test_what_a_preset_is_made_for_can_be_downloaded_by_its_name():
    assert {preset.made_for.lower() for preset in PRESETS.values()} - {""} <= set(PUBLIC_SETS)


def test_the_demo_holds_a_vae_of_the_library_beside_its_own_and_is_small(workspace):
    demo, laptop = preset("demo"), preset("laptop")
    [earlier] = [arm for arm in demo.arms if arm.startswith("bundle:")]
    assert find_bundle(workspace, earlier.removeprefix("bundle:")).is_dir()
    assert {"vae", "imagenet", "random"} < set(demo.arms)
    assert demo.dataset == demo.pretrain.dataset == "synth-600"
    for field in ("seeds", "learning_rates", "weight_decays"):
        assert 1 < len(getattr(demo, field)) < len(getattr(laptop, field))
    assert demo.bootstrap < laptop.bootstrap
