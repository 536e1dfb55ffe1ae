"""External test: a study's finished models on further labelled datasets, through a class map.

Nothing is trained or chosen on them. Images that are also among the study's training or validation
images are left out and counted. A class that a set lacks stays predictable: deciding for it is an
error.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.cautions import group_caution, groups_known, known_group_kinds
from ..data.classmaps import ClassMap, class_map
from ..data.manifest import Dataset
from ..data.on_demand import open_images
from ..data.overlap import describe_overlap, overlap
from ..errors import DataError
from ..events import Event, log
from ..stats.evaluation import PRIMARY, evaluate
from ..stats.intervals import MARGINS, Difference, Interval
from ..stats.metrics import decide
from ..stats.multiple_tests import with_holm
from ..stats.paired import Scorer, independent_difference
from .answers import ExternalSet
from .comparison import mean_confusions
from .image_arms import on_images
from .looks import count_looks
from .predictors import Predictors
from .roles import choose_pair, chosen_pairs
from .subgroups import subgroups
from .tested_images import TestedImages
from .trained_arm import TrainedStudy


@dataclass(frozen=True)
class ExternalImages:
    """What of a dataset is tested.

    Args:
        name: of the dataset.
        rows: (n,) of its manifest.
        labels: (n,) in the models' classes.
        groups: (n,) codes.
        group_kinds: by what its images are grouped, see `known_group_kinds`.
        map: its classes to those of the models.
        left_out: {its class: images} without a counterpart.
        leak: {reason: images} that the models have learnt from.
    """

    name: str
    rows: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    group_kinds: dict[str, int]
    map: ClassMap
    left_out: dict[str, int]
    leak: dict[str, int]


def external(study: TrainedStudy) -> Generator[Event, None, list[ExternalSet]]:
    """The external test of a study on each of the config's other datasets."""
    study, left_out = on_images(study)
    data = study.data
    learnt = data.rows[np.concatenate([data.members("train"), data.members("val")])]
    known = data.dataset.frame.iloc[learnt]
    through = data.dataset.priorities.map if data.dataset.priorities else None
    entries = []
    with closing(Predictors(study)) as predictors:
        for name in study.config.external:
            yield log(f"External test on {name}.")
            dataset, store = yield from open_images(study.workspace, name, study.config.input_size)
            mapped = class_map(dataset.classes, data.classes, through=through, name=name)
            tested = external_images(dataset, mapped, known, data.classes)
            others = {}
            for form in predictors.other_forms:
                opened = open_images(study.workspace, name, form.size, form.interpolation)
                _, in_form = yield from opened
                others[form] = in_form.images
            images, what = store.images, f"External test: {name}"
            probabilities = yield from predictors.over(
                images, tested.rows, what=what, others=others
            )
            tested_ids = dataset.frame["image_id"].to_numpy()[tested.rows]
            looks = count_looks(study.workspace, name, study.run.id, tested_ids)
            entry = _entry(study, tested, probabilities)
            parts = yield from subgroups(
                _images(study, tested, probabilities), dataset, tested.rows
            )
            entries.append(
                dataclasses.replace(
                    entry,
                    subgroups=tuple(parts),
                    looks=looks,
                    known_as=dataset.info.known_as,
                    note=f"{entry.note} {left_out}".rstrip(),
                )
            )
    return entries


def _images(
    study: TrainedStudy, tested: ExternalImages, probabilities: Mapping[str, np.ndarray]
) -> TestedImages:
    return TestedImages(
        tested.labels,
        tested.groups,
        {arm: np.asarray(p, np.float64) for arm, p in probabilities.items()},
        study.log_prior,
        tuple(study.data.classes),
        study.config.bootstrap,
        study.config.split_seed,
    )


def external_images(
    dataset: Dataset,
    mapped: ClassMap,
    known: pd.DataFrame | None,
    classes: tuple[str, ...],
    keep_known: bool = False,
) -> ExternalImages:
    """The labelled images of `dataset` that have a class of the models.

    Args:
        mapped: the dataset's classes to those of the models.
        known: manifest rows that the models have learnt from, or None.
        classes: of the models.
        keep_known: whether images that show the same are tested all the same.

    Raises:
        DataError: where no image is left.
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
    kinds, groups = known_group_kinds(dataset), dataset.groups[rows]
    return ExternalImages(
        dataset.name, rows, labels[rows], groups, kinds, mapped, dict(left_out), leak
    )


def evaluate_on(
    tested: ExternalImages,
    probabilities: Mapping[str, np.ndarray],
    log_prior: np.ndarray,
    classes: tuple[str, ...],
    resamples: int,
    seed: int,
) -> ExternalSet:
    """Every arm on a set on which no test was named in advance: none is primary, Holm corrects over all.

    probabilities: {arm: (S, n, C)}.
    """
    arms = list(probabilities)
    evaluation = evaluate(
        tested.labels,
        tested.groups,
        probabilities,
        log_prior,
        classes,
        resamples=resamples,
        seed=seed,
        primary=choose_pair(arms) or PRIMARY,
        group_caution=group_caution(tested.group_kinds),
    )
    cautions = list(evaluation.cautions)
    if left_out := ", ".join(f"{name} ({n})" for name, n in tested.left_out.items()):
        cautions.append(f"Left out, having no counterpart among the models' classes: {left_out}.")
    secondary = [dataclasses.replace(row, primary=False) for row in evaluation.differences]
    return ExternalSet(
        dataset=tested.name,
        images=len(tested.rows),
        groups=evaluation.groups,
        groups_known=groups_known(tested.group_kinds),
        left_out=tested.left_out,
        absent=tuple(name for c, name in enumerate(classes) if not (tested.labels == c).any()),
        map=dict(tested.map.map),
        leak=tested.leak,
        arms=evaluation.arms,
        majority=evaluation.majority,
        per_class=evaluation.per_class,
        differences=tuple(with_holm(secondary)),
        confusion=mean_confusions(tested.labels, probabilities, log_prior),
        cautions=tuple(cautions),
    )


def _entry(
    study: TrainedStudy, tested: ExternalImages, probabilities: dict[str, np.ndarray]
) -> ExternalSet:
    classes, config = study.data.classes, study.config
    entry = evaluate_on(
        tested, probabilities, study.log_prior, classes, config.bootstrap, config.split_seed
    )
    leak = describe_overlap(tested.leak, "this study's training or validation images")
    shared = [name for name in classes if name not in entry.absent]
    drop, differences = _drops(study, tested, probabilities)
    return dataclasses.replace(
        entry,
        cautions=(*([leak] if leak else []), *entry.cautions),
        drop=drop,
        drop_differences=tuple(differences),
        note=f"Nothing was trained or chosen on {tested.name}. The drop is over the classes that both test sets "
        f"have: {', '.join(shared)}.",
    )


def _drops(
    study: TrainedStudy, tested: ExternalImages, probabilities: dict[str, np.ndarray]
) -> tuple[dict[str, Interval], list[Difference]]:
    """Balanced accuracy of the study's own test less that here, over the classes that both have, and its differences.

    The groups of both sets are resampled, independently; the seeds are the same.
    """
    config, count = study.config, len(study.data.classes)
    own_labels, classes = study.data.labels_of("test"), np.arange(count)
    among = np.isin(classes, tested.labels) & np.isin(classes, own_labels)
    if not among.any():
        return {}, []
    here = Scorer(
        tested.labels,
        tested.groups,
        count,
        resamples=config.bootstrap,
        seed=config.split_seed,
    )
    before, after = (
        {arm: scorer.balanced_accuracy(decide(p, study.log_prior), among) for arm, p in of.items()}
        for scorer, of in ((study.scorer, study.probabilities("test")), (here, probabilities))
    )
    differences = [
        Difference.of(a, b, change, MARGINS["balanced_accuracy"])
        for a, b in chosen_pairs(list(probabilities))
        for change in [independent_difference(before[a] - before[b], after[a] - after[b])]
    ]
    drops = {arm: independent_difference(before[arm], after[arm]) for arm in probabilities}
    return drops, with_holm(differences)
