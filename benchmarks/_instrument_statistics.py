"""Known answers for the statistics: questions planted in synthetic features, put to the tool itself.

    repeat(number, settings) -> dict       one fresh world: features, heads, and what derm_core.stats says of them
    summarise(rows, settings) -> dict      rates over repeats, each with its limits of ± 3 binomial standard errors

A world has 2,000 images of width 32 in groups of one to three, four classes of unequal size, split
like a dataset into training, validation and test; the rarest class has some 24 test groups, so that
the tool has no caution to give. Groups differ and images of a group are alike. Arms:

    strong     the features
    again      the same features, its heads from seeds of its own. With the same seeds an arm and its copy
               predict the same and differ by exactly 0: no test at all. With seeds of their own
               they are
               exchangeable, and the true difference is 0: the A/A question.
    weak       the features with noise added, group by group: less accurate, the planted effect

"shuffled": the same features with the labels of whole groups permuted: strong and weak know
nothing.

The true effect is the expected difference over worlds, training and its chance included; for balanced
accuracy it is measured on a second test set of 2,000 images a world, which no statistic sees. The
coverage of a single split's intervals is reported metric by metric. It lay 0.5 to 1.4 points below 95 %
in 2,000 repeats, within three binomial errors. That they take the training images as given explains
little of it: coverage of each world's own truth was no higher.

Power in theory comes from the second test set as well: textbook variance of a ratio of group sums for
the test set's number of groups, plus the variance of the true differences over worlds, in a
noncentral t, whose degrees of freedom follow from the textbook variances too. Nothing of it uses the
bootstrap that is under test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import nct
from scipy.stats import t as student

from derm_core.data.splits import split_dataset
from derm_core.heads.grid import Heads
from derm_core.records import to_json
from derm_core.seeds import stream_seed
from derm_core.stats.evaluation import evaluate
from derm_core.stats.gaps import GAPS, final_estimates, gap_interval
from derm_core.stats.metrics import METRICS, decide, log_prior
from derm_core.stats.multiple_tests import sign_flip
from derm_core.stats.resampling import make_design

WIDTH, SHARES = 32, (0.45, 0.25, 0.18, 0.12)
SIZES = (0.60, 0.28, 0.12)  # share of groups with one, two and three images
CLASSES = len(SHARES)
DISTANCE, GROUP_SPREAD, IMAGE_SPREAD, WEAKENING = 0.3, 0.8, 0.6, 0.6
ALPHA = 0.05


@dataclass(frozen=True)
class Settings:
    """How a repeat is made; rows of other settings are not mixed with these."""

    seed: int = 0
    images: int = 2000
    seeds: int = 5
    epochs: int = 4
    hidden: int = 32
    resamples: int = 1000


@dataclass(frozen=True)
class World:
    """labels (N,), groups (N,), features {arm: (N, 32)} and split (N,) of one draw."""

    labels: np.ndarray
    groups: np.ndarray
    features: dict[str, np.ndarray]
    split: np.ndarray


def make_world(rng: np.random.Generator, images: int, seed: int) -> World:
    """A fresh world; the class centres are the same in all."""
    groups = np.repeat(np.arange(images), rng.choice(3, images, p=SIZES) + 1)[:images]
    count = groups[-1] + 1
    centres = np.random.default_rng(stream_seed(0, "centres")).normal(0, DISTANCE, (CLASSES, WIDTH))
    labels = rng.choice(CLASSES, count, p=SHARES)[groups]
    strong = (
        centres[labels]
        + rng.normal(0, GROUP_SPREAD, (count, WIDTH))[groups]
        + rng.normal(0, IMAGE_SPREAD, (images, WIDTH))
    )
    weak = strong + rng.normal(0, WEAKENING, (count, WIDTH))[groups]
    return World(
        labels,
        groups,
        {"strong": strong.astype(np.float32), "weak": weak.astype(np.float32)},
        split_dataset(labels, groups, seed),
    )


def shuffled(world: World, rng: np.random.Generator, seed: int) -> World:
    """The world with the labels of whole groups permuted, and split anew."""
    _, first = np.unique(world.groups, return_index=True)
    labels = rng.permutation(world.labels[first])[world.groups]
    return World(labels, world.groups, world.features, split_dataset(labels, world.groups, seed))


def repeat(number: int, settings: Settings) -> dict:
    """One world's answers as plain numbers: {"repeat", "aa", "effect", "shuffled", "gaps"}."""
    seed = stream_seed(settings.seed, "instrument", number)
    rng = np.random.default_rng(seed)
    world, beyond = (make_world(rng, settings.images, seed) for _ in range(2))
    # the same seeds in every world would be one draw
    fresh = [stream_seed(seed, "heads", k) for k in range(2 * settings.seeds)]
    heads = train(world, settings, fresh[: settings.seeds])
    again = train(world, settings, fresh[settings.seeds :], ("strong",))
    answer = ask(
        world,
        {**predict(heads, world, "test"), "again": predict(again, world, "test")["strong"]},
        settings,
        seed,
    )
    unseen = predict(heads, beyond, None)
    lost = shuffled(world, rng, seed)
    blind = ask(
        lost, predict(train(lost, settings, fresh[: settings.seeds]), lost, "test"), settings, seed
    )
    rows = {(row["b"], row["metric"]): row for row in answer["differences"] if row["a"] == "strong"}
    keys = ("mean", "low", "high", "se", "df")
    return {
        "repeat": number,
        "aa": {m: [rows["again", m][key] for key in keys] for m in METRICS}
        | {"flips": answer["flips"]},
        "effect": {m: [rows["weak", m][key] for key in keys] for m in METRICS},
        "truth": truth(
            beyond, unseen, prior_of(world), np.bincount(answer["strata"], minlength=CLASSES)
        ),
        "shuffled": {
            arm: [entry["balanced_accuracy"][key] for key in keys]
            for arm, entry in blind["arms"].items()
        },
        "gaps": gap_rows(world, heads, settings, seed),
    }


def train(
    world: World, settings: Settings, seeds: Sequence[int], arms: Sequence[str] = ("strong", "weak")
) -> Heads:
    """Heads of these arms, trained to the end."""
    heads = Heads(
        {arm: world.features[arm] for arm in arms},
        world.labels,
        np.flatnonzero(world.split == 0),
        np.flatnonzero(world.split == 1),
        classes=CLASSES,
        seeds=tuple(seeds),
        learning_rates=(1e-2,),
        weight_decays=(1e-2,),
        hidden=settings.hidden,
        epochs=settings.epochs,
    )
    for _ in heads.fit():
        pass
    return heads


def predict(heads: Heads, world: World, part: str | None) -> dict[str, np.ndarray]:
    """Probabilities {arm: (S, n, C)} on a part of a world; None: all of it."""
    rows = slice(None) if part is None else world.split == ("train", "val", "test").index(part)
    return {
        arm: heads.probabilities(arm, 0, world.features[arm][rows]).astype(np.float64)
        for arm in heads.arms
    }


def prior_of(world: World) -> np.ndarray:
    return log_prior(world.labels[world.split == 0], CLASSES)


def ask(
    world: World, probabilities: Mapping[str, np.ndarray], settings: Settings, seed: int
) -> dict:
    """What stats.evaluate says of the world's test set; with an arm `again` also its sign flips' p."""
    test = world.split == 2
    labels, groups, prior = world.labels[test], world.groups[test], prior_of(world)
    names = [f"class{c}" for c in range(CLASSES)]
    evaluation = to_json(
        evaluate(
            labels,
            groups,
            probabilities,
            prior,
            names,
            resamples=settings.resamples,
            seed=seed,
            primary=("strong", "weak"),
        )
    )
    design = make_design(labels, groups, CLASSES)
    if "again" in probabilities:
        right = {arm: (decide(p, prior) == labels).mean(0) for arm, p in probabilities.items()}
        evaluation["flips"] = sign_flip(design, right["strong"] - right["again"], seed=seed)
    return {**evaluation, "strata": design.stratum}


def gap_rows(world: World, heads: Heads, settings: Settings, seed: int) -> dict[str, list[float]]:
    """Difference of the two arms' final gaps (strong − weak) with its interval, as a study would report it."""
    changes = []
    for index, part in enumerate(("train", "val")):
        rows = world.split == index
        drawn = final_estimates(
            world.labels[rows],
            world.groups[rows],
            predict(heads, world, part),
            "cross_entropy",
            split=part,
            resamples=settings.resamples,
            seed=seed,
        )
        changes.append({kind: drawn["strong"][kind] - drawn["weak"][kind] for kind in GAPS})
    interval = gap_interval(*changes)
    return {kind: [row.mean, row.low, row.high] for kind, row in interval.items()}


def truth(
    beyond: World,
    probabilities: Mapping[str, np.ndarray],
    prior: np.ndarray,
    test_groups: np.ndarray,
) -> dict:
    """The difference in balanced accuracy on data no statistic sees, and its variance by the textbook.

    {"difference", "own": variance of this very number, "test": variance with test_groups (C,)
    groups, "df": Satterthwaite's degrees of freedom of that and of the seeds}.
    """
    right = {arm: decide(p, prior) == beyond.labels for arm, p in probabilities.items()}
    by_seed = right["strong"].astype(float) - right["weak"]
    change, recalls, spread, of_seeds = by_seed.mean(0), [], [], []
    for c in range(CLASSES):
        here = beyond.labels == c
        sizes = np.bincount(beyond.groups[here])
        sums = np.bincount(beyond.groups[here], weights=change[here])[sizes > 0]
        sizes = sizes[sizes > 0]
        recalls.append(sums.sum() / sizes.sum())
        of_seeds.append(by_seed[:, here].mean(1))
        spread.append((((sums - recalls[-1] * sizes).var(ddof=1) / sizes.mean() ** 2), len(sizes)))
    parts = [v / n / CLASSES**2 for (v, _), n in zip(spread, test_groups, strict=True)]
    seeds = len(by_seed)
    between = float(np.mean(of_seeds, 0).var(ddof=1)) / seeds if seeds > 1 else 0.0
    below = sum(v**2 / max(n - 1, 1) for v, n in zip(parts, test_groups, strict=True))
    return {
        "difference": float(np.mean(recalls)),
        "own": float(sum(v / n for v, n in spread) / CLASSES**2),
        "test": float(sum(parts)),
        "df": float((sum(parts) + between) ** 2 / (below + between**2 / max(seeds - 1, 1))),
    }


def summarise(rows: Sequence[Mapping]) -> dict:
    """Rates over repeats and what they ought to be, each {"value", "expected", "low", "high", "holds"}."""
    count = len(rows)
    aa = {m: np.array([row["aa"][m] for row in rows], float) for m in METRICS}
    effect = {m: np.array([row["effect"][m] for row in rows], float) for m in METRICS}
    flips = np.array([row["aa"]["flips"] for row in rows])
    expected = np.mean([row["truth"]["difference"] for row in rows])
    summary = {
        "aa_false_positive_rate": rate(excludes(aa["balanced_accuracy"], 0.0), ALPHA),
        "shuffle_balanced_accuracy": chance(rows),
        "effect_power": rate(excludes(effect["balanced_accuracy"], 0.0), predicted_power(rows)),
        "interval_coverage": rate(~excludes(effect["balanced_accuracy"], expected), 1 - ALPHA),
    }
    summary["effect_power"]["effect"] = float(expected)
    more = {
        "aa_false_positive_rate_by_metric": {
            m: rate(excludes(v, 0.0), ALPHA)["value"] for m, v in aa.items()
        },
        "aa_false_positive_rate_of_sign_flips": float((flips < ALPHA).mean()),
        "interval_coverage_by_metric": {
            m: rate(~excludes(v, v[:, 0].mean()), 1 - ALPHA) for m, v in effect.items()
        },
        "gap_difference_coverage": {
            kind: _covers_own_mean([row["gaps"][kind] for row in rows])
            for kind in ("loss", "accuracy")
        },
    }
    return {**summary, "repeats": count, "also": more}


def _covers_own_mean(values: Sequence[Sequence[float]]) -> float:
    mean, low, high = np.array(values, float).T
    return float(((low <= mean.mean()) & (mean.mean() <= high)).mean())


def excludes(intervals: np.ndarray, value: float) -> np.ndarray:
    """Which of the intervals (n, [mean, low, high, …]) do not hold `value`."""
    return (intervals[:, 1] > value) | (intervals[:, 2] < value)


def rate(hits: np.ndarray, expected: float) -> dict:
    """A share of repeats against what it ought to be, ± 3 binomial standard errors."""
    reach = 3 * np.sqrt(expected * (1 - expected) / len(hits))
    value = float(np.mean(hits))
    return {
        "value": value,
        "expected": float(expected),
        "low": float(expected - reach),
        "high": float(expected + reach),
        "holds": bool(expected - reach <= value <= expected + reach),
    }


def chance(rows: Sequence[Mapping]) -> dict:
    """Labels shuffled: the share of repeats with an arm whose Bonferroni interval leaves out 1/C; at most 5 %."""
    arms = list(rows[0]["shuffled"])
    values = np.array(
        [[row["shuffled"][arm] for arm in arms] for row in rows], float
    )  # (n, arms, mean low high se df)
    mean, se, df = values[..., 0], values[..., 3], values[..., 4]
    outside = np.abs(mean - 1 / CLASSES) > student.ppf(1 - ALPHA / 2 / len(arms), df) * se
    share = rate(outside.any(1), ALPHA)
    return share | {
        "holds": share["value"] <= share["high"],
        "balanced_accuracy": float(mean.mean()),
        "chance": 1 / CLASSES,
    }


def predicted_power(rows: Sequence[Mapping]) -> float:
    """Mean over worlds of the power that theory gives the test set of each."""
    truths = {
        key: np.array([row["truth"][key] for row in rows]) for key in ("difference", "own", "test")
    }
    between = max(float(truths["difference"].var(ddof=1) - truths["own"].mean()), 0.0)
    df = np.array([row["truth"]["df"] for row in rows])
    shift = truths["difference"].mean() / np.sqrt(truths["test"] + between)
    limit = student.ppf(1 - ALPHA / 2, df)
    return float(np.mean(nct.sf(limit, df, shift) + nct.cdf(-limit, df, shift)))
