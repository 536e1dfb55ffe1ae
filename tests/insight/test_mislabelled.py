"""Confident learning: the definition as a slow loop, and labels that were turned on purpose."""

import numpy as np
import pytest

from derm_core.insight.mislabelled import label_errors, out_of_fold


def slow(p, labels, classes):
    """The confident joint of Northcutt et al. 2021, equation 1, image by image."""
    limits = [np.mean([p[i, j] for i in range(len(p)) if labels[i] == j]) for j in range(classes)]
    joint, doubted = np.zeros((classes, classes)), {}
    for i in range(len(p)):
        above = [j for j in range(classes) if p[i, j] >= limits[j]]
        if labels[i] < 0 or not above:
            continue
        guess = max(above, key=lambda j: p[i, j])
        joint[labels[i], guess] += 1
        if guess != labels[i]:
            doubted[i] = guess
    calibrated = joint / joint.sum(1, keepdims=True) * np.bincount(labels[labels >= 0])[:, None]
    return doubted, calibrated.sum() - np.trace(calibrated)


def test_doubted_images_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([0.6] * 4, 300)
    labels = np.where(rng.random(300) < 0.8, p.argmax(1), rng.integers(0, 4, 300))
    labels[:5] = -1
    doubted, estimated = slow(p, labels, 4)
    found = label_errors(p, labels)
    assert dict(zip(found.positions.tolist(), found.suggestion.tolist(), strict=True)) == doubted
    assert found.estimated == pytest.approx(estimated, abs=0.51) and (np.diff(found.score) <= 0).all()


def test_turned_labels_are_found_first():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 600)
    space = np.eye(12)[truth] * 4 + rng.normal(size=(600, 12))
    turned = rng.permutation(600)[:30]
    labels = truth.copy()
    labels[turned] = (truth[turned] + 1) % 3
    found = label_errors(out_of_fold(space.astype(np.float32), labels, np.arange(600) // 2, 3, 0), labels)
    hits = np.isin(found.positions, turned)
    assert hits[:20].all() and hits.sum() >= 20
    assert (found.suggestion[hits] == truth[found.positions[hits]]).mean() > 0.95
    assert 15 <= found.estimated <= 45


def test_no_group_is_judged_by_a_classifier_that_has_seen_it():
    """Features that say the group and nothing else: what was seen would be known by heart."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(100), 4)
    labels = rng.integers(0, 2, 100)[groups]
    space = rng.normal(size=(100, 60))[groups].astype(np.float32)
    p = out_of_fold(space, labels, groups, 2, 0)
    assert (p.argmax(1) == labels).mean() < 0.65


def test_too_few_labels_say_nothing():
    assert out_of_fold(np.zeros((60, 4), np.float32), np.full(60, -1), np.arange(60), 2, 0) is None
    assert out_of_fold(np.zeros((60, 4), np.float32), np.zeros(60, int), np.arange(60), 2, 0) is None
