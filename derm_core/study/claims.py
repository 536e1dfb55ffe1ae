"""The paper's four claims, each answered for this dataset: seen, not seen, opposite, or not asked.

    claims(curves, evaluation, gap_differences, at_level) -> [
        {"id", "claim", "answer", "text": sentence with the numbers, "numbers": {…}}]

All of them set `vae` against `imagenet`; where one of the two was not in the study a claim is "not asked". A
comparison speaks for the side that its 95 % interval shows. Two that belong together (loss and accuracy) must not
contradict each other: one of them has to speak, the other to agree or to be silent; else nothing is seen.

    faster_start         In the paper ImageNet starts at a validation loss of 0.120 (VAE 0.165) and an accuracy of 63 %
                         (45 %). Here: validation loss and accuracy after the first epoch (at step 0 a head knows nothing
                         whatever its features), paired over seeds.
    higher_accuracy      Paper: validation accuracy 75 % against 65 %. Here: balanced accuracy on the test set, the
                         primary comparison; plain accuracy stands beside it.
    smaller_gap          Paper: gap near 0 against +0.060. Here: loss and accuracy gap at the final epoch; whether that
                         survives at matched training accuracy is said, and so is "consistent with underfitting".
    steady_improvement   Paper: from start to final the VAE's validation loss falls by 33 % (ImageNet 17 %) and its accuracy
                         rises by 44 % (19 %). Here: the same relative changes from the first epoch to the last, paired
                         over seeds, must be larger for the VAE; and steadily so: Spearman's rank correlation of its
                         seed-mean validation loss with the epoch is −0.9 or below. Opposite: ImageNet's are larger.

Intervals over seeds alone leave out what another validation set would change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr

from ..stats.evaluation import PRIMARY
from ..stats.gaps import Curves, first_epoch
from .verdict import gap_sides, points, signed, spread, survives_matched

STEADY = -0.9
CLAIMS = {
    "faster_start": "ImageNet starts faster",
    "higher_accuracy": "ImageNet reaches the higher accuracy",
    "smaller_gap": "The VAE has the smaller overfitting gap",
    "steady_improvement": "The VAE improves more, and steadily",
}


def claims(
    curves: Mapping[str, Curves],
    evaluation: Mapping,
    gap_differences: Sequence[Mapping],
    at_level: Sequence[Mapping],
    over: str = "seeds",
) -> list[dict]:
    """See the module's docstring. evaluation: stats.evaluate; the others as pairs.py returns them.

    over: what the columns of the curves are, "seeds" or "folds".
    """
    missing = [arm for arm in PRIMARY if arm not in curves]
    if missing:
        why = f"Not asked: this study has no arm {' and no arm '.join(missing)}."
        return [_row(name, "not asked", why, {}) for name in CLAIMS]
    return [
        _faster_start(curves, over),
        _higher_accuracy(evaluation),
        _smaller_gap(gap_differences, at_level),
        _steady_improvement(curves, over),
    ]


def _row(name: str, answer: str, text: str, numbers: dict) -> dict:
    return {"id": name, "claim": CLAIMS[name], "answer": answer, "text": text, "numbers": numbers}


def answer(*signs: int) -> str:
    """From what comparisons say of a claim (1 for, −1 against, 0 nothing): seen, opposite or not seen."""
    said = {sign for sign in signs if sign}
    return {(1,): "seen", (-1,): "opposite"}.get(tuple(said), "not seen")


def sign(found: Mapping) -> int:
    """1 or −1 where the interval lies above or below 0, else 0."""
    if found["low"] is None or found["low"] <= 0 <= found["high"]:
        return 0
    return 1 if found["low"] > 0 else -1


def _faster_start(curves: Mapping[str, Curves], over: str) -> dict:
    vae, imagenet = (curves[arm] for arm in PRIMARY)
    at = {arm: first_epoch(curves[arm]["epoch"]) for arm in PRIMARY}
    start = {
        arm: {name: curves[arm][name][at[arm]] for name in ("val_loss", "val_accuracy")}
        for arm in PRIMARY
    }
    loss, accuracy = (
        spread(start["imagenet"][name] - start["vae"][name])
        for name in ("val_loss", "val_accuracy")
    )
    told = answer(-sign(loss), sign(accuracy))
    text = (
        f"After the first epoch ImageNet has a validation loss of {_mean(start['imagenet']['val_loss'])} (VAE "
        f"{_mean(start['vae']['val_loss'])}; difference {_span(loss, signed)}) and a validation accuracy of "
        f"{_share(start['imagenet']['val_accuracy'])} (VAE {_share(start['vae']['val_accuracy'])}; difference "
        f"{_span(accuracy, points)} points); intervals over {over}."
    )
    numbers = {
        "epoch": {arm: float(curves[arm]["epoch"][at[arm]]) for arm in PRIMARY},
        "val_loss_difference": loss,
        "val_accuracy_difference": accuracy,
        **{arm: {k: spread(v) for k, v in start[arm].items()} for arm in PRIMARY},
    }
    return _row("faster_start", told, text, numbers)


def _higher_accuracy(evaluation: Mapping) -> dict:
    rows = {
        row["metric"]: row for row in evaluation["differences"] if (row["a"], row["b"]) == PRIMARY
    }
    balanced, plain = rows["balanced_accuracy"], rows["accuracy"]
    turned = {
        name: {"mean": -row["mean"], "low": -row["high"], "high": -row["low"]}
        if row["mean"] is not None
        else {"mean": None, "low": None, "high": None}
        for name, row in (("balanced", balanced), ("plain", plain))
    }
    text = (
        f"On the test set ImageNet − VAE is {_span(turned['balanced'], points)} points of balanced accuracy and "
        f"{_span(turned['plain'], points)} points of accuracy (the paper: validation accuracy, +10 points)."
    )
    return _row(
        "higher_accuracy",
        answer(sign(turned["balanced"])),
        text,
        {
            "balanced_accuracy_difference": turned["balanced"],
            "accuracy_difference": turned["plain"],
        },
    )


def _smaller_gap(gap_differences: Sequence[Mapping], at_level: Sequence[Mapping]) -> dict:
    found = {
        row["kind"]: row
        for row in gap_differences
        if (row["a"], row["b"]) == PRIMARY and row["at"] == "final"
    }
    told = answer(*(-sign(row) for row in found.values()))
    level = next((row for row in at_level if (row["a"], row["b"]) == PRIMARY), None)
    sides = gap_sides(found, PRIMARY)
    smaller = {"seen": "vae", "opposite": "imagenet"}.get(told)
    survives = survives_matched(smaller, sides, level, PRIMARY)
    text = (
        f"At the final epoch VAE − ImageNet is {_span(found['loss'], signed)} in the loss gap and "
        f"{_span(found['accuracy'], points)} points in the accuracy gap."
    )
    if smaller:
        text += {
            True: " It survives at matched training accuracy.",
            False: " It does not survive at matched training accuracy: consistent with underfitting.",
            None: " Underfitting is not ruled out: no comparison at matched training accuracy.",
        }[survives]
    keys = ("mean", "low", "high")
    return _row(
        "smaller_gap",
        told,
        text,
        {
            "loss_gap_difference": {k: found["loss"][k] for k in keys},
            "accuracy_gap_difference": {k: found["accuracy"][k] for k in keys},
            "survives_matched": survives,
        },
    )


def _steady_improvement(curves: Mapping[str, Curves], over: str) -> dict:
    change = {
        arm: {name: _improvement(curves[arm], name) for name in ("val_loss", "val_accuracy")}
        for arm in PRIMARY
    }
    loss, accuracy = (
        spread(change["vae"][name] - change["imagenet"][name])
        for name in ("val_loss", "val_accuracy")
    )
    told = answer(sign(loss), sign(accuracy))
    rank, rises, steps = steadiness(curves["vae"])
    steady = rank is not None and rank <= STEADY
    if told == "seen" and not steady:
        told = "not seen"
    losses = {arm: points(-change[arm]["val_loss"].mean()) for arm in PRIMARY}
    gains = {arm: points(change[arm]["val_accuracy"].mean()) for arm in PRIMARY}
    text = (
        f"From the first epoch to the last validation loss changes by {losses['vae']} % with the VAE and "
        f"{losses['imagenet']} % with ImageNet (the VAE improves by {_span(loss, points)} points more), validation accuracy by {gains['vae']} % and "
        f"{gains['imagenet']} % ({_span(accuracy, points)} points), relative to the start; intervals over {over}. The VAE's "
        f"loss {'falls steadily' if steady else 'does not fall steadily'}: it rose in {rises} of {steps} "
        f"epochs, rank correlation with the epoch {'–' if rank is None else signed(rank, 2)}."
    )
    return _row(
        "steady_improvement",
        told,
        text,
        {
            "val_loss_improvement_difference": loss,
            "val_accuracy_improvement_difference": accuracy,
            "rank_correlation": rank,
            "epochs_with_a_rise": rises,
            "epochs": steps,
            "steady": steady,
            **{arm: {k: spread(v) for k, v in change[arm].items()} for arm in PRIMARY},
        },
    )


def _improvement(curve: Curves, name: str) -> np.ndarray:
    """Relative improvement (S,) from the first epoch to the last, larger is better."""
    start, final = curve[name][first_epoch(curve["epoch"])], curve[name][-1]
    change = (final - start) / np.maximum(np.abs(start), 1e-12)
    return -change if name.endswith("loss") else change


def steadiness(curve: Curves) -> tuple[float | None, int, int]:
    """Of the seed-mean validation loss from the first epoch on: Spearman's correlation with the epoch (None for
    fewer than three epochs or a loss that never changes), how often it rose, and in how many steps."""
    losses = curve["val_loss"][first_epoch(curve["epoch"]) :].mean(1)
    rises = int((np.diff(losses) > 0).sum())
    if len(losses) < 3 or np.ptp(losses) == 0:
        return None, rises, len(losses) - 1
    return float(spearmanr(np.arange(len(losses)), losses).statistic), rises, len(losses) - 1


def _mean(values: np.ndarray) -> str:
    return f"{np.mean(values):.3f}"


def _share(values: np.ndarray) -> str:
    return f"{100 * np.mean(values):.1f} %".replace("-", "−")


def _span(found: Mapping, write) -> str:
    if found["mean"] is None:
        return "unknown"
    if found["low"] is None:
        return f"{write(found['mean'])} (one seed: no interval)"
    return f"{write(found['mean'])} ({write(found['low'])} to {write(found['high'])})"
