"""Which images belong together: patient where known, else lesion, else the image itself."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from .columns import GROUPS
from .facts import ListedImage

KINDS = (*GROUPS, "image")
Key = tuple[str, str]  # kind and id


def group_key(image: ListedImage) -> Key:
    """The kind and id that an image is grouped by before groups are joined."""
    for kind in GROUPS:
        if name := image.known(kind):
            return kind, name
    return "image", image.image_id


def find_groups(
    images: Sequence[ListedImage], contents: Sequence[str], same_lesion: Iterable[tuple[str, str]]
) -> tuple[list[str], dict[str, int]]:
    """A readable group name for each image, and how many images are grouped by patient, lesion or image.

    Images of equal content and images of a pair join their groups (union-find); a joined group
    has the first of its names in sorting order.

    Args:
        images: with the patients and lesions that are known.
        contents: hashes of the files.
        same_lesion: pairs of image ids known to show the same lesion.
    """
    keys = [group_key(image) for image in images]
    parent = {key: key for key in keys}

    def root(key: Key) -> Key:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def join(a: Key, b: Key) -> None:
        first, second = sorted((root(a), root(b)), key=lambda key: (KINDS.index(key[0]), key[1]))
        parent[second] = first

    key_of = {image.image_id: key for image, key in zip(images, keys, strict=True)}
    for a, b in same_lesion:
        if a in key_of and b in key_of:
            join(key_of[a], key_of[b])
    first_of: dict[str, Key] = {}
    for content, key in zip(contents, keys, strict=True):
        first = first_of.setdefault(content, key)
        if first != key:
            join(first, key)
    roots = [root(key) for key in keys]
    uses = Counter(name for _, name in set(roots))
    names = [name if uses[name] == 1 else f"{kind} {name}" for kind, name in roots]
    return names, dict(Counter(kind for kind, _ in keys))


def without_placeholders(images: Sequence[ListedImage]) -> tuple[list[ListedImage], list[str]]:
    """Images without ids that stand for "unknown", and a note for each such id.

    A short negative number is one (SCIN has long ones as ids), and 0 or 99 where it has far more
    images than other ids have and is no part of a numbering from 0. Without this, images that have
    nothing in common would be one group. An id such as P000 may be a patient: it stays a group,
    which cannot leak, and is a caution where it has far more images than others.
    """
    images, notes = list(images), []
    for kind in GROUPS:
        counts = Counter(name for image in images if (name := image.known(kind)))
        usual = statistics.median(counts.values()) if counts else 0
        numbers = sorted(int(name) for name in counts if name.isdecimal())
        is_numbering = numbers == list(range(len(counts)))
        for name, count in counts.items():
            is_often = count > 2 and (count > 3 * usual or len(counts) == 1)
            is_zero = is_often and re.fullmatch(r"[A-Za-z_-]*0+(?:\.0+)?|9{2,}(?:\.0+)?", name)
            if re.fullmatch(r"-\d{1,4}(?:\.0+)?", name) or (
                is_zero and name[0].isdigit() and not is_numbering
            ):
                notes.append(
                    f"The {kind} {name} of {count} images was read as unknown: each is a group of "
                    "its own."
                )
                images = [
                    replace(image, attributes={**image.attributes, kind: None})
                    if image.known(kind) == name
                    else image
                    for image in images
                ]
            elif is_zero:
                notes.append(
                    f"Caution: {count} images are of the {kind} {name}, more than three times as many "
                    "as usual. If that stands for unknown, leave these cells blank."
                )
    return images, notes


def _are_spelled_once(names: Iterable[str | None]) -> bool:
    folded = [name.casefold() for name in names if name]
    return len(set(folded)) == len(folded)


def complete_patients(images: Sequence[ListedImage]) -> tuple[list[ListedImage], list[str]]:
    """Images with patients that are spelled alike, and those known through their lesion.

    An image without a patient whose lesion has one belongs to that patient. Where lesions are
    numbered within each patient, a lesion without a patient says nothing.

    Returns:
        The images, and what was assumed.
    """
    known = [{image.known(kind) for image in images} - {None} for kind in GROUPS]
    if not all(known) and all(_are_spelled_once(names) for names in known):
        return [*images], []
    spelled: dict[str, str] = {}
    for image in images:
        for kind in GROUPS:
            if name := image.known(kind):
                spelled.setdefault(f"{kind} {name.casefold()}", name)
    patients_of: dict[str, set[str]] = defaultdict(set)
    completed, respelled = [], set()
    for image in images:
        names = {
            kind: spelled[f"{kind} {name.casefold()}"]
            for kind in GROUPS
            if (name := image.known(kind))
        }
        otherwise = {name for kind, name in names.items() if image.known(kind) != name}
        respelled |= otherwise
        if otherwise:
            image = replace(image, attributes={**image.attributes, **names})
        completed.append(image)
        if len(names) == len(GROUPS):
            patients_of[names["lesion"]].add(names["patient"])
    several = sum(len(patients) > 1 for patients in patients_of.values())
    within_patients = several > 0.05 * len(patients_of)
    changed = 0
    for i, image in enumerate(completed):
        lesion = image.known("lesion")
        if image.known("patient") or not lesion or lesion not in patients_of:
            continue
        changed += 1
        values: dict[str, str | None] = {"patient": min(patients_of[lesion])}
        if within_patients:
            values = {"lesion": None}
        completed[i] = replace(image, attributes={**image.attributes, **values})
    notes = []
    if respelled:
        few = ", ".join(sorted(respelled)[:4])
        notes.append(f"Ids of patients or lesions that differ by case were joined: {few}.")
    if changed and within_patients:
        notes.append(
            f"Lesions are numbered within each patient: the lesions of {changed} images without a "
            "patient were read as unknown."
        )
    elif changed:
        notes.append(f"{changed} images without a patient have one through their lesion.")
    return completed, notes
