"""Likely label errors: the definition as a slow loop, and labels that were turned on purpose."""

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint

from derm_core.insight.label_errors import ODDS, Judged, label_errors, out_of_fold


def slow(p, labels, classes):
    """Off the diagonal of the confident joint of Northcutt et al. 2021, equation 1, image by image."""
    limits = [np.mean([p[i, j] for i in range(len(p)) if labels[i] == j]) for j in range(classes)]
    confused = {}
    for i in range(len(p)):
        above = [j for j in range(classes) if p[i, j] >= limits[j]]
        if labels[i] < 0 or not above:
            continue
        guess = max(above, key=lambda j: p[i, j])
        if guess != labels[i]:
            confused[i] = guess
    return confused


def test_listed_images_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([0.4] * 4, 300)
    labels = np.where(rng.random(300) < 0.8, p.argmax(1), rng.integers(0, 4, 300))
    labels[:5] = -1
    confused, random = slow(p, labels, 4), rng.random(300)
    listed = {
        i: guess
        for i, guess in confused.items()
        if guess == p[i].argmax() and p[i, guess] >= ODDS * p[i, labels[i]]
    }
    errors = label_errors(Judged(p, random), labels)
    assert dict(
        zip(errors.positions.tolist(), errors.suggestion.tolist(), strict=True)
    ) == listed and 5 < len(listed) < len(confused)
    assert errors.confused == len(confused) and (np.diff(errors.score) <= 0).all()
    wrong = [i for i in range(300) if labels[i] >= 0 and labels[i] != p[i].argmax()]
    assert errors.estimated == pytest.approx(random[wrong].sum(), abs=0.51)


@pytest.mark.parametrize("seed", range(4))
def test_confused_labels_are_cleanlabs_off_diagonals(seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([0.4] * 4, 300)
    labels = np.where(rng.random(300) < 0.8, p.argmax(1), rng.integers(0, 4, 300))
    _, off_diagonal = compute_confident_joint(
        labels, p, calibrate=False, return_indices_of_off_diagonals=True
    )
    errors = label_errors(Judged(p, np.zeros(300)), labels)
    assert errors.confused == len(off_diagonal) > 20
    assert len(errors.positions) > 0 and set(errors.positions) <= set(off_diagonal)


def clouds(apart: float, seed: int = 1, images: int = 1500):
    """Three classes of unequal size in 12 dimensions, `apart` standard deviations from the origin: (space, labels)."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, images, p=[0.7, 0.2, 0.1])
    return (np.eye(12)[truth] * apart + rng.normal(size=(images, 12))).astype(np.float32), truth


def turned(truth: np.ndarray, share: float, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which a share was turned to one of the two other classes, and where."""
    rng = np.random.default_rng(seed)
    at = rng.permutation(len(truth))[: int(share * len(truth))]
    labels = truth.copy()
    labels[at] = (truth[at] + rng.integers(1, 3, len(at))) % 3
    return labels, at


def find(space: np.ndarray, labels: np.ndarray):
    return label_errors(out_of_fold(space, labels, np.arange(len(labels)) // 2, 3, 0), labels)


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_turned_labels_of_classes_apart_are_found_and_counted(share):
    space, truth = clouds(5)
    labels, at = turned(truth, share)
    errors = find(space, labels)
    hits = np.isin(errors.positions, at)
    assert hits.mean() > 0.95 and hits.sum() > 0.6 * len(at)
    assert (errors.suggestion[hits] == truth[errors.positions[hits]]).mean() > 0.95
    assert 0.4 * len(at) < errors.estimated < 1.1 * len(at), "a lower bound"


def test_overlap_of_classes_is_not_listed_as_label_errors():
    """All labels are right, and many images lie nearer to another class."""
    errors = find(*clouds(1.3))
    assert errors.confused > 100, "what confident learning alone would list"
    assert len(errors.positions) < 0.25 * errors.confused and errors.estimated < 20


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_turned_labels_come_first_where_classes_overlap(share):
    space, truth = clouds(2.5)
    labels, at = turned(truth, share)
    errors = find(space, labels)
    first = errors.positions[: len(at) // 2]
    assert len(first) == len(at) // 2 and np.isin(first, at).mean() > 0.6


def test_no_group_is_judged_by_a_classifier_that_has_seen_it():
    """Features that say the group and nothing else: what was seen would be known by heart."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(100), 4)
    labels = rng.integers(0, 2, 100)[groups]
    space = rng.normal(size=(100, 60))[groups].astype(np.float32)
    p = out_of_fold(space, labels, groups, 2, 0).probabilities
    assert (p.argmax(1) == labels).mean() < 0.65


def test_a_class_that_no_image_has_is_never_suggested():
    rng = np.random.default_rng(3)
    labels = rng.choice([0, 2], 200)
    labels[:4] = -1
    judged = out_of_fold(
        rng.normal(size=(200, 5)).astype(np.float32) + 3 * labels[:, None],
        labels,
        np.arange(200),
        4,
        0,
    )
    assert np.isnan(judged.random[:4]).all() and (judged.probabilities[4:, [1, 3]] == 0).all()
    assert set(label_errors(judged, labels).suggestion) <= {0, 2}


def test_nothing_is_said_of_a_class_that_a_single_group_shows():
    """The classifier of its fold has never seen it: no evidence against the label, however sure of another class."""
    space, labels = clouds(5, images=300)
    labels, groups = np.where(np.arange(300) < 4, 3, labels), np.maximum(np.arange(300), 3)
    judged = out_of_fold(space, labels, groups, 4, 0)
    assert np.isnan(judged.random[:4]).all() and np.isfinite(judged.random[4:]).all()
    assert not set(label_errors(judged, labels).positions) & set(range(4))


def test_too_few_labels_say_nothing():
    assert out_of_fold(np.zeros((60, 4), np.float32), np.full(60, -1), np.arange(60), 2, 0) is None
    assert (
        out_of_fold(np.zeros((60, 4), np.float32), np.zeros(60, int), np.arange(60), 2, 0) is None
    )
