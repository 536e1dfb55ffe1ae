"""What a comparison of brought predictions comes to, in sentences that say no more than its tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..data.cautions import known_group_kinds
from ..data.manifest import Dataset
from ..formatting import count, interval, listed, p_value, percent, points
from ..stats.intervals import Difference, Interval
from ..stats.ties import LEVEL
from .predictions_audit import SplitAudit

UNSEEN = "Whether a model has seen these images is not known: no training list came with the predictions."


def headline(
    dataset: Dataset,
    balanced: Mapping[str, Interval],
    differences: Sequence[Difference],
    ties: Sequence[tuple[str, ...]],
    images: int,
) -> list[str]:
    """Which model is the most accurate, where a test shows it, and which cannot be told apart.

    Args:
        dataset: of the images.
        balanced: {model: balanced accuracy}, best first.
        differences: in balanced accuracy.
        ties: groups not told apart.
        images: that the pairs are compared on.
    """
    ranked = list(balanced)
    best, value = ranked[0], interval(balanced[ranked[0]])
    kinds = known_group_kinds(dataset)
    unit = " and ".join(kind for kind, number in kinds.items() if number)
    scope = f"On {count(images, 'image')} of {dataset.name}, resampled by {unit}"
    if len(ranked) == 1:
        return [f"{scope}, {best} has a balanced accuracy of {value}."]
    beaten = [row for row in differences if best in (row.a, row.b) and _is_shown(row)]
    if len(beaten) == len(ranked) - 1:
        closest = min(beaten, key=lambda row: abs(row.mean or 0.0))
        other = closest.b if closest.a == best else closest.a
        sentences = [
            f"{scope}, {best} is the most accurate: balanced accuracy {value}, {points(closest)} points above "
            f"{other} (p {p_value(closest.p_holm)} after Holm's correction)."
        ]
    else:
        level = {name for group in ties if best in group for name in group}
        others = listed([name for name in ranked[1:] if name in level])
        sentences = [
            f"{scope}, no model is shown to be the most accurate: {best} has the highest balanced accuracy, {value}, "
            f"and cannot be told apart from {others}."
        ]
    rest = [group for group in ties if best not in group]
    sentences += [f"{listed(list(group))} cannot be told apart." for group in rest]
    return sentences


def _is_shown(row: Difference) -> bool:
    return row.p_holm is not None and row.p_holm < LEVEL


def describe_audit(audit: SplitAudit) -> list[str]:
    """What the split tore apart, and the difference that goes with it."""
    sentences = []
    for kind, ids, torn, images in (
        (
            "lesion",
            audit.lesions,
            audit.lesions_torn,
            audit.images_torn if audit.by == "lesion" else None,
        ),
        ("patient", audit.patients, audit.patients_torn, audit.images_patients_torn),
    ):
        if ids is not None and torn is not None and images is not None:
            sentences.append(
                f"{torn:,} of {count(ids, kind)} have further images outside the predicted ones ({images:,} of "
                f"{count(audit.images, 'predicted image')})."
            )
    if audit.by == "group":
        sentences.append(
            f"{audit.images_torn:,} predicted images belong to groups with further images outside the predicted ones; "
            "lesion ids were not recorded when the dataset was imported (import it again for counts of lesions)."
        )
    if audit.by == "image":
        sentences.append(
            "No lesion and no patient of this dataset is known: groups that the split divides cannot be counted."
        )
    if audit.duplicates_across:
        sentences.append(
            f"Predicted images that have a copy or known duplicate among the rest: {audit.duplicates_across:,}."
        )
    for name, change in audit.differences.items():
        shown = "" if _is_shown(change) else ": no difference shown"
        sentences.append(
            f"{name} on images of {audit.by}s in both parts: "
            f"{percent(audit.balanced_accuracy_torn[name].mean)} against "
            f"{percent(audit.balanced_accuracy_whole[name].mean)} on the others, {points(change)} points over "
            f"{', '.join(audit.classes)}{shown}."
        )
    if audit.parts:
        parts = listed([f"{part} ({images:,})" for part, images in audit.parts.parts.items()])
        sentences.append(
            f"Of the parts that the file names, {parts}, more than one has images of "
            f"{count(audit.parts.groups, 'group')} ({count(audit.parts.images, 'image')})."
        )
    return sentences
