"""95 % confidence intervals of a mean over seeds: variance over resampled groups, over seeds and over folds.

An interval is estimate ± t · √(V_groups + s²_seed/S). s²_seed is the variance of the seeds' values
on the full set, and so already holds what each seed's own errors on these groups add. V_groups is
the rest: the covariance between seeds over resamples of groups within class, what the seeds share
(Obuchowski and Rockette 1995, seeds in place of readers; not below 0). The variance of the seed
mean in its place would count the seeds' own errors twice.

Satterthwaite's degrees of freedom (1946) take the classes' shares of V_groups from a jackknife (a
class of m groups has m − 1) and S − 1 for the seeds (Hillis 2007): a result that rests on ten
melanomas gets the t of ten melanomas. With fewer than 20 groups, or at exactly 0 or 1 where nothing
varies, shares get Wilson's interval (1927).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from scipy import special  # not scipy.stats, which takes half a second to import

from ..records import optional

LEVEL, POWER, FEW_GROUPS = 0.95, 0.80, 20
MARGINS = {  # differences up to this count as none
    "balanced_accuracy": 0.02,
    "accuracy": 0.02,
    "recall": 0.02,
    "macro_auroc": 0.01,
    "ece": 0.01,
    "brier": 0.01,
    "log_loss": 0.02,
    "relative_loss": 0.02,  # the share of balanced accuracy that a corruption takes
}
GAP_MARGINS = {  # of a gap, by the loss or accuracy that it is one of
    "accuracy": MARGINS["accuracy"],
    "cross_entropy": MARGINS["log_loss"],
    "brier": MARGINS["brier"],
}
ROUNDING = 1e-7  # a standard error below this is that of the arithmetic: nothing varied
SHARES = ("balanced_accuracy", "accuracy", "recall")
BOUNDED = (*SHARES, "macro_auroc")


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95 % confidence interval; None where it is not known.

    Args:
        mean: the estimate, a mean over seeds.
        std: standard deviation over seeds.
        low, high: ends of the 95 % interval.
        se: standard error.
        df: Satterthwaite's degrees of freedom.
        method: how the ends were computed: "bootstrap", "wilson", "none", "constant" where
            nothing varied over groups, seeds or folds, so that nothing is tested, or "seeds" or "folds",
            which alone say nothing of another set of images.
        by_seed: the seeds' (or folds') own values, where they are reported.
    """

    mean: float | None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    se: float | None = None
    df: float | None = None
    method: str = "none"
    by_seed: tuple[float | None, ...] | None = optional()

    @property
    def sign(self) -> int:
        """1 or −1 where the whole interval lies above or below 0, else 0, as where nothing varied."""
        if self.se == 0 or self.low is None or self.high is None or self.low <= 0 <= self.high:
            return 0
        return 1 if self.low > 0 else -1


@dataclass(frozen=True, kw_only=True)
class Difference(Interval):
    """The difference a − b of two arms with its interval and tests.

    Args:
        metric: the metric that is compared.
        kind, at: of a gap, "loss" or "accuracy", and "final", "best", "test", "matched" or "area".
        fraction: share of the labels.
        family: of corruptions.
        strength: of a planted artefact's tie.
        p: two-sided p of the difference against 0.
        p_sign_flip: of the primary comparison, p of the permutation test that flips signs over groups:
            it conditions on the trained weights.
        correction: the family of the correction: "primary", "secondary" or "exploratory"; None where
            the table is a family by itself, or the row repeats a test that is counted elsewhere.
        p_holm: p after Holm's correction over the family; None where it is not part of one.
        detectable: the difference that would be found, at 5 %, in 80 % of such studies.
        margin: differences up to this count as none (MARGINS); None where that is not asked.
        equivalent: whether the interval lies within ± that margin.
        primary: whether this is the test named in advance.
        stand_in: whether it takes that test's place.
        by_fold: (K,) the difference in each fold of out-of-fold predictions, means over seeds.
    """

    a: str
    b: str
    metric: str | None = optional()
    kind: str | None = optional()
    at: str | None = optional()
    fraction: float | None = optional()
    family: str | None = optional()
    strength: float | None = optional()
    p: float | None = None
    p_holm: float | None = None
    p_sign_flip: float | None = optional()
    correction: str | None = optional()
    detectable: float | None = optional()
    margin: float | None = optional()
    equivalent: bool | None = optional()
    primary: bool | None = optional()
    stand_in: bool | None = optional()
    by_fold: tuple[float | None, ...] | None = optional()

    @property
    def claimed(self) -> int:
        """1 or −1 where the difference is claimed to be above or below 0, else 0.

        Its corrected p is below 0.05; of the primary test, which needs no correction, the interval
        excludes 0. Nothing is claimed from seeds alone: other images would move all of them together.
        """
        if self.primary:
            return self.sign
        if self.method == "seeds":
            return 0
        if self.p_holm is None or self.p_holm >= 1 - LEVEL or self.mean is None:
            return 0
        return 1 if self.mean > 0 else -1

    def of_pair(self, pair: tuple[str, str], metric: str) -> bool:
        """Whether it is the row of a pair, in its direction, and a metric."""
        return (self.a, self.b) == pair and self.metric == metric

    @classmethod
    def of(
        cls, a: str, b: str, change: Interval, margin: float | None = None, **fields: Any
    ) -> Self:
        """The row of an interval of a − b with its tests.

        Args:
            a, b: the arms.
            change: the interval.
            margin: see MARGINS; None where equivalence is not asked.
            fields: what is compared.
        """
        names = [field.name for field in dataclasses.fields(Interval) if field.name != "by_seed"]
        numbers = {name: getattr(change, name) for name in names}
        tests: dict[str, Any] = {"p": t_test_p(change), "detectable": detectable(change)}
        if margin is not None:
            tests |= {"margin": margin, "equivalent": within_margin(change, margin)}
        return cls(a=a, b=b, **numbers, **tests, **fields)


def t_test_p(estimate: Interval) -> float | None:
    """Two-sided p of an estimate against 0 (Student's t test); None without a standard error above 0."""
    mean, se = estimate.mean, estimate.se
    if mean is None or not se or not math.isfinite(mean):
        return None
    return float(2 * special.stdtr(estimate.df, -abs(mean) / se))


def detectable(estimate: Interval) -> float | None:
    """The true difference that a test at 5 % finds in 80 % of such studies; None where nothing can be tested."""
    if not estimate.se:
        return None
    reach = special.stdtrit(estimate.df, (1 + LEVEL) / 2) + special.stdtrit(estimate.df, POWER)
    return float(reach * estimate.se)


def within_margin(estimate: Interval, margin: float) -> bool:
    """Whether the whole interval lies within ± the margin; False where nothing varied."""
    low, high = estimate.low, estimate.high
    if not estimate.se or low is None or high is None:
        return False
    return low > -margin and high < margin


class Component(NamedTuple):
    """One source of an estimate's variance, with the degrees of freedom it was estimated with."""

    variance: float
    df: float


def interval(
    by_seed: np.ndarray, parts: Sequence[Component], groups: int, metric: str = ""
) -> Interval:
    """95 % interval of a mean over seeds.

    Args:
        by_seed: (S,) the seeds' values on the full set.
        parts: the variance over groups; that over seeds is added here.
        groups: number of groups behind the value; below 20 a share gets Wilson's interval.
        metric: what the value is, so that it keeps within its bounds; "" for a difference.
    """
    values = np.asarray(by_seed, np.float64)
    mean, count = float(values.mean()), len(values)
    if not math.isfinite(mean):
        return Interval(mean=None)
    std = float(values.std(ddof=1)) if count > 1 else 0.0
    if count > 1:
        parts = [*parts, Component(std**2 / count, count - 1.0)]
    variance = sum(v for v, _ in parts)
    below = sum(v**2 / df for v, df in parts if v > 0)
    df = variance**2 / below if below > 0 else 1.0
    se = math.sqrt(variance)
    se = se if se > ROUNDING else 0.0
    method = "bootstrap" if se else "constant"
    if metric in SHARES and (groups < FEW_GROUPS or (not se and mean in (0.0, 1.0))):
        (low, high), method = wilson(mean, groups), "wilson"
    else:
        reach = float(special.stdtrit(df, (1 + LEVEL) / 2)) * se
        low, high = mean - reach, mean + reach
    if metric in BOUNDED:
        low, high = max(low, 0.0), min(high, 1.0)
    return Interval(mean=mean, std=std, low=low, high=high, se=se, df=df, method=method)


def seed_interval(by_seed: np.ndarray, over: str = "seeds") -> Interval:
    """Mean and 95 % t interval over the values (S,) of seeds or folds (`over`) alone; one value has no interval."""
    values = np.asarray(by_seed, np.float64)
    mean, count, each = float(values.mean()), len(values), tuple(values.tolist())
    if count < 2:
        return Interval(mean=mean, std=0.0, method=over, by_seed=each)
    std = float(values.std(ddof=1))
    se = std / math.sqrt(count)
    se = se if se > ROUNDING else 0.0
    reach = float(special.stdtrit(count - 1, (1 + LEVEL) / 2)) * se
    return Interval(
        mean=mean,
        std=std,
        low=mean - reach,
        high=mean + reach,
        se=se,
        df=count - 1.0,
        method=over if se else "constant",
        by_seed=each,
    )


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval (1927) for a share of n."""
    if n < 1:
        return 0.0, 1.0
    z = special.ndtri((1 + LEVEL) / 2)
    middle, reach = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float((middle - reach) / (1 + z**2 / n)), float((middle + reach) / (1 + z**2 / n))


def group_components(
    boot: np.ndarray, jackknife: np.ndarray, strata: np.ndarray
) -> list[Component]:
    """Variance over groups: its size from the bootstrap, split over classes in the proportions of the jackknife.

    Args:
        boot: (R, S) the seeds' values under R resamples, whose covariance between seeds is the
            size; (R,) of one seed.
        jackknife: (J, S) or (J,) the same under J leave-out blocks.
        strata: (J,) the class of each block.
    """
    boot = boot.reshape(len(boot), -1)
    boot = boot[np.isfinite(boot).all(1)]
    variance = float(boot.mean(1).var(ddof=1)) if len(boot) > 1 else 0.0
    if not len(jackknife) or not variance > 0:
        return [Component(0.0, 1.0)]
    shared, means = _shared(boot, variance), jackknife.reshape(len(jackknife), -1).mean(1)
    parts = []
    for c in np.unique(strata):
        values = means[strata == c]
        df = float(len(values) - 1)
        parts.append(Component(float(np.nanvar(values)) * df, df))
    total = sum(v for v, _ in parts)
    if total > 0:
        return [Component(shared * v / total, df) for v, df in parts]
    return [Component(shared, float(len(jackknife) - 1))]


def _shared(boot: np.ndarray, variance: float) -> float:
    """Mean covariance of two seeds, not below 0: from V(mean) = (mean variance + (S − 1) covariance)/S."""
    seeds = boot.shape[1]
    if seeds == 1:
        return variance
    return max((seeds * variance - float(boot.var(0, ddof=1).mean())) / (seeds - 1), 0.0)


def fold_component(
    by_fold: np.ndarray, parts: Sequence[Component], by_seed: np.ndarray
) -> list[Component]:
    """What differs between cross-validation folds beyond groups and seeds, as one component; [] where nothing does.

    In every fold the VAE is pretrained anew and heads see another training set. The variance
    between folds divided by their number estimates the whole variance of the mean; what groups and
    seeds explain of it is taken off, and not below 0. That estimate is as uncertain as the variance
    between K folds, however small the rest of it is: its degrees of freedom are such that
    Satterthwaite's formula sees the uncertainty of the whole, K − 1 for the interval where folds
    differ. Folds share most of their training images, so that all this is somewhat small (Bengio and
    Grandvalet 2004: no unbiased estimate exists).

    Args:
        by_fold: (K, S) the value in each fold.
        parts: the components that are known already.
        by_seed: (S,) the seeds' values on all folds together.
    """
    means = np.asarray(by_fold, np.float64).mean(1)
    means = means[np.isfinite(means)]
    if len(means) < 2:
        return []
    of_seeds = np.var(by_seed, ddof=1) / len(by_seed) if len(by_seed) > 1 else 0.0
    known = sum(variance for variance, _ in parts) + of_seeds
    whole = float(means.var(ddof=1) / len(means))
    rest = whole - known
    return [Component(rest, (len(means) - 1) * (rest / whole) ** 2)] if rest > 0 else []
