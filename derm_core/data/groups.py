"""Which images belong together: patient where known, else lesion, else the image itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .columns import GROUPS

KINDS = (*GROUPS, "image")
Key = tuple[str, str]  # kind and id


@dataclass(frozen=True)
class GroupedImage:
    """What an image's group depends on; patient, lesion: ids, None where unknown."""

    image_id: str
    sha256: str
    patient: str | None = None
    lesion: str | None = None

    @property
    def key(self) -> Key:
        """The kind and id that the image is grouped by before groups are joined."""
        if self.patient:
            return "patient", self.patient
        return ("lesion", self.lesion) if self.lesion else ("image", self.image_id)


def find_groups(
    images: Sequence[GroupedImage], same_lesion: Iterable[tuple[str, str]]
) -> list[str]:
    """A readable group name for each image.

    Images of equal content and images of a pair join their groups (union-find); a joined group
    has the first of its names in sorting order.

    Args:
        images: what groups depend on, one an image.
        same_lesion: pairs of image ids known to show the same lesion.
    """
    keys = [image.key for image in images]
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
    for image, key in zip(images, keys, strict=True):
        join(first_of.setdefault(image.sha256, key), key)
    roots = [root(key) for key in keys]
    uses = Counter(name for _, name in set(roots))
    return [name if uses[name] == 1 else f"{kind} {name}" for kind, name in roots]
