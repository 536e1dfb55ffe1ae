"""`features`: the features of an arm as a Parquet file for other tools."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..config import BackboneConfig, StudyConfig
from ..errors import ConfigError
from ..study.feature_export import export_features
from .embeddings import with_registered
from .output import HELP, Answer, Screen, size
from .reports import write_file
from .start import RUN_FIELDS, add_fields, given, with_run_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `features`."""
    parser.add_argument("--dataset", required=True, metavar="NAME")
    parser.add_argument("--arm", required=True, help=HELP["features --arm"])
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help=HELP["features --out"]
    )
    add_fields(parser, StudyConfig, "vae_run", "vae", "pooling")
    parser.add_argument("--seed", type=int, default=0, help=HELP["features --seed"])
    add_fields(parser, BackboneConfig, "architecture", "stage")
    add_fields(parser, StudyConfig, *RUN_FIELDS)
    parser.set_defaults(handler=features)


def features(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {file, images, features, arm, label, dataset, split_fingerprint, …, notes}."""
    if args.out.suffix.lower() != ".parquet":
        raise ConfigError(
            f"--out {args.out.name}: the file is Parquet; give a name that ends in .parquet."
        )
    [arm] = with_registered([args.arm], args.dataset, screen)
    config = StudyConfig(
        dataset=args.dataset,
        arms=(arm,),
        seeds=(args.seed,),
        **given(args, "vae_run", "vae", "pooling"),
    )
    exported = screen.finish(export_features(with_run_options(config, args), screen.workspace))
    path = write_file(args.out, exported.parquet())
    count, width = exported.vectors_nd.shape
    about = exported.origin
    lines = [
        f"{path} ({size(path.stat().st_size)}): {count:,} images, {width:,} features of {about['label']}.",
        *exported.notes,
        f"Brought back: `derm compare --dataset {args.dataset} --arms embeddings:{path}`.",
    ]
    value = {
        "file": str(path),
        "images": count,
        "features": width,
        **about,
        "notes": exported.notes,
    }
    return Answer(value, "\n".join(lines))
