"""What publishing measures so that single answers can be believed or doubted: the card's evidence, and the reference.

    measure(workspace, config, study, predictor, material, calibration, …) -> (card fields, Reference)

Everything is measured with the published model itself, after its rounding to float16: prediction sets and outlier
thresholds on calibration groups (one image each), the operating point on validation, what they give on test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..bundles import conformal, neighbours, outlier
from ..bundles.reference_file import Reference
from ..data.decode import prepare
from ..data.manifest import DatasetInfo
from ..data.triage import priority_map
from ..errors import ConfigError
from ..records import to_json
from ..seeds import stream_seed
from ..workspace import Workspace
from .memorisation import memorisation
from .non_lesions import nonlesion_images

if TYPE_CHECKING:
    from ..bundles.predictor import Predictor
    from ..study.study_data import StudyData

MAX_TRAINING = 20_000  # images the statistics are made from
COPIED = 200  # training images whose copies say how many near-duplicates are found
DRAWN = 25  # pictures of each kind of non-lesion
SAMPLES = 64  # of a decoder, for the memorisation check
REPORTED = 128  # images between two words of progress
SPECIFICITY = 0.90
MELANOMA = ("mel", "high")


@dataclass(frozen=True)
class Part:
    """Some images of a study with what the published model makes of them; arrays of n rows."""

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    ids: np.ndarray
    features: np.ndarray
    probabilities: np.ndarray

    def at(self, positions: np.ndarray) -> Part:
        return Part(*(getattr(self, name)[positions] for name in self.__dataclass_fields__))


class Count:
    """Tells `report` (images done, of how many) as a publication goes on; what is published stays usable meanwhile."""

    def __init__(self, report: Callable[[int, int], None] | None, total: int):
        self.report, self.done, self.total = report, 0, total

    def add(self, images: int) -> None:
        self.done = min(self.done + images, self.total)
        if self.report:
            self.report(self.done, self.total)


def measure(
    workspace: Workspace,
    predictor: Predictor,
    material: StudyData,
    calibration_ids: Sequence[str],
    vae: Any = None,
    *,
    public: bool,
    seed: int,
    rates: Sequence[str] = (),
    report: Callable[[int, int], None] | None = None,
) -> tuple[dict, Reference]:
    """Card fields {conformal, outlier, operating_point, reference, memorisation} and the reference to store.

    calibration_ids: one image of each calibration group. vae: the VAE whose decoder the bundle carries.
    public: whether ids of training images may be shown to anybody. rates: names of other datasets whose rate of
    flagged images goes on the card. The predictor's bundle gets the reference, as if it had been loaded with it.
    report: called with (images done, of how many) of the training, validation and test images, in which most time goes.
    """
    members = {name: material.members(name) for name in ("train", "val", "test")}
    members["train"] = _at_most(members["train"], MAX_TRAINING, seed)
    count = Count(report, sum(map(len, members.values())))
    train, val, test = (_part(predictor, material, chosen, count) for chosen in members.values())
    calibration = val.at(np.flatnonzero(np.isin(val.ids, list(calibration_ids))))
    space = outlier.fit_space(train.features)
    latents = (
        outlier.fit_latents(space, train.features, _latent_means(vae, train.images))
        if vae is not None
        else None
    )
    points = neighbours.fit_points(
        space, train.features, train.labels, [str(i) for i in train.ids], seed
    )
    known = predictor.bundle.reference = Reference(space, points, latents)
    fields = {
        "conformal": _conformal(calibration, val, test, predictor.classes, seed),
        "outlier": _outlier(workspace, predictor, known, calibration, test, rates),
        "operating_point": _operating_point(val, test, predictor.classes, seed),
        "reference": {
            "public": public,
            "of": len(train.labels),
            "axes": points.positions.shape[1],
            "duplicate": _duplicate(predictor, known, train, calibration, seed),
        },
    }
    if vae is not None:
        fields["memorisation"] = _memorisation(predictor, known, train, calibration, seed)
    return fields, known


def _part(predictor: Predictor, material: StudyData, members: np.ndarray, count: Count) -> Part:
    images, found = np.asarray(material.store.images[material.rows[members]]), []
    for start in range(0, len(images), REPORTED):
        found.append(predictor.features_and_logits(images[start : start + REPORTED]))
        count.add(len(found[-1][0]))
    features, logits = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Part(
        images,
        material.labels[members],
        material.groups[members],
        material.image_ids[members],
        features,
        predictor.calibrate(logits),
    )


def _at_most(members: np.ndarray, most: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(stream_seed(seed, "reference training images"))
    return members if len(members) <= most else np.sort(rng.permutation(members)[:most])


def _latent_means(vae: Any, images_nssc: np.ndarray) -> np.ndarray:
    from ..bundles.predictor import compute_slot
    from ..nets.vae import encode

    with compute_slot():
        return encode(vae, images_nssc)[0].astype(np.float64)


def _conformal(calibration: Part, val: Part, test: Part, classes: Sequence[str], seed: int) -> dict:
    found = conformal.fit(calibration.probabilities, calibration.labels)
    covered = conformal.coverage_on(
        test.probabilities, test.labels, test.groups, found, classes, seed
    )
    both = [
        part.at(rows)
        for part, rows in (
            (val, np.flatnonzero(np.isin(val.groups, calibration.groups))),
            (test, np.arange(len(test.labels))),
        )
    ]
    truth = [
        (
            conformal.scores(part.probabilities)[np.arange(len(part.labels)), part.labels],
            part.groups,
        )
        for part in both
    ]
    for name, row in covered.items():
        row["redivided"] = conformal.redivided(*truth, float(name), row["coverage"]["mean"], seed)
    return {**found, "test": covered}


def calibrated_on(regime: str, settings: int) -> str:
    """What the calibration groups are and which of the model's choices have seen them, for the card."""
    groups = "Three quarters of validation's groups, one image each; the temperature was fitted on the other quarter. "
    if regime == "finetune" or settings < 2:
        return (
            groups
            + "Nothing of this model was chosen on validation: one setting and schedule, the last epoch."
        )
    return groups + (
        f"The heads' setting was chosen among {settings} by the mean loss on all of validation, these groups included; "
        "on HAM10000 that choice did not change the coverage of test groups (23 splits, 0.0 ± 0.1 points)."
    )


def _outlier(
    workspace: Workspace,
    predictor: Predictor,
    known: Reference,
    calibration: Part,
    test: Part,
    rates: Sequence[str],
) -> dict:
    """Thresholds on calibration groups, and the rates of flagged images beside them."""
    far, drawn = _scores(predictor, known, calibration.features, calibration.images)
    limits = outlier.joint_thresholds(far, drawn)

    def flagged(features: np.ndarray, images: np.ndarray) -> float:
        scores = _scores(predictor, known, features, images)
        return float(
            np.any(
                [score > limit for score, limit in zip(scores, limits) if score is not None], axis=0
            ).mean()
        )

    found = {"test": flagged(test.features, test.images)}
    others = {
        "drawn pictures of other things": np.stack(
            [
                prepare(Image.fromarray(image), predictor.size)
                for _, image in nonlesion_images(DRAWN, 0)
            ]
        )
    }
    others |= {name: _all_images(workspace, name, predictor.size) for name in rates}
    for name, images in others.items():
        found[name] = flagged(predictor.features_and_logits(images)[0], images)
    second = (
        None
        if limits[1] is None
        else {"kind": "root mean squared error of the decoder's image", "threshold": limits[1]}
    )
    return {
        "distance": {
            "kind": "Mahalanobis, shrunk covariance, per feature",
            "threshold": limits[0],
            "quantile": 1 - outlier.RATE,
        },
        "reconstruction": second,
        "calibration_groups": len(far),
        "rates": found,
    }


def _scores(predictor: Predictor, known: Reference, features: np.ndarray, images: np.ndarray):
    """Distance (n,), and reconstruction error (n,) or None."""
    return outlier.distance(known.space, features), (
        predictor.reconstruction_errors(features, images) if known.latents is not None else None
    )


def _all_images(workspace: Workspace, name: str, size: int) -> np.ndarray:
    from ..data.manifest import load_dataset
    from ..data.store import open_store

    return np.asarray(open_store(workspace, load_dataset(workspace, name), size).images)


def _operating_point(val: Part, test: Part, classes: Sequence[str], seed: int) -> dict | None:
    """The threshold that keeps 90 % specificity on validation for melanoma (or high priority), and what it gives on test."""
    from ..stats.operating_point import operating_point

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
    spans = {
        key: {
            "mean": getattr(point, f"given_{key}")[0],
            "low": getattr(point, f"given_{key}_low")[0],
            "high": getattr(point, f"given_{key}_high")[0],
        }
        for key in ("sensitivity", "specificity")
    }
    return {
        "class": name,
        "specificity": SPECIFICITY,
        "threshold": point.threshold[0],
        "chosen_on": "validation",
        "sensitivity": spans["sensitivity"],
        "test_specificity": spans["specificity"],
        "images": int(sides[1].sum()),
    }


def _duplicate(
    predictor: Predictor, known: Reference, train: Part, calibration: Part, seed: int
) -> dict:
    """The distance below which an image is called a near-duplicate, and the share of copies found by kind."""
    others = neighbours.nearest(known.space, known.points, calibration.features, 1)[1][:, 0]
    threshold = neighbours.duplicate_threshold(others)
    where = {name: i for i, name in enumerate(train.ids)}
    kept = np.array([where[name] for name in known.points.ids])
    rng = np.random.default_rng(stream_seed(seed, "copies"))
    made = [neighbours.copies(image) for image in train.images[rng.permutation(kept)[:COPIED]]]
    recall = {}
    for kind in made[0]:
        features = predictor.features_and_logits(np.stack([copy[kind] for copy in made]))[0]
        recall[kind] = float(
            (
                neighbours.nearest(known.space, known.points, features, 1)[1][:, 0] <= threshold
            ).mean()
        )
    return {
        "threshold": threshold,
        "false_alarms": neighbours.FALSE_ALARMS,
        "copies": len(made),
        "found": recall,
    }


def _memorisation(
    predictor: Predictor, known: Reference, train: Part, calibration: Part, seed: int
) -> dict:
    latents = known.draw_latents(SAMPLES, np.random.default_rng(stream_seed(seed, "memorisation")))
    return memorisation(predictor.draw(latents), train.images, calibration.images)


def triage(name: str, info: DatasetInfo) -> dict | None:
    """{"map", "ours"} of a dataset's priorities for a card of its classes; None where it has none."""
    try:
        return to_json(priority_map(name, info))
    except ConfigError:
        return None


def agreement(tables: dict[str, dict], arm: str) -> dict[str, dict]:
    """By other arm: how right both were on the test set where they named the same class, and where they did not.

    tables: {arm: {"image_ids", "labels", "probabilities"}} of test predictions. Each part is {"images",
    "accuracy": {arm: share}}, shares None without images.
    """
    own, found = tables[arm], {}
    for other, table in tables.items():
        if other == arm or not np.array_equal(table["image_ids"], own["image_ids"]):
            continue
        tops = {
            name: each["probabilities"].argmax(1) for name, each in ((arm, own), (other, table))
        }
        same = tops[arm] == tops[other]
        found[other] = {
            part: {
                "images": int(mask.sum()),
                "accuracy": {
                    name: float((top == own["labels"])[mask].mean()) if mask.any() else None
                    for name, top in tops.items()
                },
            }
            for part, mask in (("agree", same), ("disagree", ~same))
        }
    return found
