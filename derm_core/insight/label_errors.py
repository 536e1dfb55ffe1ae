"""Likely label errors: confident learning on probabilities that allow for labels given at random.

    judged = out_of_fold(space, labels, groups, classes, seed)   by classifiers trained without image and group
    errors = label_errors(judged, labels)

Confident learning (Northcutt, Jiang and Chuang 2021, arXiv 1911.00068) doubts a label where another
class is at least as probable as it is, on average, for that class's own images. That holds where
the features tell the classes apart. Where they overlap it counts the overlap: on HAM10000 1,500 to
2,000 images, which no one would call mislabelled. So an image is listed only where that other class
is the likeliest of all and 30 times as probable as the label.

Wrong labels would teach the classifier to expect them. It is therefore the clean part of a mixture:
a label is what the features say, or with a small probability drawn at random from all classes (as
the noise layer of Sukhbaatar et al. 2015, arXiv 1406.2080, fitted by EM). That share, the smallest
that explains the most improbable labels, estimates how many are wrong in a way that no overlap of
classes explains. Errors between classes that look alike stay unseen.

HAM10000 at 64 px (ResNet-18; VAE, ImageNet): 100 and 141 listed, none estimated. With 2 % of its
labels changed to another class 176 and 226 are listed, of which 51 and 44 % had been changed: 45
and 50 % of all changed. With 5 %: 269 and 368, of which 80 and 70 %: 43 and 52 % of all. Labels
changed to a look-alike class (5 %) are listed to 20 and 25 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import ThreadpoolController

from ..data.splits import SPLITS, fold_split
from ..seeds import stream_seed

FOLDS = 5
AXES = 64  # principal axes that the classifier sees
LEAST_LABELLED = 50
ITERATIONS = 60
ROUNDS, SHARE_ROUNDS = 8, 5  # of EM; of the share alone between two fits
FIRST_SHARE = 0.2
ODDS = 30.0


@dataclass(frozen=True)
class Judged:
    """What classifiers think of labels; NaN for images without a label.

    Attributes:
        probabilities: (n, classes) of the classes by the features.
        random: (n,) probability that the label was drawn at random.
    """

    probabilities: np.ndarray
    random: np.ndarray


@dataclass(frozen=True)
class LabelErrors:
    """Labels to look at again, the most doubtful first.

    Attributes:
        positions: (m,) of the listed images.
        suggestion: (m,) class indices.
        score: (m,) logarithm of how many times as probable the suggestion is.
        confused: how many images lie off the diagonal of confident learning's joint.
        estimated: how many labels, at least, were given at random and wrong.
    """

    positions: np.ndarray
    suggestion: np.ndarray
    score: np.ndarray
    confused: int
    estimated: int


def out_of_fold(
    space_nd: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int, seed: int
) -> Judged | None:
    """Judge each labelled image by a logistic regression on the first principal axes.

    Args:
        space_nd: standardised features.
        labels: (n,) class indices, -1 without a label.
        groups: (n,) group codes; folds hold whole groups.
        classes: their number.
        seed: of the folds.

    Returns:
        None where fewer than 50 images are labelled, or a fold's training images show one class.
    """
    known = np.flatnonzero(labels >= 0)
    if len(known) < LEAST_LABELLED or len(np.unique(groups[known])) < FOLDS:
        return None
    axes = _leading_axes(space_nd, min(AXES, len(known) // 4))
    probabilities, random = np.full((len(labels), classes), np.nan), np.full(len(labels), np.nan)
    fold_seed, is_test = stream_seed(seed, "label errors"), SPLITS.index("test")
    for fold in range(1, FOLDS + 1):
        split = fold_split(labels[known], groups[known], fold_seed, FOLDS, fold)
        train, test = known[split != is_test], known[split == is_test]
        if len(np.unique(labels[train])) < 2:
            return None
        with ThreadpoolController().limit(
            limits=1
        ):  # of so few columns; two would wait for each other
            model, share = _mixture(axes[train], labels[train], classes)
        # Of a class that the other folds lack nothing can be said.
        test = test[np.isin(labels[test], model.classes_)]
        probabilities[test] = 0
        probabilities[np.ix_(test, model.classes_)] = model.predict_proba(axes[test])
        random[test] = _drawn(probabilities[test, labels[test]], share, classes)
    return Judged(probabilities, random)


def _mixture(
    axes_nd: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[LogisticRegression, float]:
    """The classifier and the share of labels drawn at random, by EM; each fit starts from the last."""
    model = LogisticRegression(max_iter=ITERATIONS, C=1.0, tol=1e-3, warm_start=True)
    weights, share = np.ones(len(labels)), FIRST_SHARE
    rows = np.arange(len(labels))
    for _ in range(ROUNDS):
        model.fit(axes_nd, labels, sample_weight=weights)
        own = model.predict_proba(axes_nd)[rows, np.searchsorted(model.classes_, labels)]
        for _ in range(SHARE_ROUNDS):
            weights = 1 - _drawn(own, share, classes)
            share = max(1 - weights.mean(), 1e-6)
    return model, share


def _drawn(own: np.ndarray, share: float, classes: int) -> np.ndarray:
    """Probability that a label was drawn at random, where the features give it the probability `own`."""
    return share / classes / ((1 - share) * own + share / classes)


def _leading_axes(space_nd: np.ndarray, count: int) -> np.ndarray:
    """(n, ≤ count) coordinates on the first principal axes, each scaled by the first's standard deviation."""
    centred = (space_nd - space_nd.mean(0)).astype(np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    return centred @ vectors[:, ::-1][:, :count] / np.sqrt(max(values[-1], 1e-12))


def label_errors(judged: Judged, labels: np.ndarray) -> LabelErrors:
    """Which labels to look at again; images without a label or a judgement are left out.

    An image of label i lies at j of the confident joint (section 3.1 of the paper) where p(j) is at
    least the mean p(j) over images labelled j, the most probable such j; cleanlab counts the same
    joint. It is listed where j is not i, the likeliest of all classes, and p(j) is at least 30
    times p(i). The lists of cleanlab are longer, since it does not allow for classes that overlap.
    """
    known = np.flatnonzero((labels >= 0) & np.isfinite(judged.random))
    p, given, classes = judged.probabilities[known], labels[known], judged.probabilities.shape[1]
    own, counts = p[np.arange(len(p)), given], np.bincount(given, minlength=classes)
    means = np.bincount(given, weights=own, minlength=classes) / np.maximum(counts, 1)
    limits = np.where(counts > 0, means, np.inf)
    confident = np.where(p >= limits, p, -1)
    guess = confident.argmax(1)
    confused = (confident.max(1) >= 0) & (guess != given)
    score = np.log(np.maximum(p[np.arange(len(p)), guess], 1e-12) / np.maximum(own, 1e-12))
    listed = np.flatnonzero(confused & (guess == p.argmax(1)) & (score >= np.log(ODDS)))
    order = listed[np.argsort(-score[listed], kind="stable")]
    return LabelErrors(
        known[order],
        guess[order],
        score[order],
        int(confused.sum()),
        round(float(judged.random[known][p.argmax(1) != given].sum())),
    )
