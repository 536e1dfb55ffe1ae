"""The part of docs/results.md on the committed study in folds: its verdict, every claim behind it, what it rests on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from derm_core.formatting import count, interval, number, p_value, signed_interval
from derm_core.formatting import points as points_of
from derm_core.study.study_result import ClaimNumbers, Conclusion, StudyResult, study_result
from tools.findings import verdict_part

FILES = (
    "All numbers: [folds.json](../benchmarks/results/folds.json). Probabilities of every image, and the log of all "
    "runs: [folds](../benchmarks/results/folds), read by `python -m tools.folds_files --check`, which computes "
    "balanced accuracies and their differences from them again."
)


def folds_page(path: Path) -> str:
    """The committed study in folds as Markdown.

    Args:
        path: of its study.json.
    """
    body = json.loads(path.read_text(encoding="utf-8"))
    result = study_result(body)
    parts = [
        verdict_part(body),
        "Beside them, what has to be known:",
        "\n".join(f"- {sentence}" for sentence in result.verdict.details),
        "Every claim: the difference of the first arm less the second, with a 95 % interval over groups, seeds and "
        "folds, in points (loss gaps as they are). p is that of the primary test, or Holm's over the secondary ones.",
        _table(_claims(result)),
        "Other arms and labels, balanced accuracy:",
        _table(_arms(result)),
        _rests_on(result),
        _how_made(path.parent / "folds" / "log.txt"),
        FILES,
    ]
    return "\n\n".join(part for part in parts if part)


def _claims(result: StudyResult) -> list[list[str]]:
    head = ["what", "arms", "each at its own best", "p", "one setting for all", "says"]
    rows = [head, ["---"] * len(head)]
    for claim in result.verdict.claims:
        names = " − ".join(result.arms[arm].label for arm in claim.arms)
        p = claim.tuned.p if claim.tuned.p_holm is None else claim.tuned.p_holm
        rows.append(
            [
                claim.about,
                names,
                _numbers(claim, claim.tuned),
                p_value(p),
                _numbers(claim, claim.shared) if claim.shared else "–",
                claim.says,
            ]
        )
    return rows


def _numbers(claim: Conclusion, numbers: ClaimNumbers) -> str:
    return signed_interval(numbers) if claim.about.startswith("loss") else points_of(numbers)


def _arms(result: StudyResult) -> list[list[str]]:
    """Macro-AUROC, calibration error and the linear head of every arm."""
    head = ["", "macro-AUROC", "calibration error", "linear head", "log loss"]
    linear = result.linear_head.arms if result.linear_head else {}
    rows = [head, ["---"] * len(head)]
    for arm, entry in result.arms.items():
        cells = [interval(entry.test.get(metric), metric) for metric in ("macro_auroc", "ece")]
        cells.append(interval(linear[arm].get("balanced_accuracy")) if arm in linear else "–")
        rows.append([entry.label, *cells, interval(entry.test.get("log_loss"), "log_loss")])
    return rows


def _rests_on(result: StudyResult) -> str:
    """Protocol, looks, settings on the grid's edge and how it is made again."""
    sentences = []
    if result.protocol:
        sentences.append(
            f"Protocol `{result.protocol.sha256[:12]}`, fixed before these runs tested an image."
        )
    if result.looks:
        sentences.append(
            f"Earlier looks at these test images in the workspace: {number(result.looks.mean, 1)} an image on average."
        )
    config = result.config
    epochs = (config.get("pretrain") or {}).get("recipe", {}).get("epochs")
    sentences.append(
        f"{count(result.split.folds, 'fold')}, {count(len(config['seeds']), 'seed')} of the classifier, "
        f"{count(epochs, 'epoch')} of pretraining, a pretraining seed of its own in every fold; made by "
        f"`python -m derm_core compare --preset {config['preset']}`."
    )
    return " ".join(sentences)


def _how_made(log: Path) -> str:
    """What the log says, before its first run, of how the runs were made."""
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    return " ".join(text.partition("== ")[0].split())


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
