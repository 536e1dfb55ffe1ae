"""Which images belong together: patient where known, else lesion, else the image itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

KINDS = ("patient", "lesion", "image")


def find_groups(
    rows: Sequence[dict], pairs: Iterable[tuple[str, str]]
) -> tuple[list[str], list[str]]:
    """A readable group name for each row, and the kind of id each row was grouped by.

    rows: each with image_id, sha256 and, where known, patient and lesion. pairs: image ids known
    to show the same lesion. Rows of equal content and rows of a pair join their groups; a joined
    group carries the first of its names in sorting order.
    """
    kinds = [next((kind for kind in KINDS[:2] if row.get(kind)), "image") for row in rows]
    keys = [
        (kind, row["image_id"] if kind == "image" else row[kind])
        for kind, row in zip(kinds, rows, strict=True)
    ]
    parent = {key: key for key in keys}

    def root(key: tuple[str, str]) -> tuple[str, str]:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def join(a: tuple[str, str], b: tuple[str, str]) -> None:
        first, second = sorted((root(a), root(b)), key=lambda key: (KINDS.index(key[0]), key[1]))
        parent[second] = first

    key_of = {row["image_id"]: key for row, key in zip(rows, keys, strict=True)}
    for a, b in pairs:
        if a in key_of and b in key_of:
            join(key_of[a], key_of[b])
    seen: dict[str, tuple[str, str]] = {}
    for row, key in zip(rows, keys, strict=True):
        join(seen.setdefault(row["sha256"], key), key)
    roots = [root(key) for key in keys]
    uses = Counter(name for _, name in set(roots))
    return [name if uses[name] == 1 else f"{kind} {name}" for kind, name in roots], kinds
