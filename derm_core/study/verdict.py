"""The verdict in words, from rules.

    choose_pair(arms) -> (a, b) | None       the comparison named in advance: VAE against ImageNet; where one of
                                             them is missing another backbone, else the random control, takes its place
    verdict(evaluation, gaps, gap_differences, matched, labels) -> {
        "headline": str, "sentences": [str], "pair": (a, b) | None, "more_accurate": arm | None,
        "equivalent": bool, "smaller_gap": arm | None, "survives_matched": bool | None, "detectable": float | None}

evaluation: stats.evaluate(..., primary=pair). gaps: {arm: {"loss", "accuracy"}} at the final epoch.
gap_differences: {"loss", "accuracy": interval of a − b} for the pair at the final epoch, or None.
matched: gaps.matched for the pair, or None. labels: {arm: name on screen}.

Rules. More accurate: the paired 95 % interval of balanced accuracy excludes 0. Smaller gap: the
interval of the loss or the accuracy gap's difference excludes 0, and the other's does not contradict.
It survives where at matched training accuracy the same gaps differ the same way, beyond the seeds'
95 % interval; else it is consistent with underfitting; where the arms are not comparable there,
underfitting is not ruled out. A gap is never named without the accuracy and the random control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..records import to_json
from ..stats.intervals import seed_interval

NOT_BACKBONES = ("random", "both", "scratch", "colour", "majority")


def spread(by_seed: np.ndarray) -> dict:
    return to_json(seed_interval(by_seed))


def choose_pair(arms: Sequence[str]) -> tuple[str, str] | None:
    """(a, b) of the primary comparison a − b; None with fewer than two arms to compare."""
    named = [arm for arm in ("vae", "imagenet") if arm in arms]
    others = [arm for arm in arms if arm not in (*named, *NOT_BACKBONES)]
    control = [arm for arm in ("random", "both", "colour", "scratch") if arm in arms]
    if named == ["imagenet"] and others:
        return others[0], "imagenet"
    found = (named + others + control)[:2]
    return (found[0], found[1]) if len(found) == 2 else None


def verdict(
    evaluation: dict,
    gaps: Mapping[str, Mapping[str, float]],
    gap_differences: dict | None,
    matched: dict | None,
    labels: Mapping[str, str],
    folds: int = 0,
) -> dict:
    """See the module's docstring. folds: how many pretrainings stand behind the VAE, one a fold; 0 for one."""
    pair = choose_pair(list(evaluation["arms"]))
    if pair is None:
        arm = next(iter(evaluation["arms"]))
        said = f"One arm alone, {labels[arm]}: nothing is compared."
        return {
            "headline": said,
            "sentences": [_level(arm, evaluation, labels), *evaluation["cautions"]],
            "pair": None,
            "more_accurate": None,
            "equivalent": False,
            "smaller_gap": None,
            "survives_matched": None,
            "detectable": None,
        }
    row = _row(evaluation, pair, "balanced_accuracy")
    more = _side(row, pair, larger=True)
    by_gap = gap_sides(gap_differences or {}, pair)
    holders = {arm for arm in by_gap.values() if arm}
    smaller = holders.pop() if len(holders) == 1 else None
    survives = survives_matched(smaller, by_gap, matched, pair)
    sentences = [
        _accuracy(
            row, pair, more, evaluation, labels, "out of fold" if folds else "on the test set"
        ),
        _gap(pair, by_gap, smaller, gaps, labels),
        *_matched(smaller, survives, matched, labels),
        *_control(pair, gaps, evaluation, labels),
        *_both(evaluation, labels),
    ]
    if pair != ("vae", "imagenet"):
        sentences.insert(
            0,
            "The comparison named in advance, VAE − ImageNet, was not made here: "
            f"{labels[pair[0]]} − {labels[pair[1]]} takes its place."
            + "".join(
                f" The backbone of {labels[arm]} was trained with labels."
                for arm in pair
                if arm.startswith("bundle:")
            ),
        )
    if "vae" in pair:
        sentences.append(
            f"The VAE was pretrained anew in each of {folds} folds: this speaks of the recipe, not of one set of "
            "weights."
            if folds
            else "One pretraining stands behind the VAE: this speaks of these weights, not of the recipe."
        )
    return {
        "headline": _headline(pair, more, row["equivalent"], smaller, survives, labels),
        "sentences": sentences + evaluation["cautions"],
        "pair": pair,
        "more_accurate": more,
        "equivalent": row["equivalent"] and more is None,
        "smaller_gap": smaller,
        "survives_matched": survives,
        "detectable": row["detectable"],
    }


def _row(evaluation: dict, pair: tuple[str, str], metric: str) -> dict:
    return next(
        row
        for row in evaluation["differences"]
        if (row["a"], row["b"]) == pair and row["metric"] == metric
    )


def _side(found: dict, pair: tuple[str, str], larger: bool) -> str | None:
    """The arm that the interval of a − b shows to be larger (or smaller); None where it includes 0."""
    if found["low"] is None or found["low"] <= 0 <= found["high"]:
        return None
    return pair[0] if (found["low"] > 0) == larger else pair[1]


def gap_sides(
    gap_differences: Mapping[str, Mapping], pair: tuple[str, str]
) -> dict[str, str | None]:
    """{kind: the arm whose gap the interval of a − b shows to be smaller, or None}."""
    return {kind: _side(found, pair, larger=False) for kind, found in gap_differences.items()}


def survives_matched(
    smaller: str | None,
    by_gap: Mapping[str, str | None],
    matched: Mapping | None,
    pair: tuple[str, str],
) -> bool | None:
    """Whether the arm with the smaller gap keeps it at matched training accuracy; None where that is not known."""
    if smaller is None or matched is None or not matched["comparable"]:
        return None
    for kind in (kind for kind, arm in by_gap.items() if arm == smaller):
        a, b = (np.array(matched["arms"][arm][kind]["by_seed"]) for arm in pair)
        if len(a) < 2:
            return None
        if _side(spread(a - b), pair, larger=False) != smaller:
            return False
    return True


def _headline(
    pair: tuple[str, str],
    more: str | None,
    equivalent: bool,
    smaller: str | None,
    survives: bool | None,
    labels: Mapping[str, str],
) -> str:
    a, b = (labels[arm] for arm in pair)
    if more:
        first = f"{labels[more]} is more accurate than {b if more == pair[0] else a}"
    else:
        first = (
            f"{a} and {b} are equally accurate within 2 points"
            if equivalent
            else f"No difference in accuracy shown between {a} and {b}"
        )
    if smaller is None:
        return f"{first}; no difference in the gap shown."
    end = {
        True: "also at matched training accuracy",
        False: "consistent with underfitting",
        None: "underfitting is not ruled out",
    }[survives]
    if more == smaller:
        return f"{first} and has the smaller gap, {end}."
    return f"{first}; {labels[smaller]} has the smaller gap, {end}."


def _accuracy(
    row: dict,
    pair: tuple[str, str],
    more: str | None,
    evaluation: dict,
    labels: Mapping[str, str],
    where: str,
) -> str:
    levels = " and ".join(
        f"{labels[arm]} {_percent(evaluation['arms'][arm]['balanced_accuracy']['mean'])}"
        for arm in pair
    )
    found = (
        f"{labels[pair[0]]} − {labels[pair[1]]} is {points(row['mean'])} points "
        f"(95 % interval {points(row['low'])} to {points(row['high'])}{_p(row)})"
    )
    text = f"Balanced accuracy {where}: {levels}; {found}."
    if (row["primary"] or row["stand_in"]) and (row["p"] < 0.05) != bool(more):
        text += (
            " The interval and the permutation test disagree near their limit; the verdict goes by the interval, which "
            "also carries the spread over seeds."
        )
    if more:
        return text
    least = f"the smallest difference this test set could have shown is about {abs(row['detectable']) * 100:.1f} points"
    if row["equivalent"]:
        return f"{text} The whole interval lies within ±2 points: equivalent within that margin."
    return f"{text} No difference shown; {least} (80 % power)."


def _gap(
    pair: tuple[str, str],
    by_gap: Mapping[str, str | None],
    smaller: str | None,
    gaps: Mapping[str, Mapping[str, float]],
    labels: Mapping[str, str],
) -> str:
    levels = "; ".join(
        f"{labels[arm]}: loss gap {signed(gaps[arm]['loss'])}, "
        f"accuracy gap {points(gaps[arm]['accuracy'])} points"
        for arm in pair
    )
    if smaller:
        kinds = " and ".join(f"{kind} gap" for kind, arm in by_gap.items() if arm == smaller)
        found = f"{labels[smaller]} has the smaller {kinds}."
    elif all(by_gap.values()) and by_gap:
        found = "The loss gap and the accuracy gap point opposite ways: neither arm has the smaller gap."
    else:
        found = "No difference in the gap shown."
    return f"At the final epoch, {levels}. {found}"


def _matched(
    smaller: str | None, survives: bool | None, matched: dict | None, labels: Mapping[str, str]
) -> list[str]:
    if smaller is None:
        return []
    if survives is None:
        why = "the arms are not comparable at matched training accuracy"
        if matched is not None and matched["comparable"]:
            why = "one seed cannot show whether that holds at matched training accuracy"
        return [
            f"Whether {labels[smaller]} generalises better or has merely learned less is open: {why}."
        ]
    level = _percent(matched["level"])
    if survives:
        return [f"That survives at matched training accuracy ({level}): not underfitting alone."]
    return [
        f"That does not survive at matched training accuracy ({level}): consistent with underfitting."
    ]


def _control(
    pair: tuple[str, str],
    gaps: Mapping[str, Mapping[str, float]],
    evaluation: dict,
    labels: Mapping[str, str],
) -> list[str]:
    if "random" in pair:
        return []
    if "random" not in gaps:
        return [
            "This study has no random control: how small a gap is without any learning of features is not known."
        ]
    accuracy = evaluation["arms"]["random"]["balanced_accuracy"]["mean"]
    text = (
        f"Control, {labels['random']}: loss gap {signed(gaps['random']['loss'])}, accuracy gap "
        f"{points(gaps['random']['accuracy'])} points at a balanced accuracy of {_percent(accuracy)}."
    )
    if all(gaps["random"]["loss"] < gaps[arm]["loss"] for arm in pair):
        text += " Its loss gap is the smallest of all: a small gap by itself is no merit."
    return [text]


def _both(evaluation: dict, labels: Mapping[str, str]) -> list[str]:
    """Does the VAE add to ImageNet? Secondary: Holm-corrected."""
    rows = [
        row
        for row in evaluation["differences"]
        if {row["a"], row["b"]} == {"both", "imagenet"}
        and row["metric"] == "balanced_accuracy"
        and row["mean"] is not None
    ]
    if not rows or rows[0]["primary"] or rows[0]["stand_in"]:
        return []
    row, sign = rows[0], 1 if rows[0]["a"] == "both" else -1
    shown = row["p_holm"] < 0.05 and row["mean"] * sign > 0
    p = "below 0.001" if row["p_holm"] < 0.001 else f"= {row['p_holm']:.3f}"
    gain = f"{points(row['mean'] * sign)} points, Holm-corrected p {p}"
    return [
        f"{labels['both']} {'improve' if shown else 'are not shown to improve'} on {labels['imagenet']} alone ({gain})."
    ]


def _level(arm: str, evaluation: dict, labels: Mapping[str, str]) -> str:
    found = evaluation["arms"][arm]["balanced_accuracy"]
    return (
        f"Balanced accuracy of {labels[arm]} on the test set: {_percent(found['mean'])} "
        f"(95 % interval {_percent(found['low'])} to {_percent(found['high'])})."
    )


def _p(row: dict) -> str:
    if not (row["primary"] or row["stand_in"]):
        return ""
    corrected = (
        ""
        if row["primary"]
        else (
            f", {row['p_holm']:.4f} Holm-corrected, since this test was not the one "
            "named in advance"
        )
    )
    return f", p = {row['p']:.4f} by sign flips over groups{corrected}"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def points(share: float) -> str:
    """A share as percentage points with its sign."""
    return f"{share * 100:+.1f}".replace("-", "−")


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")
