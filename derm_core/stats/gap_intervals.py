"""Intervals of the final gaps: the groups of both sets resampled, each by itself, and the seeds beside them.

    drawn = {split: draw(labels, groups, {arm: (S, n, C)}, loss, name=split) for split in ("train", "val")}
    gap_interval(drawn["train"]["vae"], drawn["val"]["vae"]) -> {"loss": interval, "accuracy": interval}
    gap_interval(less(drawn["train"]["vae"], drawn["train"]["imagenet"]), less(…)): the difference of two arms' gaps

Loss gap: other − train; accuracy gap: train − other. The arms of a set share its resamples, and losses are means:
a difference of two arms under a resample is the difference of what each has there. The two sets are other groups,
so their variances add. An interval is built as stats.py says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..seeds import stream_seed
from .intervals import FEW_GROUPS, components, interval
from .metrics import LOSSES
from .resampling import bootstrap_weights, jackknife_weights, make_design, means_under

RESAMPLES = 2000


@dataclass(frozen=True)
class Drawn:
    """Loss and accuracy of one arm on one set: by_seed (2, S); under R resamples boot (R, 2, S), under J jackknife
    blocks with their classes, left_out (J, 2, S) and strata (J,)."""

    by_seed: np.ndarray
    boot: np.ndarray
    left_out: np.ndarray
    strata: np.ndarray


def draw(
    labels: np.ndarray,
    groups: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    loss: str,
    *,
    name: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Drawn]:
    """{arm: Drawn} of arms with probabilities (S, n, C) on the set `name`; all arms under the same resamples."""
    design = make_design(labels, groups, next(iter(probabilities.values())).shape[-1])
    rng = np.random.default_rng(stream_seed(seed, "gaps", name))
    left_out, strata = jackknife_weights(design, rng)
    weights = np.concatenate([bootstrap_weights(design, resamples, rng), left_out])
    values = {
        arm: np.concatenate([LOSSES[loss](design.labels, p), p.argmax(-1) == design.labels])
        for arm, p in probabilities.items()
    }
    under = means_under(design, np.concatenate(list(values.values())).T, weights)
    found, start = {}, 0
    for arm, rows in values.items():
        here = under[:, start : start + len(rows)].reshape(len(weights), 2, -1)
        found[arm] = Drawn(rows.mean(-1).reshape(2, -1), here[:resamples], here[resamples:], strata)
        start += len(rows)
    return found


def less(a: Drawn, b: Drawn) -> Drawn:
    """a − b, two arms on the same set with the same seeds."""
    return Drawn(a.by_seed - b.by_seed, a.boot - b.boot, a.left_out - b.left_out, a.strata)


def gap_interval(train: Drawn, other: Drawn) -> dict[str, dict]:
    """{"loss": other − train, "accuracy": train − other} as intervals."""
    found = {}
    for k, (name, sign) in enumerate((("loss", 1), ("accuracy", -1))):
        parts = [
            part
            for of in (train, other)
            for part in components(of.boot[:, k], of.left_out[:, k], of.strata)
        ]
        found[name] = interval(sign * (other.by_seed[k] - train.by_seed[k]), parts, FEW_GROUPS)
    return found
