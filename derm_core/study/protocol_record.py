"""What a study fixes before it reads a test image: arms, tests, margins, grid, split, and what is claimed when.

    protocol.json    {"sha256", "created", "content"}

The hash is that of the content's canonical JSON (sorted keys, no blanks, UTF-8). It covers every
setting of the config that can change a number, and the rules of the tests as this version has them.
A fold's protocol is that of the whole comparison.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..arms import in_order
from ..config import StudyConfig, to_dict
from ..config.recipes import with_equal_views
from ..errors import RunError
from ..files import read_json, write_json
from ..heads.grid import MANY_IMAGES, MOST_STEPS, VERY_MANY_IMAGES
from ..heads.tuning import WIDENINGS
from ..records import from_json, to_json
from ..stats.intervals import GAP_MARGINS, MARGINS
from ..stats.metrics import METRICS
from ..stats.paired import Pair
from ..workspace import RunFiles
from .chosen_arms import candidates
from .families import GAP_MOMENTS, METRIC
from .roles import choose_pair, gap_pairs, headline_pairs, is_primary, own_networks
from .study_result import StudyResult
from .summaries import FixedProtocol

Weights = Mapping[str, Mapping[str, str]]  # {arm: its file and SHA-256}

SCHEMA = 1  # of the content
NO_WEIGHTS: Weights = MappingProxyType({})
# What the supervisor fills in, or what changes no number.
NOT_FIXED = ("schema", "kind", "fold", "fold_runs", "recipe_runs", "device", "devices", "preset")
SPLIT = ("splits", "split_seed", "max_images", "draw")
FAMILIES = {
    "primary": "one test: the primary difference; claimed where its 95 % interval excludes 0",
    "secondary": "the headline's other tests: its pairs of arms in balanced accuracy, with all "
    "labels and with each share of them; loss and accuracy gaps of its pairs; the same at the "
    "shared setting; claimed where p is below 0.05 after Holm's correction over all of them",
    "exploratory": "every other pair, metric and moment, corrected by Holm among themselves",
    "further": "each further question is a family of its own, corrected by Holm: sensitivity at fixed "
    "specificities, the linear classifier, every other test set and the fall to it, corruptions, "
    "planted artefacts, subgroups of the arms, and subgroups of the differences",
}
STAND_IN = "another pair in place of VAE − ImageNet: no test is primary, this one is corrected with the secondary ones"
GRID_RULE = (
    "each arm at its own best point by mean validation loss over seeds (tuned, the headline); beside "
    "it one point for all arms (shared); inside each fold; the grid grows by one factor where a choice "
    f"lies on its edge, at most {WIDENINGS} times"
)
STEPS_RULE = (
    f"a step takes batch_size images, doubled while an epoch over the training images has more than {MOST_STEPS} "
    "steps; curves are measured after the first epoch and after every one, of more than "
    f"{MANY_IMAGES:,} training images after every second, of more than {VERY_MANY_IMAGES:,} after every fourth"
)
CHOSEN_RULE = (
    "in each fold the arm of these with the lowest validation loss at its own setting; where all folds "
    "choose one arm, it is that arm"
)
SEEN_RULE = (
    "an arm from elsewhere whose pretraining saw images of the dataset that may be tested stands in every table, "
    "marked, and takes no part in the verdict or its families of tests, unless count_seen is set"
)
HEADLINE = (
    "The primary difference and its 95 % interval decide the headline, each arm tuned; a conclusion "
    "that the shared setting contradicts is reported as one that depends on tuning."
)


def protocol_content(
    config: StudyConfig, fingerprint: str, weights: Weights = NO_WEIGHTS, *, images: int = 0
) -> dict[str, Any]:
    """What a study fixes, as JSON values.

    Args:
        config: of the study, or of one of its folds.
        fingerprint: of the dataset's content.
        weights: what stands behind names that can be given to something else, see `weight_sources.named_weights`.
        images: how many the dataset has; of many, how classifiers train on large sets is fixed as well.
    """
    rest = {key: value for key, value in to_dict(config).items() if key not in NOT_FIXED}
    if config.pretrain:
        rest["vae_run"] = None  # its id is filled in; the pretraining itself is described
        pretrain = {key: value for key, value in rest["pretrain"].items() if key not in NOT_FIXED}
        first_seed = config.pretrain.seed - (config.fold - 1 if config.fold else 0)
        rest["pretrain"] = pretrain | {"seed": first_seed, "folds": config.folds}
    roles = candidates(config.arms) if config.regime == "frozen" else {}
    arms = [*config.arms, *roles]
    pair = choose_pair(arms)
    grid = {name: sorted(rest.pop(name)) for name in ("learning_rates", "weight_decays")}
    main = config.pretrain and config.pretrain.recipe
    content = {
        "schema": SCHEMA,
        "dataset": {"name": rest.pop("dataset"), "fingerprint": fingerprint},
        "primary": pair and _primary(pair),
        "families": FAMILIES,
        **({"chosen": {"arms": roles, "rule": CHOSEN_RULE}} if roles else {}),
        "secondary_pairs": {
            METRIC: headline_pairs(arms),
            "gaps": gap_pairs(arms),
            "gaps_at": GAP_MOMENTS,
        },
        "margins": MARGINS | {f"{kind} gap": margin for kind, margin in GAP_MARGINS.items()},
        "grid": {**grid, "rule": GRID_RULE},
        "split": {name: rest.pop(name) for name in SPLIT},
        "metrics": METRICS,
        "headline": HEADLINE,
        "arms": in_order(rest.pop("arms")),
        "recipes": {name: with_equal_views(main, name) for name in config.recipes} if main else {},
        "seeds": sorted(rest.pop("seeds")),
        "folds": rest.pop("folds"),
        "label_fractions": sorted({*rest.pop("label_fractions"), 1.0}),
        "settings": rest,
    }
    if marks := rest.pop("marks", None):
        content["marks"] = marks
    if config.regime == "frozen" and images > min(MANY_IMAGES, MOST_STEPS * config.batch_size):
        content["steps"] = STEPS_RULE
    if own_networks(arms):
        content["seen"] = SEEN_RULE
    if weights:
        content["weights"] = weights
    plain: dict[str, Any] = to_json(content)
    return plain


def _primary(pair: Pair) -> dict[str, Any]:
    stand_in = {} if is_primary(pair) else {"stand_in": STAND_IN}
    return {"arms": pair, "metric": METRIC, "setting": "tuned", **stand_in}


def digest(content: Mapping[str, Any]) -> str:
    """Hex SHA-256 of the canonical JSON of a content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def fix_protocol(
    config: StudyConfig,
    fingerprint: str,
    run: RunFiles,
    weights: Weights = NO_WEIGHTS,
    *,
    images: int = 0,
) -> FixedProtocol | None:
    """Write the protocol of a study into its run, before a test image is read; a resumed run's stays.

    None where the run has predictions already, but no protocol: an earlier version made them. The
    arguments are those of `protocol_content`.

    Raises:
        RunError: the run was begun under another protocol.
    """
    content = protocol_content(config, fingerprint, weights, images=images)
    fixed = FixedProtocol(sha256=digest(content), created=time.time(), content=content)
    if run.protocol.exists():
        earlier = _read(run)
        if fixed.sha256 != earlier.sha256 or fixed.sha256 != digest(earlier.content):
            raise RunError(
                f"{run.id} was begun under another protocol ({_differences(earlier, fixed)}), which "
                "was fixed before its test images were read. A changed protocol is a new study: "
                "start one, or bring back what was changed and resume this one."
            )
        return earlier
    if run.predictions.exists():
        return None
    write_json(run.protocol, to_json(fixed))
    return fixed


def join_protocols(
    config: StudyConfig,
    fingerprint: str,
    run: RunFiles,
    folds: Sequence[StudyResult],
    *,
    images: int = 0,
) -> FixedProtocol | None:
    """The protocol under which all folds were tested, fixed when the first of them was; written into `run`.

    None where a fold has none: an earlier version made it. The arguments are those of `protocol_content`.

    Raises:
        RunError: a fold was made under another.
    """
    protocols = [(fold.run_id, fold.protocol) for fold in folds]
    first = folds[0].protocol if folds else None
    weights = first.content.get("weights", NO_WEIGHTS) if first else NO_WEIGHTS
    content = protocol_content(config, fingerprint, weights, images=images)
    fixed = FixedProtocol(sha256=digest(content), created=time.time(), content=content)
    for run_id, protocol in protocols:
        if protocol and protocol.sha256 != fixed.sha256:
            raise RunError(
                f"The fold {run_id} was tested under another protocol ({_differences(protocol, fixed)}): "
                "delete it and give the same command again, so that it is made anew."
            )
    if any(protocol is None for _, protocol in protocols):
        return None
    created = min(protocol.created for _, protocol in protocols if protocol)
    fixed = dataclasses.replace(fixed, created=created)
    write_json(run.protocol, to_json(fixed))
    return fixed


def _read(run: RunFiles) -> FixedProtocol:
    try:
        return from_json(FixedProtocol, read_json(run.protocol), error=RunError)
    except (OSError, ValueError, RunError) as error:
        raise RunError(
            f"{run.protocol} cannot be read ({error}): what was fixed before {run.id} read its test "
            "images is not known. Start a new study."
        ) from error


def _differences(one: FixedProtocol, other: FixedProtocol) -> str:
    """The parts in which two protocols differ."""
    parts = {**one.content, **other.content}
    names = [name for name in parts if one.content.get(name) != other.content.get(name)]
    return f"another {', '.join(names)}" if names else "its file was changed"
