"""Is it the picture or the patient: what the verdict says of arms with age, sex and site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..arms import BESIDE_METADATA, METADATA
from ..formatting import listed, percent, points
from .conclusions import ACCURACY
from .roles import RANDOM
from .study_result import Conclusion, StudyResult

PHRASES = {
    "higher": "more accurate than {}",
    "lower": "less accurate than {}",
    "equivalent": "as accurate as {} within 2 points",
    "not shown": "not shown to differ from {}",
    "depends on tuning": "not clearly better or worse than {}, as that depends on how the classifier is tuned",
}


def picture_or_patient(result: StudyResult, claims: Sequence[Conclusion]) -> str:
    """What the tests against metadata alone, and of metadata beside a picture, say; empty without such arms."""
    of_accuracy = {claim.arms: claim for claim in claims if claim.about == ACCURACY}
    parts = [_alone(result, of_accuracy)] if METADATA in result.arms else []
    for (a, b), claim in of_accuracy.items():
        if a == f"{BESIDE_METADATA}{b}":
            says = PHRASES[claim.says].format(f"{name_in_text(result, b)} alone")
            parts.append(f"{name_in_text(result, a)} is {says} ({points(claim.tuned)} points)")
    return "; ".join(parts)


def _alone(result: StudyResult, claims: Mapping[tuple[str, ...], Conclusion]) -> str:
    """The accuracy of metadata alone, and which arms with a picture are more accurate."""
    entry = result.arms[METADATA]
    names: dict[str, list[str]] = {}
    for (a, b), claim in claims.items():
        if b == METADATA:
            names.setdefault(claim.says, []).append(name_in_text(result, a))
    outcomes = [
        f"{listed(arms)} {'are' if len(arms) > 1 else 'is'} {PHRASES[says].format('that')}"
        for says, arms in names.items()
    ]
    fields = entry.label.partition("(")[2].rstrip(")")
    level = percent(entry.test["balanced_accuracy"].mean)
    text = f"the patient’s metadata alone ({fields}), without a picture, have a balanced accuracy of {level}"
    return f"{text}: {', '.join(outcomes)}" if outcomes else text


def name_in_text(result: StudyResult, arm: str) -> str:
    """An arm's name within a sentence."""
    if arm == RANDOM:
        return "random weights"
    label = result.arms[arm].label
    return f"{label[0].lower()}{label[1:]}" if arm == METADATA else label
