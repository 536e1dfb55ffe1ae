"""Data trouble that a feature space shows: near-duplicates, likely label errors, outliers; each ranked, with its reason.

    find_trouble(dataset, rows, split, images, mapped, other spaces, seed) -> Trouble(table, counts)

The table has one row a finding: kind ("near_duplicate", "label_error", "outlier"), row and other (manifest rows, other
-1 where there is none), score (higher: worse, comparable within a kind), suggestion (a class or None), reason (a sentence)
and across_splits (whether a pair lies in two splits).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ..data.decode import open_picture, prepare
from ..data.manifest import Dataset
from ..data.near_duplicates import DuplicatePairs, candidates, near_duplicates
from ..data.registration import FINE
from ..errors import ImageError
from ..stats.feature_space import SHOWN_NEIGHBOURS
from . import label_errors
from .saved_map import TROUBLE

KNOWN = "known_duplicates.csv"  # pairs that HAM10000's authors list, beside its images
UNFOUND = "The dataset lists this pair, and both are one group; the pictures themselves do not agree enough to be found."
FENCE = 3.0  # outliers lie this many interquartile ranges above the upper quartile, in log distance


@dataclass(frozen=True)
class Trouble:
    """table: columns as above, each kind together, the worst first. counts: {"near_duplicate", "label_error", "outlier",
    "across_splits", "confused_labels" and "random_labels" (see mislabelled.LabelErrors; None without labels), "known_pairs",
    "found"}, the last two None where the dataset lists no pairs."""

    table: pd.DataFrame
    counts: dict[str, int | None]


def find_trouble(
    dataset: Dataset,
    rows: np.ndarray,
    split: np.ndarray,
    images: np.ndarray,
    mapped: Any,
    spaces: Sequence[np.ndarray],
    seed: int,
    report: Callable[[int, int], None],
) -> Trouble:
    """Look for trouble among a dataset's `rows` (n,), `split` (n,) as in SPLITS.

    images: the store's, uint8 (N, S, S, 3); mapped: space (n, D), positions and distances (n, k) of its neighbours;
    spaces: further standardised features (n, D'), which propose near-duplicates as well; report: called with (pairs
    compared, of how many).
    """
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    known = known_pairs(dataset, rows)
    found = near_duplicates(
        images, _reader(dataset, images), rows, candidates(mapped.positions, spaces), report
    )
    copies, found_known = _duplicate_rows(found, rows, split, groups, known)
    doubted, of_labels = _label_rows(mapped.space, rows, labels, groups, dataset.classes, seed)
    table = pd.DataFrame(
        [*copies, *doubted, *_outlier_rows(mapped.distances, rows)], columns=list(TROUBLE)
    )
    counts = {
        kind: int((table["kind"] == kind).sum())
        for kind in ("near_duplicate", "label_error", "outlier")
    }
    return Trouble(
        table.astype({"row": np.int64, "other": np.int64, "score": float, "across_splits": bool}),
        {
            **counts,
            "across_splits": int(table["across_splits"].sum()),
            **of_labels,
            "known_pairs": len(known) or None,
            "found": found_known if known else None,
        },
    )


def known_pairs(dataset: Dataset, rows: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of positions in `rows` that the dataset's source lists as showing the same lesion; empty where it lists none."""
    path = Path(dataset.info.source) / KNOWN
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            listed = [
                (Path(line["from_img"]).stem, Path(line["to_img"]).stem)
                for line in csv.DictReader(handle)
            ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        return set()
    at = {
        name: position for position, name in enumerate(dataset.frame["image_id"].to_numpy()[rows])
    }
    return {tuple(sorted((at[a], at[b]))) for a, b in listed if a in at and b in at}


def _reader(dataset: Dataset, images: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Reads rows at 128 px: from a store of that size, else from the dataset's own files, else the store's enlarged."""
    side = FINE

    def one(row: int) -> np.ndarray:
        if images.shape[1] < side:
            try:
                path = Path(dataset.frame["path"].iloc[row])
                return prepare(open_picture(path, path.name), side)
            except (ImageError, OSError):
                pass  # moved or damaged since the import: what the store has must do
        return np.asarray(
            Image.fromarray(images[row]).resize((side, side), Image.Resampling.BICUBIC)
        )

    return lambda rows: (
        np.stack([one(row) for row in rows])
        if len(rows)
        else np.zeros((0, side, side, 3), np.uint8)
    )


def _duplicate_rows(
    found: DuplicatePairs,
    rows: np.ndarray,
    split: np.ndarray,
    groups: np.ndarray,
    known: set[tuple[int, int]],
) -> tuple[list[tuple], int]:
    """Pairs of different groups, and all that the source lists, the unfound last; views of a group are no trouble. Also how
    many of the listed were found."""
    kept, found_known = [], set()
    for (a, b), score, angle, stretch in zip(
        found.pairs.tolist(),
        found.scores.tolist(),
        found.angles.tolist(),
        found.stretches.tolist(),
        strict=True,
    ):
        listed = (a, b) in known
        if listed:
            found_known.add((a, b))
        if groups[a] == groups[b] and not listed:
            continue
        longer = max(stretch, 1 / stretch) - 1
        moved = [f"turning by {angle:.0f}°"] * bool(round(angle)) + [
            f"stretching by {longer:.0%}"
        ] * (longer > 0)
        after = f" after {' and '.join(moved)}" if moved else ""
        reason = f"The pictures agree{after} (correlation {score:.2f})"
        across = bool(split[a] != split[b])
        reason += (
            "; the dataset lists this pair, and both are one group."
            if listed
            else (
                ", but are two groups, in different splits." if across else ", but are two groups."
            )
        )
        kept.append(("near_duplicate", rows[a], rows[b], score, None, reason, across))
    kept.sort(key=lambda row: -row[3])
    kept += [
        ("near_duplicate", rows[a], rows[b], 0.0, None, UNFOUND, bool(split[a] != split[b]))
        for a, b in sorted(known - found_known)
    ]
    return kept, len(found_known)


def _label_rows(
    space: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
    seed: int,
) -> tuple[list[tuple], dict[str, int | None]]:
    judged = label_errors.out_of_fold(space, labels, groups, len(classes), seed)
    if judged is None:
        return [], {"confused_labels": None, "random_labels": None}
    errors = label_errors.label_errors(judged, labels)

    def reason(i: int, guess: int, score: float) -> str:
        own = judged.probabilities[i, labels[i]]
        return (
            f"Labelled {classes[labels[i]]}; by the features {classes[guess]} is {_times(np.exp(score))} times as "
            f"probable ({judged.probabilities[i, guess]:.0%} against {_small(own)})."
        )

    return [
        ("label_error", rows[i], -1, float(score), classes[guess], reason(i, guess, score), False)
        for i, guess, score in zip(errors.positions, errors.suggestion, errors.score, strict=True)
    ], {"confused_labels": errors.confused, "random_labels": errors.estimated}


def _times(ratio: float) -> str:
    """Two figures are all that such a ratio has."""
    return f"{float(f'{ratio:.2g}'):,.0f}" if ratio < 10_000 else "over 10,000"


def _small(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"


def _outlier_rows(distances: np.ndarray, rows: np.ndarray) -> list[tuple]:
    """Images whose 10th neighbour is unusually far (Tukey's fence on the logarithm), as multiples of the median."""
    k = min(SHOWN_NEIGHBOURS, distances.shape[1])
    far = distances[:, k - 1].astype(np.float64)
    low, middle, high = np.quantile(np.log(np.maximum(far, 1e-12)), [0.25, 0.5, 0.75])
    limit = np.exp(high + FENCE * (high - low))
    order = np.flatnonzero(far > limit)
    ratio = far / np.exp(middle)
    order = order[np.argsort(-far[order], kind="stable")]
    return [
        (
            "outlier",
            rows[i],
            -1,
            float(ratio[i]),
            None,
            f"Its {k}th nearest image is {ratio[i]:.1f} times as far away as is usual here.",
            False,
        )
        for i in order
    ]
