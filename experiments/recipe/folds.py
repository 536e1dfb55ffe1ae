"""Two comparisons in folds of the same images as one: a VAE against ImageNet at another input size. See recipe.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from derm_core.config import StudyConfig, from_dict
from derm_core.errors import RunError
from derm_core.files import read_json
from derm_core.records import to_json
from derm_core.stats.evaluation import evaluate
from derm_core.stats.paired import Scorer
from derm_core.study.crossval import JoinedFolds, join_folds, label_shares
from derm_core.study.label_efficiency import score
from derm_core.workspace import Workspace

OURS = ("vae", "both")


def against(ours: Path, theirs: Path, arm: str = "imagenet") -> dict[str, Any]:
    """The arms vae and both of the comparison whose study.json `ours` is, minus an arm of `theirs`.

    Both files lie in their runs' folders, and the folds' studies beside them. Returns
    {"input_size", ARM {metric: interval}, "vae_minus_ARM" and "both_minus_ARM" {metric: interval},
    and for every share of the labels that both have "labels_SHARE" with the differences again}.
    Raises RunError where the two have other images, folds or seeds.
    """
    (config, first), (other, second) = (_joined(path) for path in (ours, theirs))
    if (first.data.fingerprint, config.seeds) != (second.data.fingerprint, other.seeds):
        raise RunError(
            f"{theirs} has other images, folds or seeds than {ours}: give the same --dataset, --folds, --seeds."
        )
    tested = first.data.members("test")
    labels, groups = first.data.labels[tested], first.data.groups[tested]
    mine = [one for one in OURS if one in first.trained]
    probabilities = {one: first.trained[one].probabilities["test"] for one in mine}
    stats = to_json(
        evaluate(
            labels,
            groups,
            probabilities | {arm: second.trained[arm].probabilities["test"]},
            first.log_prior,
            first.data.classes,
            resamples=config.bootstrap,
            seed=config.split_seed,
            primary=("vae", arm),
            folds=first.fold,
        )
    )
    result = {
        "input_size": other.input_size,
        arm: stats["arms"][arm],
        **_pairs(stats["differences"], arm),
    }
    if not (config.label_fractions and other.label_fractions):
        return result
    scorer = Scorer(
        labels,
        groups,
        len(first.data.classes),
        resamples=config.bootstrap,
        seed=config.split_seed,
        folds=first.fold,
    )
    with_fewer, theirs_with_fewer = label_shares(first, config), label_shares(second, other)
    for share in sorted(set(with_fewer) & set(theirs_with_fewer) - {1.0}):
        here, there = with_fewer[share], theirs_with_fewer[share]
        scores = {one: score(scorer, here.probabilities[one], here.log_priors) for one in mine}
        scores[arm] = score(scorer, there.probabilities[arm], there.log_priors)
        result[f"labels_{share:g}"] = {
            f"{one}_minus_{arm}": {
                metric: to_json((scores[one][metric] - scores[arm][metric]).interval())
                for metric in scores[arm]
            }
            for one in mine
        }
    return result


def _joined(path: Path) -> tuple[StudyConfig, JoinedFolds]:
    run = path.resolve().parents[1]
    workspace = Workspace.open(run.parents[1])
    config = from_dict(read_json(workspace.run(run.name).config))
    return config, join_folds(config, workspace)


def _pairs(rows: Iterable[Mapping[str, Any]], arm: str) -> dict[str, dict[str, dict[str, float]]]:
    """{"ONE_minus_ARM": {metric: {mean, low, high}}} of OURS, whatever the direction of the rows is."""
    differences: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        one = row["a"] if row["b"] == arm else row["b"]
        if one in OURS and arm in (row["a"], row["b"]):
            ends = np.array([row["mean"], row["low"], row["high"]], float)
            mean, low, high = ends if row["a"] == one else -ends[[0, 2, 1]]
            differences.setdefault(f"{one}_minus_{arm}", {})[row["metric"]] = {
                "mean": mean,
                "low": low,
                "high": high,
            }
    return differences
