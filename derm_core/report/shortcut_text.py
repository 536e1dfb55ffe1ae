"""What a reader needs to know before the numbers of the planted artefact: how it was planted, and what 0 and 1 mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import formatting


def planted(study: Mapping[str, Any]) -> list[str]:
    """Sentences for someone who has not read the method; empty where the study did not ask."""
    found = study.get("shortcut") or {}
    if not found.get("rows"):
        return []
    target, ink, count = (
        found.get("class", "one class"),
        found.get("artefact", "an artefact"),
        len(study["classes"]),
    )
    known = (
        f" ({formatting.percent(found['share'])} of the training images)"
        if found.get("share") is not None
        else ""
    )
    return [
        f"Could an arm take a mark on the skin for a sign of {target}? To find out, {ink} was painted on copies of the "
        "images. At strength 0 half of the images of every class carry it, so that it says nothing. At strength 1 all "
        f"training images of {target}{known} carry it and no others do; in between, the tie grows with the strength. For the "
        "test the tie is reversed: now the others carry it.",
        f"Reliance is what the ink alone does to the answer: how much the probability of {target} changes, on average, when "
        "the same test image is shown with the ink and without. 0: nothing, the answer comes from the rest of the image. "
        "100 %: the ink alone decides. Below 0: the ink speaks against the class. A small value at strength 0 is chance: "
        "among a limited number of training images the ink is never spread quite evenly.",
        f"Two levels to hold a result against. Guessing has a balanced accuracy of {formatting.percent(1 / count)} with {count} "
        "classes; an arm that falls below this with the tie reversed is misled by the ink."
        + _ink_alone(found),
    ]


def _ink_alone(found: Mapping[str, Any]) -> str:
    """The reliance of who sees the ink and nothing else, at strengths between 0 and 1."""
    levels = [
        (strength, value)
        for strength, value in zip(found.get("strengths") or [], found.get("reference") or [])
        if 0 < strength < 1
    ]
    if not levels:
        return ""
    told = formatting.listed(
        [f"{formatting.percent(value)} at strength {strength:g}" for strength, value in levels]
    )
    return (
        " Whoever saw nothing but the ink, and knew how frequent the class and the ink are in training, would have a "
        f"reliance of {told}, and of {formatting.percent(1)} at strength 1."
    )
