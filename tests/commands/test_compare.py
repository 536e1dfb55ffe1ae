"""Options of `compare` become one study and its pretraining."""

import json

import pytest

from derm_core import cli
from derm_core.commands.compare import study_config
from derm_core.config import BackboneConfig
from derm_core.errors import ConfigError
from derm_core.jobs import supervisor
from derm_core.jobs.dependencies import stored_config
from tests.builders import import_ham10000


def parsed(*argv: str):
    return study_config(cli.parse(["compare", *argv]))


def test_compare_starts_from_the_demo_and_from_the_laptop_preset_for_real_data():
    assert (parsed().preset, parsed().dataset.startswith("synth")) == ("demo", True)
    assert (parsed("--dataset", "mine").preset, parsed("--dataset", "mine").pretrain.dataset) == (
        "laptop",
        "mine",
    )


def test_every_option_changes_the_study_and_its_pretraining_alike():
    config = parsed(
        "--preset",
        "laptop",
        "--dataset",
        "mine",
        "--arms",
        "vae, random",
        "--regime",
        "finetune",
        "--seeds",
        "3",
        "--recipe",
        "paper",
        "--input-size",
        "48",
        "--architecture",
        "resnet10t",
        "--stage",
        "2",
        "--device",
        "cpu",
        "--split-seed",
        "9",
        "--max-images",
        "100",
        "--pretrain-epochs",
        "2",
    )
    assert (config.arms, config.regime, config.seeds) == (("vae", "random"), "finetune", (0, 1, 2))
    for part in (config, config.pretrain):
        assert (part.dataset, part.input_size, part.device, part.split_seed, part.max_images) == (
            "mine",
            48,
            "cpu",
            9,
            100,
        )
        assert part.backbone == BackboneConfig(architecture="resnet10t", stage=2)
    assert (config.pretrain.recipe.name, config.pretrain.recipe.epochs) == ("paper", 2)


def test_the_transductive_switch_is_one_of_the_pretraining():
    assert parsed("--transductive").pretrain.images == "all" and parsed().pretrain.images == "train"
    with pytest.raises(ConfigError, match="--vae-run"):
        parsed("--transductive", "--vae-run", "pretrain-1")


def test_devices_are_those_asked_for_else_those_of_torchrun(monkeypatch):
    assert [(c.devices, c.pretrain.devices) for c in (parsed(), parsed("--devices", "3"))] == [
        (1, 1),
        (3, 3),
    ]
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert parsed().devices == parsed("--devices", "4").pretrain.devices == 4
    with pytest.raises(ConfigError, match="--devices"):
        parsed("--devices", "3")


def test_a_given_pretraining_takes_the_place_of_a_new_one():
    config = parsed("--vae-run", "pretrain-1")
    assert config.vae_run == "pretrain-1" and config.pretrain is None


def test_folds_are_asked_for_by_their_number_and_take_no_pretraining_that_saw_them():
    config = parsed("--dataset", "mine", "--folds", "5", "--label-fractions", "0.1,1")
    assert config.all_folds and (config.folds, config.label_fractions, config.pretrain.folds) == (
        5,
        (0.1, 1.0),
        0,
    )
    assert config.preset == "folds" and parsed("--folds", "5").dataset == "ham10000"
    assert parsed("--folds", "3", "--preset", "laptop").recipes == ()
    for others in (
        ("--vae-run", "pretrain-1"),
        ("--arms", "bundle:a"),
        ("--robustness",),
        ("--folds", "1"),
    ):
        with pytest.raises(ConfigError):
            parsed("--dataset", "mine", "--folds", "5", *others)


def test_features_of_two_stages_are_asked_for_by_name():
    assert (parsed().pooling, parsed("--pooling", "multi").pooling) == ("pooled", "multi")
    with pytest.raises(ConfigError, match="pooling"):
        parsed("--pooling", "multi", "--regime", "finetune")


def test_the_demo_in_folds_leaves_out_the_vae_that_may_have_seen_them():
    demo, folds = parsed("--preset", "demo"), parsed("--preset", "demo", "--folds", "3")
    assert [arm for arm in demo.arms if arm not in folds.arms] == ["bundle:skin-vae-resnet18-64"]


@pytest.mark.slow
def test_a_preset_without_a_dataset_takes_the_one_that_was_recognised(
    workspace, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(supervisor, "spawn", lambda workspace, run_id, seen=None: True)
    command = ["compare", "--preset", "laptop", "--detach", "--json"]
    assert cli.main(command) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert "data get ham10000" in error and "data import PATH" in error
    import_ham10000(workspace, tmp_path / "files", "ham")
    assert cli.main(command) == 0
    printed = capsys.readouterr()
    run = json.loads(printed.out)
    config = stored_config(workspace, run["run_id"])
    assert config["dataset"] == config["pretrain"]["dataset"] == "ham"
    assert "ham was recognised as HAM10000" in printed.err


def test_arms_that_saw_the_images_are_asked_for_by_a_flag_of_their_own():
    assert parsed("--arms", "random").count_seen is False
    config = parsed("--arms", "timm:resnet18,timm:mobilenetv2_100@128,random", "--count-seen")
    assert config.count_seen and config.arms == (
        "timm:resnet18",
        "timm:mobilenetv2_100@128",
        "random",
    )
