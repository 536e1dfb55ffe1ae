"""Does it hold on another camera? A study's finished models on further labelled datasets, through a class map.

Nothing is trained or chosen on them. Images that show what the study learnt from are left out and
counted. A class that a set lacks stays predictable: deciding for it is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..data.classmaps import ClassMap, class_map
from ..data.manifest import Dataset
from ..data.on_demand import open_images
from ..data.overlap import describe_overlap, overlap
from ..errors import DataError
from ..events import Event, log
from ..records import to_json
from ..stats.evaluation import evaluate
from ..stats.intervals import Difference
from ..stats.metrics import METRICS, confusion, decide
from ..stats.multiple_tests import holm, with_holm
from ..stats.paired import Scorer, arm_pairs, independent_difference
from .predictors import Predictors
from .questions import TrainedStudy
from .verdict import choose_pair


@dataclass(frozen=True)
class TestSet:
    """What of a dataset is tested: rows (n,) of its manifest, labels (n,) in the models' classes, groups (n,) codes;
    left_out: {their class: images} without a counterpart; leak: {reason: images} that the models have learnt from."""

    __test__ = False  # a name pytest would collect

    rows: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    grouped: bool
    map: ClassMap
    left_out: dict[str, int]
    leak: dict[str, int]


def external(study: TrainedStudy) -> Generator[Event, None, list[dict]]:
    """One entry a dataset: {dataset, images, groups, left_out, absent, map, leak, arms, per_class, confusion, drop,
    differences, drop_differences, cautions, note}.

    drop: balanced accuracy of the study's own test less that here, over the classes that both have, with
    the groups of both sets resampled and the same seeds.
    """
    known = study.data.dataset.frame.iloc[
        study.data.rows[np.concatenate([study.data.members("train"), study.data.members("val")])]
    ]
    priorities = study.data.dataset.priorities
    through = priorities.map if priorities else None
    entries = []
    with closing(Predictors(study)) as predictors:
        for name in study.config.external:
            yield log(f"External test on {name}.")
            dataset, store = yield from open_images(study.workspace, name, study.config.input_size)
            chosen = test_set(
                dataset,
                class_map(dataset.classes, study.data.classes, through=through, name=name),
                known,
                study.data.classes,
            )
            probabilities = yield from predictors.over(
                lambda which: store.images[chosen.rows[which]],
                len(chosen.rows),
                what=f"External test: {name}",
            )
            entries.append(_entry(study, dataset, chosen, probabilities))
    return entries


def test_set(
    dataset: Dataset,
    mapped: ClassMap,
    known: pd.DataFrame | None,
    classes: tuple[str, ...],
    keep_known: bool = False,
) -> TestSet:
    """The labelled images of `dataset` that have a class of the models.

    known: manifest rows that the models have learnt from, or None; they are left out unless `keep_known`.
    Raises DataError where no image is left.
    """
    frame = dataset.frame
    theirs = frame["label"].tolist()
    labels = np.array(
        [classes.index(mapped.map[label]) if label in mapped.map else -1 for label in theirs]
    )
    left_out = Counter(label for label in theirs if label is not None and label not in mapped.map)
    usable, leak = labels >= 0, {}
    if known is not None:
        for reason, rows in overlap(frame, known).items():
            leak[reason] = int((rows & (labels >= 0)).sum())
            usable = usable if keep_known else usable & ~rows
    rows = np.flatnonzero(usable)
    if not len(rows):
        raise DataError(
            f"No image of {dataset.name} can be tested: {int((labels >= 0).sum())} have a class that the models "
            f"know, and {sum(leak.values())} of these were learnt from."
        )
    kinds = dataset.info.group_kinds or {}
    grouped = bool(set(kinds) - {"image"}) or len(np.unique(dataset.groups)) < len(dataset)
    return TestSet(rows, labels[rows], dataset.groups[rows], grouped, mapped, dict(left_out), leak)


test_set.__test__ = False


def tables(
    chosen: TestSet,
    probabilities: Mapping[str, np.ndarray],
    log_prior: np.ndarray,
    classes: tuple[str, ...],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """What every evaluation on another set says: {images, groups, left_out, absent, map, leak, arms {arm: {metric:
    interval}}, majority, per_class, differences, confusion, cautions}. probabilities: (S, n, C) of each arm."""
    arms = list(probabilities)
    stats = to_json(
        evaluate(
            chosen.labels,
            chosen.groups,
            probabilities,
            log_prior,
            classes,
            resamples=resamples,
            seed=seed,
            primary=choose_pair(arms) or ("vae", "imagenet"),
            grouped=chosen.grouped,
        )
    )
    matrices = {
        arm: confusion(chosen.labels, decide(p, log_prior), len(classes)).mean(0)
        for arm, p in probabilities.items()
    }
    cautions = list(stats["cautions"])
    if left_out := ", ".join(f"{name} ({n})" for name, n in chosen.left_out.items()):
        cautions.append(f"Left out, having no counterpart among the models' classes: {left_out}.")
    return {
        "images": len(chosen.rows),
        "groups": stats["groups"],
        "left_out": chosen.left_out,
        "absent": [name for c, name in enumerate(classes) if not (chosen.labels == c).any()],
        "map": chosen.map.map,
        "leak": chosen.leak,
        "arms": {arm: {m: stats["arms"][arm][m] for m in METRICS} for arm in arms},
        "majority": stats["majority"],
        "per_class": stats["per_class"],
        "differences": stats["differences"],
        "confusion": matrices,
        "cautions": cautions,
    }


def _entry(
    study: TrainedStudy, dataset: Dataset, chosen: TestSet, probabilities: dict[str, np.ndarray]
) -> dict:
    found = tables(
        chosen,
        probabilities,
        study.log_prior,
        study.data.classes,
        study.config.bootstrap,
        study.config.split_seed,
    )
    found["differences"] = secondary(found["differences"])
    leak = describe_overlap(chosen.leak, "this study's training or validation images")
    shared = [name for name in study.data.classes if name not in found["absent"]]
    return {
        "dataset": dataset.name,
        **found,
        **_drops(study, chosen, probabilities),
        "cautions": ([leak] if leak else []) + found["cautions"],
        "note": f"Nothing was trained or chosen on {dataset.name}. The drop is over the classes that both test sets "
        f"have: {', '.join(shared)}.",
    }


def secondary(rows: list[dict]) -> list[dict]:
    """Differences of a set on which no test was named in advance: none is primary, Holm corrects over all."""
    tested = [i for i, row in enumerate(rows) if row["p"] is not None]
    adjusted = dict(zip(tested, holm([rows[i]["p"] for i in tested]), strict=True))
    return [
        {**row, "primary": False, "p_holm": float(adjusted[i]) if i in adjusted else None}
        for i, row in enumerate(rows)
    ]


def _drops(study: TrainedStudy, chosen: TestSet, probabilities: dict[str, np.ndarray]) -> dict:
    """drop {arm: interval} and drop_differences [{a, b, interval, p, p_holm}]: the two sets' groups vary independently."""
    test, classes = study.data.members("test"), len(study.data.classes)
    options = {"resamples": study.config.bootstrap, "seed": study.config.split_seed}
    own = Scorer(study.data.labels[test], study.data.groups[test], classes, **options)
    here = Scorer(chosen.labels, chosen.groups, classes, **options)
    among = np.isin(np.arange(classes), chosen.labels) & np.isin(
        np.arange(classes), study.data.labels[test]
    )
    if not among.any():
        return {"drop": {}, "drop_differences": []}

    def decided(p: np.ndarray) -> np.ndarray:
        return decide(p, study.log_prior)

    before = {
        arm: own.balanced_accuracy(decided(trained_arm.probabilities["test"]), among)
        for arm, trained_arm in study.trained.items()
    }
    after = {arm: here.balanced_accuracy(decided(p), among) for arm, p in probabilities.items()}

    rows = [
        Difference.of(a, b, independent_difference(before[a] - before[b], after[a] - after[b]))
        for a, b in arm_pairs(list(probabilities), choose_pair(list(probabilities)))
    ]
    drops = {arm: independent_difference(before[arm], after[arm]) for arm in probabilities}
    return {"drop": to_json(drops), "drop_differences": to_json(with_holm(rows))}
