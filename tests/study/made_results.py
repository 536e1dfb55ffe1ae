"""Results of studies that never ran, from the ends of the intervals that a test plants."""

from __future__ import annotations

from collections.abc import Mapping

from scipy.stats import norm

from derm_core.stats.gaps import MatchedArm, MatchedPair
from derm_core.stats.intervals import Difference, Interval
from derm_core.study.answers import LabelEfficiency, SharedLabels
from derm_core.study.families import with_corrections
from derm_core.study.roles import choose_pair, is_primary
from derm_core.study.study_result import (
    ArmResult,
    DatasetSummary,
    Grid,
    SharedSetting,
    SplitSummary,
    StudyResult,
    Verdict,
)

LABELS = {
    "recipe:paper": "VAE (plain)",
    "recipe:masked": "VAE (masked input)",
    "vae": "VAE + SimCLR",
    "imagenet": "ImageNet",
    "imagenet@best": "ImageNet (best input size)",
    "random": "Random initialisation",
    "both": "VAE + SimCLR + ImageNet",
    "imagenet+random": "ImageNet + random initialisation",
    "bundle:mole-net": "mole-net",
}
ACCURACY = {"recipe:paper": 0.41, "vae": 0.58, "imagenet": 0.61, "random": 0.46, "both": 0.67}
LOSS_GAP = {"vae": 0.1, "imagenet": 0.37, "random": 0.05}
Ends = tuple[float, float]
Pairs = Mapping[tuple[str, str], Ends]
Gaps = Mapping[tuple[str, str, str, str], Ends]  # (a, b, "loss" or "accuracy", moment)


def difference(a: str, b: str, ends: Ends, **fields) -> Difference:
    """a − b with its interval and the p that belongs to it."""
    mean, se = sum(ends) / 2, (ends[1] - ends[0]) / 2 / 1.96
    return Difference(
        a=a, b=b, mean=mean, low=ends[0], high=ends[1], se=se, df=1e6,
        p=float(2 * norm.sf(abs(mean) / se)), **fields,
    )  # fmt: skip


def accuracies(pairs: Pairs, primary: tuple[str, str] | None = None, **fields):
    return tuple(
        difference(
            *pair,
            ends,
            metric="balanced_accuracy",
            equivalent=ends[0] > -0.02 and ends[1] < 0.02,
            detectable=0.061,
            primary=pair == primary,
            **fields,
        )
        for pair, ends in pairs.items()
    )


def gap_rows(gaps: Gaps):
    return tuple(
        difference(a, b, ends, kind=kind, at=at, primary=False)
        for (a, b, kind, at), ends in gaps.items()
    )


def made_result(
    arms: tuple[str, ...],
    tuned: Pairs,
    shared: Pairs | None = None,
    gaps: Gaps | None = None,
    shared_gaps: Gaps | None = None,
    fewer: Pairs | None = None,
    **fields,
) -> StudyResult:
    """A study whose differences are as planted, corrected in their families.

    Args:
        tuned: {pair: ends of the interval in balanced accuracy}; with one setting for all arms:
            shared, the same as tuned where it is not given.
        gaps, shared_gaps: likewise of gaps.
        fewer: with 10 % of the labels.
        fields: of StudyResult, in place of those made up here.
    """
    pair = choose_pair(arms)
    gaps = gaps or {}
    beside = SharedSetting(
        differences=accuracies(tuned if shared is None else shared),
        gap_differences=gap_rows(gaps if shared_gaps is None else shared_gaps),
    )
    labels = None
    if fewer:
        rows = accuracies(fewer, fraction=0.1)
        labels = LabelEfficiency(
            fractions=(0.1, 1.0), differences=rows, shared=SharedLabels(differences=rows)
        )
    made = {
        "run_id": "study-1",
        "config": {
            "regime": "frozen",
            "input_size": 64,
            "backbone": {"architecture": "resnet18", "stage": 3},
        },
        "dataset": DatasetSummary(
            name="ham10000",
            images=10_015,
            classes=7,
            groups=7470,
            fingerprint="f",
            source_size=(600, 450),
        ),
        "split": SplitSummary(folds=5),
        "classes": ("a", "b"),
        "arms": {arm: _arm(arm) for arm in arms},
        "verdict": Verdict(headline=""),
        "differences": accuracies(tuned, pair if pair and is_primary(pair) else None),
        "gap_differences": gap_rows(gaps),
        "shared": beside,
        "label_efficiency": labels,
        "grid": Grid(),
    }
    return with_corrections(StudyResult(**(made | fields)))


def _arm(arm: str) -> ArmResult:
    level = ACCURACY.get(arm, 0.6)
    return ArmResult(
        label=LABELS[arm],
        kind=arm,
        features=256,
        test={"balanced_accuracy": Interval(mean=level, low=level - 0.02, high=level + 0.02)},
        gaps={"loss": LOSS_GAP.get(arm, 0.2), "accuracy": 0.1},
    )


def not_comparable(a: str, b: str) -> MatchedPair:
    """A pair that reaches no common training accuracy late enough."""
    unknown = MatchedArm(None, Interval(mean=None), Interval(mean=None))
    return MatchedPair(a, b, 0.7, False, f"{a} starts above it.", {a: unknown, b: unknown})
