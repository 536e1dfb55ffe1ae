"""Comparisons of networks in words: what differs between the arms, and which of them is the most accurate."""

from __future__ import annotations

from collections.abc import Sequence

from ..arms import METADATA, arm_parts
from ..formatting import listed, percent
from .conclusions import ACCURACY
from .metadata_words import PHRASES, name_in_text
from .roles import RANDOM, own_networks
from .study_result import ArmResult, Conclusion, StudyResult

NO_EXTRACTOR = (RANDOM, "colour", METADATA, "scratch")
NAMED = 4  # networks or pretrainings that are named in one line; of more, how many there are
OPPOSITE = {"higher": "lower", "lower": "higher"}


def what_differs(result: StudyResult) -> str:
    """What differs between the arms, in one phrase; empty where all have the study's network.

    "the arms differ in network (A and B), input size (64 to 224 px), parameters (2.2 to 2.8 million)
    and pretraining data (ImageNet-1k and none)"; of one extractor beside metadata, its network.
    """
    if not own_networks(list(result.arms)):
        return ""
    arms = [
        one
        for arm, one in result.arms.items()
        if len(arm_parts(arm)) == 1 and arm not in ("colour", METADATA)
    ]
    if len(arms) == 1:
        return f"one extractor ({arms[0].architecture})"
    parts = [
        ("network", _names(arms, "architecture")),
        ("input size", _span([one.input_size for one in arms], "{:,.0f}", " px")),
        ("parameters", _span([_millions(one) for one in arms], "{:,.1f}", " million")),
        ("pretraining data", _names(arms, "pretrained_on")),
    ]
    differing = [f"{name} ({of})" for name, of in parts if of]
    return f"the arms differ in {listed(differing)}" if differing else "the arms differ in nothing"


def _names(arms: Sequence[ArmResult], field: str) -> str:
    """The different values of a field; empty where there is one."""
    values = [value for value in dict.fromkeys(getattr(one, field) for one in arms) if value]
    if len(values) < 2:
        return ""
    return listed(values) if len(values) <= NAMED else f"{len(values)} different ones"


def _span(values: Sequence[float | None], form: str, unit: str) -> str:
    """Smallest to largest; empty where all are alike."""
    known = [value for value in values if value is not None]
    low, high = (form.format(end) for end in (min(known), max(known))) if known else ("", "")
    return "" if low == high else f"{low} to {high}{unit}"


def _millions(one: ArmResult) -> float | None:
    return None if one.parameters is None else one.parameters / 1e6


def best_extractor(result: StudyResult, claims: Sequence[Conclusion]) -> str:
    """The network with the highest balanced accuracy, and what its tests against the others say.

    Empty where no arm of the verdict has a network of its own, or there is nothing to compare.
    """
    arms = [arm for arm in result.counted if len(arm_parts(arm)) == 1]
    networks = [arm for arm in arms if arm not in NO_EXTRACTOR]
    level = {arm: result.arms[arm].test["balanced_accuracy"].mean for arm in arms}
    known = [arm for arm in networks if level[arm] is not None]
    if not own_networks(networks) or not known:
        return ""
    best = max(known, key=lambda arm: level[arm] or 0.0)
    outcomes: dict[str, list[str]] = {}
    for arm in arms:
        if arm != best and (says := _says(claims, best, arm)):
            outcomes.setdefault(says, []).append(name_in_text(result, arm))
    label = result.arms[best].label
    text = f"{label} has a balanced accuracy of {percent(level[best])}"
    if len(networks) > 1:
        text = f"of {len(networks)} networks, {label} has the highest balanced accuracy ({percent(level[best])})"
    in_words = [
        PHRASES[says].format(listed(outcomes[says], " or " if says == "not shown" else " and "))
        for says in PHRASES
        if says in outcomes
    ]
    return f"{text}: it is {', and '.join(in_words)}" if in_words else text


def _says(claims: Sequence[Conclusion], a: str, b: str) -> str:
    """What the test of two arms in balanced accuracy says of a; empty where they were not compared."""
    for claim in claims:
        if claim.about == ACCURACY and set(claim.arms) == {a, b}:
            return claim.says if claim.arms == (a, b) else OPPOSITE.get(claim.says, claim.says)
    return ""
