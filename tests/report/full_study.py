"""A study with an answer to every further question: a real study.json, completed with invented numbers."""

from __future__ import annotations

import copy
from itertools import combinations

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


def complete(study: dict) -> dict:
    """A copy of study.json `study` in which nothing is left unasked."""
    full, arms = copy.deepcopy(study), list(study["arms"])
    pairs = list(combinations(arms, 2))
    full["claims"] = [
        {
            "id": name,
            "claim": f"Claim {name}",
            "answer": said,
            "text": f"Numbers of {name}.",
            "numbers": {},
        }
        for name, said in (
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
