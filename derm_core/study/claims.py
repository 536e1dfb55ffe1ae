"""The paper's four claims, each answered for this dataset: seen, not seen, opposite, or not asked.

All of them set `vae` against `imagenet`; where one of the two was not in the study a claim is "not
asked". A comparison supports the side that its 95 % interval shows. Two that belong together (loss
and accuracy) must not contradict each other: one of the intervals must exclude 0, the other must
not contradict it; else nothing is seen.

    faster_start         In the paper ImageNet starts at a validation loss of 0.120 (VAE 0.165) and an accuracy of 63 %
                         (45 %). Here: validation loss and accuracy after the first epoch (at step 0 a head knows
                         nothing whatever its features), paired over seeds.
    higher_accuracy      Paper: validation accuracy 75 % against 65 %. Here: balanced accuracy on the test set, the
                         primary comparison; plain accuracy stands beside it.
    smaller_gap          Paper: gap near 0 against +0.060. Here: loss and accuracy gap at the final epoch; the text
                         says whether it survives at matched training accuracy or is consistent with underfitting.
    steady_improvement   Paper: from start to final the VAE's validation loss falls by 33 % (ImageNet 17 %) and its
                         accuracy rises by 44 % (19 %). Here: the same relative changes from the first epoch to the
                         last, paired over seeds, must be larger for the VAE; and steadily so: Spearman's rank
                         correlation of its seed-mean validation loss with the epoch is −0.9 or below. Opposite:
                         ImageNet's are larger.

Intervals over seeds alone leave out what another validation set would change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from ..formatting import number
from ..stats.evaluation import PRIMARY, Evaluation
from ..stats.gaps import Curves, MatchedPair, first_epoch
from ..stats.intervals import Difference, Interval, seed_interval
from .study_result import Claim
from .verdict import final_gaps, points, smaller, survives_matched

STEADY = -0.9
CLAIMS = {
    "faster_start": "ImageNet starts faster",
    "higher_accuracy": "ImageNet reaches the higher accuracy",
    "smaller_gap": "The VAE has the smaller overfitting gap",
    "steady_improvement": "The VAE improves more, and steadily",
}
VALIDATION = ("val_loss", "val_accuracy")


def claims(
    curves: Mapping[str, Curves],
    evaluation: Evaluation,
    gap_differences: Sequence[Difference],
    matched: Sequence[MatchedPair],
    over: str = "seeds",
) -> list[Claim]:
    """The four claims of the module's docstring.

    Args:
        curves: {arm: learning curves}.
        evaluation: of the test images.
        gap_differences, matched: of every pair of arms.
        over: what the columns of the curves are, "seeds" or "folds".
    """
    missing = [arm for arm in PRIMARY if arm not in curves]
    if missing:
        why = f"Not asked: this study has no arm {' and no arm '.join(missing)}."
        return [_claim(name, "not asked", why, {}) for name in CLAIMS]
    return [
        _faster_start(curves, over),
        _higher_accuracy(evaluation),
        _smaller_gap(gap_differences, matched),
        _steady_improvement(curves, over),
    ]


def _claim(name: str, answer: str, text: str, numbers: dict[str, Any]) -> Claim:
    return Claim(id=name, claim=CLAIMS[name], answer=answer, text=text, numbers=numbers)


def answer(*signs: int) -> str:
    """From what comparisons say of a claim (1 for, −1 against, 0 nothing): seen, opposite or not seen."""
    sides = {sign for sign in signs if sign}
    return "seen" if sides == {1} else "opposite" if sides == {-1} else "not seen"


def _faster_start(curves: Mapping[str, Curves], over: str) -> Claim:
    at = {arm: first_epoch(curves[arm]["epoch"]) for arm in PRIMARY}
    start = {arm: {name: curves[arm][name][at[arm]] for name in VALIDATION} for arm in PRIMARY}
    vae, imagenet = (start[arm] for arm in PRIMARY)
    loss, accuracy = (seed_interval(imagenet[name] - vae[name]) for name in VALIDATION)
    text = (
        f"After the first epoch ImageNet has a validation loss of {np.mean(imagenet['val_loss']):.3f} (VAE "
        f"{np.mean(vae['val_loss']):.3f}; difference {_span(loss, _signed)}) and a validation accuracy of "
        f"{_share(imagenet['val_accuracy'])} (VAE {_share(vae['val_accuracy'])}; difference "
        f"{_span(accuracy, points)} points); intervals over {over}."
    )
    numbers = {
        "epoch": {arm: float(curves[arm]["epoch"][at[arm]]) for arm in PRIMARY},
        "val_loss_difference": loss,
        "val_accuracy_difference": accuracy,
        **{arm: {k: seed_interval(v) for k, v in start[arm].items()} for arm in PRIMARY},
    }
    return _claim("faster_start", answer(-loss.sign, accuracy.sign), text, numbers)


def _higher_accuracy(evaluation: Evaluation) -> Claim:
    turned = []
    for metric in ("balanced_accuracy", "accuracy"):
        row = evaluation.difference(PRIMARY, metric)
        ends = [None if end is None else -end for end in (row.mean, row.high, row.low)]
        turned.append(Interval(mean=ends[0], low=ends[1], high=ends[2]))
    balanced, plain = turned
    text = (
        f"On the test set ImageNet − VAE is {_span(balanced, points)} points of balanced accuracy and "
        f"{_span(plain, points)} points of accuracy (the paper: validation accuracy, +10 points)."
    )
    numbers = {"balanced_accuracy_difference": _ends(balanced), "accuracy_difference": _ends(plain)}
    return _claim("higher_accuracy", answer(balanced.sign), text, numbers)


def _smaller_gap(gap_differences: Sequence[Difference], matched: Sequence[MatchedPair]) -> Claim:
    rows = final_gaps(gap_differences, PRIMARY)
    seen = answer(*(-row.sign for row in rows.values()))
    level = next((pair for pair in matched if (pair.a, pair.b) == PRIMARY), None)
    by_gap = {kind: smaller(row, PRIMARY) for kind, row in rows.items()}
    arm = {"seen": "vae", "opposite": "imagenet"}.get(seen)
    survives = survives_matched(arm, by_gap, level)
    text = (
        f"At the final epoch VAE − ImageNet is {_span(rows['loss'], _signed)} in the loss gap and "
        f"{_span(rows['accuracy'], points)} points in the accuracy gap."
    )
    if arm:
        text += {
            True: " It survives at matched training accuracy.",
            False: " It does not survive at matched training accuracy: consistent with underfitting.",
            None: " Underfitting is not ruled out: no comparison at matched training accuracy.",
        }[survives]
    numbers = {
        "loss_gap_difference": _ends(rows["loss"]),
        "accuracy_gap_difference": _ends(rows["accuracy"]),
        "survives_matched": survives,
    }
    return _claim("smaller_gap", seen, text, numbers)


def _steady_improvement(curves: Mapping[str, Curves], over: str) -> Claim:
    change = {
        arm: {name: _improvement(curves[arm], name) for name in VALIDATION} for arm in PRIMARY
    }
    vae, imagenet = (change[arm] for arm in PRIMARY)
    loss, accuracy = (seed_interval(vae[name] - imagenet[name]) for name in VALIDATION)
    seen = answer(loss.sign, accuracy.sign)
    rank, rises, steps = steadiness(curves["vae"])
    steady = rank is not None and rank <= STEADY
    if seen == "seen" and not steady:
        seen = "not seen"
    losses = [points(-of["val_loss"].mean()) for of in (vae, imagenet)]
    gains = [points(of["val_accuracy"].mean()) for of in (vae, imagenet)]
    text = (
        f"From the first epoch to the last validation loss changes by {losses[0]} % with the VAE and "
        f"{losses[1]} % with ImageNet (the VAE improves by {_span(loss, points)} points more), validation accuracy by "
        f"{gains[0]} % and {gains[1]} % ({_span(accuracy, points)} points), relative to the start; intervals over "
        f"{over}. The VAE's loss {'falls steadily' if steady else 'does not fall steadily'}: it rose in {rises} of "
        f"{steps} epochs, rank correlation with the epoch {number(rank, 2, sign=True)}."
    )
    numbers = {
        "val_loss_improvement_difference": loss,
        "val_accuracy_improvement_difference": accuracy,
        "rank_correlation": rank,
        "epochs_with_a_rise": rises,
        "epochs": steps,
        "steady": steady,
        **{arm: {k: seed_interval(v) for k, v in change[arm].items()} for arm in PRIMARY},
    }
    return _claim("steady_improvement", seen, text, numbers)


def _improvement(curve: Curves, name: str) -> np.ndarray:
    """Relative improvement (S,) from the first epoch to the last, larger is better."""
    start, final = curve[name][first_epoch(curve["epoch"])], curve[name][-1]
    change = (final - start) / np.maximum(np.abs(start), 1e-12)
    return -change if name.endswith("loss") else change


def steadiness(curve: Curves) -> tuple[float | None, int, int]:
    """How steadily the seed-mean validation loss falls from the first epoch on.

    Returns:
        Spearman's rank correlation with the epoch (None for fewer than three epochs or a loss that
        never changes), how often the loss rose, and in how many steps.
    """
    losses = curve["val_loss"][first_epoch(curve["epoch"]) :].mean(1)
    rises = int((np.diff(losses) > 0).sum())
    if len(losses) < 3 or np.ptp(losses) == 0:
        return None, rises, len(losses) - 1
    return float(spearmanr(np.arange(len(losses)), losses).statistic), rises, len(losses) - 1


def _ends(interval: Interval) -> dict[str, float | None]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _signed(value: float | None) -> str:
    return number(value, sign=True)


def _share(values: np.ndarray) -> str:
    return f"{number(100 * np.mean(values), 1)} %"


def _span(interval: Interval, write: Callable[[float | None], str]) -> str:
    if interval.mean is None:
        return "unknown"
    if interval.low is None:
        return f"{write(interval.mean)} (one seed: no interval)"
    return f"{write(interval.mean)} ({write(interval.low)} to {write(interval.high)})"
