"""Intervals and tests for a study's test set: groups resampled within class, seeds as a second source.

    evaluate(labels (N,), groups (N,), probabilities {arm: (S, N, C)}, log_prior (C,), class_names,
             resamples=2000, seed=0, primary=("vae", "imagenet"), grouped=True) -> dict:
        "arms"        {arm: {metric: interval}}, metric one of metrics.METRICS
        "per_class"   {arm: [{"class", "n", "groups", "recall": interval}]}
        "majority"    {metric: interval} of always saying the training shares
        "differences" [{"a", "b", "metric", interval of a − b, "p", "p_holm", "primary", "stand_in", "detectable",
                      "equivalent"}] for every pair
        "groups"      number of test groups;  "cautions" [sentence]
        interval = {"mean", "std" (over seeds), "low", "high" (95 %), "se", "df", "method"}

An interval is estimate ± t · √(V_groups + s²_seed/S). s²_seed is the variance of the seeds' values on
the full set, and so already holds what each seed's own errors on these groups add. V_groups is the rest:
the covariance between seeds over resamples of groups within class, what the seeds share (Obuchowski and
Rockette 1995, readers for seeds; not below 0). The variance of the seed mean in its place would count the
seeds' own errors twice: intervals twice as long as they need be where an arm meets itself.
Satterthwaite's degrees of freedom (1946) take the classes' shares of V_groups from a jackknife (a class of
m groups has m − 1) and S − 1 for the seeds (Hillis 2007): a result that hangs on ten melanomas gets ten
melanomas' t. With fewer than 20 groups, or at exactly 0 or 1 where nothing varies, shares get Wilson's
interval (1927) on the number of groups.

The one primary test is VAE − ImageNet in balanced accuracy, by sign flips over groups: it asks of these
trained heads, the interval also of their seeds. Where another pair stands in for it, that row has the sign flips' p too
but is one of the secondary tests. Those are corrected together by Holm (1979); gaps, another
question with another resampling, are a family of their own (pairs.py).

Out-of-fold predictions (`folds`) have each image's own class prior, and what differs between folds beyond groups and
seeds is a further component (between.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from ..errors import DataError
from ..seeds import stream_seed
from .fold_variance import between, by_fold
from .metrics import METRICS, decide, recall, test_metrics
from .resampling import Design, bootstrap_weights, jackknife_weights, make_design, replicates

LEVEL, POWER, MARGIN, FEW_GROUPS = 0.95, 0.80, 0.02, 20
PRIMARY = ("vae", "imagenet")
SHARES = ("balanced_accuracy", "accuracy", "recall")
BOUNDED = (*SHARES, "macro_auroc", "ece")
Component = tuple[float, float]  # a variance and its degrees of freedom


def evaluate(
    labels: np.ndarray,
    groups: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    log_prior: np.ndarray,
    class_names: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int = 0,
    primary: tuple[str, str] = PRIMARY,
    grouped: bool = True,
    folds: np.ndarray | None = None,
) -> dict:
    """All test statistics of a study, as the module's docstring says. Raises DataError on unlabelled images.

    log_prior: (C,), or (N, C) of out-of-fold predictions, whose fold is `folds` (N,).
    primary: the pair that sign flips test; another than VAE − ImageNet is marked as a stand-in.
    grouped: False where the set has no group ids (each image its own group): a caution says so.
    """
    labels, classes = np.asarray(labels), len(class_names)
    if not len(labels) or labels.min() < 0:
        raise DataError("The test set is empty or has images without a label: leave those out.")
    design = make_design(labels, groups, classes)
    rng = np.random.default_rng(stream_seed(seed, "bootstrap"))
    weights = bootstrap_weights(design, resamples, rng)
    left_out, strata = jackknife_weights(design, rng)
    everything = np.concatenate([weights, left_out])
    shares = np.exp(np.where(np.isfinite(log_prior), log_prior, -np.inf))
    shares = (
        shares if shares.ndim == 1 else shares.mean(0)
    )  # folds' own would rank images by their fold
    every = {**probabilities, "majority": np.broadcast_to(shares, (1, len(labels), classes))}
    seeds, drawn = {}, {}
    for arm, p in every.items():
        p = np.asarray(p, np.float64)
        seeds[arm] = test_metrics(labels, p, log_prior)
        seeds[arm]["recall"] = recall(
            labels, decide(np.log(np.maximum(p, 1e-300)), log_prior), classes
        )
        drawn[arm] = replicates(design, p, log_prior, everything)

    pieces = {} if folds is None else by_fold(labels, probabilities, log_prior, folds, classes)

    def spread(values: np.ndarray) -> list[Component]:
        return components(values[:resamples], values[resamples:], strata)

    def parts(arm: str, m: str, at: int | slice = slice(None)) -> list[Component]:
        found = spread(drawn[arm][m][..., at])
        return found + (
            between(pieces[arm][m][..., at], found, seeds[arm][m][..., at]) if arm in pieces else []
        )

    groups_of = np.array([len(np.unique(design.group[labels == c])) for c in range(classes)])
    arms = {
        arm: {m: interval(seeds[arm][m], parts(arm, m), len(design.stratum), m) for m in METRICS}
        for arm in every
    }
    per_class = {
        arm: [
            {
                "class": name,
                "n": int((labels == c).sum()),
                "groups": int(groups_of[c]),
                "recall": interval(
                    seeds[arm]["recall"][:, c], parts(arm, "recall", c), groups_of[c], "recall"
                ),
            }
            for c, name in enumerate(class_names)
        ]
        for arm in probabilities
    }
    differences = [
        _difference(a, b, m, seeds, drawn, spread, pieces)
        for a, b in _pairs(list(probabilities), primary)
        for m in METRICS
    ]
    _test(differences, design, probabilities, log_prior, primary, seed)
    return {
        "arms": {arm: arms[arm] for arm in probabilities},
        "majority": arms["majority"],
        "per_class": per_class,
        "differences": differences,
        "groups": len(design.stratum),
        "cautions": _cautions(
            groups_of, class_names, design, grouped, min(len(p) for p in probabilities.values())
        ),
    }


def components(boot: np.ndarray, jackknife: np.ndarray, strata: np.ndarray) -> list[Component]:
    """V_groups from the bootstrap, split over classes as the jackknife with its classes (J,) says.

    boot (R, S) and jackknife (J, S) hold the seeds' values: V_groups is the covariance that the seeds
    share. (R,) and (J,), or one seed: the variance itself.
    """
    boot = boot.reshape(len(boot), -1)
    boot = boot[np.isfinite(boot).all(1)]
    variance = float(boot.mean(1).var(ddof=1)) if len(boot) > 1 else 0.0
    if not len(jackknife) or not variance > 0:
        return [(0.0, 1.0)]
    shared, means = _shared(boot, variance), jackknife.reshape(len(jackknife), -1).mean(1)
    parts = []
    for c in np.unique(strata):
        values = means[strata == c]
        parts.append((float(np.nanvar(values) * (len(values) - 1)), float(len(values) - 1)))
    total = sum(v for v, _ in parts)
    return (
        [(shared * v / total, df) for v, df in parts]
        if total > 0
        else [(shared, float(len(jackknife) - 1))]
    )


def _shared(boot: np.ndarray, variance: float) -> float:
    """Mean covariance of two seeds, not below 0: from V(mean) = (mean variance + (S − 1) covariance)/S."""
    seeds = boot.shape[1]
    if seeds == 1:
        return variance
    return max((seeds * variance - float(boot.var(0, ddof=1).mean())) / (seeds - 1), 0.0)


def interval(by_seed: np.ndarray, parts: list[Component], groups: int, metric: str = "") -> dict:
    """The 95 % interval of a mean over seeds (S,), from group variance components and the seeds' own."""
    by_seed = np.asarray(by_seed, np.float64)
    mean, count = float(by_seed.mean()), len(by_seed)
    std = float(by_seed.std(ddof=1)) if count > 1 else 0.0
    if not np.isfinite(mean):
        return {
            "mean": None,
            "std": None,
            "low": None,
            "high": None,
            "se": None,
            "df": None,
            "method": "none",
        }
    parts = [*parts, (std**2 / count, count - 1.0)] if count > 1 else parts
    variance = sum(v for v, _ in parts)
    below = sum(v**2 / df for v, df in parts if v > 0)
    df = variance**2 / below if below > 0 else 1.0
    se = float(np.sqrt(variance))
    if metric in SHARES and (groups < FEW_GROUPS or (variance == 0 and mean in (0.0, 1.0))):
        low, high = wilson(mean, groups)
        method = "wilson"
    else:
        reach = float(student.ppf((1 + LEVEL) / 2, df)) * se
        low, high, method = mean - reach, mean + reach, "bootstrap"
    if metric in BOUNDED:
        low, high = max(low, 0.0), min(high, 1.0)
    return {
        "mean": mean,
        "std": std,
        "low": low,
        "high": high,
        "se": se,
        "df": df,
        "method": method,
    }


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval for a share of n."""
    if n < 1:
        return 0.0, 1.0
    z = norm.ppf((1 + LEVEL) / 2)
    middle, reach = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float((middle - reach) / (1 + z**2 / n)), float((middle + reach) / (1 + z**2 / n))


def _pairs(arms: list[str], primary: tuple[str, str]) -> list[tuple[str, str]]:
    """Every pair once; the primary one in its named direction."""
    return [primary if {a, b} == set(primary) else (a, b) for a, b in combinations(arms, 2)]


def _difference(
    a: str, b: str, metric: str, seeds: dict, drawn: dict, spread, pieces: dict
) -> dict:
    """a − b on the same groups and, where both have as many, the same seeds. p from Student's t.

    detectable: the smallest difference found with 80 % power at 5 %; equivalent: interval within ±0.02.
    """
    if len(seeds[a][metric]) == len(seeds[b][metric]):
        by_seed, change, extra = (
            seeds[a][metric] - seeds[b][metric],
            drawn[a][metric] - drawn[b][metric],
            [],
        )
    else:
        by_seed = np.array([seeds[a][metric].mean() - seeds[b][metric].mean()])
        change = drawn[a][metric].mean(1) - drawn[b][metric].mean(1)
        extra = [
            (float(v.var(ddof=1)) / len(v), len(v) - 1.0)
            for v in (seeds[a][metric], seeds[b][metric])
            if len(v) > 1
        ]
    parts = spread(change) + extra
    if pieces:
        parts += between(pieces[a][metric] - pieces[b][metric], parts, by_seed)
    found = interval(by_seed, parts, FEW_GROUPS)
    row = {
        "a": a,
        "b": b,
        "metric": metric,
        **found,
        "p": None,
        "detectable": None,
        "equivalent": False,
    }
    if found["mean"] is not None:
        se, df = found["se"], found["df"]
        row["p"] = (
            1.0
            if found["mean"] == 0
            else float(2 * student.sf(abs(found["mean"]) / se, df))
            if se > 0
            else 0.0
        )
        row["detectable"] = float((student.ppf((1 + LEVEL) / 2, df) + student.ppf(POWER, df)) * se)
        row["equivalent"] = (
            metric != "log_loss" and found["low"] > -MARGIN and found["high"] < MARGIN
        )
    return row


def _test(
    differences: list[dict],
    design: Design,
    probabilities: Mapping[str, np.ndarray],
    log_prior: np.ndarray,
    primary: tuple[str, str],
    seed: int,
) -> None:
    """p by sign flips for the primary test or the one that stands in for it; Holm's correction over all but the primary."""
    for row in differences:
        named = (row["a"], row["b"]) == primary and row["metric"] == "balanced_accuracy"
        row["primary"], row["stand_in"] = named and primary == PRIMARY, named and primary != PRIMARY
        if named:
            right = [
                (
                    decide(np.log(np.maximum(probabilities[arm], 1e-300)), log_prior)
                    == design.labels
                ).mean(0)
                for arm in primary
            ]
            row["p"] = sign_flip(design, right[0] - right[1], seed=seed)
        row["p_holm"] = None
    others = [row for row in differences if not row["primary"] and row["p"] is not None]
    for row, p in zip(others, holm([row["p"] for row in others]), strict=True):
        row["p_holm"] = float(p)


def sign_flip(
    design: Design, difference: np.ndarray, *, flips: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p of a difference in balanced accuracy: `difference` (N,) of correct, seed mean.

    Under the null the two arms' answers for a group are exchangeable: flips the signs of the
    groups' contributions, 10,000 times; p = (1 + as extreme) / (1 + flips), never 0.
    """
    counts = np.bincount(design.labels, minlength=design.classes)
    share = difference / counts[design.labels] / (counts > 0).sum()
    by_group = np.bincount(design.group, weights=share)
    by_group = by_group[by_group != 0]
    rng = np.random.default_rng(stream_seed(seed, "sign flips"))
    signs = rng.integers(0, 2, (flips, len(by_group)), dtype=np.int8) * np.float32(2) - 1
    return float((1 + (np.abs(signs @ by_group) >= abs(by_group.sum()) - 1e-9).sum()) / (1 + flips))


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjusted p values (1979), in the order given."""
    p = np.asarray(p, np.float64)
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(np.minimum(p[order] * (len(p) - np.arange(len(p))), 1.0))
    return adjusted[np.argsort(order)]


def _cautions(
    groups_of: np.ndarray, class_names: Sequence[str], design: Design, grouped: bool, seeds: int
) -> list[str]:
    said = []
    few = [
        f"{name} ({n})"
        for name, n in zip(class_names, groups_of, strict=True)
        if 0 < n < FEW_GROUPS
    ]
    absent = [name for name, n in zip(class_names, groups_of, strict=True) if n == 0]
    if len(design.stratum) < FEW_GROUPS:
        said.append(
            f"The test set has {len(design.stratum)} groups: intervals of shares are Wilson's, "
            "and nothing here is firm."
        )
    if few:
        said.append(
            f"Fewer than {FEW_GROUPS} test groups in {', '.join(few)}: recall there has Wilson's interval, "
            "and balanced accuracy rests on few lesions."
        )
    if absent:
        said.append(
            f"No test images of {', '.join(absent)}: left out of balanced accuracy and AUROC."
        )
    if not grouped:
        said.append("This test set has no group ids: its intervals are optimistic.")
    if seeds < 2:
        said.append("One seed: its share of chance is not in the intervals.")
    return said
