"""`compare predictions`: other people's predictions under the statistics of a comparison."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..data.manifest import load_dataset
from ..data.prediction_files import bring_predictions
from ..errors import ConfigError
from ..jobs.store import RunStore
from ..records import to_json
from ..report.sections.predictions import prediction_sections
from ..report.terminal import section_text
from ..study.predictions_compared import compare_predictions
from .output import HELP, Answer, Screen
from .start import names

RUN = "run:"


def add_predictions_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `compare predictions`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help=HELP["compare predictions files"])
    parser.add_argument(
        "--dataset", required=True, metavar="NAME", help=HELP["compare predictions --dataset"]
    )
    parser.add_argument("--classes", metavar="A,B,…", help=HELP["compare predictions --classes"])
    parser.add_argument("--map", metavar="THEIRS=OURS,…", help=HELP["models evaluate --map"])
    parser.add_argument(
        "--prior", metavar="CLASS=NUMBER,…", help=HELP["compare predictions --prior"]
    )
    parser.add_argument(
        "--no-subgroups", action="store_true", help=HELP["compare predictions --no-subgroups"]
    )
    parser.set_defaults(handler="compare_predictions:predictions")


def predictions(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {models, audit, differences, ties, notes, verdict, split, operating_points, subgroups, …}."""
    dataset = load_dataset(screen.workspace, args.dataset)
    paths = [_path(text, screen) for text in args.files]
    brought = bring_predictions(
        dataset, paths, classes=names(args.classes), mapping=names(args.map)
    )
    steps = compare_predictions(
        dataset, brought, prior=_prior(args.prior), with_subgroups=not args.no_subgroups
    )
    result = screen.finish(steps)
    text = "\n\n".join(map(section_text, prediction_sections(result)))
    return Answer(to_json(result), text)


def _path(text: str, screen: Screen) -> Path:
    """A file, or for run:ID the predictions of a finished study."""
    if not text.startswith(RUN):
        return Path(text)
    run = RunStore(screen.workspace).get(text.removeprefix(RUN))
    path = screen.workspace.run(run.id).predictions
    if not path.exists():
        raise ConfigError(f"{run.id} has no predictions: give a finished study.")
    return path


def _prior(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    pairs = [entry.partition("=") for entry in names(text)]
    try:
        return {name.strip(): float(value) for name, _, value in pairs}
    except ValueError:
        raise ConfigError(
            f"--prior {text!r}: allowed is CLASS=NUMBER, such as mel=779,nv=4693."
        ) from None
