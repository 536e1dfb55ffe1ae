"""Test images by age, sex, site, skin type and what else the manifest knows, with tests of each subgroup.

A subgroup is tested against the rest in two ways: whether an arm's balanced accuracy differs, and
whether the difference between an arm and the opponent does (an interaction). Both sides are compared
over the classes that both have, in LEAST_GROUPS groups at least (and in every fold): otherwise a
subgroup with more rare classes would look worse for these alone. Both sides are resampled together.

Holm's correction is weighted: the tests of one attribute of one arm share the weight of one test, so
that an attribute with many values takes no more of the 5 % than one with two. Balanced accuracy and
its interactions are two families.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Sequence

import numpy as np

from ..data.audit import MISSING, OTHER, categorise
from ..data.manifest import Dataset
from ..events import TICK, Event, progress
from ..stats.image_means import image_means
from ..stats.intervals import FEW_GROUPS, t_test_p
from ..stats.metrics import decide
from ..stats.multiple_tests import holm
from ..stats.paired import Estimate, average
from .answers import Subgroup, Subgroups
from .clinical_answers import SubgroupTest
from .tested_images import TestedImages

METRICS = ("balanced_accuracy", "accuracy")
LEAST_GROUPS = 5  # of a class on either side of a test
NOTE = (
    "Balanced accuracy is the mean recall over the classes that a subgroup has: subgroups with other "
    f"classes are not alike in difficulty. Below {FEW_GROUPS} groups a number stands with a caution and is not "
    "tested. Tests compare a subgroup with the other subgroups of its attribute over the classes that both sides have "
    f"in {LEAST_GROUPS} groups or more; p values are corrected over subgroups, attributes and arms (Holm), for "
    "balanced accuracy and for the difference to the arm they are compared with, each by itself."
)


def subgroups(
    test: TestedImages, dataset: Dataset, rows: np.ndarray
) -> Generator[Event, None, list[Subgroups]]:
    """Every arm in every subgroup of every attribute; numbers with many values are banded.

    Args:
        test: images, decisions of which are prior-adjusted.
        dataset: whose manifest has the attributes.
        rows: (n,) of the manifest, one a test image.
    """
    entries, started, count = [], time.monotonic(), len(dataset.attributes)
    decisions = {arm: decide(p, test.log_prior) for arm, p in test.probabilities.items()}
    correct = {arm: decided == test.labels for arm, decided in decisions.items()}
    for place, attribute in enumerate(dataset.attributes):
        texts, order = categorise(dataset.frame[attribute])
        values = texts.to_numpy()[rows]
        present = [value for value in order if (values == value).any()]
        yield progress(place, count, "attributes", what="Subgroups", started=started)
        if len(set(present) - {MISSING}) < 2 or np.mean(values == OTHER) > 0.5:
            continue  # one group alone, or a name rather than a group
        parts = []
        for value in present:
            parts.append(_subgroup(test, value, values == value))
            yield TICK
        tests = yield from _tests(test, correct, values, parts)
        lowest = {arm: lowest_subgroup(parts, arm) for arm in test.probabilities}
        entries.append(
            Subgroups(attribute=attribute, values=tuple(parts), worst=lowest, tests=tuple(tests))
        )
    return corrected(entries)


def _subgroup(test: TestedImages, value: str, images: np.ndarray) -> Subgroup:
    measured = test.evaluate(test.probabilities, images)
    count = len(np.unique(test.groups[images]))
    return Subgroup(
        value=value,
        images=int(images.sum()),
        groups=count,
        classes=len(np.unique(test.labels[images])),
        caution=count < FEW_GROUPS,
        arms={
            arm: {metric: measured.arms[arm][metric] for metric in METRICS}
            for arm in test.probabilities
        },
    )


def lowest_subgroup(
    parts: Sequence[Subgroup], arm: str, metric: str = "balanced_accuracy"
) -> str | None:
    """The value with the lowest estimate among those that are comparable; None with fewer than two."""
    means = {row.value: row.arms[arm][metric].mean or 0.0 for row in parts if row.comparable}
    return min(means, key=lambda value: means[value]) if len(means) > 1 else None


def _tests(
    test: TestedImages,
    correct: dict[str, np.ndarray],
    values: np.ndarray,
    parts: Sequence[Subgroup],
) -> Generator[Event, None, list[SubgroupTest]]:
    """Each subgroup against the rest, not yet corrected; of two subgroups the first alone, which is the same test."""
    names = [row.value for row in parts if row.comparable]
    tested = names[:1] if len(names) == 2 else names if len(names) > 2 else []
    rest_of = np.isin(values, names)
    rows = []
    for value in tested:
        sides = (values == value, rest_of & (values != value))
        classes = _shared_classes(test, *sides)
        if len(classes) < 2:
            continue
        changes = {arm: _change(test, of, sides, classes) for arm, of in correct.items()}
        yield TICK
        other = test.opponent
        pairs = [(arm, None) for arm in changes] + [
            (arm, other) for arm in changes if other and arm != other
        ]
        for arm, opponent in pairs:
            change = changes[arm] - changes[opponent] if opponent else changes[arm]
            interval = change.interval()
            rows.append(
                SubgroupTest(
                    value=value,
                    arm=arm,
                    opponent=opponent,
                    classes=len(classes),
                    change=interval,
                    p=t_test_p(interval),
                    p_holm=None,
                )
            )
    return rows


def _shared_classes(test: TestedImages, side: np.ndarray, rest: np.ndarray) -> list[int]:
    """Classes that both sides have in LEAST_GROUPS groups or more, and in every fold."""
    folds = np.zeros(len(test.labels)) if test.folds is None else test.folds
    everywhere = len(np.unique(folds))

    def enough(images: np.ndarray) -> bool:
        groups, of = np.unique(test.groups[images]), np.unique(folds[images])
        return len(groups) >= LEAST_GROUPS and len(of) == everywhere

    return [
        c
        for c in range(len(test.classes))
        if all(enough(images & (test.labels == c)) for images in (side, rest))
    ]


def _change(
    test: TestedImages,
    correct: np.ndarray,
    sides: tuple[np.ndarray, np.ndarray],
    classes: Sequence[int],
) -> Estimate:
    """Balanced accuracy over `classes` of the first side less that of the second; correct: (S, n)."""
    among = np.stack([side & (test.labels == c) for side in sides for c in classes], 1)
    recalls = image_means(test.resamples, correct[..., None], among, test.folds)
    return average(recalls[: len(classes)]) - average(recalls[len(classes) :])


def corrected(entries: Sequence[Subgroups]) -> list[Subgroups]:
    """The subgroups with `p_holm` of their tests, over all attributes and arms."""
    tests = [(place, row) for place, entry in enumerate(entries) for row in entry.tests]
    adjusted: dict[int, float] = {}
    for interaction in (False, True):
        family = [
            (place, row)
            for place, row in tests
            if (row.opponent is not None) == interaction and row.p is not None
        ]
        keys = [(place, row.arm) for place, row in family]
        weights = [1 / keys.count(key) for key in keys]
        p_values = holm([row.p or 0.0 for _, row in family], weights)
        adjusted |= {id(row): float(p) for (_, row), p in zip(family, p_values, strict=True)}
    return [
        dataclasses.replace(
            entry,
            tests=tuple(
                dataclasses.replace(row, p_holm=adjusted.get(id(row))) for row in entry.tests
            ),
        )
        for entry in entries
    ]
