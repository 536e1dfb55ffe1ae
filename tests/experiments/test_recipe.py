"""The ablation: each line once, levers without a look at the test set, finals by pretraining seed."""

import argparse
import dataclasses
import json

import numpy as np
import pytest

import experiments
from benchmarks.__main__ import main
from derm_core.config import PretrainConfig, Recipe
from derm_core.errors import ConfigError
from derm_core.events import Event, Progress
from derm_core.nets.backbone import build_backbone
from derm_core.workspace import Workspace
from experiments import recipe
from experiments.recipe import line_results
from experiments.recipe.lines import (
    CURVE,
    Setting,
    chosen,
    comparison,
    finals,
    key,
    levers,
    pretraining,
)
from tools.recipe_table import ablation_part

pytestmark = pytest.mark.slow

QUICK = (
    "--quick",
    "--dataset",
    "synth-90",
    "--network-stage",
    "1",
    "--seeds",
    "2",
    "--device",
    "cpu",
)
KEYS = {
    "views-256": "7548d3ea6d9e",
    "views": "a02ca4b58d96",
    "clean-target": "e39f6cbc2e5a",
    "no-elbo": "70cff36e5f1c",
    "paper": "6f5c5cbf9fd0",
    "masked": "6209396d07ee",
    "epochs-24": "5aa0d56c8c7b",
}
LEVERS, FINALS = "views,both,epochs-16,views-multi,random", "vae,both,random"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A workspace with some levers and finals finished: (its folder, run(stage, …) -> result, results by stage)."""
    root = tmp_path_factory.mktemp("recipe")

    def run(stage: str, *more: str) -> dict:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "derm_core.study.arms.load_imagenet",
                lambda config: (
                    build_backbone(config, 7).eval(),
                    {"mean": (0.5,) * 3, "std": (0.5,) * 3},
                ),
            )
            printed = []
            patch.setattr(
                "builtins.print",
                lambda *words, file=None, **_: printed.append(words[0]) if file is None else None,
            )
            words = ["recipe", "--json", *QUICK, "--workspace", str(root), "--stage", stage, *more]
            assert main(words, experiments) == 0
            return json.loads(printed[-1])

    results = {"levers": run("levers", "--only", LEVERS)}
    looked = (root / "datasets" / "synth-90" / "test_looks.json").exists()
    results["finals"] = run("finals", "--only", FINALS)
    return root, run, results, looked


def test_levers_are_judged_on_validation_alone(done):
    root, _, _results, looked_after_levers = done
    assert not looked_after_levers and (root / "datasets" / "synth-90" / "test_looks.json").exists()
    kept = [
        set(np.load(path).keys())
        for path in root.glob("runs/recipe-line-*/artefacts/line.npz")
        if not path.parts[-3].endswith("-test")
    ]
    assert len(kept) == 6 and not any("test" in name for names in kept for name in names)


def test_every_line_says_what_the_table_needs(done):
    lines = {row["line"]: row for row in done[2]["levers"]["ablation"]}
    same = {
        "views-256",
        "multi-stage",
    }  # at the batch size of --quick, that of the base is the recipe's own
    assert set(lines) - same == {"imagenet", "random", "views", "both", "epochs-16", "views-multi"}
    for row in lines.values():
        for share in ("1", "0.1"):
            assert {
                "balanced_accuracy",
                "macro_auroc",
                "accuracy",
                "loss_gap",
                "accuracy_gap",
            } <= set(row["labels"][share])
        assert 0 <= row["knn"]["accuracy"] <= 1
    assert {"seconds", "images_per_s", "val_pixel_mse", "val_active_units"} <= set(
        lines["views"]["pretraining"]
    )
    pictures = [
        done[0] / "runs" / run / "artefacts" / "samples.png"
        for run in lines["views"]["pretraining"]["runs"]
    ]
    assert len(pictures) == 1 and pictures[0].is_file()
    assert (
        lines["views-multi"]["features"] > lines["views"]["features"]
        and lines["both"]["features"] == 2 * lines["views"]["features"]
    )
    assert (
        lines["views-multi"]["pretraining"]
        == lines["both"]["pretraining"]
        == lines["views"]["pretraining"]
    ), "made once"


def test_the_curve_is_the_recipe_at_other_lengths_of_pretraining(done):
    result = done[2]["levers"]
    lines = {row["line"]: row for row in result["ablation"]}
    assert [(point["line"], point["epochs"]) for point in result["curve"]] == [
        ("views", 1),
        ("epochs-16", 2),
    ]
    for point in result["curve"]:
        assert (
            point["balanced_accuracy"] == lines[point["line"]]["labels"]["1"]["balanced_accuracy"]
        )
        assert point["seconds"] == lines[point["line"]]["pretraining"]["seconds"] > 0
    assert {line.name: line.recipe.epochs for line in levers() if line.name in CURVE} == {
        "epochs-2": 2,
        "epochs-4": 4,
        "views": 8,
        "epochs-16": 16,
        "epochs-24": 24,
    }


def test_readme_is_made_of_what_is_printed(done, tmp_path):
    for stage, result in done[2].items():
        (tmp_path / f"recipe-{stage}.json").write_text(json.dumps(result))
    said = ablation_part(tmp_path).splitlines()
    levers_rows = [line for line in said if line.startswith("| views: ")]
    assert len(levers_rows) == 1, (
        "the result of the finals holds the levers too; they are shown once"
    )
    assert sum(line.startswith("| vae − imagenet (same input size) |") for line in said) == 1


def test_a_line_that_another_process_is_at_comes_last_and_is_waited_for(monkeypatch):
    lines, calls, refused = levers()[:3], [], {"imagenet": 1, "views-256": 3}

    def measure(line, setting, workspace):
        calls.append(line.name)
        refused[line.name] = refused.get(line.name, 0) - 1
        if refused[line.name] >= 0:
            raise line_results.Busy("at work")

    monkeypatch.setattr(recipe, "measure", measure)
    monkeypatch.setattr(recipe, "is_done", lambda *_: False)
    monkeypatch.setattr(recipe, "PATIENCE", 0.0)
    recipe.work(lines, Setting(), None)
    assert calls == [
        "imagenet",
        "random",
        "views-256",
        "imagenet",
        "views-256",
        "views-256",
        "views-256",
    ]


def test_keys_of_lines_stay_what_they_were():
    """A key names work that took minutes or hours.

    A change here makes every result of a workspace one of another line.
    """
    lines, setting = {line.name: line for line in levers()}, Setting()
    assert {name: key(pretraining(lines[name], setting)) for name in KEYS} == KEYS
    assert key(comparison(lines["imagenet"], setting, None)) == "b7ef60371e96"


def test_differences_are_those_of_the_arms(done):
    result = done[2]["finals"]
    mean = {
        arm: row["labels"]["1"]["balanced_accuracy"]["mean"] for arm, row in result["arms"].items()
    }
    gap = {arm: row["labels"]["1"]["loss_gap"]["mean"] for arm, row in result["arms"].items()}
    found = result["vae_minus_imagenet"]
    assert result["arms"]["vae"]["pretraining_seeds"] == 2
    assert found["balanced_accuracy"]["mean"] == pytest.approx(mean["vae"] - mean["imagenet"])
    assert found["loss_gap"]["mean"] == pytest.approx(gap["vae"] - gap["imagenet"])
    assert result["both_minus_imagenet"]["balanced_accuracy"]["mean"] == pytest.approx(
        mean["both"] - mean["imagenet"]
    )
    assert found["macro_auroc"]["low"] < found["macro_auroc"]["high"]
    assert (
        result["ratio"] == pytest.approx(mean["vae"] / mean["imagenet"]) and result["folds"] is None
    )


def test_what_is_finished_is_read_and_not_made_again(done, monkeypatch, tmp_path):
    _, run, results, _ = done
    for name in ("pretrain", "_judge"):
        monkeypatch.setattr(
            line_results, name, lambda *_: pytest.fail("a finished line was repeated")
        )
    (tmp_path / "study.json").write_text('{"folds": 5}')
    again = run("levers", "--only", LEVERS, "--folds", str(tmp_path / "study.json"))
    assert (
        again["ablation"] == results["levers"]["ablation"]
        and again["arms"] == results["finals"]["arms"]
    )
    assert again["folds"] == {"folds": 5} and str(tmp_path) not in again["command"]


def quick(root) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    recipe.add_arguments(parser)
    return parser.parse_args([*QUICK, "--workspace", str(root)])


def test_a_stopped_line_goes_on_from_its_checkpoint(done, monkeypatch):
    root, run, _, _ = done
    lines, setting = recipe.plan(quick(root))[0]
    line = next(line for line in lines if line.name == "no-elbo")
    folder = line_results.pretrained_run(line, setting, Workspace.open(root))
    events = line_results.pretrain(pretraining(line, setting), Workspace.open(root), folder)
    next(event for event in events if event.kind == "progress" and event.series == "pretraining")
    events.close()
    said = []
    monkeypatch.setattr(
        line_results,
        "follow",
        lambda events, what, follow=line_results.follow: follow(
            (said.append(str(event.value)) or event for event in events), what
        ),
    )
    run("levers", "--only", "no-elbo")
    assert any("continues at step 1 of" in text for text in said)


def test_progress_is_told_before_its_rate_is_known(capsys):
    shown = [
        Event(kind="progress", value=Progress(done=1, total=9)),
        Event(kind="result", value={"epochs": 1}),
    ]
    assert line_results.follow(iter(shown), "views") == {"epochs": 1}
    assert capsys.readouterr().err == "views: 1 of 9 images\n"


def test_equal_work_has_one_name_whatever_it_is_called():
    config = PretrainConfig(dataset="d", recipe=Recipe(name="a", epochs=3))
    assert key(config) == key(
        dataclasses.replace(config, device="cpu", recipe=Recipe(name="b", epochs=3))
    )
    assert key(config) != key(dataclasses.replace(config, seed=1))
    assert key(config) != key(dataclasses.replace(config, recipe=Recipe(epochs=4)))


def test_every_lever_is_another_work():
    lines, setting = levers(), Setting()
    assert len({line.name for line in lines}) == len(lines)
    works = [
        (key(pretraining(line, setting)), line.arm, line.pooling) for line in lines if line.recipe
    ]
    assert len(set(works)) == len(works)


def test_lines_are_taken_in_the_order_asked_for():
    lines = finals(seeds=(0, 1))
    assert [line.name for line in chosen(lines, "both,vae")] == [
        "imagenet",
        "both",
        "both",
        "vae",
        "vae",
    ]
    with pytest.raises(ConfigError, match="only is magic; allowed: imagenet"):
        chosen(lines, "magic,vae")
