"""Does it hold elsewhere: the differences of one protocol's studies on several datasets, pooled.

A dataset enters once: two studies of the same images are no two witnesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ..data.known_datasets import share_an_archive
from ..stats.intervals import Difference
from ..stats.meta import Pooled, random_effects
from ..stats.paired import Pair
from .conclusions import row_of
from .families import METRIC
from .study_result import DatasetSummary, StudyResult


@dataclass(frozen=True)
class PooledDifference:
    """A difference a − b in balanced accuracy, of each dataset and of all together.

    Args:
        pair: (a, b).
        by_dataset: {name of the dataset: its difference}.
        pooled: of all; None of a single dataset.
    """

    pair: Pair
    by_dataset: dict[str, Difference]
    pooled: Pooled | None


@dataclass(frozen=True)
class PooledStudies:
    """Studies of one protocol on several datasets.

    Args:
        studies: one a dataset, the one that was asked about first.
        left_out: {dataset: ids of further studies of it}, which are not pooled.
        differences: the primary one, and both extractors side by side against the opponent.
        related: pairs of datasets that come from one archive.
    """

    studies: tuple[StudyResult, ...]
    left_out: dict[str, tuple[str, ...]]
    differences: tuple[PooledDifference, ...]
    related: tuple[tuple[str, str], ...]


def pool_studies(study: StudyResult, others: Sequence[StudyResult]) -> PooledStudies | None:
    """The study with those of the same protocol on other datasets; None where there is none.

    Of several studies of another dataset one in folds is preferred, then the first.

    Args:
        study: the one that is asked about.
        others: all there are, the preferred first.
    """
    pair = study.verdict.pair
    if study.kind != "study" or not pair:
        return None
    alike = [
        other
        for other in others
        if other.run_id != study.run_id and _protocol(other) == _protocol(study)
    ]
    alike.sort(key=lambda other: not other.split.folds)
    taken, left_out = [study], dict[str, tuple[str, ...]]()
    for other in alike:
        same = [one for one in taken if _same_images(one.dataset, other.dataset)]
        if not same:
            taken.append(other)
        elif other.config.get("fold") is None:  # the folds of a comparison are part of it
            name = same[0].dataset.name
            left_out[name] = (*left_out.get(name, ()), other.run_id)
    if len(taken) < 2 and not left_out:
        return None
    leading = [pair[0], *(["both"] if "both" not in pair else [])]
    differences = [row for arm in leading if (row := _difference(arm, taken)) is not None]
    return PooledStudies(
        tuple(taken),
        left_out,
        tuple(differences),
        tuple(
            (one.dataset.name, other.dataset.name)
            for one, other in combinations(taken, 2)
            if share_an_archive(_name(one.dataset), _name(other.dataset))
        ),
    )


def _protocol(study: StudyResult) -> tuple[Any, ...]:
    """What studies have in common that are pooled: arms, recipe, primary test, network, input size, regime, task."""
    config, pair = study.config, study.verdict.pair or ()
    settings = ("backbone", "input_size", "regime", "pooling", "loss")
    return (
        study.kind,
        sorted(config.get("arms") or study.arms),
        [arm.partition("@")[0] for arm in pair],  # validation may choose other input sizes
        study.arms["vae"].label if "vae" in study.arms else "",  # which names its recipe
        study.labels.get("kind", "classes"),
        [config.get(name) for name in settings],
    )


def _name(dataset: DatasetSummary) -> str:
    return dataset.known_as or dataset.name


def _same_images(one: DatasetSummary, other: DatasetSummary) -> bool:
    return (
        _name(one) == _name(other) or one.name == other.name or one.fingerprint == other.fingerprint
    )


def _difference(arm: str, studies: Sequence[StudyResult]) -> PooledDifference | None:
    """An arm less each study's opponent, of all studies that have it with a standard error."""
    rows = {one.dataset.name: row for one in studies if (row := _to_opponent(one, arm))}
    if not rows:
        return None
    pair = (arm, next(iter(rows.values())).b)
    means = [row.mean for row in rows.values() if row.mean is not None]
    errors = [row.se for row in rows.values() if row.se is not None]
    pooled = random_effects(means, errors) if len(rows) > 1 else None
    return PooledDifference(pair, rows, pooled)


def _to_opponent(study: StudyResult, arm: str) -> Difference | None:
    """The arm less the opponent of the primary test, whichever way round the study has it."""
    pair = (arm, (study.verdict.pair or ("", ""))[1])
    row = row_of(study.differences, pair, metric=METRIC)
    return row if row and row.se else None
