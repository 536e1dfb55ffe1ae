"""Sensitivity analyses of paired differences: what two other customary tests say of the same numbers.

Claims rest on the intervals of intervals.py, not on these. A reader who would have chosen another
test sees here whether the answer would change.

- Corrected resampled t test (Nadeau and Bengio 2003, "Inference for the generalization error",
  Machine Learning 52): the folds' own differences, their variance times 1/K + n_test/n_train in
  place of 1/K, since the folds' training sets overlap; K − 1 degrees of freedom.
- TOST, two one-sided t tests (Schuirmann 1987) against a margin: "equivalent" at 5 % where the 90 %
  interval lies within it. `Difference.equivalent` asks it of the 95 % interval and is stricter.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ..records import optional
from .intervals import LEVEL, Difference, Interval, seed_interval, t_test_p

OF_VALIDATION = ("final", "matched", "best", "area")  # moments of a gap


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """One difference a − b under other tests.

    Args:
        metric, kind, at, fraction: what is compared, as of `Difference`.
        mean: the difference.
        p: that of its own interval.
        corrected: the interval of the corrected resampled t test; None without folds.
        corrected_p: its two-sided p.
        margin: of the two one-sided tests; None where equivalence is not asked.
        tost_p: the larger p of the two; below 0.05 the arms are equivalent within the margin.
    """

    a: str
    b: str
    metric: str | None = optional()
    kind: str | None = optional()
    at: str | None = optional()
    fraction: float | None = optional()
    mean: float | None = None
    p: float | None = None
    corrected: Interval | None = optional()
    corrected_p: float | None = optional()
    margin: float | None = optional()
    tost_p: float | None = optional()


def corrected_resampled_t(by_fold: Sequence[float], test_per_training_image: float) -> Interval:
    """The interval over folds with Nadeau and Bengio's variance.

    Args:
        by_fold: (K,) the difference in each fold.
        test_per_training_image: n_test/n_train of a fold.
    """
    plain = seed_interval(np.asarray(by_fold, np.float64), "folds")
    if not plain.se or plain.mean is None or not math.isfinite(plain.mean):
        return plain
    se = plain.se * math.sqrt(1 + len(by_fold) * test_per_training_image)
    reach = float(special.stdtrit(plain.df, (1 + LEVEL) / 2)) * se
    return dataclasses.replace(plain, se=se, low=plain.mean - reach, high=plain.mean + reach)


def tost_p(estimate: Interval, margin: float) -> float | None:
    """The larger p of two one-sided t tests against ± the margin; None where nothing varied."""
    if not estimate.se or estimate.mean is None:
        return None
    nearer = (margin - abs(estimate.mean)) / estimate.se
    return float(special.stdtr(estimate.df, -nearer))


def sensitivity(
    rows: Sequence[Difference],
    test_per_training_image: float | None = None,
    val_per_training_image: float | None = None,
) -> list[Sensitivity]:
    """The other tests of every difference that has a standard error.

    Args:
        rows: the differences; those of a comparison in folds have `by_fold`.
        test_per_training_image, val_per_training_image: of a fold; None where there are no folds.
            Gaps between training and validation take the second.
    """
    answers = []
    for row in rows:
        if not row.se:
            continue
        corrected = None
        by_fold = [value for value in row.by_fold or () if value is not None]
        of_validation = row.at in OF_VALIDATION
        ratio = val_per_training_image if of_validation else test_per_training_image
        if by_fold and ratio is not None:
            corrected = corrected_resampled_t(by_fold, ratio)
        answers.append(
            Sensitivity(
                a=row.a,
                b=row.b,
                metric=row.metric,
                kind=row.kind,
                at=row.at,
                fraction=row.fraction,
                mean=row.mean,
                p=row.p,
                corrected=corrected,
                corrected_p=None if corrected is None else t_test_p(corrected),
                margin=row.margin,
                tost_p=None if row.margin is None else tost_p(row, row.margin),
            )
        )
    return answers
