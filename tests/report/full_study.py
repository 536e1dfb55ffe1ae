"""study.json with an answer to every question, of invented numbers: `example`, or a real one completed."""

from __future__ import annotations

import copy
from itertools import combinations

from derm_core.arms import arm_style

ARMS = ("vae", "imagenet", "random")
SIDES = ("sensitivity", "specificity")
FAMILIES, STRENGTHS, FRACTIONS = ("defocus", "jpeg", "hair"), (0.0, 0.5, 1.0), (0.1, 0.5, 1.0)


def interval(mean: float, reach: float = 0.05) -> dict:
    return {
        "mean": mean,
        "std": reach / 4,
        "low": mean - reach,
        "high": mean + reach,
        "se": reach / 2,
        "df": 9.0,
        "method": "bootstrap",
    }


def example(classes: tuple[str, ...] = ("mel", "nv"), arms: tuple[str, ...] = ARMS) -> dict:
    """study.json of three arms."""
    counts = {"train": 70, "val": 15, "test": 30}
    gap = {"final": interval(0.1), "best": interval(0.08), "area": interval(0.05)}
    results = {
        arm: {
            "label": arm_style(arm).name,
            "kind": arm,
            "regime": "frozen",
            "features": 64,
            "test": {
                **{name: interval(0.5 + 0.1 * k) for name in ("balanced_accuracy", "accuracy")},
                "macro_auroc": interval(0.8),
                **{name: interval(0.3) for name in ("log_loss", "brier", "ece")},
            },
            "per_class": [
                {"class": name, "n": 9, "groups": 8, "recall": interval(0.5)} for name in classes
            ],
            "gaps": {"loss": 0.1, "accuracy": 0.02 * (k + 1)},
            "gaps_detail": {"loss": gap, "accuracy": gap},
            "setting": {"learning_rate": 1e-3, "weight_decay": 0.01},
            "best_setting": {
                "learning_rate": 3e-4,
                "weight_decay": 0.01,
                "test": {"balanced_accuracy": {"mean": 0.6}},
            },
        }
        for k, arm in enumerate(arms)
    }
    difference = {"p": 0.02, "p_holm": 0.04, "detectable": 0.05, "equivalent": False}
    study = {
        "run_id": "study-1",
        "arms": results,
        "classes": list(classes),
        "config": {
            "regime": "frozen",
            "input_size": 64,
            "seeds": [0, 1],
            "backbone": {"architecture": "resnet18", "stage": 3},
            "split_seed": 0,
            "pooling": "pooled",
            "hidden": 64,
            "batch_size": 128,
            "epochs": 60,
            "loss": "cross_entropy",
            "bootstrap": 2000,
            "dataset": "tiny",
            "vae_run": "pretrain-1",
            "pretrain": None,
        },
        "dataset": {
            "name": "tiny",
            "images": 115,
            "groups": 90,
            "classes": len(classes),
            "fingerprint": "def",
        },
        "split": {"fingerprint": "abc", "counts": counts, "groups": counts, "looked_before": 2},
        "verdict": {"headline": "No difference shown.", "sentences": ["The gaps are alike."]},
        "majority": {"balanced_accuracy": {"mean": 0.5}, "accuracy": {"mean": 0.7}},
        "confusion": {arm: [[8, 2], [1, 3]] for arm in arms},
        "differences": [
            {"a": a, "b": b, "metric": metric, "primary": (a, b) == arms[:2], **difference}
            | interval(-0.1)
            for metric in ("balanced_accuracy", "brier")
            for a, b in combinations(arms, 2)
        ],
        "gap_differences": [
            {"a": a, "b": b, "kind": kind, "at": "final", "p": 0.1, "p_holm": 0.2, **interval(0.1)}
            for kind in ("loss", "accuracy")
            for a, b in combinations(arms, 2)
        ],
        "matched": [
            {
                "a": arms[0],
                "b": arms[1],
                "level": 0.6,
                "comparable": True,
                "reason": "",
                "arms": {
                    arm: {"epoch": 2.5, "loss": interval(0.1), "accuracy": interval(0.02)}
                    for arm in arms[:2]
                },
            }
        ],
        "versions": {"torch": "2"},
        "seconds": 100.0,
    }
    return complete(study) | {"detail": _detail(classes, arms)}


def _detail(classes: tuple[str, ...], arms: tuple[str, ...]) -> dict:
    sides = [f"given_{side}{end}" for side in SIDES for end in ("", "_low", "_high")]
    curve = {
        "threshold": [0.1, 0.2, 0.9],
        "sensitivity": [0.7, 0.6, 0.1],
        "low": [0.6, 0.5, 0.0],
        "high": [0.8, 0.7, 0.3],
        **{side: [0.5, 0.4, 0.3] for side in sides},
    }
    bins = [
        {"low": low, "high": low + 0.5, "n": 3.0, "confidence": low + 0.4, "accuracy": low + 0.3}
        for low in (0.0, 0.5)
    ]
    errors = {name: interval(0.1) for name in ("ece", "brier", "log_loss")}
    benefit = {
        "mean": [0.26, 0.24, 0.2, 0.1],
        "low": [0.2, 0.2, 0.1, 0.0],
        "high": [0.3, 0.3, 0.3, 0.2],
        "gain": [0.0, 0.02, 0.08, 0.1],
        "gain_low": [-0.1, 0.01, 0.01, -0.1],
        "gain_high": [0.1, 0.1, 0.1, 0.2],
    }
    recalibrated = errors | {"slope": interval(0.8), "intercept": interval(-0.3)}
    calibration = {
        "class": classes[0],
        "bins": bins,
        "bins_after": bins,
        "before": recalibrated,
        "after": recalibrated,
    }
    return {
        "notes": {"calibration": "One temperature an arm."},
        "calibration": {arm: {"temperature": 1.1, **calibration} for arm in arms},
        "operating_point": {
            "class": classes[0],
            "images": 9,
            "groups": 8,
            "specificity": [0.8, 0.9, 1.0],
            "arms": dict.fromkeys(arms, curve),
        },
        "fixed_specificity": {
            "class": classes[0],
            "images": 9,
            "groups": 8,
            "opponent": arms[1],
            "levels": [
                {
                    "specificity": level,
                    "arms": {
                        arm: {
                            "threshold": 0.2,
                            "sensitivity": interval(0.6),
                            "specificity": interval(level),
                        }
                        for arm in arms
                    },
                    "differences": [
                        {"a": arm, "b": arms[1], "p": 0.01, "p_holm": 0.04, **interval(-0.1)}
                        for arm in arms
                        if arm != arms[1]
                    ],
                }
                for level in (0.8, 0.9)
            ],
        },
        "net_benefit": {
            "class": classes[0],
            "prevalence": 0.3,
            "thresholds": [0.05, 0.1, 0.2, 0.3],
            "treat_all": [0.26, 0.22, 0.12, 0.0],
            "arms": dict.fromkeys(arms, benefit),
        },
        "subgroups": [
            {
                "attribute": "sex",
                "tests": [
                    {
                        "value": "f",
                        "arm": arm,
                        "opponent": opponent,
                        "classes": 2,
                        "change": interval(-0.1),
                        "p": 0.001,
                        "p_holm": 0.01 if opponent is None else 0.3,
                    }
                    for arm in arms
                    for opponent in (None, arms[1])
                    if arm != opponent
                ],
                "worst": {arm: "f" if k == 0 else None for k, arm in enumerate(arms)},
                "values": [
                    {
                        "value": value,
                        "images": images,
                        "groups": images - 1,
                        "classes": 2,
                        "caution": images < 20,
                        "arms": {arm: {"balanced_accuracy": interval(0.3)} for arm in arms},
                    }
                    for value, images in (("f", 30), ("m", 9))
                ],
            }
        ],
        "disagreement": [
            {
                "a": a,
                "b": b,
                "matrix": [[8, 2], [1, 3]],
                "both_right": 6,
                "a_only": 3,
                "b_only": 2,
                "both_wrong": 3,
            }
            for a, b in combinations(arms, 2)
        ],
    }


def complete(study: dict) -> dict:
    """A copy of study.json `study` with an answer to every question."""
    full, arms = copy.deepcopy(study), list(study["arms"])
    pairs = list(combinations(arms, 2))
    full["claims"] = [
        {
            "id": name,
            "claim": f"Claim {name}",
            "answer": answer,
            "text": f"Numbers of {name}.",
            "numbers": {},
        }
        for name, answer in (
            ("one", "seen"),
            ("two", "not seen"),
            ("three", "opposite"),
            ("four", "not asked"),
        )
    ]
    full["label_efficiency"] = {
        "fractions": list(FRACTIONS),
        "updates": 40,
        "note": "",
        "rows": [
            {
                "arm": arm,
                "fraction": f,
                "images": 80 * f,
                "groups": 40 * f,
                "by_seed": [f],
                "accuracy": interval(f / 2),
                "balanced_accuracy": interval(f / 2 + 0.1 * k),
                "macro_auroc": interval(0.6),
            }
            for k, arm in enumerate(arms)
            for f in FRACTIONS
        ],
        "differences": [],
        "crossing": {
            "pair": arms[:2],
            "fraction": 0.3,
            "shown": False,
            "text": "They cross at 30% of the labels.",
        },
    }
    full["cost"] = {
        "arms": {
            arm: {
                "pretraining_images": 70,
                "pretraining_seconds": 300.0 if arm == "vae" else None,
                "head_images": 70,
                "feature_seconds": 20.0,
                "head_seconds": 10.0,
                "energy_kwh": 0.004,
            }
            for arm in arms
        },
        "power": {"cpu": {"watts": 24.0, "source": "12 W assumed for each core"}},
    }
    full["linear_head"] = {
        "opponent": arms[1],
        "strengths": [1.0, 0.1],
        "chosen": {arm: [0.1] for arm in arms},
        "arms": {
            arm: {"balanced_accuracy": interval(0.5), "macro_auroc": interval(0.7)} for arm in arms
        },
        "differences": [
            {"a": arm, "b": arms[1], "metric": metric, "p": 0.1, "p_holm": 0.3, **interval(-0.03)}
            for arm in arms
            if arm != arms[1]
            for metric in ("balanced_accuracy", "macro_auroc")
        ],
    }
    lost = {
        (arm, family): 0.1 * (k + 1) + 0.05 * i
        for k, family in enumerate(FAMILIES)
        for i, arm in enumerate(arms)
    }
    full["robustness"] = {
        "families": list(FAMILIES),
        "severities": [1, 2, 3, 4, 5],
        "clean": {arm: interval(0.5) for arm in arms},
        "rows": [
            {
                "arm": arm,
                "family": family,
                "severity": v,
                "balanced_accuracy": interval(0.5 - 0.02 * v),
                "relative_loss": interval(0.04 * v),
            }
            for arm, family in lost
            for v in range(1, 6)
        ],
        "families_summary": [
            {"arm": arm, "family": family, "relative_loss": interval(value)}
            for (arm, family), value in lost.items()
        ],
        "mean": {arm: interval(0.2) for arm in arms},
        "differences": [
            {"a": a, "b": b, "family": "all", "p": 0.2, "p_holm": 0.4, **interval(0.01)}
            for a, b in pairs
        ],
    }
    *mapped, last = arms
    full["saliency_inside"] = {
        "rows": [
            {
                "arm": arm,
                "inside": interval(0.5 - 0.2 * i),
                "area": 0.3,
                "above_area": interval(0.2 - 0.2 * i),
                "images": 200,
                "method": "LayerCAM",
            }
            for i, arm in enumerate(mapped)
        ],
        "left_out": {last: "its network has no map of the image"},
        "sampled": 200,
        "masked": 1500,
        "seed": 0,
        "note": "200 images drawn from the 1,500 of the test set that have a lesion mask.",
    }
    full["shortcut"] = {
        "class": study["classes"][0],
        "artefact": "a stroke of ink",
        "strengths": list(STRENGTHS),
        "text": "Reliance grows.",
        "rows": [
            {
                "arm": arm,
                "strength": rho,
                "clean": interval(0.5),
                "aligned": interval(0.5),
                "reversed": interval(0.5 - rho / 4),
                "reliance": interval(rho / 2),
            }
            for arm in arms
            for rho in STRENGTHS
        ],
    }
    full["external"] = [
        {
            "dataset": "elsewhere",
            "images": 90,
            "groups": 50,
            "left_out": {"rash": 4},
            "absent": [study["classes"][-1]],
            "map": {name.upper(): name for name in study["classes"][:-1]},
            "note": "Another camera.",
            "cautions": ["Few groups in one class."],
            "arms": {
                arm: {"balanced_accuracy": interval(0.4), "macro_auroc": interval(0.6)}
                for arm in arms
            },
            "majority": {"balanced_accuracy": interval(0.5, 0.0)},
            "drop": {arm: interval(0.1) for arm in arms},
            "differences": [
                {
                    "a": a,
                    "b": b,
                    "metric": "balanced_accuracy",
                    "primary": False,
                    "p": 0.5,
                    "p_holm": 1.0,
                    **interval(-0.02),
                }
                for a, b in pairs
            ],
        }
    ]
    grid = [k / 20 for k in range(21)]
    curve = {
        "sensitivity": [1 - s for s in grid],
        "low": [0.8 - 0.8 * s for s in grid],
        "high": [1.0 for _ in grid],
        "threshold": grid,
        **{
            f"given_{side}{end}": grid
            for side in ("sensitivity", "specificity")
            for end in ("", "_low", "_high")
        },
    }
    full["detail"] = (study.get("detail") or {}) | {
        "operating_point": {
            "class": study["classes"][0],
            "images": 9,
            "groups": 5,
            "specificity": grid,
            "arms": dict.fromkeys(arms, curve),
        }
    }
    return full
