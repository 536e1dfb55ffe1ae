"""Sentences on what the committed ablation and folds show, each worded by its interval and corrected p."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derm_core.formatting import interval, signed_interval
from derm_core.formatting import points as points_of
from derm_core.report.sections.verdict import AT_SHARED_SETTING
from derm_core.study.study_result import study_result
from tools.recipe_table import directed, points

TENTH = 0.1  # of the labels
Interval = Mapping[str, float]


def verdict_part(study: Mapping[str, Any]) -> str:
    """The headline and the sentences of a study, as the app and the report show them, and a line an arm."""
    result = study_result(study)
    verdict, labels = result.verdict, result.label_efficiency
    fewer = {row.arm: row for row in (labels.rows if labels else ()) if row.fraction == TENTH}
    head = ["", "balanced accuracy", "the same, one setting for all", "10 % of the labels"]
    rows = [[*head, "loss gap", "accuracy gap, points"], ["---"] * 6]
    for arm, entry in result.arms.items():
        shared = result.shared.arms.get(arm) if result.shared else None
        accuracies = [entry.test, shared.test if shared else {}]
        cells = [interval(metrics.get("balanced_accuracy")) for metrics in accuracies]
        cells.append(interval(fewer[arm].balanced_accuracy) if arm in fewer else "–")
        gaps = [entry.gaps_detail.get(kind, {}).get("final") for kind in ("loss", "accuracy")]
        rows.append([entry.label, *cells, signed_interval(gaps[0]), points_of(gaps[1])])
    table = ["| " + " | ".join(row) + " |" for row in rows]
    sentences = [f"- {sentence}" for sentence in verdict.sentences]
    return "\n".join([f"**{verdict.headline}**", "", *sentences, "", *table])


def answer_part(result: Mapping[str, Any]) -> str:
    """The answer in five sentences: the verdict over all folds and the four comparisons behind it."""
    headline = result["folds"]["verdict"]["headline"]
    lessons = (_same_size, _best_size, _few_labels, _together)
    lines = [headline, *(lesson(result) for lesson in lessons)]
    if not result["folds"].get("shared"):
        lines.append(AT_SHARED_SETTING)
    return "\n".join(f"- {text}" for text in lines)


def learned_part(result: Mapping[str, Any]) -> str:
    """One line per lesson whose figures are in `result`.

    Args:
        result: what `python -m experiments recipe --json` printed.
    """
    lessons = (_same_size, _best_size, _few_labels, _together, _consistency, _elbo, _longer)
    return "\n".join(f"- {text}" for lesson in lessons if (text := lesson(result)))


def _worded(metric: Interval, above: str, below: str, level: str) -> str:
    """The wording that the interval allows, and the corrected p where there is one, with the figures behind it."""
    holm = metric.get("p_holm")
    shown = holm is None or holm < 0.05
    word = (
        above if shown and metric["low"] > 0 else below if shown and metric["high"] < 0 else level
    )
    return f"{word}: {points(metric)} points of balanced accuracy"


def _fold_difference(
    result: Mapping[str, Any], one: str, share: float = 1.0
) -> dict[str, Any] | None:
    study = result.get("folds") or {}
    rows = (
        study.get("differences")
        if share == 1
        else (study.get("label_efficiency") or {}).get("differences")
    ) or []
    return directed(rows, one, share).get("balanced_accuracy")


def _same_size(result: Mapping[str, Any]) -> str:
    metric = _fold_difference(result, "vae")
    if not metric:
        return ""
    pixels = result["folds"]["config"]["input_size"]
    return (
        _worded(
            metric,
            f"**With all labels the VAE is above ImageNet** at the same {pixels} pixels",
            f"**With all labels the VAE is below ImageNet** at the same {pixels} pixels",
            f"**With all labels no difference is shown** at the same {pixels} pixels",
        )
        + ", out of fold."
    )


def _best_size(result: Mapping[str, Any]) -> str:
    best = result.get("folds_best") or {}
    metric = (best.get("vae_minus_imagenet") or {}).get("balanced_accuracy")
    if not metric:
        return ""
    return (
        _worded(
            metric,
            f"**It is above ImageNet at its best input size**, {best['input_size']} pixels",
            f"**ImageNet at its best input size, {best['input_size']} pixels, stays ahead**",
            f"**No difference from ImageNet at its best input size is shown**, {best['input_size']} pixels",
        )
        + "."
    )


def _few_labels(result: Mapping[str, Any]) -> str:
    metric, best = _fold_difference(result, "vae", 0.1), result.get("folds_best") or {}
    if not metric:
        return ""
    sentence = _worded(
        metric,
        "**With a tenth of the labels the VAE is above ImageNet**",
        "**With a tenth of the labels the VAE is below ImageNet**",
        "**With a tenth of the labels no difference is shown**",
    )
    other = ((best.get("labels_0.1") or {}).get("vae_minus_imagenet") or {}).get(
        "balanced_accuracy"
    )
    if other:
        sentence += f", and {points(other)} against ImageNet at {best['input_size']} pixels"
    holm = metric.get("p_holm")
    return sentence + (
        f" (intervals of one comparison each; p = {holm:.2g} after Holm's correction over the study's "
        "secondary tests)."
        if holm is not None
        else "."
    )


def _together(result: Mapping[str, Any]) -> str:
    metric = _fold_difference(result, "both")
    if not metric:
        return ""
    return (
        _worded(
            metric,
            "**Both side by side are better than ImageNet alone**, a gain to have today",
            "**Both side by side are worse than ImageNet alone**",
            "**Both side by side are not shown to differ from ImageNet alone**",
        )
        + "."
    )


def _consistency(result: Mapping[str, Any]) -> str:
    metric = ((result.get("controls") or {}).get("no-consistency") or {}).get("balanced_accuracy")
    if not metric:
        return ""
    return (
        _worded(
            metric,
            "**The agreement of two views does the work**, the recipe minus the same without it",
            "**The agreement of two views harms**, the recipe minus the same without it",
            "**The agreement of two views is not shown to matter**, the recipe minus the same without it",
        )
        + ", on the test split."
    )


def _elbo(result: Mapping[str, Any]) -> str:
    metric = ((result.get("controls") or {}).get("no-elbo") or {}).get("balanced_accuracy")
    arms = result.get("arms") or {}
    if not metric or not {"vae", "paper"} <= arms.keys():
        return ""
    ours, plain = (arms[name]["pretraining"] for name in ("vae", "paper"))
    return _worded(
        metric,
        "**The ELBO helps the features**, the recipe minus the same without it",
        "**The ELBO costs the features something**, the recipe minus the same without it",
        "**The ELBO is not shown to help or to harm the features**, the recipe minus the same without it",
    ) + (
        f". It keeps the network a VAE: squared reconstruction error {ours['val_pixel_mse']:.4f} (plain VAE "
        f"{plain['val_pixel_mse']:.4f}), {ours['val_active_units']:.0f} active units (plain VAE "
        f"{plain['val_active_units']:.0f})."
    )


def _longer(result: Mapping[str, Any]) -> str:
    curve = result.get("curve") or []
    if len(curve) < 2:
        return ""
    first, last = curve[0], curve[-1]
    of = [
        f"{100 * point['balanced_accuracy']['mean']:.1f} % after {point['epochs']:.0f} epochs"
        for point in (first, last)
    ]
    auroc = [f"{point['macro_auroc']['mean']:.3f}" for point in (first, last)]
    return (
        f"**Longer pretraining** goes from {of[0]} to {of[1]} of balanced accuracy, macro-AUROC from {auroc[0]} to "
        f"{auroc[1]} (validation images, one seed)."
    )
