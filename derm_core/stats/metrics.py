"""Classification metrics on arrays of class probabilities: balanced accuracy, AUROC, log loss, Brier, ECE, confusion.

Every function takes any number of leading axes. Shapes: N images, C classes; labels (N,) are
indices into the classes, decisions (..., N), probabilities (..., N, C) plain softmax. A class
without images in the set at hand stays predictable (a decision for it is an error), has recall NaN
and AUROC NaN, and is left out of macro averages.
"""

from __future__ import annotations

import numpy as np

METRICS = ("balanced_accuracy", "macro_auroc", "accuracy", "log_loss", "brier", "ece")
TINY = 1e-12
# of what a metric's key stands for, among the versions of a result; without it "ece" is a mean absolute error,
# not below 0, with 0.6 of its bias left
ESTIMATORS = {"estimator of the calibration error": "2"}


def log_prior(labels: np.ndarray, classes: int) -> np.ndarray:
    """Log class prior (C,): the log shares of the training labels.

    A class that training never saw has +inf, which makes its prior-adjusted score −inf: it is never
    decided for.
    """
    counts = np.bincount(np.asarray(labels), minlength=classes).astype(np.float64)
    with np.errstate(divide="ignore"):
        shares = np.log(counts / counts.sum())
    return np.where(counts > 0, shares, np.inf)


def decide(probabilities: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    """Prior-adjusted decision argmax_c(log p_c − log π_c), which maximises balanced accuracy.

    Menon et al. 2021, "Long-tail learning via logit adjustment", arXiv 2007.07314.

    Args:
        probabilities: (..., N, C), 0 to 1; a probability of 0 counts as the smallest positive
            number of its type.
        log_prior: (C,) log shares of the training labels, or (N, C), one row an image.

    Returns:
        Class indices (..., N).
    """
    p = np.asarray(probabilities)
    floor = np.finfo(p.dtype if p.dtype.kind == "f" else np.float64).tiny
    decisions: np.ndarray = (np.log(np.maximum(p, floor)) - log_prior).argmax(-1)
    return decisions


def recall(labels: np.ndarray, decisions: np.ndarray, classes: int) -> np.ndarray:
    """Share of each class's images that were decided for it: (..., C), NaN without images."""
    onehot = np.eye(classes)[labels]
    hits = (np.asarray(decisions) == labels).astype(np.float64) @ onehot
    counts = onehot.sum(0)
    return np.where(counts > 0, hits / np.maximum(counts, 1), np.nan)


def balanced_accuracy(labels: np.ndarray, decisions: np.ndarray, classes: int) -> np.ndarray:
    """Mean recall over the classes that have images."""
    return np.nanmean(recall(labels, decisions, classes), axis=-1)


def accuracy(labels: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """Share of correct decisions; of the plain argmax where it stands beside the paper's."""
    return (np.asarray(decisions) == labels).mean(-1)


def mid_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis from 1, the mean rank where values are equal; NaN where one of the row is."""
    first, last = _ties(values)
    unknown = np.isnan(values).any(-1, keepdims=True)
    return np.where(unknown, np.nan, (first + last) / 2 + 1)


def _ties(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last place (from 0, in ascending order) of the values that equal each one; last axis."""
    values = np.asarray(values)
    order, n = values.argsort(-1), values.shape[-1]
    ascending = np.take_along_axis(values, order, -1)
    new = np.ones(values.shape, bool)
    new[..., 1:] = ascending[..., 1:] != ascending[..., :-1]
    places = np.arange(n)
    first = np.maximum.accumulate(np.where(new, places, 0), -1)
    ends = np.roll(new, -1, -1)  # where the next value is another one
    last = np.minimum.accumulate(np.where(ends, places, n)[..., ::-1], -1)[..., ::-1]
    back = order.argsort(-1)
    return np.take_along_axis(first, back, -1), np.take_along_axis(last, back, -1)


def macro_auroc(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Macro AUROC: area under the ROC curve, each class against the rest, mean over classes; from mid-ranks.

    Mann-Whitney: AUC = (ranks of the positives − n₊(n₊+1)/2) / (n₊n₋), ties count one half.
    """
    onehot = np.eye(scores.shape[-1])[labels]
    positives = onehot.sum(0)
    negatives = len(labels) - positives
    ranks = (mid_ranks(scores.swapaxes(-1, -2)).swapaxes(-1, -2) * onehot).sum(-2)
    pairs = positives * negatives
    areas = (ranks - positives * (positives + 1) / 2) / np.maximum(pairs, 1)
    usable = pairs > 0
    return areas[..., usable].mean(-1) if usable.any() else np.full(scores.shape[:-2], np.nan)


def _true_probability(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return np.maximum(probabilities[..., np.arange(len(labels)), labels], TINY)


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of each image in nats (..., N); probabilities floored at 1e-12."""
    return -np.log(_true_probability(labels, probabilities))


def focal_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Focal loss of each image, gamma 2 (Lin et al. 2017): −(1 − p)² log p, (..., N)."""
    likely = _true_probability(labels, probabilities)
    return -((1 - likely) ** 2) * np.log(likely)


def brier_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Brier score of each image (Brier 1950): Σ_c (p_c − y_c)², 0 to 2, (..., N)."""
    onehot = np.eye(probabilities.shape[-1])[labels]
    return ((probabilities - onehot) ** 2).sum(-1)


LOSSES = {"cross_entropy": log_losses, "focal": focal_losses, "brier": brier_losses}


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Mean negative log-likelihood in nats."""
    return log_losses(labels, probabilities).mean(-1)


def brier(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Mean Brier score, summed over classes."""
    return brier_losses(labels, probabilities).mean(-1)


def confidence_bins(confidence: np.ndarray, bins: int = 15) -> np.ndarray:
    """Equal-mass bin (..., N) of each image, by the rank of its confidence (..., N).

    Equal confidences share a bin: else the order of the images would divide them.
    """
    n = confidence.shape[-1]
    rank, _ = _ties(confidence)
    return rank * min(bins, max(n // 2, 1)) // n


def debiased_bins(
    mass: np.ndarray, miss: np.ndarray, mass_squared: np.ndarray, miss_squared: np.ndarray
) -> np.ndarray:
    """Debiased root-mean-square calibration error from the sums of each bin, its sign that of the mean square.

    The square of a bin's error, (mean miss)², is estimated from pairs of different images alone,
    Σ_{i≠j} w_i w_j r_i r_j / Σ_{i≠j} w_i w_j with the miss r = confidence − correct: the square of
    each image's own miss is what noise adds. A calibrated model therefore has 0 in expectation before
    the root, and single values lie below 0 as often as above; −√ of what is below 0. This is the
    debiased estimate of Kumar, Liang and Ma 2019 (arXiv 1909.10155, section 5), also under weights. The
    mean absolute error has no such estimate: with 800 images every one that is near 0 where it ought to
    be is 40 % too small at a true 0.05. Images count as independent.

    Args:
        mass, miss: (..., B) sums of w and of w · r.
        mass_squared, miss_squared: (..., B) sums of w² and of w² · r².
    """
    pairs = mass**2 - mass_squared
    squares = np.where(pairs > TINY, miss**2 - miss_squared, 0) / np.maximum(pairs, TINY)
    mean_square = (mass * squares).sum(-1) / mass.sum(-1)
    error: np.ndarray = np.sign(mean_square) * np.sqrt(np.abs(mean_square))
    return error


def ece(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> np.ndarray:
    """Debiased root-mean-square calibration error of the top label over equal-mass bins, −1 to 1.

    About 0, also below it, for a calibrated model. The key "ece" is older than the estimator:
    results whose `versions` lack ESTIMATORS have a mean absolute error that is not below 0.
    """
    confidence = probabilities.max(-1)
    miss = confidence - (probabilities.argmax(-1) == labels)
    onehot = np.eye(bins)[confidence_bins(confidence, bins)]
    mass = onehot.sum(-2)
    sums = [(onehot * power[..., None]).sum(-2) for power in (miss, miss**2)]
    return debiased_bins(mass, sums[0], mass, sums[1])


def confusion(labels: np.ndarray, decisions: np.ndarray, classes: int) -> np.ndarray:
    """Counts (..., C, C): rows are the truth, columns the decision."""
    onehot = np.eye(classes, dtype=np.int64)
    return np.einsum("ni,...nj->...ij", onehot[labels], onehot[decisions], optimize=True)


def all_metrics(
    labels: np.ndarray, probabilities: np.ndarray, log_prior: np.ndarray
) -> dict[str, np.ndarray]:
    """The six metrics of METRICS for plain softmax probabilities (..., N, C): {name: (...)}.

    Balanced accuracy is that of prior-adjusted decisions, accuracy that of the most probable class.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    adjusted = decide(probabilities, log_prior)
    return {
        "balanced_accuracy": balanced_accuracy(labels, adjusted, probabilities.shape[-1]),
        "macro_auroc": macro_auroc(labels, probabilities),
        "accuracy": accuracy(labels, probabilities.argmax(-1)),
        "log_loss": log_loss(labels, probabilities),
        "brier": brier(labels, probabilities),
        "ece": ece(labels, probabilities),
    }
