"""All paired statistics of a study: three arms, five seeds, seven classes, 1,500 test images; at most 5 s.

Every metric and both gaps with intervals for each arm and each pair, 2,000 resamples of groups, the
sign flips of
the primary test, Holm, McNemar: what `conclude` asks of derm_core.stats, on 7,000 training,
1,500 validation and 1,500 test images of made-up predictions with HAM10000's class shares and group
sizes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np

from derm_core.stats.evaluation import PRIMARY, evaluate
from derm_core.stats.gaps import final_estimates, gap_differences, gap_interval, matched_pairs
from derm_core.stats.multiple_tests import mcnemar
from derm_core.stats.paired import arm_pairs

ARMS, SEEDS, CLASSES, RESAMPLES = ("vae", "imagenet", "random"), 5, 7, 2000
SIZES = {"train": 7000, "val": 1500, "test": 1500}
SHARES = np.array([0.67, 0.11, 0.11, 0.05, 0.03, 0.02, 0.01])
IMAGES_A_GROUP = 1.34
LIMIT_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(repeats=5)


def run(args: argparse.Namespace) -> dict:
    """Seconds for everything; the ratio is of the median and the limit."""
    sets, curves = make_predictions()
    seconds = []
    for _ in range(args.repeats):
        started = time.perf_counter()
        rows = statistics_of(sets, curves)
        seconds.append(time.perf_counter() - started)
        print(f"{rows} differences in {seconds[-1]:.2f} s", file=sys.stderr)
    middle = statistics.median(seconds)
    return {
        "ratio": middle / LIMIT_SECONDS,
        "limit": 1.0,
        "ours": middle,
        "against": LIMIT_SECONDS,
        "unit": "s",
        "peer": "the limit of 5 s for three arms on 1,500 test images",
        "arms": len(ARMS),
        "seeds": SEEDS,
        "classes": CLASSES,
        "images": SIZES,
        "resamples": RESAMPLES,
        "repeats": args.repeats,
    }


def make_predictions() -> tuple[dict, dict]:
    """{split: (labels, groups, {arm: (S, n, C)})}, and curves that end anywhere: their arithmetic costs nothing."""
    rng, sets = np.random.default_rng(0), {}
    for split, count in SIZES.items():
        groups = np.sort(rng.integers(0, round(count / IMAGES_A_GROUP), count))
        labels = rng.choice(CLASSES, groups[-1] + 1, p=SHARES)[groups]
        odds = {
            arm: np.exp(
                rng.normal(0, 0.3, (SEEDS, count, CLASSES))
                + rng.normal(0, 1, (count, CLASSES))
                + 1.5 * np.eye(CLASSES)[labels]
            )
            for arm in ARMS
        }
        sets[split] = (
            labels,
            groups,
            {arm: (o / o.sum(-1, keepdims=True)).astype(np.float32) for arm, o in odds.items()},
        )
    rising = np.linspace(0.3, 0.9, 70)[:, None] + rng.normal(0, 0.01, (70, SEEDS))
    curve = {
        "epoch": np.linspace(0, 60, 70),
        "train_accuracy": rising,
        "val_accuracy": 0.9 * rising,
        "train_loss": 1 - rising,
        "val_loss": 1.1 - rising,
    }
    return sets, dict.fromkeys(ARMS, curve)


def statistics_of(sets: dict, curves: dict) -> int:
    """Everything once; how many differences came out."""
    labels, groups, probabilities = sets["test"]
    names = [f"class{c}" for c in range(CLASSES)]
    evaluation = evaluate(labels, groups, probabilities, np.log(SHARES), names, resamples=RESAMPLES)
    drawn = {
        split: final_estimates(*of, "cross_entropy", split=split, resamples=RESAMPLES)
        for split, of in sets.items()
    }
    for arm in ARMS:
        for other in ("val", "test"):
            gap_interval(drawn["train"][arm], drawn[other][arm])
    pairs = arm_pairs(ARMS, PRIMARY)
    rows = gap_differences(curves, drawn, matched_pairs(curves, pairs))
    mcnemar(labels, groups, probabilities, pairs)
    return len(evaluation.differences) + len(rows)
