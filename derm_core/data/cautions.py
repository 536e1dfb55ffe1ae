"""What limits a dataset before any study: unknown groups, contradictory labels, classes of few groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ..formatting import count
from .manifest import Dataset
from .splits import SPLITS

LEAST_GROUPS = len(SPLITS)  # of a class: one for each split
LEAST_IMAGES = 20  # of a class: 15 % of fewer are three test images at most
NAMED = 10  # classes and pairs of labels that one sentence names
UNKNOWN = "Groups unknown: leakage cannot be excluded"
CAUTION = "Caution: "  # with which a note of an import begins that limits what the data can show


def known_group_kinds(dataset: Dataset) -> dict[str, int]:
    """How many images are grouped by patient, by lesion, or by nothing ("image").

    Earlier versions did not count them. There, groups are taken as known where the dataset has
    patients or lesions, is synthetic, or has a group of several images that are no copies.
    """
    info = dataset.info
    if info.group_kinds:
        return info.group_kinds
    if info.patients:
        return {"patient": len(dataset)}
    contents = dataset.frame.groupby("group")["sha256"].nunique()
    known = info.lesions or info.layout == "synthetic" or (contents > 1).any()
    return {"lesion" if known else "image": len(dataset)}


def groups_known(group_kinds: Mapping[str, int]) -> bool:
    """Whether a patient or a lesion is known of any image. group_kinds: see `known_group_kinds`."""
    return any(images > 0 for kind, images in group_kinds.items() if kind != "image")


def describe_groups(groups: int, group_kinds: Mapping[str, int]) -> str:
    """How many groups there are, and by what images are grouped. group_kinds: see `known_group_kinds`."""
    if not groups_known(group_kinds):
        return "unknown"
    by = [
        f"{count(images, 'image')} by {kind}"
        for kind, images in group_kinds.items()
        if images and kind != "image"
    ]
    alone = group_kinds.get("image", 0)
    by += [f"{count(alone, 'image')} without a known one"] if alone else []
    return f"{groups:,} ({', '.join(by)})"


def sort_notes(notes: Sequence[str]) -> tuple[list[str], list[str]]:
    """The notes of an import as (cautions without the word "Caution", other notes)."""
    limits = [note.removeprefix(CAUTION) for note in notes if note.startswith(CAUTION)]
    return limits, [note for note in notes if not note.startswith(CAUTION)]


def group_caution(group_kinds: Mapping[str, int]) -> str:
    """What is not known of the groups, in one sentence; empty where all images have a patient or lesion.

    group_kinds: see `known_group_kinds`.
    """
    alone, images = group_kinds.get("image", 0), sum(group_kinds.values())
    if not groups_known(group_kinds):
        return (
            f"{UNKNOWN} (no patient and no lesion is known of any image), and intervals are "
            "optimistic."
        )
    if not alone:
        return ""
    verb = "has" if alone == 1 else "have"
    return (
        f"{alone:,} of {images:,} images {verb} no known patient or lesion: for these, leakage "
        "cannot be excluded."
    )


def cautions(
    labels: Sequence[str | None],
    groups: Sequence[str],
    contents: Sequence[str],
    group_kinds: Mapping[str, int],
) -> list[str]:
    """What limits a dataset, one sentence each; empty where nothing does.

    Args:
        labels: (N,) class names, None without a label.
        groups: (N,) names of groups.
        contents: (N,) hashes of the image files.
        group_kinds: patient, lesion or image → how many images are grouped by it.
    """
    frame = pd.DataFrame({"label": labels, "group": groups, "content": contents}, dtype=object)
    labelled = frame[frame["label"].notna()]
    sentences = [group_caution(group_kinds), _contradictions(labelled), *_small_classes(labelled)]
    return [sentence for sentence in sentences if sentence]


def _contradictions(labelled: pd.DataFrame) -> str:
    """Files of equal content under several labels."""
    distinct = labelled[["content", "label"]].drop_duplicates()
    several = distinct[distinct["content"].duplicated(keep=False)]
    if several.empty:
        return ""
    by_file = several.groupby("content")["label"].agg(lambda names: " / ".join(sorted(names)))
    pairs = [f"{names} ({files:,})" for names, files in by_file.value_counts().items()]
    return (
        f"{count(len(by_file), 'image')} with copies under different labels: {_named(pairs)}. "
        "At least one label of each is wrong."
    )


def _small_classes(labelled: pd.DataFrame) -> list[str]:
    """Classes that cannot be in every split, and classes of few images."""
    groups = labelled.groupby("label")["group"].nunique()
    images = labelled["label"].value_counts().reindex(groups.index)
    narrow = [f"{name} ({count(n, 'group')})" for name, n in groups.items() if n < LEAST_GROUPS]
    rare = [
        f"{name} ({images[name]})"
        for name, n in groups.items()
        if n >= LEAST_GROUPS and images[name] < LEAST_IMAGES
    ]
    sentences = []
    if narrow:
        sentences.append(
            f"Classes of fewer than {LEAST_GROUPS} groups cannot be in training, validation and "
            f"test: {_named(narrow)}."
        )
    if rare:
        sentences.append(
            f"Classes of fewer than {LEAST_IMAGES} images have about three test images or fewer: "
            f"{_named(rare)}."
        )
    return sentences


def _named(parts: Sequence[str]) -> str:
    more = len(parts) - NAMED
    return ", ".join(parts[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
