"""`embed`: a map of an arm's features of a dataset."""

from __future__ import annotations

import argparse

from ..config import EmbedConfig
from ..errors import ConfigError
from ..records import description
from .embeddings import with_registered
from .output import HELP, Answer, Screen
from .start import add_fields, add_run_options, given, names, start, with_run_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `embed`."""
    parser.add_argument("--dataset", required=True, metavar="NAME")
    parser.add_argument("--arm", help=f"{description(EmbedConfig, 'arm')} (default imagenet)")
    parser.add_argument("--embeddings", metavar="FILE", help=HELP["embed --embeddings"])
    add_fields(parser, EmbedConfig, "vae_run", "vae", "space", "neighbours", "min_dist", "seed")
    parser.add_argument("--align-to", metavar="RUN", help=description(EmbedConfig, "aligned_to"))
    parser.add_argument("--models", metavar="A,B,…", help=description(EmbedConfig, "opinions"))
    parser.add_argument("--opinions", dest="models", help=argparse.SUPPRESS)  # earlier name
    add_run_options(parser)
    parser.set_defaults(handler=embed)


def embed(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {run_id, state, map, space, quality, trouble}."""
    if args.embeddings and args.arm:
        raise ConfigError("--embeddings FILE takes the place of --arm: give one of them.")
    asked = f"embeddings:{args.embeddings}" if args.embeddings else args.arm or "imagenet"
    [arm] = with_registered([asked], args.dataset, screen)
    if arm in ("vae", "both") and not (args.vae_run or args.vae):
        raise ConfigError(
            f"--arm {arm} needs --vae-run, the id of a pretraining (`runs list --kind pretrain` "
            "shows them), or --vae, the name of an extractor of the library (`models list`)."
        )
    config = EmbedConfig(
        dataset=args.dataset,
        arm=arm,
        aligned_to=args.align_to,
        opinions=names(args.models),
        **given(args, "vae_run", "vae", "space", "neighbours", "min_dist", "seed"),
    )
    return start(with_run_options(config, args), args, screen)
