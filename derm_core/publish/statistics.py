"""What publishing measures of a classifier so that its predictions can be trusted or doubted.

Everything is measured with the published model itself, after its rounding to float16: prediction sets and outlier
thresholds on calibration groups (one image each), the operating point on validation, what they give on test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from sklearn.covariance import ledoit_wolf_shrinkage

from ..bundles import conformal, neighbours, outlier
from ..bundles.card_parts import (
    CardDecisions,
    CardOperatingPoint,
    ConformalThresholds,
    DuplicateThreshold,
    Memorisation,
    OutlierThreshold,
    OutlierThresholds,
    ReferenceListing,
)
from ..bundles.predictor import Predictor, compute_slot
from ..bundles.reference_file import Reference
from ..data.decode import prepare
from ..data.manifest import load_dataset
from ..data.store import open_store
from ..nets.vae import VAE, encode
from ..records import to_json
from ..seeds import stream_seed
from ..stats.operating_point import operating_point
from ..study.study_data import StudyData
from ..workspace import Workspace
from .decisions import measure_decisions
from .memorisation import memorisation
from .non_lesions import nonlesion_images
from .provenance import is_public

MAX_TRAINING = 20_000  # images the statistics are made from
COPIED = 200  # training images whose copies say how many near-duplicates are found
DRAWN = 25  # pictures of each kind of non-lesion
SAMPLES = 64  # of a decoder, for the memorisation check
REPORTED = 128  # images between two reports of progress
SPECIFICITY = 0.90
MELANOMA = ("mel", "high")


@dataclass(frozen=True)
class Part:
    """Some images of a study with the published model's features and probabilities; arrays of n rows."""

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    ids: np.ndarray
    features: np.ndarray
    probabilities: np.ndarray

    def at(self, positions: np.ndarray) -> Part:
        return Part(*(getattr(self, name)[positions] for name in self.__dataclass_fields__))


class Count:
    """Reports (images done, of how many) as a publication goes on."""

    def __init__(self, report: Callable[[int, int], None] | None, total: int):
        self.report, self.done, self.total = report, 0, total

    def add(self, images: int) -> None:
        self.done = min(self.done + images, self.total)
        if self.report:
            self.report(self.done, self.total)


@dataclass(frozen=True)
class Measured:
    """The measured fields of a classifier's card, and the reference to store.

    Attributes:
        listing: what the card says of the reference, but for its file.
    """

    decisions: CardDecisions
    conformal: ConformalThresholds
    outlier: OutlierThresholds
    operating_point: CardOperatingPoint | None
    listing: ReferenceListing
    memorisation: Memorisation | None
    reference: Reference


def measure(
    workspace: Workspace,
    predictor: Predictor,
    data: StudyData,
    calibration_ids: Sequence[str],
    vae: VAE | None = None,
    rates: Sequence[str] = (),
    report: Callable[[int, int], None] | None = None,
) -> Measured:
    """Measure a published model.

    Args:
        workspace: where the datasets of `rates` are.
        predictor: of the stored model; its bundle gets the reference, as if it had been loaded with it.
        data: the study's.
        calibration_ids: one image of each calibration group.
        vae: the VAE whose decoder the bundle has.
        rates: other datasets whose rate of flagged images goes on the card.
        report: called with (images done, of how many) of the training, validation and test images, which take most of
            the time.
    """
    card = predictor.card
    seed = card.split.seed or 0
    members = {name: data.members(name) for name in ("train", "val", "test")}
    members["train"] = _at_most(members["train"], MAX_TRAINING, seed)
    count = Count(report, sum(map(len, members.values())))
    train, val, test = (_part(predictor, data, chosen, count) for chosen in members.values())
    calibration = val.at(np.flatnonzero(np.isin(val.ids, list(calibration_ids))))
    space = fit_space(train.features)
    latents = None
    if vae is not None:
        with compute_slot():
            means_nz = encode(vae, train.images)[0].astype(np.float64)
        latents = outlier.fit_latents(space, train.features, means_nz)
    ids = [str(i) for i in train.ids]
    points = neighbours.fit_points(space, train.features, train.labels, ids, seed)
    reference = predictor.bundle.reference = Reference(space, points, latents)
    copies = None
    if vae is not None:
        rng = np.random.default_rng(stream_seed(seed, "memorisation"))
        samples_nssc = predictor.draw(reference.draw_latents(SAMPLES, rng))
        copies = memorisation(samples_nssc, train.images, calibration.images)
    return Measured(
        decisions=measure_decisions(predictor, test.labels, test.groups, test.probabilities, seed),
        conformal=_conformal(calibration, val, test, predictor.classes, seed),
        outlier=_outlier(workspace, predictor, calibration, test, rates),
        operating_point=_operating_point(val, test, predictor.classes, seed),
        listing=ReferenceListing(
            public=is_public(card.training_data),
            of=len(train.labels),
            axes=points.positions.shape[1],
            duplicate=_duplicate(predictor, train, calibration, seed),
        ),
        memorisation=copies,
        reference=reference,
    )


def _part(predictor: Predictor, data: StudyData, members: np.ndarray, count: Count) -> Part:
    images, batches = np.asarray(data.store.images[data.rows[members]]), []
    for start in range(0, len(images), REPORTED):
        batches.append(predictor.features_and_logits(images[start : start + REPORTED]))
        count.add(len(batches[-1][0]))
    features, logits = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return Part(
        images,
        data.labels[members],
        data.groups[members],
        data.image_ids[members],
        features,
        predictor.calibrate(logits),
    )


def _at_most(members: np.ndarray, most: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(stream_seed(seed, "reference training images"))
    return members if len(members) <= most else np.sort(rng.permutation(members)[:most])


def _conformal(
    calibration: Part, val: Part, test: Part, classes: Sequence[str], seed: int
) -> ConformalThresholds:
    """Thresholds from calibration groups, and what their prediction sets give on test."""
    thresholds = conformal.fit(calibration.probabilities, calibration.labels)
    covered = conformal.coverage_on(
        test.probabilities, test.labels, test.groups, thresholds, classes, seed
    )
    calibrating = val.at(np.flatnonzero(np.isin(val.groups, calibration.groups)))
    first, second = (
        (
            conformal.scores(part.probabilities)[np.arange(len(part.labels)), part.labels],
            part.groups,
        )
        for part in (calibrating, test)
    )
    measured = {
        name: replace(
            row,
            redivided=conformal.redivided(
                first, second, float(name), row.coverage.mean or 0.0, seed
            ),
        )
        for name, row in covered.items()
    }
    return replace(thresholds, test=to_json(measured))


def _outlier(
    workspace: Workspace, predictor: Predictor, calibration: Part, test: Part, rates: Sequence[str]
) -> OutlierThresholds:
    """Thresholds from calibration groups, and the rates of flagged images."""
    distances, errors = _scores(predictor, calibration.features, calibration.images)
    limits = outlier.joint_thresholds(distances, errors)

    def flagged(features: np.ndarray, images: np.ndarray) -> float:
        scores = _scores(predictor, features, images)
        above = [
            score > limit
            for score, limit in zip(scores, limits, strict=True)
            if score is not None and limit is not None
        ]
        return float(np.any(above, axis=0).mean())

    form = predictor.form
    drawn = [
        prepare(Image.fromarray(image), form.size, form.interpolation)
        for _, image in nonlesion_images(DRAWN, 0)
    ]
    others = {"drawn pictures of other things": np.stack(drawn)}
    for name in rates:
        store = open_store(workspace, load_dataset(workspace, name), form.size, form.interpolation)
        others[name] = np.asarray(store.images)
    shares = {"test": flagged(test.features, test.images)}
    for name, images in others.items():
        shares[name] = flagged(predictor.features_and_logits(images)[0], images)
    distance = OutlierThreshold(
        kind="Mahalanobis, shrunk covariance, per feature",
        threshold=limits[0],
        quantile=1 - outlier.RATE,
    )
    error = None
    if limits[1] is not None:
        kind = "root mean squared error of the decoder's image"
        error = OutlierThreshold(kind=kind, threshold=limits[1])
    return OutlierThresholds(
        distance=distance, reconstruction=error, calibration_groups=len(distances), rates=shares
    )


def _scores(
    predictor: Predictor, features: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Distance (n,), and reconstruction error (n,) where the bundle has a latent map."""
    reference = predictor.bundle.reference
    assert reference
    errors = predictor.reconstruction_errors(features, images) if reference.latents else None
    return outlier.distance(reference.space, features), errors


def _operating_point(
    val: Part, test: Part, classes: Sequence[str], seed: int
) -> CardOperatingPoint | None:
    """The threshold of 90 % specificity on validation for melanoma or high priority, and what it gives on test."""
    name = next((c for c in MELANOMA if c in classes), None)
    if name is None:
        return None
    c = list(classes).index(name)
    sides = [part.labels == c for part in (val, test)]
    if not all(side.any() and not side.all() for side in sides):
        return None
    point = operating_point(
        (sides[0], val.probabilities[None, :, c]),
        (sides[1], test.groups, test.probabilities[None, :, c]),
        np.array([SPECIFICITY]),
        seed=seed,
    )

    threshold = point.threshold[0]
    if threshold is None:
        return None

    def span(key: str) -> dict[str, float | None]:
        ends = {"mean": "", "low": "_low", "high": "_high"}
        return {name: getattr(point, f"given_{key}{end}")[0] for name, end in ends.items()}

    return CardOperatingPoint(
        class_name=name,
        specificity=SPECIFICITY,
        threshold=threshold,
        chosen_on="validation",
        sensitivity=span("sensitivity"),
        test_specificity=span("specificity"),
        images=int(sides[1].sum()),
    )


def _duplicate(
    predictor: Predictor, train: Part, calibration: Part, seed: int
) -> DuplicateThreshold:
    """The distance below which an image is called a near-duplicate, and the share of copies it recognises by kind."""
    reference = predictor.bundle.reference
    assert reference and reference.points and reference.points.ids
    space, points = reference.space, reference.points
    threshold = neighbours.duplicate_threshold(
        neighbours.nearest(space, points, calibration.features, 1)[1][:, 0]
    )
    position = {name: i for i, name in enumerate(train.ids)}
    listed = np.array([position[name] for name in reference.points.ids])
    rng = np.random.default_rng(stream_seed(seed, "copies"))
    copies = [neighbours.copies(image) for image in train.images[rng.permutation(listed)[:COPIED]]]
    recall = {}
    for kind in copies[0]:
        features = predictor.features_and_logits(np.stack([copy[kind] for copy in copies]))[0]
        nearest = neighbours.nearest(space, points, features, 1)[1][:, 0]
        recall[kind] = float((nearest <= threshold).mean())
    return DuplicateThreshold(
        threshold=threshold, false_alarms=neighbours.FALSE_ALARMS, copies=len(copies), found=recall
    )


def fit_space(features_nd: np.ndarray) -> outlier.Space:
    """The space of training features (n, D). Features that do not vary have the standard deviation 1."""
    features = np.asarray(features_nd, np.float64)
    mean, std = features.mean(0), features.std(0)
    std = np.where(std > 1e-6, std, 1.0)
    z, d = (features - mean) / std, features.shape[1]
    shrink = float(ledoit_wolf_shrinkage(z, assume_centered=True))
    covariance = z.T @ z / len(z)
    values, vectors = np.linalg.eigh(covariance)
    values = (1 - shrink) * np.maximum(values[::-1], 0) + shrink * np.trace(covariance) / d
    values, rank = np.maximum(values, 1e-6), min(d, outlier.MAX_AXES)
    rest = values[rank:].mean() if rank < d else 1.0
    arrays = (mean, std, vectors[:, ::-1][:, :rank], np.append(values[:rank], rest))
    return outlier.Space(*(np.ascontiguousarray(array, np.float32) for array in arrays))
