"""Which recipe of pretraining makes the best features: an ablation on validation, finals on test, against ImageNet.

    python -m experiments recipe --workspace DERM_HOME --stage levers --json      every lever, 8 epochs, one seed
    python -m experiments recipe --workspace DERM_HOME --stage finals --json      the winner, its controls, three seeds
    python -m experiments recipe --workspace DERM_HOME --stage table --json       what is finished, nothing is run

A line is one pretraining (none for ImageNet and random weights) and heads on its frozen features:
the study's two-layer head at every point of its grid, with all labels and with a tenth of the
training groups, and the vote of the ten nearest training images. One grid point for all lines of a
stage: the lowest mean validation loss. Levers are judged on validation and never see a test image;
finals on the test split, intervals over groups, head seeds and pretraining seeds. A line that is
finished is read, never repeated; one that was stopped goes on from its checkpoint.

`ratio` is the balanced accuracy of the VAE over that of ImageNet at the same input size. Keys
beside those of every
benchmark: `ablation` (levers, validation; the best of them is the
line with the lowest validation loss), `curve` (the recipe views after 2, 4, 8, 16 and 24 epochs,
validation), `arms` (finals, test), `vae_minus_imagenet`, `vae_minus_best_imagenet` (the input size
that is best on validation), `both_minus_imagenet`, `controls` (winner minus each control), and
`folds`, the five-fold out-of-fold comparison, which `compare` makes: --folds FILE puts its
study.json there, --best-folds FILE its differences from ImageNet at another input size as
`folds_best`. Beside each VAE stand its reconstruction error and active units, and `runs`, in whose
folders samples.png, likenesses.png and reconstructions.png lie.

Nine tenths of a line's time on a CPU are its pretraining, the rest its heads; `seconds` stands with
each. The finals are 12 pretrainings of 16 epochs. Several processes may work on one workspace, each
at the next line that no other is at: two with OMP_NUM_THREADS=1 keep two cores busy. `--seeds 1`
first, then 3, gives a first answer in a third of the time.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

from derm_core.config import BackboneConfig
from derm_core.errors import RunError
from derm_core.files import read_json
from derm_core.records import to_json
from derm_core.study.features import finish
from derm_core.study.study_data import prepare
from derm_core.workspace import Workspace
from experiments.recipe import lines as lines_of
from experiments.recipe.folds import against
from experiments.recipe.line_results import Busy, is_done, measure
from experiments.recipe.lines import Line, Setting, chosen, comparison
from experiments.recipe.table import Judged

PATIENCE = 10.0  # seconds between looks at what another process is at
QUICK = {"batch_size": 16, "latent_dim": 4, "decoder_width": 16}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(repeats=1)
    parser.add_argument("--workspace", help="where runs are made and kept (default: DERM_HOME)")
    parser.add_argument(
        "--stage",
        choices=("levers", "finals", "table"),
        default="table",
        help="what is run first (default: nothing; the table of what is finished)",
    )
    parser.add_argument("--only", metavar="NAME,NAME", help="these lines of the stage alone")
    parser.add_argument("--dataset", default="ham10000")
    parser.add_argument(
        "--epochs", type=int, help="of each lever (default 8) or final line (default 16)"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=len(lines_of.FINAL_SEEDS),
        help="pretraining seeds of the finals (default 3)",
    )
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--network-stage", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--folds", metavar="FILE", help="study.json of the out-of-fold comparison, for the table"
    )
    parser.add_argument(
        "--best-folds",
        metavar="FILE",
        help="study.json in the run's folder of the same folds with the arm imagenet "
        "at its best input size; both files then lie in their runs' folders",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny networks, few epochs and seeds: shows that it works",
    )


def run(args: argparse.Namespace) -> dict:
    """Run a stage's lines, then the tables of all that is finished."""
    workspace = Workspace.open(args.workspace)
    levers, finals = plan(args)
    if args.stage != "table":
        lines, setting = levers if args.stage == "levers" else finals
        work(chosen(lines, args.only), setting, workspace)
    ablation, final = (judged(*of, workspace) for of in (levers, finals))
    if not ablation and not final:
        raise RunError(
            "No line is finished in this workspace: run --stage levers or --stage finals first."
        )
    return to_json(
        {
            **headline(ablation, final),
            **tables(ablation, final),
            "folds": args.folds and read_json(args.folds),
            "folds_best": against(Path(args.folds), Path(args.best_folds))
            if args.best_folds
            else None,
            "config": {
                name: dataclasses.asdict(setting)
                for name, (_, setting) in (("levers", levers), ("finals", finals))
            },
            "recipes": {
                line.name: dataclasses.asdict(line.recipe)
                for of in (ablation, final)
                if of
                for group in of.lines.values()
                for line in group
                if line.recipe
            },
            "quick": args.quick,
        }
    )


def plan(args: argparse.Namespace) -> tuple[tuple[list[Line], Setting], tuple[list[Line], Setting]]:
    """Lines and setting of levers and of finals."""
    common: dict[str, Any] = {
        "dataset": args.dataset,
        "device": args.device,
        "backbone": BackboneConfig(architecture=args.architecture, stage=args.network_stage),
    }
    small, size, seeds = {}, None, tuple(range(args.seeds))
    if args.quick:
        small, size = QUICK, 16
        common |= {
            "head_seeds": (0, 1),
            "head_epochs": 2,
            "learning_rates": (1e-3,),
            "weight_decays": (1e-2,),
            "resamples": 50,
        }
    epochs = {
        name: args.epochs or (1 if args.quick else usual)
        for name, usual in (("levers", lines_of.LEVER_EPOCHS), ("finals", lines_of.FINAL_EPOCHS))
    }
    levers, finals = (
        lines_of.levers(epochs["levers"], **small),
        lines_of.finals(epochs["finals"], seeds, **small),
    )
    if size:
        levers, finals = (
            [
                dataclasses.replace(line, input_size=size)
                for line in lines
                if line.input_size == lines[0].input_size
            ]
            for lines in (levers, finals)
        )
    return (levers, Setting(**common)), (finals, Setting(**common, test=True))


def work(lines: list[Line], setting: Setting, workspace: Workspace) -> None:
    """Each line once; those that another process is at come last, and are waited for."""
    waiting = [line for line in lines if not is_done(line, setting, workspace)]
    while waiting:
        busy = []
        for line in waiting:
            print(
                f"line {lines.index(line) + 1} of {len(lines)}: {line.name}, pretraining seed {line.seed}",
                file=sys.stderr,
                flush=True,
            )
            try:
                measure(line, setting, workspace)
            except Busy as error:
                print(error, file=sys.stderr, flush=True)
                busy.append(line)
        if len(busy) == len(waiting):
            time.sleep(PATIENCE)
        waiting = busy


def judged(lines: list[Line], setting: Setting, workspace: Workspace) -> Judged | None:
    """Those lines that are finished; None without any."""
    done = [line for line in lines if is_done(line, setting, workspace)]
    if not done:
        return None
    same = next((line for line in done if line.arm != "vae"), done[0])
    material = finish(
        prepare(comparison(dataclasses.replace(same, arm="random"), setting, None), workspace)
    )
    return Judged(done, setting, workspace, material)


def headline(ablation: Judged | None, final: Judged | None) -> dict:
    """The keys of every benchmark: finals where both arms are finished, else the best lever on validation."""
    stage = final if final and {"vae", "imagenet"} <= set(final.lines) else ablation
    if stage is None or "imagenet" not in stage.lines:
        raise RunError("The line imagenet is not finished: nothing to compare with.")
    accuracy = {
        name: stage.scores[name]["all"]["balanced_accuracy"].by_seed.mean() for name in stage.lines
    }
    ours = (
        "vae"
        if "vae" in accuracy
        else min(
            (name for name, (line, *_) in stage.lines.items() if line.arm == "vae"),
            default="imagenet",
            key=stage.val_loss,
        )
    )
    return {
        "ratio": accuracy[ours] / accuracy["imagenet"],
        "limit": 1.0,
        "better": "higher",
        "ours": accuracy[ours],
        "against": accuracy["imagenet"],
        "unit": "balanced accuracy",
        "peer": f"ImageNet features of the same network and size, {stage.split} images; ours: {ours}",
    }


def curve(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Quality against pretraining time: the lines of one recipe that differ in epochs alone, the shortest first."""
    points = [
        {
            "line": row["line"],
            **{key: row["pretraining"][key] for key in ("epochs", "seconds", "images_per_s")},
            **{
                metric: row["labels"]["1"][metric]
                for metric in ("balanced_accuracy", "macro_auroc")
            },
            "knn": row["knn"],
            "labels_0.1": row["labels"]["0.1"]["balanced_accuracy"],
        }
        for row in rows
        if row["line"] in lines_of.CURVE
    ]
    return sorted(points, key=lambda point: point["epochs"])


def tables(ablation: Judged | None, final: Judged | None) -> dict[str, Any]:
    """The ablation with each line's difference from BASE, the finals' arms and their paired differences."""
    result: dict[str, Any] = dict.fromkeys(
        (
            "ablation",
            "curve",
            "arms",
            "vae_minus_imagenet",
            "vae_minus_best_imagenet",
            "both_minus_imagenet",
            "controls",
            "grid",
        )
    )
    if ablation:
        base = lines_of.BASE
        result["ablation"] = [
            {
                **ablation.row(name),
                **(
                    {"minus_base": ablation.minus(name, base)}
                    if name != base and base in ablation.lines
                    else {}
                ),
            }
            for name in ablation.lines
        ]
        result["curve"] = curve(result["ablation"])
    if final:
        result["arms"] = {name: final.row(name) for name in final.lines}
        of_imagenet = [name for name in final.lines if name.startswith("imagenet")]
        best = min(of_imagenet, key=final.val_loss, default=None)
        wanted = {
            "vae_minus_imagenet": ("vae", "imagenet"),
            "vae_minus_best_imagenet": ("vae", best),
            "both_minus_imagenet": ("both", "imagenet"),
        }
        result |= {
            key: {"arms": pair, **final.minus(*pair)}
            for key, pair in wanted.items()
            if set(pair) <= set(final.lines)
        }
        result["controls"] = {
            name: final.minus("vae", name)
            for name in ("no-elbo", "no-consistency", "paper", "random")
            if {name, "vae"} <= set(final.lines)
        }
    points = {
        name: stage.found[next(iter(stage.found))][0]["grid"][stage.point]
        for name, stage in (("levers", ablation), ("finals", final))
        if stage
    }
    result["grid"] = {
        name: dict(zip(("learning_rate", "weight_decay"), point)) for name, point in points.items()
    }
    return result
