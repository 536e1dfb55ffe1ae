"""Data issues that a feature space shows: near-duplicates, likely label errors and outliers, with reasons."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.manifest import Dataset
from ..data.near_duplicates import CandidatePairs, Comparison, DuplicatePairs, candidates
from ..data.own_files import OwnFiles
from ..stats.feature_space import SHOWN_NEIGHBOURS, FeatureSpace
from ..stats.neighbours import nearest_in_each
from .label_errors import label_errors, out_of_fold
from .saved_map import IssueCounts

KNOWN = "known_duplicates.csv"  # pairs that HAM10000's authors list, beside its images
NOT_FOUND = (
    "The dataset lists this pair, and both are one group; the pictures themselves do not agree "
    "enough to be found."
)
FIRST_PAUSE = 10.0  # seconds until what was found is saved; twice as many each time
FENCE = 3.0  # outliers lie this many interquartile ranges above the upper quartile, in log distance


@dataclass(frozen=True)
class DataIssue:
    """One issue: a row of trouble.parquet.

    Attributes:
        kind: "near_duplicate", "label_error" or "outlier".
        row, other: manifest rows; other is -1 where there is none.
        score: higher is worse; comparable within a kind.
        suggestion: a class name, of label errors.
        reason: a sentence.
        across_splits: whether a pair lies in two splits.
    """

    kind: str
    row: int
    other: int
    score: float
    suggestion: str | None
    reason: str
    across_splits: bool = False


@dataclass(frozen=True)
class DataIssues:
    """All issues of a map; table: one row a DataIssue, each kind together, the worst first."""

    table: pd.DataFrame
    counts: IssueCounts


def find_issues(
    dataset: Dataset,
    rows: np.ndarray,
    split: np.ndarray,
    images: np.ndarray,
    space: FeatureSpace,
    other_spaces: Sequence[np.ndarray],
    seed: int,
    report: Callable[[int, int], None],
    save: Callable[[DataIssues], None] = lambda issues: None,
) -> DataIssues:
    """Look for issues among images of a dataset.

    Args:
        dataset: all images.
        rows: (n,) manifest rows to look among.
        split: (n,) indices into SPLITS.
        images: the store's, uint8 (N, S, S, 3).
        space: of the n images.
        other_spaces: further standardised features (n, D'), which propose near-duplicates as well.
        seed: of the folds that labels are checked in, and of approximate neighbours.
        report: called with (pairs compared, of how many).
        save: called with what is known so far: once labels and outliers are, then from time to time while
            pairs are compared, less and less often.
    """
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    known = known_pairs(dataset, rows)
    doubted, confused, random = _label_errors(
        space.features, rows, labels, groups, dataset.classes, seed
    )
    others = [*doubted, *_outliers(space.distances, rows)]
    comparison = Comparison(_candidates(space, other_spaces, groups, known, seed))
    pairs = len(comparison.candidates.pairs)

    def issues(compared: int) -> DataIssues:
        is_end = compared == pairs
        alike = comparison.alike()
        duplicates, listed_found = _duplicates(alike, rows, split, known, is_end)
        counts = IssueCounts(
            near_duplicate=len(duplicates),
            label_error=len(doubted),
            outlier=len(others) - len(doubted),
            across_splits=sum(issue.across_splits for issue in duplicates),
            confused_labels=confused,
            random_labels=random,
            known_pairs=len(known) if known and is_end else None,
            found=listed_found if known and is_end else None,
            pairs_left=pairs - compared,
        )
        return DataIssues(_table([*duplicates, *others]), counts)

    pause, started = FIRST_PAUSE, time.monotonic()
    if pairs:
        save(issues(0))
    for compared in comparison.steps(images, OwnFiles(dataset.frame["path"].tolist()), rows):
        report(compared, pairs)
        if time.monotonic() - started > pause and compared < pairs:
            save(issues(compared))
            pause, started = 2 * pause, time.monotonic()
    return issues(pairs)


def _candidates(
    space: FeatureSpace,
    other_spaces: Sequence[np.ndarray],
    groups: np.ndarray,
    known: set[tuple[int, int]],
    seed: int,
) -> CandidatePairs:
    """The pairs to compare: neighbours in any of the spaces. seed: of approximate neighbours."""
    count = min(SHOWN_NEIGHBOURS, space.positions.shape[1])
    others = [positions for positions, _ in nearest_in_each(other_spaces, count, seed)]
    return _of_interest(candidates([space.positions, *others]), groups, known)


def _table(issues: Sequence[DataIssue]) -> pd.DataFrame:
    table = pd.DataFrame(issues, columns=[field.name for field in fields(DataIssue)])
    types = {"row": np.int64, "other": np.int64, "score": float, "across_splits": bool}
    return table.astype(types)


def known_pairs(dataset: Dataset, rows: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of positions in `rows` that the dataset's source lists as the same lesion, if it does."""
    try:
        with open(Path(dataset.info.source) / KNOWN, newline="", encoding="utf-8") as handle:
            listed = [
                (Path(line["from_img"]).stem, Path(line["to_img"]).stem)
                for line in csv.DictReader(handle)
            ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        return set()
    ids = dataset.frame["image_id"].to_numpy()[rows]
    at = {name: position for position, name in enumerate(ids)}
    pairs = ((at[a], at[b]) for a, b in listed if a in at and b in at)
    return {(min(pair), max(pair)) for pair in pairs}


def _of_interest(
    proposed: CandidatePairs, groups: np.ndarray, known: set[tuple[int, int]]
) -> CandidatePairs:
    """Pairs of different groups, and those that the source lists.

    Others are views of one lesion: no issue, whether they agree or not.
    """
    first, second = proposed.pairs.T
    is_known = np.array([pair in known for pair in map(tuple, proposed.pairs.tolist())], bool)
    wanted = (groups[first] != groups[second]) | is_known
    return CandidatePairs(proposed.pairs[wanted], proposed.is_first[wanted])


def _duplicates(
    alike: DuplicatePairs,
    rows: np.ndarray,
    split: np.ndarray,
    known: set[tuple[int, int]],
    is_end: bool,
) -> tuple[list[DataIssue], int]:
    """Pairs that agree, and how many that the source lists were found; at the end its others as well, which stand last.

    Args:
        alike: pairs of positions.
        rows: (n,) manifest rows.
        split: (n,) indices into SPLITS.
        known: pairs that the source lists.
        is_end: whether all pairs were compared.
    """
    issues, listed_found = [], set()
    for (a, b), score, angle, stretch in zip(
        alike.pairs.tolist(), alike.scores, alike.angles, alike.stretches, strict=True
    ):
        is_listed = (a, b) in known
        if is_listed:
            listed_found.add((a, b))
        across = bool(split[a] != split[b])
        if is_listed:
            remark = "; the dataset lists this pair, and both are one group."
        else:
            remark = (
                ", but are two groups, in different splits." if across else ", but are two groups."
            )
        reason = f"The pictures agree{_moves(angle, stretch)} (correlation {score:.2f}){remark}"
        issues.append(
            DataIssue("near_duplicate", rows[a], rows[b], float(score), None, reason, across)
        )
    issues.sort(key=lambda issue: -issue.score)
    for a, b in sorted(known - listed_found) if is_end else ():
        across = bool(split[a] != split[b])
        issues.append(DataIssue("near_duplicate", rows[a], rows[b], 0.0, None, NOT_FOUND, across))
    return issues, len(listed_found)


def _moves(angle: float, stretch: float) -> str:
    longer = max(stretch, 1 / stretch) - 1
    moves = [f"turning by {angle:.0f}°"] if round(angle) else []
    if longer > 0:
        moves.append(f"stretching by {longer:.0%}")
    return f" after {' and '.join(moves)}" if moves else ""


def _label_errors(
    features_nd: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
    seed: int,
) -> tuple[list[DataIssue], int | None, int | None]:
    """Likely label errors, and the counts of confused and random labels; None without labels."""
    judged = out_of_fold(features_nd, labels, groups, len(classes), seed)
    if judged is None:
        return [], None, None
    errors = label_errors(judged, labels)
    issues = []
    for i, guess, score in zip(errors.positions, errors.suggestion, errors.score, strict=True):
        own, other = judged.probabilities[i, [labels[i], guess]]
        reason = (
            f"Labelled {classes[labels[i]]}; by the features {classes[guess]} is "
            f"{_times(np.exp(score))} times as probable ({other:.0%} against {_small(own)})."
        )
        issues.append(DataIssue("label_error", rows[i], -1, float(score), classes[guess], reason))
    return issues, errors.confused, errors.estimated


def _times(ratio: float) -> str:
    """Two figures are all that such a ratio has."""
    return f"{float(f'{ratio:.2g}'):,.0f}" if ratio < 10_000 else "over 10,000"


def _small(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"


def _outliers(distances: np.ndarray, rows: np.ndarray) -> list[DataIssue]:
    """Images whose 10th neighbour is unusually far (Tukey's fence on the logarithm), as multiples of the median."""
    k = min(SHOWN_NEIGHBOURS, distances.shape[1])
    far = distances[:, k - 1].astype(np.float64)
    low, middle, high = np.quantile(np.log(np.maximum(far, 1e-12)), [0.25, 0.5, 0.75])
    outside = np.flatnonzero(far > np.exp(high + FENCE * (high - low)))
    ratio = far / np.exp(middle)
    reason = "Its {}th nearest image is {:.1f} times as far away as is usual here."
    return [
        DataIssue("outlier", rows[i], -1, float(ratio[i]), None, reason.format(k, ratio[i]))
        for i in outside[np.argsort(-far[outside], kind="stable")]
    ]
