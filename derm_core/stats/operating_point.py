"""Operating points: how sensitive a model is where it keeps a chosen specificity, for one class against the rest.

    sensitivities(positive (n,), scores (n,), specificity (K,)) -> (K,)     on the set's own ROC curve
    thresholds(positive, scores, specificity) -> (K,)                       "called" means score > threshold
    operating_point(val, test, specificity, resamples=…, seed=…) -> dict    for one arm, with intervals

A threshold is the lowest that keeps at least the chosen specificity. The set's own curve says what
the scores can do; a model in use has a threshold from elsewhere: what one chosen on validation gives
on the test set, in sensitivity and in specificity, stands beside it.
"""

from __future__ import annotations

import numpy as np

from ..seeds import stream_seed
from .intervals import components, interval
from .resampling import Design, bootstrap_weights, jackknife_weights, make_design

SPECIFICITY = np.linspace(0, 1, 101)
ROUNDING = 1e-9


def thresholds(positive: np.ndarray, scores: np.ndarray, specificity: np.ndarray) -> np.ndarray:
    """For each specificity (K,) the lowest threshold that leaves that share of the negatives at or below it.

    −inf where every image may be called.
    """
    negatives = np.sort(scores[~positive])[::-1]
    allowed = np.floor((1 - np.asarray(specificity)) * len(negatives) + ROUNDING).astype(int)
    return np.append(negatives, -np.inf)[allowed]


def sensitivities(
    positive: np.ndarray,
    scores: np.ndarray,
    specificity: np.ndarray,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Share of the positives above the threshold that each specificity (K,) allows: (K,).

    weights (R, n): the same for R weightings of the images, (R, K); NaN where a side weighs nothing.
    """
    order = np.argsort(-scores[~positive], kind="stable")
    above = np.searchsorted(
        -scores[~positive][order], -scores[positive], side="right"
    )  # negatives not below each positive
    rank = np.argsort(above, kind="stable")
    rows = np.ones((1, len(scores))) if weights is None else weights
    out = np.full((len(rows), len(specificity)), np.nan)
    for r, row in enumerate(rows):
        negative, found = (
            np.cumsum(row[~positive][order], dtype=np.float64),
            np.cumsum(row[positive][rank], dtype=np.float64),
        )
        if len(negative) and len(found) and negative[-1] > 0 and found[-1] > 0:
            allowed = np.searchsorted(
                negative, ((1 - specificity) + ROUNDING) * negative[-1], side="right"
            )
            reached = np.searchsorted(above[rank], allowed, side="right")
            out[r] = np.append(0.0, found)[reached] / found[-1]
    return out[0] if weights is None else out


def operating_point(
    val: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray, np.ndarray],
    specificity: np.ndarray = SPECIFICITY,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, list]:
    """One arm's sensitivity at each specificity (K,), seed means with 95 % intervals by groups and seeds.

    val: (positive (n,), scores (S, n)); test: (positive (n,), groups (n,), scores (S, n)).
    Returns lists of K: sensitivity, low, high (on the test set's own curve), threshold (on validation,
    mean over seeds) and what it gives on test: given_sensitivity, given_specificity, each with _low, _high.
    """
    positive, groups, scores_sn = test
    design = make_design(positive.astype(np.int64), groups, 2)
    rng = np.random.default_rng(stream_seed(seed, "operating point"))
    left_out, strata = jackknife_weights(design, rng)
    weights = np.concatenate([bootstrap_weights(design, resamples, rng), left_out])
    of_image = weights[:, design.group]
    cut_sk = np.stack([thresholds(val[0], one, specificity) for one in val[1]])
    called_snk = scores_sn[:, :, None] > cut_sk[:, None, :]
    curves = (
        np.stack([sensitivities(positive, one, specificity) for one in scores_sn]),
        np.mean([sensitivities(positive, one, specificity, of_image) for one in scores_sn], 0),
    )
    found = {
        "": curves,
        "given_sensitivity": _shares(design, called_snk, positive, weights),
        "given_specificity": _shares(design, ~called_snk, ~positive, weights),
    }
    result = {"threshold": np.where(np.isfinite(cut_sk), cut_sk, 0.0).mean(0).tolist()}
    for name, (by_seed, drawn) in found.items():
        members = len(np.unique(groups[~positive if name == "given_specificity" else positive]))
        spans = [
            interval(
                by_seed[:, k],
                components(drawn[:resamples, k], drawn[resamples:, k], strata),
                members,
                "recall",
            )
            for k in range(len(specificity))
        ]
        result[name or "sensitivity"] = [span["mean"] for span in spans]
        result |= {
            f"{name}_{end}".lstrip("_"): [span[end] for span in spans] for end in ("low", "high")
        }
    return result


def _shares(
    design: Design, hits_snk: np.ndarray, among: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Shares of `among` that are hit: by seed (S, K), and the seed mean under each weighting (R, K)."""
    hits = hits_snk[:, among].mean(1)
    sums = weights @ design.sums(among[:, None] * hits_snk.mean(0))
    total = weights @ design.sums(among[:, None].astype(np.float64))
    return hits, np.where(total > 0, sums / np.maximum(total, ROUNDING), np.nan)
