"""A finished study as text: what `compare` prints in a terminal. Reads study.json, computes nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ..arms import arm_label, in_order

METRICS = (
    ("balanced_accuracy", "balanced accuracy", True),
    ("macro_auroc", "macro-AUROC", False),
    ("accuracy", "accuracy", True),
    ("log_loss", "log loss", False),
    ("brier", "Brier", False),
    ("ece", "calibration error", True),
)
QUANTITIES = {
    "val_loss": "validation loss",
    "train_accuracy": "training accuracy",
    "val_accuracy": "validation accuracy",
    "loss_gap": "loss gap (val - train)",
    "accuracy_gap": "accuracy gap (train - val)",
}
WIDTH = 100


def text_report(study: Mapping[str, Any]) -> str:
    """Verdict, test metrics with 95 % intervals, the paper's table for every arm beside the paper, notes."""
    parts = [
        _heading(study),
        _verdict(study),
        _tests(study),
        _paper(study),
        _setting(study),
        _notes(study),
    ]
    return "\n\n".join(part for part in parts if part)


def _heading(study: Mapping[str, Any]) -> str:
    data, split, config = study["dataset"], study["split"], study["config"]
    counts = split["counts"]
    looked = split["looked_before"]
    seen = (
        f"looked at {looked} time{'s' if looked != 1 else ''} before"
        if looked
        else "not looked at before"
    )
    parts = (
        f"train {counts['train']:,}, val {counts['val']:,}, test {counts['test']:,}; test {seen}"
    )
    if split.get("folds"):
        parts = (
            f"{split['folds']} folds, every image tested once; in a fold train {counts['train']:,}, val {counts['val']:,}; "
            f"these folds {seen}"
        )
    return (
        f"{study['run_id']}: {data['name']}, {data['images']:,} images, {data['groups']:,} groups, "
        f"{data['classes']} classes ({parts})\n"
        f"{config['backbone']['architecture']} to stage {config['backbone']['stage']} at {config['input_size']} px, "
        f"{config['regime']}, {len(config['seeds'])} seed{'s' if len(config['seeds']) != 1 else ''}"
    )


def _verdict(study: Mapping[str, Any]) -> str:
    verdict = study["verdict"]
    return "\n".join(
        [
            _wrap(verdict["headline"]),
            *(_wrap(sentence, "  ") for sentence in verdict.get("sentences", [])),
        ]
    )


def _tests(study: Mapping[str, Any]) -> str:
    """Two tables: decisions with the gaps beside them, and probabilities."""
    entries = [
        (study["arms"][arm]["label"], study["arms"][arm]["test"], study["arms"][arm]["gaps"])
        for arm in in_order(study["arms"])
    ] + [("Majority class", study["majority"], {})]
    decided = [
        [
            label,
            *(_interval(test.get(key), share) for key, _, share in METRICS[:3]),
            _number(gaps.get("loss"), sign=True),
            _share(gaps.get("accuracy"), sign=True),
        ]
        for label, test, gaps in entries
    ]
    probable = [
        [label, *(_interval(test.get(key), share) for key, _, share in METRICS[3:])]
        for label, test, _ in entries
    ]
    title = "test, mean (95 % interval)"
    return "\n\n".join(
        [
            _table(
                [
                    [title, *(name for _, name, _ in METRICS[:3]), "loss gap", "accuracy gap"],
                    *decided,
                ]
            ),
            _table([[title, *(name for _, name, _ in METRICS[3:])], *probable]),
        ]
    )


def _paper(study: Mapping[str, Any]) -> str:
    rows = [
        ["the paper's table", "arm", "start", "final", "change", "paper: start", "final", "change"]
    ]
    for row in study["paper_table"]:
        sign, paper = row["quantity"].endswith("gap"), row.get("paper") or {}
        write = _share if "accuracy" in row["quantity"] else _number
        cells = [
            text
            for source in (row, paper)
            for text in (
                write(source.get("start"), sign),
                source.get("text") or write(source.get("final"), sign),
                _share(source.get("relative_change"), True),
            )
        ]
        rows.append(
            [QUANTITIES.get(row["quantity"], row["quantity"]), arm_label(row["arm"]), *cells]
        )
    return (
        _table(rows)
        + "\n"
        + _wrap(
            "In the paper (arXiv 2505.16773) ImageNet wins on validation accuracy and loss; its claim is about the gap. Its loss "
            "is not plain cross-entropy and its images are not public: compare signs and relative changes, not sizes. Its "
            "starts and its accuracy gaps are computed back from what it prints; ours start after the first epoch."
        )
    )


def _setting(study: Mapping[str, Any]) -> str:
    if folds := study["grid"].get("folds"):
        return _wrap(
            "Setting of all arms, chosen in each fold: "
            + "; ".join(
                f"fold {fold['fold']} learning rate {fold['learning_rate']:g}, weight decay {fold['weight_decay']:g}"
                for fold in folds
            )
            + "."
        )
    setting = next(iter(study["arms"].values()))["setting"]
    if not setting:
        return ""
    edge = study["grid"].get("edge") or []
    text = f"Setting of all arms: learning rate {setting['learning_rate']:g}, weight decay {setting['weight_decay']:g}"
    best = "; ".join(
        f"{entry['label']} {entry['best_setting']['learning_rate']:g}, {entry['best_setting']['weight_decay']:g} "
        f"({_share(entry['best_setting']['test']['balanced_accuracy']['mean'])})"
        for entry in study["arms"].values()
    )
    if study["config"]["regime"] == "frozen":
        text += f"; each at its own best (test balanced accuracy): {best}"
    return _wrap(
        text
        + (
            f"; {' and '.join(name.replace('_', ' ') for name in edge)} of the common setting at the edge of the grid."
            if edge
            else "."
        )
    )


def _notes(study: Mapping[str, Any]) -> str:
    return "\n".join(_wrap(f"Note: {note}") for note in study.get("notes", []))


def _interval(metric: Mapping[str, Any] | None, share: bool) -> str:
    if not metric or metric.get("mean") is None:
        return "-"
    low, high = metric.get("low"), metric.get("high")
    scale, digits = (100, 1) if share else (1, 3)
    text = f"{scale * metric['mean']:.{digits}f}" + (" %" if share else "")
    return (
        text
        if low is None or high is None
        else f"{text} ({scale * low:.{digits}f} to {scale * high:.{digits}f})"
    )


def _share(value: float | None, sign: bool = False) -> str:
    return "-" if value is None else f"{100 * value:{'+' if sign else ''}.1f} %"


def _number(value: float | None, sign: bool = False) -> str:
    return "-" if value is None else f"{value:{'+' if sign else ''}.3f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
