"""Images of one dataset that are, under whatever name, images of another that a model was trained on."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

# Numbers that a public archive gives once; names such as "12" or "image_3" say nothing across
# datasets.
ARCHIVE = re.compile(r"^(ISIC|HAM|PAT)_\d+")


def overlap(frame: pd.DataFrame, known: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which rows of one manifest show what another shows, by the reason to think so.

    Returns:
        {reason: (n,) bool}; a row has one reason at most: content (equal SHA-256), image (the same
        archive number) or group (the same archive's lesion or patient, or the manifest's own group
        of a row that has another reason).
    """
    rows = {"content": frame["sha256"].isin(set(known["sha256"])).to_numpy()}
    for reason, column in (("image", "image_id"), ("group", "group")):
        archived = frame[column].astype(str).str.match(ARCHIVE.pattern).to_numpy(bool)
        rows[reason] = archived & frame[column].isin(set(known[column])).to_numpy()
    recognised = np.any(list(rows.values()), axis=0)
    rows["group"] |= frame["group"].isin(set(frame["group"][recognised])).to_numpy()
    rows["image"] &= ~rows["content"]
    rows["group"] &= ~rows["content"] & ~rows["image"]
    return rows


def describe_overlap(counts: dict[str, int], of: str) -> str:
    """One sentence for `counts` of `overlap`; empty where nothing overlaps.

    >>> describe_overlap({"content": 2, "image": 0, "group": 1}, "training images")
    'Leak: 3 images were left out because they show training images (2 by content, 1 by group).'
    """
    total = sum(counts.values())
    if not total:
        return ""
    parts = ", ".join(f"{n} by {reason}" for reason, n in counts.items() if n)
    subject = (
        "1 image was left out because it shows"
        if total == 1
        else f"{total} images were left out because they show"
    )
    return f"Leak: {subject} {of} ({parts})."
