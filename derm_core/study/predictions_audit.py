"""What the split of somebody else's predictions tore apart, and how much better images score for it.

A lesion (or patient) is torn where some of its images were predicted and others of the dataset were not:
those may have been trained on. Recall is compared class by class, over the classes that both sides
have in LEAST_GROUPS groups or more, under the same resamples of the groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.cautions import groups_known, known_group_kinds
from ..data.manifest import Dataset
from ..records import optional
from ..stats.image_means import image_means
from ..stats.intervals import Difference, Interval
from ..stats.multiple_tests import with_holm
from ..stats.paired import Estimate, average
from ..stats.resampling import Resamples

LEAST_GROUPS = 10  # of a class on either side


@dataclass(frozen=True, kw_only=True)
class PartsAcross:
    """What stands in more than one part of a split that the files name: groups, and their images."""

    parts: dict[str, int]
    groups: int
    images: int


@dataclass(frozen=True, kw_only=True)
class SplitAudit:
    """The audit of the split that came with predictions; None where ids of that kind are not known.

    Attributes:
        by: what images_torn and the accuracies are by: "lesion", else "patient", else "group" where the
            manifest has no ids, "image" where no group is known.
        lesions, patients: of the predicted images.
        lesions_torn, patients_torn: with further images that were not predicted.
        images_torn: predicted images of what is torn by `by`; images_patients_torn: by patient.
        duplicates_across: predicted images with a copy, or a known duplicate under another lesion id, among
            the rest.
        classes: over which the accuracies are.
        balanced_accuracy_torn, balanced_accuracy_whole: of each model on torn and on other images.
        differences: torn less whole, of each model; p corrected over the models.
        parts: where the files name parts.
    """

    by: str
    images: int
    lesions: int | None
    lesions_torn: int | None
    patients: int | None
    patients_torn: int | None
    images_torn: int
    images_patients_torn: int | None
    duplicates_across: int
    classes: tuple[str, ...]
    balanced_accuracy_torn: dict[str, Interval]
    balanced_accuracy_whole: dict[str, Interval]
    accuracy_torn: dict[str, float | None]
    accuracy_whole: dict[str, float | None]
    differences: dict[str, Difference]
    parts: PartsAcross | None = optional()


@dataclass(frozen=True, eq=False)
class Scored:
    """One model on its labelled images: rows (n,) of the manifest, correct (S, n), its resamples."""

    rows: np.ndarray
    labels: np.ndarray
    correct: np.ndarray
    resamples: Resamples
    folds: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class _Torn:
    """Of one kind of id: how many the predicted images have, how many are torn, and whether each image's is (N,)."""

    ids: int
    torn: int
    images: np.ndarray


def audit_predictions(
    dataset: Dataset, predicted: np.ndarray, part_of: np.ndarray, models: Mapping[str, Scored]
) -> SplitAudit:
    """The audit.

    Args:
        dataset: N images.
        predicted: (N,) bool, the images that any model predicts.
        part_of: (N,) train, val, test or "" as the files say.
        models: on their labelled images.
    """
    kinds = {
        kind: _torn(ids, predicted)
        for kind, ids in _known_ids(dataset).items()
        if ids[predicted].notna().any()
    }
    known = groups_known(known_group_kinds(dataset))
    by = next(iter(kinds), "group" if known else "image")
    main = kinds.get(by) or _torn(dataset.frame["group"], predicted)
    lesion, patient = kinds.get("lesion"), kinds.get("patient")
    classes = _shared_classes(dataset, models, main.images)
    torn: dict[str, Interval] = {}
    whole: dict[str, Interval] = {}
    changes = {}
    for name, model in models.items():
        sides = _sides(model, main.images, classes)
        if sides is None:
            continue
        torn[name], whole[name] = (side.interval("balanced_accuracy") for side in sides)
        changes[name] = Difference.of("torn", "whole", (sides[0] - sides[1]).interval())
    corrected = dict(zip(changes, with_holm(list(changes.values())), strict=True))
    return SplitAudit(
        by=by,
        images=int(predicted.sum()),
        lesions=lesion.ids if lesion else None,
        lesions_torn=lesion.torn if lesion else None,
        patients=patient.ids if patient else None,
        patients_torn=patient.torn if patient else None,
        images_torn=int((main.images & predicted).sum()),
        images_patients_torn=int((patient.images & predicted).sum()) if patient else None,
        duplicates_across=_duplicates(dataset, predicted),
        classes=tuple(dataset.classes[c] for c in classes),
        balanced_accuracy_torn=torn,
        balanced_accuracy_whole=whole,
        accuracy_torn={name: _accuracy(model, main.images) for name, model in models.items()},
        accuracy_whole={name: _accuracy(model, ~main.images) for name, model in models.items()},
        differences=corrected,
        parts=_parts(dataset, part_of),
    )


def _known_ids(dataset: Dataset) -> dict[str, pd.Series]:
    """The ids of lesions and patients (N,) that the manifest has, else its groups where each is one of them."""
    ids = {kind: dataset.frame[kind] for kind in ("lesion", "patient") if kind in dataset.frame}
    kinds = [kind for kind, images in known_group_kinds(dataset).items() if images]
    is_joined = dataset.info.known_pairs or dataset.frame["sha256"].duplicated().any()
    if not ids and len(kinds) == 1 and kinds[0] != "image" and not is_joined:
        return {kinds[0]: dataset.frame["group"]}
    return ids


def _torn(ids: pd.Series, predicted: np.ndarray) -> _Torn:
    sides = pd.DataFrame({"id": ids, "predicted": predicted}).dropna().groupby("id")["predicted"]
    some, every = sides.any(), sides.all()
    torn = some.index[some & ~every]
    return _Torn(int(some.sum()), len(torn), ids.isin(torn).to_numpy())


def _duplicates(dataset: Dataset, predicted: np.ndarray) -> int:
    """Predicted images that are among the rest as well: as a copy, or under another lesion or patient id."""
    frame = dataset.frame
    rest = frame[~predicted]
    test = frame[predicted]
    copies = test["sha256"].isin(rest["sha256"]).to_numpy()
    kind = next((kind for kind in ("patient", "lesion") if kind in frame), None)
    if kind is None:
        return int(copies.sum())
    # groups that join several ids of the kind they are made of do so by known duplicates or copies
    own = frame[kind].fillna("")
    known = pd.DataFrame({"group": rest["group"], "id": own[~predicted]}).drop_duplicates()
    ids = known.groupby("group")["id"].agg(set).to_dict()
    joined = [
        bool(ids.get(g, set()) - {i}) for g, i in zip(test["group"], own[predicted], strict=True)
    ]
    return int((copies | np.array(joined, bool)).sum())


def _shared_classes(dataset: Dataset, models: Mapping[str, Scored], torn: np.ndarray) -> list[int]:
    """Classes of which every model has LEAST_GROUPS groups or more on both sides."""
    groups = dataset.groups

    def enough(model: Scored, c: int) -> bool:
        of_class = model.rows[model.labels == c]
        sides = (of_class[torn[of_class]], of_class[~torn[of_class]])
        return all(len(np.unique(groups[side])) >= LEAST_GROUPS for side in sides)

    return [
        c for c in range(len(dataset.classes)) if all(enough(model, c) for model in models.values())
    ]


def _sides(model: Scored, torn: np.ndarray, classes: list[int]) -> tuple[Estimate, Estimate] | None:
    """Mean recall over classes on torn and on other images."""
    if not classes:
        return None
    of = torn[model.rows]
    among = np.stack([side & (model.labels == c) for side in (of, ~of) for c in classes], 1)
    recalls = image_means(model.resamples, model.correct[..., None], among)
    return average(recalls[: len(classes)]), average(recalls[len(classes) :])


def _accuracy(model: Scored, images: np.ndarray) -> float | None:
    here = images[model.rows]
    return float(model.correct[:, here].mean()) if here.any() else None


def _parts(dataset: Dataset, part_of: np.ndarray) -> PartsAcross | None:
    """Groups in more than one of the parts that the files name; None where they name fewer than two."""
    named = part_of != ""
    counts = {part: int((part_of == part).sum()) for part in sorted(set(part_of[named]))}
    if len(counts) < 2:
        return None
    frame = pd.DataFrame({"group": dataset.frame["group"][named], "part": part_of[named]})
    several = frame.groupby("group")["part"].transform("nunique") > 1
    return PartsAcross(
        parts=counts, groups=int(frame["group"][several].nunique()), images=int(several.sum())
    )
