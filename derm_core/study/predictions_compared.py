"""Predictions of other people's models under the statistics of a study: grouped, paired, audited.

No training list and no class prior is known. Balanced accuracy is that of the decisions that a file
has, else of the most probable class, unless training shares are given. No test was named in advance:
the differences in balanced accuracy of all pairs are one family of Holm's correction, those in all
other metrics a second one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..data.cautions import group_caution, known_group_kinds
from ..data.manifest import Dataset
from ..data.prediction_files import BroughtPredictions
from ..data.prediction_records import ModelPredictions
from ..errors import ConfigError, DataError
from ..events import Event
from ..formatting import count
from ..stats.evaluation import (
    class_recalls,
    difference,
    metric_estimates,
    test_set_cautions,
)
from ..stats.intervals import Difference
from ..stats.metrics import METRICS, decide
from ..stats.multiple_tests import with_families
from ..stats.operating_point import operating_point
from ..stats.paired import Estimate, arm_pairs
from ..stats.resampling import Resamples, make_design
from ..stats.ties import ties
from .answers import Subgroups
from .clinical import melanoma_class
from .predictions_audit import Scored, audit_predictions
from .predictions_in_words import UNSEEN, describe_audit, headline
from .predictions_result import ModelResult, PredictionsCompared, TargetPoints
from .subgroups import subgroups
from .tested_images import TestedImages

DECISIONS = ("balanced_accuracy", "accuracy")  # what predicted labels alone have
SPECIFICITIES = (0.8, 0.9, 0.95)
MOST_UNMATCHED = 100  # of a file that are listed
RESAMPLES, SEED = 2000, 0
LABEL, LIKELIEST, ADJUSTED = "predicted label", "most probable class", "prior-adjusted class"


@dataclass(frozen=True, eq=False)
class _Measured:
    """One model on some labelled images; adjusted: whether a class prior is given."""

    model: ModelPredictions
    dataset: Dataset
    log_prior: np.ndarray
    adjusted: bool
    resamples: int
    seed: int

    @cached_property
    def labels(self) -> np.ndarray:
        return self.dataset.labels[self.model.rows]

    @cached_property
    def groups(self) -> np.ndarray:
        return self.dataset.groups[self.model.rows]

    @cached_property
    def drawn(self) -> Resamples:
        design = make_design(self.labels, self.groups, len(self.model.class_names))
        return Resamples.draw(design, self.resamples, self.seed, "bootstrap", jackknife_first=False)

    @property
    def decision(self) -> str:
        if self.model.probabilities is None or (self.model.has_labels and not self.adjusted):
            return LABEL
        return ADJUSTED if self.adjusted else LIKELIEST

    @cached_property
    def decisions(self) -> np.ndarray:
        """(S, n) those that balanced accuracy is of."""
        p = self.model.probabilities
        return (
            decide(p, self.log_prior) if self.adjusted and p is not None else self.model.decisions
        )

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Every metric that the file allows, and "recall"."""
        p, shape = self.model.probabilities, (len(self.labels), len(self.model.class_names))
        no_prior, prior = np.zeros(shape), np.broadcast_to(self.log_prior, shape)
        by_label = {}
        if p is None or (self.decision == LABEL and self.model.differing):
            certain = np.eye(len(self.model.class_names))[self.model.decisions]
            measured = metric_estimates(self.drawn, certain, no_prior, self.model.folds)
            by_label = {name: measured[name] for name in (*DECISIONS, "recall")}
        if p is None:
            return by_label
        return {**metric_estimates(self.drawn, p, prior, self.model.folds), **by_label}

    @property
    def accuracy(self) -> float:
        """Balanced accuracy, mean over seeds."""
        return float(self.estimates["balanced_accuracy"].by_seed.mean())

    def at(self, rows: np.ndarray) -> _Measured:
        """The same on some of its images."""
        same = len(rows) == len(self.model.rows)
        return self if same else dataclasses.replace(self, model=self.model.at(rows))

    @property
    def scored(self) -> Scored:
        return Scored(self.model.rows, self.labels, self.decisions == self.labels, self.drawn)


def compare_predictions(
    dataset: Dataset,
    brought: BroughtPredictions,
    *,
    prior: Mapping[str, float] | None = None,
    with_subgroups: bool = True,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Generator[Event, None, PredictionsCompared]:
    """Measure brought predictions.

    Args:
        dataset: with labels and groups.
        brought: of one or more models.
        prior: the training images' share, or number, of each class, for prior-adjusted decisions.
        with_subgroups: whether to measure each subgroup of the dataset's attributes.
        resamples: of the groups.
        seed: of the resamples.

    Raises:
        DataError: the models share no labelled image.
        ConfigError: the prior lacks a class, or names one that is none.
    """
    log_prior = _log_prior(prior, brought.classes, dataset)
    labelled = np.flatnonzero(dataset.labels >= 0)
    own = {}
    for one in brought.models:
        rows = one.rows[np.isin(one.rows, labelled)]
        if not len(rows):
            raise DataError(f"No image that {one.name} predicts has a label in {dataset.name}.")
        own[one.name] = _Measured(
            one.at(rows), dataset, log_prior, prior is not None, resamples, seed
        )
    results = {one.name: _result(one, own[one.name], dataset) for one in brought.models}
    shared = labelled[np.all([np.isin(labelled, one.model.rows) for one in own.values()], axis=0)]
    if not len(shared):
        raise DataError("The files share no labelled image: compare them one by one.")
    on_shared = {name: one.at(shared) for name, one in own.items()}
    ranked = sorted(own, key=lambda name: -on_shared[name].accuracy)  # as the tests compare them
    together = {name: on_shared[name] for name in ranked}
    differences = _differences(together)
    first = [row for row in differences if row.metric == "balanced_accuracy"]
    predicted = np.isin(np.arange(len(dataset)), np.concatenate([m.rows for m in brought.models]))
    by_attribute: list[Subgroups] = []
    if with_subgroups:
        by_attribute = yield from _subgroups(dataset, together, brought.classes)
    groups = ties(ranked, first)
    balanced = {
        name: together[name].estimates["balanced_accuracy"].interval("balanced_accuracy")
        for name in ranked
    }
    audit = audit_predictions(
        dataset, predicted, brought.part_of, {n: m.scored for n, m in own.items()}
    )
    return PredictionsCompared(
        dataset=dataset.name,
        verdict=tuple(headline(dataset, balanced, first, groups, len(shared))),
        split=(*describe_audit(audit), *([] if audit.parts else [UNSEEN])),
        classes=brought.classes,
        models={name: results[name] for name in ranked},
        images_compared=len(shared),
        differences=tuple(differences),
        ties=groups,
        audit=audit,
        operating_points=_operating_points(together, brought.classes),
        subgroups=tuple(by_attribute),
        notes=(*brought.notes, *_notes(own, shared, prior is not None)),
    )


def _log_prior(
    prior: Mapping[str, float] | None, classes: tuple[str, ...], dataset: Dataset
) -> np.ndarray:
    """(C,) log shares; +inf for a class without one, which is never decided for; 0 where none are given."""
    if prior is None:
        return np.zeros(len(classes))
    unknown = [name for name in prior if name not in classes]
    missing = [name for name in dataset.classes if name not in prior]
    if (
        unknown
        or missing
        or not all(value >= 0 for value in prior.values())
        or not sum(prior.values()) > 0
    ):
        raise ConfigError(
            f"--prior needs the share or number of training images of every class, as CLASS=NUMBER, of "
            f"{', '.join(classes)}."
        )
    shares = np.array([prior.get(name, 0.0) for name in classes]) / sum(prior.values())
    return np.where(shares > 0, np.log(np.where(shares > 0, shares, 1)), np.inf)


def _result(model: ModelPredictions, own: _Measured, dataset: Dataset) -> ModelResult:
    intervals = {m: own.estimates[m].interval(m) for m in METRICS if m in own.estimates}
    means = {metric: one.mean for metric, one in intervals.items()}
    caution = group_caution(known_group_kinds(dataset))
    design, seeds = own.drawn.design, len(own.decisions)
    cautions = test_set_cautions(design, model.class_names, caution, seeds)
    matched = model.images - len(model.unmatched)
    if model.images > 2 * matched:
        cautions.insert(
            0, f"{model.name}: {matched:,} of {count(model.images, 'image')} are in {dataset.name}."
        )
    return ModelResult(
        images=model.images,
        matched=matched,
        tested=len(own.labels),
        groups=len(design.stratum),
        labels_given=model.labels_given,
        labels_agree=model.labels_agree,
        decision=own.decision,
        seeds=seeds,
        balanced_accuracy=intervals["balanced_accuracy"],
        macro_auroc=means.get("macro_auroc"),
        accuracy=means["accuracy"],
        ece=means.get("ece"),
        intervals=intervals,
        per_class=class_recalls(own.estimates["recall"], model.class_names),
        cautions=tuple(cautions),
        unmatched=model.unmatched[:MOST_UNMATCHED],
        by_own_labels=model.by_own_labels,
    )


def _differences(together: Mapping[str, _Measured]) -> list[Difference]:
    """Every pair on the shared images in every metric that both have, corrected in two families."""
    scored = {name: one.estimates for name, one in together.items()}
    rows = []
    for metric in METRICS:
        able = [name for name in together if metric in scored[name]]
        family = "secondary" if metric == "balanced_accuracy" else "exploratory"
        rows += [
            dataclasses.replace(difference(a, b, metric, scored), correction=family)
            for a, b in arm_pairs(able)
        ]
    return with_families(rows)


def _operating_points(
    together: Mapping[str, _Measured], classes: tuple[str, ...]
) -> TargetPoints | None:
    """Melanoma's (or the high priority's) sensitivity; None where no model has its probability."""
    name = melanoma_class(classes)
    able = {m: one for m, one in together.items() if one.model.probabilities is not None}
    if name is None or not able:
        return None
    index, curves = classes.index(name), {}
    for model, one in able.items():
        positive, p = one.labels == index, one.model.probabilities
        if p is None or positive.all() or not positive.any():
            return None
        scores = p[..., index]
        curves[model] = operating_point(
            (positive, scores),
            (positive, one.groups, scores),
            np.array(SPECIFICITIES),
            resamples=one.resamples,
            seed=one.seed,
        )
    return TargetPoints(class_name=name, specificities=SPECIFICITIES, models=curves)


def _subgroups(
    dataset: Dataset, together: Mapping[str, _Measured], classes: tuple[str, ...]
) -> Generator[Event, None, list[Subgroups]]:
    """Every model's decisions in every subgroup of the shared images."""
    first = next(iter(together.values()))
    certain = np.eye(len(classes))
    images = TestedImages(
        first.labels,
        first.groups,
        {name: certain[one.decisions] for name, one in together.items()},
        np.zeros(len(classes)),
        classes,
        first.resamples,
        first.seed,
    )
    return (yield from subgroups(images, dataset, first.model.rows))


def _notes(own: Mapping[str, _Measured], shared: np.ndarray, adjusted: bool) -> list[str]:
    """What the numbers are of."""
    decisions: dict[str, list[str]] = {}
    for name, one in own.items():
        decisions.setdefault(one.decision, []).append(name)
    notes = [
        f"Balanced accuracy is that of this decision, the {kind}: {', '.join(names)}."
        for kind, names in decisions.items()
    ]
    if not adjusted:
        notes.append(
            "No class prior is known: decisions are not adjusted for class frequency (--prior does that)."
        )
    if labels_only := [name for name, one in own.items() if one.model.probabilities is None]:
        notes.append(
            f"Predicted labels alone, so no AUROC and no calibration: {', '.join(labels_only)}."
        )
    if any(len(one.model.rows) != len(shared) for one in own.values()):
        notes.append(
            f"Models are compared with each other on the {len(shared):,} images that all files share; each model's own "
            "numbers are of all its images."
        )
    notes.append(
        "Sensitivity at a specificity has its threshold from the tested images themselves, and is an "
        "upper bound."
    )
    return notes
