"""From outcomes to results: predictions, metrics with intervals, gaps, the paper's table, the verdict."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from .. import __version__
from ..arms import arm_file
from ..config import StudyConfig, to_dict
from ..events import jsonable
from ..files import writing
from ..records import to_json
from ..stats import gaps as gap_tools
from ..stats.evaluation import evaluate
from ..stats.gaps import final_estimates, gap_differences, gap_interval, matched_pairs
from ..stats.intervals import seed_interval
from ..stats.metrics import METRICS, all_metrics, confusion, decide, log_prior
from ..stats.multiple_tests import mcnemar
from ..stats.paired import Estimate, arm_pairs
from ..workspace import RunFiles
from .claims import claims
from .paper import paper_table
from .study_data import Material
from .trained_arm import Outcome, save_curves
from .verdict import choose_pair, verdict
from .weight_sources import transductive


def conclude(
    config: StudyConfig,
    run: RunFiles,
    material: Material,
    outcomes: dict[str, Outcome],
    best: dict[str, Outcome],
    grid: dict,
    notes: list[str],
    looked_before: int,
) -> dict[str, Any]:
    """study.json but for its seconds; writes the curves and predictions it names.

    outcomes: every arm at the one setting, the primary comparison; best: each at its own, secondary.
    """
    test = material.members("test")
    labels, classes = material.labels[test], len(material.classes)
    prior = log_prior(material.labels[material.members("train")], classes)
    pair = choose_pair(list(outcomes))
    tested = {arm: outcome.probabilities["test"] for arm, outcome in outcomes.items()}
    stats = to_json(
        evaluate(
            labels,
            material.groups[test],
            tested,
            prior,
            material.classes,
            resamples=config.bootstrap,
            seed=config.split_seed,
            primary=pair or ("vae", "imagenet"),
            grouped=len(np.unique(material.groups)) < len(material.rows),
        )
    )
    drawn = {
        split: draw_set(config, material, split, outcomes) for split in ("train", "val", "test")
    }
    details = {
        arm: gap_detail(outcome, {split: of[arm] for split, of in drawn.items()})
        for arm, outcome in outcomes.items()
    }
    gaps = {
        arm: {name: detail[name]["final"]["mean"] for name in ("loss", "accuracy")}
        for arm, detail in details.items()
    }
    arm_labels = {arm: outcome.arm.label for arm, outcome in outcomes.items()}
    paired = pair_results(config, material, outcomes, drawn, pair)
    matched = next(iter(paired["matched"]), None)
    of_pair = {
        row["kind"]: row
        for row in paired["gap_differences"]
        if (row["a"], row["b"]) == pair and row["at"] == "final"
    }
    arms = {}
    for arm, outcome in outcomes.items():
        save_curves(run.curves(arm), outcome.curves, config.seeds)
        arms[arm] = {
            "label": outcome.arm.label,
            "kind": outcome.arm.kind,
            "regime": _regime(config, arm),
            "features": outcome.width,
            "test": stats["arms"][arm],
            "per_class": stats["per_class"][arm],
            "curves": f"artefacts/curves/{arm_file(arm)}.csv",
            "gaps": gaps[arm],
            "gaps_detail": details[arm],
            "setting": outcome.setting,
            "extractor": outcome.arm.extractor,
            "best_setting": {**best[arm].setting, "test": _seed_means(best[arm], labels, prior)},
        }
    concluded = verdict(stats, gaps, of_pair or None, matched, arm_labels)
    concluded["sentences"] = [
        *concluded["sentences"],
        *transductive([outcome.arm for outcome in outcomes.values()]),
    ]
    save_predictions(run, config, material, outcomes)
    result = {
        "run_id": run.id,
        "config": to_dict(config),
        "dataset": {
            "name": material.dataset.name,
            "images": len(material.rows),
            "classes": classes,
            "groups": len(np.unique(material.groups)),
            "fingerprint": material.dataset.fingerprint,
        },
        "split": {
            "fingerprint": material.fingerprint,
            "counts": material.counts(),
            "groups": material.group_counts(),
            "looked_before": looked_before,
        },
        "classes": list(material.classes),
        "labels": material.task,
        "arms": arms,
        "majority": stats["majority"],
        "differences": stats["differences"],
        **paired,
        "claims": claims(
            {arm: outcome.curves for arm, outcome in outcomes.items()},
            stats,
            paired["gap_differences"],
            paired["matched"],
        ),
        "paper_table": paper_table({arm: outcome.curves for arm, outcome in outcomes.items()})
        + majority_rows(material),
        "grid": grid,
        "confusion": {
            arm: confusion_of(outcome.probabilities["test"], labels, prior)
            for arm, outcome in outcomes.items()
        },
        "verdict": concluded,
        "cautions": stats["cautions"],
        "notes": notes,
        "versions": versions(),
    }
    return jsonable(result)


def _regime(config: StudyConfig, arm: str) -> str:
    """How an arm was trained; `scratch` end to end in a frozen study too."""
    return "finetune" if arm == "scratch" else config.regime


def majority_rows(material: Material) -> list[dict[str, Any]]:
    """The majority class in the paper's table: the share of training's commonest class, which nothing trains."""
    labels = {split: material.labels[material.members(split)] for split in ("train", "val")}
    commonest = np.bincount(labels["train"]).argmax()
    return [
        {
            "arm": "majority",
            "quantity": f"{split}_accuracy",
            "start": share,
            "final": share,
            "relative_change": None,
            "paper": None,
        }
        for split, share in (
            (split, float((of == commonest).mean())) for split, of in labels.items()
        )
    ]


def gap_detail(outcome: Outcome, drawn: dict[str, dict[str, Estimate]]) -> dict[str, dict]:
    """{"loss" and "accuracy": {"final", "best", "test", "area"}}: val − train and train − val, and test for val.

    Final and test intervals resample the groups of both sets as well; best and area have the seeds' alone.
    """
    detail = to_json(gap_tools.gaps(outcome.curves))
    tests = {kind: estimate.by_seed for kind, estimate in drawn["test"].items()}
    against_test = gap_tools.with_test(outcome.curves, tests["loss"], tests["accuracy"])
    final, tested = (gap_interval(drawn["train"], drawn[other]) for other in ("val", "test"))
    ends = ("low", "high", "se", "df", "method")
    for name in ("loss", "accuracy"):
        detail[name]["final"] |= {key: getattr(final[name], key) for key in ends}
        detail[name]["test"] = to_json(seed_interval(against_test[name])) | {
            key: getattr(tested[name], key) for key in ends
        }
    return detail


def pair_results(
    config: StudyConfig,
    material: Material,
    outcomes: dict[str, Outcome],
    drawn: dict[str, dict[str, dict[str, Estimate]]],
    first: tuple[str, str] | None,
) -> dict[str, list[dict]]:
    """{"gap_differences", "matched", "mcnemar"} of every pair of arms, the one named in advance first."""
    pairs = arm_pairs(list(outcomes), first)
    curves = {arm: outcome.curves for arm, outcome in outcomes.items()}
    at_level = matched_pairs(curves, pairs)
    test = material.members("test")
    return {
        "gap_differences": to_json(gap_differences(curves, drawn, at_level)),
        "matched": to_json(at_level),
        "mcnemar": to_json(
            mcnemar(
                material.labels[test],
                material.groups[test],
                {arm: outcome.probabilities["test"] for arm, outcome in outcomes.items()},
                pairs,
                seed=config.split_seed,
            )
        ),
    }


def draw_set(
    config: StudyConfig, material: Material, split: str, outcomes: dict[str, Outcome]
) -> dict[str, dict[str, Estimate]]:
    """Loss and accuracy of every arm on one split, under the same resamples of its groups."""
    chosen = next(iter(outcomes.values())).positions[split]
    return final_estimates(
        material.labels[chosen],
        material.groups[chosen],
        {arm: outcome.probabilities[split] for arm, outcome in outcomes.items()},
        config.loss,
        split=split,
        resamples=config.bootstrap,
        seed=config.split_seed,
    )


def _seed_means(
    outcome: Outcome, labels: np.ndarray, prior: np.ndarray
) -> dict[str, dict[str, float]]:
    """Mean and std over seeds of the test metrics: what an arm's own best setting would give."""
    values = all_metrics(labels, outcome.probabilities["test"], prior)
    return {
        name: {
            "mean": float(values[name].mean()),
            "std": float(values[name].std(ddof=min(1, len(values[name]) - 1))),
        }
        for name in METRICS
    }


def confusion_of(probabilities: np.ndarray, labels: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Counts (C, C) of probabilities (S, N, C), truth by prior-adjusted decision, averaged over seeds."""
    decisions = decide(probabilities, prior)
    return confusion(labels, decisions, probabilities.shape[-1]).mean(0)


def save_predictions(
    run: RunFiles, config: StudyConfig, material: Material, outcomes: dict[str, Outcome]
) -> None:
    """artefacts/predictions.parquet: validation and test probabilities of every arm and seed."""
    names = material.dataset.frame["group"].to_numpy()[material.rows]
    tables = []
    for arm, outcome in outcomes.items():
        for split in ("val", "test"):
            chosen = outcome.positions[split]
            for seed, p_nc in zip(config.seeds, outcome.probabilities[split], strict=True):
                tables.append(
                    pd.DataFrame(
                        {
                            "image_id": material.image_ids[chosen],
                            "split": split,
                            "group": names[chosen],
                            "label": material.labels[chosen],
                            "arm": arm,
                            "seed": seed,
                            **{
                                f"p_{c}": p_nc[:, c].astype(np.float32)
                                for c in range(p_nc.shape[1])
                            },
                        }
                    )
                )
    with writing(run.predictions) as file:
        pd.concat(tables, ignore_index=True).to_parquet(file, index=False)


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    packages = {
        name: metadata.version(name) for name in ("torch", "timm", "numpy", "scipy", "pillow")
    }
    return {"derm_core": __version__, "python": platform.python_version(), **packages}
