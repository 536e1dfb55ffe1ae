"""Likely label errors by confident learning (Northcutt, Jiang and Chuang 2021, arXiv 1911.00068).

    probabilities = out_of_fold(space, labels, groups, classes, seed)
    found = label_errors(probabilities, labels) -> LabelErrors

A label is doubted where a plain classifier that has seen neither the image nor its group is at least as sure of another
class as it is, on average, of that class's own images. What the features cannot tell apart is doubted as well: this is
a list to look through, not a list of errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..seeds import stream_seed

FOLDS = 5
AXES = 64            # principal axes that the classifier sees
LEAST_LABELLED = 50
ITERATIONS = 100


@dataclass(frozen=True)
class LabelErrors:
    """positions (m,): of doubted images, the most doubtful first; suggestion (m,): class indices; score (m,): the
    probability of the suggestion less that of the label; estimated: how many errors the joint distribution implies."""

    positions: np.ndarray
    suggestion: np.ndarray
    score: np.ndarray
    estimated: int


def out_of_fold(space_nd: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int, seed: int) -> np.ndarray | None:
    """(n, classes) probabilities by logistic regression on the first principal axes, from folds of whole groups.

    NaN for images without a label; None where fewer than 50 are labelled, or a fold's training images show one class.
    """
    from sklearn.linear_model import LogisticRegression

    from ..data.splits import fold_split
    known = np.flatnonzero(labels >= 0)
    if len(known) < LEAST_LABELLED or len(np.unique(groups[known])) < FOLDS:
        return None
    axes = _leading_axes(space_nd, min(AXES, len(known) // 4))
    probabilities = np.full((len(labels), classes), np.nan)
    for fold in range(1, FOLDS + 1):
        held_out = fold_split(labels[known], groups[known], stream_seed(seed, "label errors"), FOLDS, fold) == 2
        train, test = known[~held_out], known[held_out]
        if len(np.unique(labels[train])) < 2:
            return None
        model = LogisticRegression(max_iter=ITERATIONS, C=0.1).fit(axes[train], labels[train])
        probabilities[test] = 0
        probabilities[np.ix_(test, model.classes_)] = model.predict_proba(axes[test])
    return probabilities


def _leading_axes(space_nd: np.ndarray, count: int) -> np.ndarray:
    """(n, ≤ count) coordinates on the first principal axes, each scaled by the first's standard deviation."""
    centred = (space_nd - space_nd.mean(0)).astype(np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    return centred @ vectors[:, ::-1][:, :count] / np.sqrt(max(values[-1], 1e-12))


def label_errors(probabilities_nc: np.ndarray, labels: np.ndarray) -> LabelErrors:
    """Images off the diagonal of the confident joint (section 3.1 of the paper); rows of NaN and labels of -1 are left out.

    An image of label i counts for j where p(j) is at least the mean p(j) over images labelled j, the most probable such j.
    `estimated` is the calibrated joint's share off the diagonal, in images.
    """
    known = np.flatnonzero((labels >= 0) & np.isfinite(probabilities_nc).all(1))
    p, given, classes = probabilities_nc[known], labels[known], probabilities_nc.shape[1]
    counts = np.bincount(given, minlength=classes)
    own = np.bincount(given, weights=p[np.arange(len(p)), given], minlength=classes)
    limits = np.where(counts > 0, own / np.maximum(counts, 1), np.inf)
    confident = np.where(p >= limits, p, -1)
    guess = confident.argmax(1)
    counted = confident.max(1) >= 0
    joint = np.zeros((classes, classes))
    np.add.at(joint, (given[counted], guess[counted]), 1)
    share = joint / np.maximum(joint.sum(1, keepdims=True), 1) * counts[:, None]
    doubted = np.flatnonzero(counted & (guess != given))
    score = p[doubted, guess[doubted]] - p[doubted, given[doubted]]
    order = np.argsort(-score, kind="stable")
    return LabelErrors(known[doubted[order]], guess[doubted[order]], score[order],
                       int(round(share.sum() - np.trace(share))))
