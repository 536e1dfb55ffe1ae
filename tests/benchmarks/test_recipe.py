"""The ablation: each line once, levers without a look at the test set, finals by pretraining seed."""

import argparse
import dataclasses
import json

import numpy as np
import pytest

import benchmarks.__main__ as command
from benchmarks import _recipe_measure, recipe
from benchmarks._recipe_lines import Setting, chosen, finals, key, levers, pretraining
from derm_core.config import PretrainConfig, Recipe
from derm_core.errors import ConfigError
from derm_core.nets.backbone import build_backbone
from derm_core.workspace import Workspace

QUICK = ("--quick", "--dataset", "synth-90", "--network-stage", "1", "--seeds", "2", "--device", "cpu")
LEVERS, FINALS = "views,multi-stage,random", "vae,both,random"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A workspace with some levers and finals finished: (its folder, run(stage, …) -> result, results by stage)."""
    root = tmp_path_factory.mktemp("recipe")

    def run(stage: str, *more: str) -> dict:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("derm_core.nets.backbone.load_imagenet", lambda config: (
                build_backbone(config, 7).eval(), {"mean": (0.5,) * 3, "std": (0.5,) * 3}))
            said = []
            patch.setattr("builtins.print", lambda *words, file=None, **_: said.append(words[0]) if file is None else None)
            assert command.main(["recipe", "--json", *QUICK, "--workspace", str(root), "--stage", stage, *more]) == 0
            return json.loads(said[-1])
    results = {"levers": run("levers", "--only", LEVERS)}
    looked = (root / "datasets" / "synth-90" / "test_looks.json").exists()
    results["finals"] = run("finals", "--only", FINALS)
    return root, run, results, looked


def test_levers_are_judged_on_validation_alone(done):
    root, _, results, looked_after_levers = done
    assert not looked_after_levers and (root / "datasets" / "synth-90" / "test_looks.json").exists()
    kept = [set(np.load(path).keys()) for path in root.glob("runs/recipe-line-*/artefacts/line.npz")
            if not path.parts[-3].endswith("-test")]
    assert len(kept) == 4 and not any("test" in name for names in kept for name in names)


def test_every_line_says_what_the_table_needs(done):
    lines = {row["line"]: row for row in done[2]["levers"]["ablation"]}
    assert set(lines) == {"imagenet", "random", "views", "multi-stage"}
    for row in lines.values():
        for share in ("1", "0.1"):
            assert {"balanced_accuracy", "macro_auroc", "accuracy", "loss_gap", "accuracy_gap"} <= set(row["labels"][share])
        assert 0 <= row["knn"]["accuracy"] <= 1
    assert {"seconds", "images_per_s", "val_pixel_mse", "val_active_units"} <= set(lines["views"]["pretraining"])
    assert lines["multi-stage"]["features"] > lines["views"]["features"]
    assert lines["multi-stage"]["pretraining"] == lines["views"]["pretraining"], "one pretraining serves both"


def test_differences_are_those_of_the_arms(done):
    result = done[2]["finals"]
    mean = {arm: row["labels"]["1"]["balanced_accuracy"]["mean"] for arm, row in result["arms"].items()}
    gap = {arm: row["labels"]["1"]["loss_gap"]["mean"] for arm, row in result["arms"].items()}
    found = result["vae_minus_imagenet"]
    assert result["arms"]["vae"]["pretraining_seeds"] == 2
    assert found["balanced_accuracy"]["mean"] == pytest.approx(mean["vae"] - mean["imagenet"])
    assert found["loss_gap"]["mean"] == pytest.approx(gap["vae"] - gap["imagenet"])
    assert result["both_minus_imagenet"]["balanced_accuracy"]["mean"] == pytest.approx(mean["both"] - mean["imagenet"])
    assert found["macro_auroc"]["low"] < found["macro_auroc"]["high"]
    assert result["ratio"] == pytest.approx(mean["vae"] / mean["imagenet"]) and result["folds"] is None


def test_what_is_finished_is_read_and_not_made_again(done, monkeypatch, tmp_path):
    _, run, results, _ = done
    for name in ("pretrain", "_judge"):
        monkeypatch.setattr(_recipe_measure, name, lambda *_: pytest.fail("a finished line was repeated"))
    (tmp_path / "study.json").write_text('{"folds": 5}')
    again = run("levers", "--only", LEVERS, "--folds", str(tmp_path / "study.json"))
    assert again["ablation"] == results["levers"]["ablation"] and again["arms"] == results["finals"]["arms"]
    assert again["folds"] == {"folds": 5} and str(tmp_path) not in again["command"]


def quick(root) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    recipe.add_arguments(parser)
    return parser.parse_args([*QUICK, "--workspace", str(root)])


def test_a_stopped_line_goes_on_from_its_checkpoint(done, monkeypatch):
    root, run, _, _ = done
    lines, setting = recipe.plan(quick(root))[0]
    line = next(line for line in lines if line.name == "no-elbo")
    folder = _recipe_measure.pretrained_run(line, setting, Workspace.open(root))
    events = _recipe_measure.pretrain(pretraining(line, setting), Workspace.open(root), folder)
    next(event for event in events if event.kind == "progress" and event.series == "pretraining")
    events.close()
    said = []
    monkeypatch.setattr(_recipe_measure, "_told", lambda events, what, told=_recipe_measure._told: told(
        (said.append(str(event.value)) or event for event in events), what))
    run("levers", "--only", "no-elbo")
    assert any("continues at step 1 of" in text for text in said)


def test_equal_work_has_one_name_whatever_it_is_called():
    config = PretrainConfig(dataset="d", recipe=Recipe(name="a", epochs=3))
    assert key(config) == key(dataclasses.replace(config, device="cpu", recipe=Recipe(name="b", epochs=3)))
    assert key(config) != key(dataclasses.replace(config, seed=1))
    assert key(config) != key(dataclasses.replace(config, recipe=Recipe(epochs=4)))


def test_every_lever_is_another_work():
    lines, setting = levers(), Setting()
    assert len({line.name for line in lines}) == len(lines)
    works = [(key(pretraining(line, setting)), line.pooling) for line in lines if line.recipe]
    assert len(set(works)) == len(works)


def test_lines_are_taken_in_the_order_asked_for():
    lines = finals(seeds=(0, 1))
    assert [line.name for line in chosen(lines, "both,vae")] == ["imagenet", "both", "both", "vae", "vae"]
    with pytest.raises(ConfigError, match="only is magic; allowed: imagenet"):
        chosen(lines, "magic,vae")
