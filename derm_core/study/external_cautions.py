"""What limits the numbers of another test set: said wherever they stand, for results of every version."""

from __future__ import annotations

from ..data.known_datasets import share_an_archive
from ..stats.intervals import FEW_GROUPS
from .answers import ExternalSet
from .summaries import DatasetSummary


def is_companion(one: ExternalSet, trained_on: DatasetSummary) -> bool:
    """Whether the set comes from the same archive as the training data.

    By what their imports recognised; where that was not recorded, by their names.
    """
    theirs, ours = one.known_as or one.dataset, trained_on.known_as or trained_on.name
    return share_an_archive(theirs, ours)


def companion_caution(dataset: str, trained_on: str) -> str:
    """The sentence on a set from the same archive as the training data."""
    return (
        f"{dataset} is a companion of the training data {trained_on}: both come from the sources of "
        "the ISIC Archive, and may share patients, clinics and cameras, so that this is no "
        "independent test."
    )


def external_cautions(one: ExternalSet, trained_on: DatasetSummary) -> tuple[str, ...]:
    """Every caution on a set, in sentences."""
    if not is_companion(one, trained_on):
        return one.cautions
    return (companion_caution(one.dataset, trained_on.name), *one.cautions)


def short_cautions(one: ExternalSet, trained_on: DatasetSummary) -> tuple[str, ...]:
    """The same in a few words each, to stand beside numbers."""
    first = next(iter(one.per_class.values()), ())
    few = [f"{row.class_name} ({row.groups})" for row in first if 0 < row.groups < FEW_GROUPS]
    unknown = one.groups_known is False or (one.groups_known is None and one.groups == one.images)
    parts = {
        "same archive as the training data": is_companion(one, trained_on),
        "groups unknown, intervals optimistic": unknown,
        f"no images of {', '.join(one.absent)}": bool(one.absent),
        f"fewer than {FEW_GROUPS} groups in {', '.join(few)}": bool(few),
    }
    return tuple(text for text, holds in parts.items() if holds)
