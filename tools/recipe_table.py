"""The tables on pretraining recipes, from what `python -m experiments recipe --json` printed and was committed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

GAPS = ("loss_gap", "accuracy_gap")
CLOCK = "Minutes are by the clock, whatever else the machine did meanwhile:"
DIFFERENCES = {
    "vae_minus_imagenet": "same input size",
    "vae_minus_best_imagenet": "ImageNet at its best input size on validation",
    "both_minus_imagenet": "same input size",
}


def ablation_part(folder: Path) -> str:
    """Levers, curve, finals and differences of every committed recipe*.json, each once; nothing where there is none.

    Links are those of a page in docs/.
    """
    results = [
        (path, json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(folder.glob("recipe*.json"))
    ]
    return "\n\n".join(
        dict.fromkeys(
            part
            for path, result in results
            for part in (
                *_of(result),
                f"All figures: [{path.name}](../experiments/results/{path.name}){_log(path)}.",
            )
        )
    )


def _log(path: Path) -> str:
    """A link to what the command said meanwhile, where that is kept."""
    log = path.with_suffix(".log")
    return (
        f"; each epoch's metrics: [{log.name}](../experiments/results/{log.name})"
        if log.exists()
        else ""
    )


def _of(result: Mapping[str, Any]) -> list[str]:
    """The paragraphs and tables of one result, those parts that are there."""
    made = [folds_part, _levers, _curve, _finals, _differences]
    return [text for part in made if (text := part(result))]


def _levers(result: Mapping[str, Any]) -> str:
    rows = result.get("ablation")
    if not rows:
        return ""
    setting = result["config"]["levers"]
    trained = [row for row in rows if row.get("pretraining") and row["line"] != "both"]
    sentences = [
        f"**One change a line.** {setting['dataset']}, {setting['backbone']['architecture']} to stage "
        f"{setting['backbone']['stage']}, one pretraining seed, validation images alone; two-layer heads on frozen "
        'features, one learning rate and weight decay for all lines. "10 %" is a tenth of the labelled groups, "kNN" '
        "the vote of the ten nearest training "
        f"images{', a shortened run' if result.get('quick') else ''}. {CLOCK[:-1]}."
    ]
    if trained:
        best = min(trained, key=_val_loss)
        sentences.append(f"Lowest validation loss of a VAE: {best['line']} ({best['says']}).")
    return _with_table(
        " ".join(sentences),
        rows,
        {
            "line": lambda row: f"{row['line']}: {row['says']}",
            "loss, validation": lambda row: f"{_val_loss(row):.3f}",
            **_judged(),
            "− views-256, points": _points_of("minus_base"),
            **_pretrained(),
        },
    )


def _curve(result: Mapping[str, Any]) -> str:
    """Quality against pretraining time; a single point is no curve."""
    points = result.get("curve") or []
    if len(points) < 2:
        return ""
    return _with_table(
        f"**Longer pretraining**, the recipe views and nothing else changed. {CLOCK}",
        points,
        {
            "epochs": lambda p: f"{p['epochs']:.0f}",
            "minutes": lambda p: _minutes(p["seconds"]),
            "balanced accuracy": lambda p: _share(p["balanced_accuracy"]),
            "macro-AUROC": lambda p: _number(p["macro_auroc"]),
            "balanced accuracy, 10 %": lambda p: _share(p["labels_0.1"]),
            "kNN": lambda p: _percent(p["knn"]["balanced_accuracy"]),
        },
    )


def _finals(result: Mapping[str, Any]) -> str:
    arms = result.get("arms")
    if not arms:
        return ""
    seeds = max(row["pretraining_seeds"] for row in arms.values())
    fewer = [
        f" ({row['line']}: {row['pretraining_seeds']})"
        for row in arms.values()
        if 0 < row["pretraining_seeds"] < seeds
    ]
    sentence = (
        f"**On the test split**, {seeds} pretraining seed{'s' * (seeds != 1)}{''.join(fewer)}, 95 "
        "% intervals over groups "
        "and seeds:"
    )
    return _with_table(
        sentence,
        list(arms.values()),
        {"arm": lambda row: f"{row['line']}: {row['says']}", **_judged(), **_pretrained()},
    )


def _differences(result: Mapping[str, Any]) -> str:
    """Paired differences with their intervals, and in a sentence whether the VAE is above ImageNet."""
    rows = [
        {"pair": f"{row['arms'][0]} − {row['arms'][1]} ({what})", **row}
        for key, what in DIFFERENCES.items()
        if (row := result.get(key))
    ]
    rows += [
        {"pair": f"vae − {name}", **row} for name, row in (result.get("controls") or {}).items()
    ]
    if not rows:
        return ""
    sentence = (
        f"**Paired differences** on the same test images. {_verdict(result.get('vae_minus_imagenet'))} "
        f"{_controls(result.get('controls') or {})}"
    ).strip()
    return _with_table(
        sentence,
        rows,
        {
            "pair": lambda row: row["pair"],
            "balanced accuracy, points": _points_of("balanced_accuracy"),
            "macro-AUROC": lambda row: _signed(row["macro_auroc"]),
            "balanced accuracy, 10 %, points": lambda row: points(
                row["labels_0.1"]["balanced_accuracy"]
            ),
            "loss gap": lambda row: _signed(row.get("loss_gap")),
            "accuracy gap, points": _points_of("accuracy_gap"),
        },
    )


def _verdict(differences: Mapping[str, Any] | None) -> str:
    if not differences:
        return ""
    metric = differences["balanced_accuracy"]
    comparison = (
        ("above" if metric["low"] > 0 else "below")
        if metric["low"] > 0 or metric["high"] < 0
        else None
    )
    where = (
        f"The VAE's balanced accuracy is {comparison} ImageNet's"
        if comparison
        else "No difference of VAE and ImageNet is shown"
    )
    return f"{where}: {points(metric)} points."


def _controls(controls: Mapping[str, Any]) -> str:
    """Which controls the winning recipe is above, below, or not shown to differ from, by balanced accuracy."""
    metrics = {name: row["balanced_accuracy"] for name, row in controls.items()}
    above = [name for name, metric in metrics.items() if metric["low"] > 0]
    below = [name for name, metric in metrics.items() if metric["high"] < 0]
    level = [name for name in metrics if name not in (*above, *below)]
    sentences = [
        f"{how} {', '.join(names)}"
        for how, names in (("above", above), ("below", below), ("not shown to differ from", level))
        if names
    ]
    return f"Of the controls, the winning recipe is {'; '.join(sentences)}." if sentences else ""


def folds_part(result: Mapping[str, Any]) -> str:
    """The out-of-fold comparison that `compare --folds` made, its verdict and one line an arm."""
    study = result.get("folds")
    if not study:
        return ""
    folds, verdict = study["config"]["folds"], study["verdict"]
    sentences = [
        f"**Out-of-fold, {folds} folds, pretraining repeated in each.** {verdict['headline']}",
        *verdict["sentences"],
    ]
    arms = _with_table(
        " ".join(sentences),
        list(study["arms"].values()),
        {
            "arm": lambda arm: arm["label"],
            "balanced accuracy": lambda arm: _share(arm["test"]["balanced_accuracy"]),
            "macro-AUROC": lambda arm: _number(arm["test"]["macro_auroc"]),
        },
    )
    return "\n\n".join([arms, _fold_differences(study, result.get("folds_best"))])


def _fold_differences(study: Mapping[str, Any], best: Mapping[str, Any] | None) -> str:
    """The VAE and both minus ImageNet, out of fold.

    At the same input size and at ImageNet's best, all labels and fewer.
    """
    fewer = (study.get("label_efficiency") or {}).get("differences", [])
    best = best or {}
    rows = [
        {
            "pair": f"{one} − imagenet",
            "size": study["config"]["input_size"],
            "labels": labels,
            "difference": difference,
        }
        for one in ("vae", "both")
        for labels, share, of in (("all", 1.0, study["differences"]), ("10 %", 0.1, fewer))
        if (difference := directed(of, one, share))
    ]
    rows += [
        {
            "pair": f"{one} − imagenet",
            "size": best["input_size"],
            "labels": labels,
            "difference": other,
        }
        for one in ("vae", "both")
        for labels, of in (("all", best), ("10 %", best.get("labels_0.1", {})))
        if (other := of.get(f"{one}_minus_imagenet"))
    ]
    return _with_table(
        "Paired differences out of fold, each with a 95 % interval over groups, seeds and folds:",
        rows,
        {
            "pair": lambda row: row["pair"],
            "ImageNet's pixels": lambda row: str(row["size"]),
            "labels": lambda row: row["labels"],
            "balanced accuracy, points": lambda row: points(row["difference"]["balanced_accuracy"]),
            "macro-AUROC": lambda row: _signed(row["difference"]["macro_auroc"]),
        },
    )


def directed(
    rows: Sequence[Mapping[str, Any]], one: str, share: float = 1.0
) -> dict[str, dict[str, Any]]:
    """{metric: interval of an arm minus imagenet} of rows that may hold the opposite."""
    intervals: dict[str, dict[str, Any]] = {}
    for row in rows:
        if {row["a"], row["b"]} == {one, "imagenet"} and row.get("fraction", share) == share:
            sign = 1 if row["a"] == one else -1
            low, high = sorted((sign * row["low"], sign * row["high"]))
            intervals[row["metric"]] = {
                "mean": sign * row["mean"],
                "low": low,
                "high": high,
                "p_holm": row.get("p_holm"),
            }
    return intervals


def _judged() -> dict[str, Callable[[Any], str]]:
    return {
        "balanced accuracy": lambda row: _share(_metric(row, "balanced_accuracy")),
        "macro-AUROC": lambda row: _number(_metric(row, "macro_auroc")),
        "balanced accuracy, 10 %": lambda row: _share(_metric(row, "balanced_accuracy", "0.1")),
        "kNN": lambda row: _percent(row["knn"]["balanced_accuracy"]),
        "loss gap": lambda row: f"{_metric(row, GAPS[0])['mean']:+.3f}",
        "accuracy gap, points": lambda row: f"{100 * _metric(row, GAPS[1])['mean']:+.1f}",
    }


def _pretrained() -> dict[str, Callable[[Any], str]]:
    def of(name: str, as_text: Callable[[float], str]) -> Callable[[Any], str]:
        def cell(row: Mapping[str, Any]) -> str:
            value = (row.get("pretraining") or {}).get(name)
            return "–" if value is None else as_text(value)

        return cell

    return {
        "reconstruction error": of("val_pixel_mse", "{:.4f}".format),
        "active units": of("val_active_units", "{:.0f}".format),
        "pretraining, minutes": of("seconds", _minutes),
    }


def _with_table(text: str, rows: Sequence[Any], columns: Mapping[str, Callable[[Any], str]]) -> str:
    lines = [
        list(columns),
        ["---"] * len(columns),
        *([of(row) for of in columns.values()] for row in rows),
    ]
    return "\n".join(
        [
            text,
            "",
            *("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines),
        ]
    )


def _val_loss(row: Mapping[str, Any], share: str = "1") -> float:
    return row["labels"][share]["val_loss"]


def _metric(row: Mapping[str, Any], name: str, share: str = "1") -> Mapping[str, float]:
    return row["labels"][share][name]


def _points_of(name: str) -> Callable[[Any], str]:
    """A column of differences in percentage points.

    `name` is one, or differences of which balanced accuracy is shown.
    """

    def cell(row: Mapping[str, Any]) -> str:
        differences = row.get(name) or {}
        return points(differences.get("balanced_accuracy", differences))

    return cell


def _share(metric: Mapping[str, float]) -> str:
    return f"{_percent(metric['mean'])} ({100 * metric['low']:.1f} to {100 * metric['high']:.1f})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _number(metric: Mapping[str, float]) -> str:
    return f"{metric['mean']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})"


def points(metric: Mapping[str, float]) -> str:
    """`+1.2 (-0.3 to +2.7)`: a difference of shares in percentage points, with its interval."""
    return _signed(
        {name: 100 * value for name, value in metric.items() if name in ("mean", "low", "high")}, 1
    )


def _signed(metric: Mapping[str, float] | None, digits: int = 3) -> str:
    return (
        f"{metric['mean']:+.{digits}f} ({metric['low']:+.{digits}f} to {metric['high']:+.{digits}f})"
        if metric
        else "–"
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f}"
