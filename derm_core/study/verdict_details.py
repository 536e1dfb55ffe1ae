"""What has to be known beside a verdict's sentences: tests, limits, controls; folded on screen."""

from __future__ import annotations

from collections.abc import Sequence

from ..formatting import listed, number, p_value, percent, points, signed_interval
from ..stats.intervals import Difference
from ..stats.paired import Pair
from .conclusions import GAPS, about_gap, row_of
from .families import METRIC
from .roles import RANDOM, VAE, gap_pairs, is_primary
from .study_result import Conclusion, StudyResult

SCHEDULES = (
    "Matched training accuracy compares models at different points of their schedules: the arm that learns faster "
    "stands early in its own, near its highest learning rate, the other at its end."
)

SEEDS_ALONE = (
    "Intervals and p at matched training accuracy are over the seeds of the classifier alone: other images may give "
    "another answer, so that one split shows no difference there. A comparison in folds can."
)


def details(result: StudyResult, pair: Pair, claims: Sequence[Conclusion]) -> tuple[str, ...]:
    """The sentences. pair: of the primary comparison, the same arm twice where it stands alone."""
    if pair[0] == pair[1]:
        return tuple(filter(None, [seen_arms(result), edges(result)]))
    return tuple(
        filter(
            None,
            [
                _stand_in(result, pair),
                seen_arms(result),
                *_primary(result, pair),
                _settings(result, claims),
                edges(result),
                *_gaps(result, claims),
                _control(result, pair),
                _pretrainings(result, pair),
            ],
        )
    )


def edges(result: StudyResult) -> str:
    """Which settings lie on the edge of the grid; empty where none does."""
    names = [one.label for arm, one in result.arms.items() if arm in result.grid.on_edge]
    names += ["the setting shared by all"] * ("shared" in result.grid.on_edge)
    if not names:
        return ""
    where = " in at least one fold" if result.folds else ""
    return (
        f"The classifier's setting lies on the edge of the grid{where}, where a wider grid might serve better: "
        f"{listed(names)}."
    )


def seen_arms(result: StudyResult) -> str:
    """Which arms have seen the dataset's images, and of which that is not known; empty where all have not."""
    left_out = [one.label for arm, one in result.arms.items() if arm not in result.counted]
    parts = []
    if left_out:
        parts.append(
            f"Left out of the verdict, because the pretraining saw images of {result.dataset.name} that may be "
            f"tested here: {listed(left_out)}."
        )
    if unknown := [one.label for one in result.arms.values() if one.seen == "unknown"]:
        parts.append(
            f"Whether the pretraining saw images of {result.dataset.name} is not known: {listed(unknown)}."
        )
    return " ".join(parts)


def _stand_in(result: StudyResult, pair: Pair) -> str:
    if is_primary(pair):
        return ""
    a, b = (result.arms[arm].label for arm in pair)
    trained = "".join(
        f" The backbone of {result.arms[arm].label} was trained with labels."
        for arm in pair
        if arm.startswith("bundle:")
    )
    return (
        f"The comparison named in advance, VAE − ImageNet, was not made here: {a} − {b} takes its place and is "
        f"corrected with the secondary tests.{trained}"
    )


def _primary(result: StudyResult, pair: Pair) -> list[str]:
    row = row_of(result.differences, pair, metric=METRIC)
    if row is None:
        return []
    a, b = (result.arms[arm].label for arm in pair)
    kind = "the one test named in advance" if row.primary else _corrected(row)
    text = f"{a} − {b} in balanced accuracy: {points(row)} points, {_p(row.p)} of this interval, {kind}."
    if row.p_sign_flip is not None:
        text += (
            f" {_p(row.p_sign_flip)} by sign flips over groups, for these trained weights alone."
        )
    if not row.claimed and not row.equivalent and row.detectable is not None:
        alone = "" if row.primary else " by this test alone, without the correction"
        size = f"{100 * abs(row.detectable):.1f} points"
        text += f" A difference of {size} would be found in 80 % of such studies{alone}."
    return [text]


def _p(p: float | None) -> str:
    return "p < 0.001" if p is not None and p < 0.001 else f"p = {p_value(p)}"


def _corrected(row: Difference) -> str:
    return f"{_p(row.p_holm)} after Holm's correction"


def _settings(result: StudyResult, claims: Sequence[Conclusion]) -> str:
    if result.shared is None:
        return ""
    apart = [
        f"{claim.about} of {result.arms[claim.arms[0]].label} and {result.arms[claim.arms[1]].label}"
        for claim in claims
        if claim.says == "depends on tuning"
    ]
    text = "All of this is with each arm at its own best setting of the classifier; with one setting for all arms "
    return text + (
        f"there is another answer on: {'; '.join(apart)}."
        if apart
        else "no difference appears or disappears."
    )


def _gaps(result: StudyResult, claims: Sequence[Conclusion]) -> list[str]:
    """Both gaps of every pair that was compared in them, and what matched training accuracy can say."""
    sentences, matched, seeds_alone = [], False, False
    names = {arm: entry.label for arm, entry in result.arms.items()}
    for pair in gap_pairs(result.counted):
        a, b = (names[arm] for arm in pair)
        of_pair = {claim.about: claim for claim in claims if claim.arms == pair}
        levels = []
        for kind in GAPS:
            for moment in ("final", "matched"):
                if claim := of_pair.get(about_gap(kind, moment)):
                    size = signed_interval if kind == "loss" else points
                    unit = "" if kind == "loss" else " points"
                    levels.append(f"{claim.about} {size(claim.tuned)}{unit}, {claim.says}")
                    matched = matched or moment == "matched"
                    row = row_of(result.gap_differences, pair, kind=kind, at=moment)
                    seeds_alone = seeds_alone or (row is not None and row.method == "seeds")
        if levels:
            sentences.append(f"{a} − {b}: {'; '.join(levels)}.")
        sentences += [
            f"No comparison of {a} and {b} at matched training accuracy: {level.reason_with(names)}"
            for level in result.matched
            if {level.a, level.b} == set(pair) and level.reason
        ]
    return [*sentences, SCHEDULES if matched else "", SEEDS_ALONE if seeds_alone else ""]


def _control(result: StudyResult, pair: Pair) -> str:
    """The control's gaps, and whether its loss gap is shown to be smaller than that of either arm."""
    if RANDOM in pair:
        return ""
    if RANDOM not in result.arms:
        return "This study has no random control: how small a gap is without any learning of features is not known."
    control = result.arms[RANDOM]
    gaps = control.gaps
    text = (
        f"Control, {control.label}: loss gap {number(gaps.get('loss'), sign=True)}, accuracy gap "
        f"{percent(gaps.get('accuracy'), sign=True)} at a balanced accuracy of "
        f"{percent(control.test['balanced_accuracy'].mean)}."
    )
    rows = [
        row_of(
            result.gap_differences,
            (RANDOM, arm),
            kind="loss",
            at="final",
        )
        for arm in result.arms
        if arm != RANDOM
    ]
    if rows and all(row is not None and row.claimed < 0 for row in rows):
        text += " Its loss gap is smaller than that of every other arm: a small gap by itself is no merit."
    return text


def _pretrainings(result: StudyResult, pair: Pair) -> str:
    if VAE not in pair:
        return ""
    if result.split.folds:
        return (
            f"The VAE was pretrained anew in each of {result.split.folds} folds: this speaks of the recipe, not of one "
            "set of weights."
        )
    return "One pretraining stands behind the VAE: this speaks of these weights, not of the recipe."
