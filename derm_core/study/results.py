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
from .study_data import StudyData
from .trained_arm import TrainedArm, save_curves
from .verdict import choose_pair, verdict
from .weight_sources import transductive


def build_result(
    config: StudyConfig,
    run: RunFiles,
    data: StudyData,
    trained: dict[str, TrainedArm],
    best: dict[str, TrainedArm],
    grid: dict,
    notes: list[str],
    looked_before: int,
) -> dict[str, Any]:
    """study.json but for its seconds; writes the curves and predictions it names.

    outcomes: every arm at the one setting, the primary comparison; best: each at its own, secondary.
    """
    test = data.members("test")
    labels, classes = data.labels[test], len(data.classes)
    prior = log_prior(data.labels[data.members("train")], classes)
    pair = choose_pair(list(trained))
    tested = {arm: trained_arm.probabilities["test"] for arm, trained_arm in trained.items()}
    stats = to_json(
        evaluate(
            labels,
            data.groups[test],
            tested,
            prior,
            data.classes,
            resamples=config.bootstrap,
            seed=config.split_seed,
            primary=pair or ("vae", "imagenet"),
            grouped=len(np.unique(data.groups)) < len(data.rows),
        )
    )
    drawn = {split: draw_set(config, data, split, trained) for split in ("train", "val", "test")}
    details = {
        arm: gap_detail(trained_arm, {split: of[arm] for split, of in drawn.items()})
        for arm, trained_arm in trained.items()
    }
    gaps = {
        arm: {name: detail[name]["final"]["mean"] for name in ("loss", "accuracy")}
        for arm, detail in details.items()
    }
    arm_labels = {arm: trained_arm.arm.label for arm, trained_arm in trained.items()}
    paired = pair_results(config, data, trained, drawn, pair)
    matched = next(iter(paired["matched"]), None)
    of_pair = {
        row["kind"]: row
        for row in paired["gap_differences"]
        if (row["a"], row["b"]) == pair and row["at"] == "final"
    }
    arms = {}
    for arm, trained_arm in trained.items():
        save_curves(run.curves(arm), trained_arm.curves, config.seeds)
        arms[arm] = {
            "label": trained_arm.arm.label,
            "kind": trained_arm.arm.kind,
            "regime": _regime(config, arm),
            "features": trained_arm.width,
            "test": stats["arms"][arm],
            "per_class": stats["per_class"][arm],
            "curves": f"artefacts/curves/{arm_file(arm)}.csv",
            "gaps": gaps[arm],
            "gaps_detail": details[arm],
            "setting": trained_arm.setting,
            "extractor": trained_arm.arm.extractor,
            "best_setting": {**best[arm].setting, "test": _seed_means(best[arm], labels, prior)},
        }
    concluded = verdict(stats, gaps, of_pair or None, matched, arm_labels)
    concluded["sentences"] = [
        *concluded["sentences"],
        *transductive([trained_arm.arm for trained_arm in trained.values()]),
    ]
    save_predictions(run, config, data, trained)
    result = {
        "run_id": run.id,
        "config": to_dict(config),
        "dataset": {
            "name": data.dataset.name,
            "images": len(data.rows),
            "classes": classes,
            "groups": len(np.unique(data.groups)),
            "fingerprint": data.dataset.fingerprint,
        },
        "split": {
            "fingerprint": data.fingerprint,
            "counts": data.counts(),
            "groups": data.group_counts(),
            "looked_before": looked_before,
        },
        "classes": list(data.classes),
        "labels": data.task,
        "arms": arms,
        "majority": stats["majority"],
        "differences": stats["differences"],
        **paired,
        "claims": claims(
            {arm: trained_arm.curves for arm, trained_arm in trained.items()},
            stats,
            paired["gap_differences"],
            paired["matched"],
        ),
        "paper_table": paper_table(
            {arm: trained_arm.curves for arm, trained_arm in trained.items()}
        )
        + majority_rows(data),
        "grid": grid,
        "confusion": {
            arm: confusion_of(trained_arm.probabilities["test"], labels, prior)
            for arm, trained_arm in trained.items()
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


def majority_rows(data: StudyData) -> list[dict[str, Any]]:
    """The majority class in the paper's table: the share of training's commonest class, which nothing trains."""
    labels = {split: data.labels[data.members(split)] for split in ("train", "val")}
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


def gap_detail(trained_arm: TrainedArm, drawn: dict[str, dict[str, Estimate]]) -> dict[str, dict]:
    """{"loss" and "accuracy": {"final", "best", "test", "area"}}: val − train and train − val, and test for val.

    Final and test intervals resample the groups of both sets as well; best and area have the seeds' alone.
    """
    detail = to_json(gap_tools.gaps(trained_arm.curves))
    tests = {kind: estimate.by_seed for kind, estimate in drawn["test"].items()}
    against_test = gap_tools.with_test(trained_arm.curves, tests["loss"], tests["accuracy"])
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
    data: StudyData,
    trained: dict[str, TrainedArm],
    drawn: dict[str, dict[str, dict[str, Estimate]]],
    first: tuple[str, str] | None,
) -> dict[str, list[dict]]:
    """{"gap_differences", "matched", "mcnemar"} of every pair of arms, the one named in advance first."""
    pairs = arm_pairs(list(trained), first)
    curves = {arm: trained_arm.curves for arm, trained_arm in trained.items()}
    at_level = matched_pairs(curves, pairs)
    test = data.members("test")
    return {
        "gap_differences": to_json(gap_differences(curves, drawn, at_level)),
        "matched": to_json(at_level),
        "mcnemar": to_json(
            mcnemar(
                data.labels[test],
                data.groups[test],
                {arm: trained_arm.probabilities["test"] for arm, trained_arm in trained.items()},
                pairs,
                seed=config.split_seed,
            )
        ),
    }


def draw_set(
    config: StudyConfig, data: StudyData, split: str, trained: dict[str, TrainedArm]
) -> dict[str, dict[str, Estimate]]:
    """Loss and accuracy of every arm on one split, under the same resamples of its groups."""
    chosen = next(iter(trained.values())).positions[split]
    return final_estimates(
        data.labels[chosen],
        data.groups[chosen],
        {arm: trained_arm.probabilities[split] for arm, trained_arm in trained.items()},
        config.loss,
        split=split,
        resamples=config.bootstrap,
        seed=config.split_seed,
    )


def _seed_means(
    trained_arm: TrainedArm, labels: np.ndarray, prior: np.ndarray
) -> dict[str, dict[str, float]]:
    """Mean and std over seeds of the test metrics: what an arm's own best setting would give."""
    values = all_metrics(labels, trained_arm.probabilities["test"], prior)
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
    run: RunFiles, config: StudyConfig, data: StudyData, trained: dict[str, TrainedArm]
) -> None:
    """artefacts/predictions.parquet: validation and test probabilities of every arm and seed."""
    names = data.dataset.frame["group"].to_numpy()[data.rows]
    tables = []
    for arm, trained_arm in trained.items():
        for split in ("val", "test"):
            chosen = trained_arm.positions[split]
            for seed, p_nc in zip(config.seeds, trained_arm.probabilities[split], strict=True):
                tables.append(
                    pd.DataFrame(
                        {
                            "image_id": data.image_ids[chosen],
                            "split": split,
                            "group": names[chosen],
                            "label": data.labels[chosen],
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
