"""What a study fixed before it read a test image."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ...config.shared import UsedMarks
from ...records import from_json
from ...study.roles import is_primary
from ...study.study_result import StudyResult
from ..section import Bullet, Section
from ..templating import words
from .parts import is_share, margin_text, pair_name, quantity_name, style


def protocol(result: StudyResult) -> Section | None:
    """What was fixed before a test image was read: tests, margins, grid, split, and when."""
    if result.kind == "evaluate":
        return None
    fixed = result.protocol
    if fixed is None:
        text = "No protocol was fixed before the test: an earlier version made this study."
        return Section(key="protocol", title="Protocol", level=3, finding=text)
    content = fixed.content
    pair = (content.get("primary") or {}).get("arms") or []
    names = {arm: style(result, arm).name for arm in (*content["arms"], *pair)}
    margins = (f"{_margin_name(name)} {_margin(name, x)}" for name, x in content["margins"].items())
    grid, split = content["grid"], content["split"]
    parts = {
        "Arms": ", ".join(names[arm] for arm in content["arms"]),
        "Primary test": _primary(pair, names),
        **{f"{name.capitalize()} family": text for name, text in content["families"].items()},
        **_chosen_arms(result, content.get("chosen") or {}),
        **_secondary_pairs(result, content.get("secondary_pairs") or {}),
        "Margins of equivalence": ", ".join(margins),
        "Grid": f"learning rates {_values(grid['learning_rates'])}; weight decays "
        f"{_values(grid['weight_decays'])}; {grid['rule']}",
        **_steps(content.get("steps")),
        "Split": f"{split['splits']}, seed {split['split_seed']}, "
        + (f"{content['folds']} folds" if content["folds"] else "training, validation and test"),
        **_marks(content.get("marks")),
        **_weights(content.get("weights")),
        "Seeds": _values(content["seeds"]),
        "Shares of the labels": _values(content["label_fractions"]) or "all labels only",
        "Metrics": ", ".join(map(quantity_name, content["metrics"])),
        "Headline": content["headline"],
        "SHA-256": f"{fixed.sha256} of its canonical JSON. The run’s protocol.json has every setting.",
    }
    date = time.strftime("%Y-%m-%d %H:%M", time.gmtime(fixed.created))
    return Section(
        **words("protocol"),
        finding=f"Fixed on {date} UTC, before this study tested an image.",
        bullets=tuple(Bullet(text, f"{part}:") for part, text in parts.items()),
    )


def _steps(rule: str | None) -> dict[str, str]:
    """How classifiers train on large sets."""
    return {"Steps of the classifiers": rule} if rule else {}


def _marks(marks: Mapping[str, Any] | None) -> dict[str, str]:
    """Exclusions and changed labels, with the hash of their table."""
    if not marks:
        return {}
    used = from_json(UsedMarks, marks)
    return {"Marks of images": f"{used}; SHA-256 of their table {used.sha256}"}


def _weights(weights: Mapping[str, Mapping[str, str]] | None) -> dict[str, str]:
    """The hashes of brought vectors, of networks of their own and of models."""
    if not weights:
        return {}
    each = (f"{arm} {entry.get('sha256', '')}" for arm, entry in weights.items())
    return {"SHA-256 of weights and vectors": ", ".join(each)}


def _primary(pair: Sequence[str], names: Mapping[str, str]) -> str:
    """The primary test, or what takes its place without being one."""
    if not pair:
        return "none: one arm"
    text = f"{' − '.join(names[arm] for arm in pair)}, balanced accuracy, each tuned"
    if is_primary((pair[0], pair[1])):
        return text
    return f"none: {text}, takes its place and is corrected with the secondary tests"


def _chosen_arms(result: StudyResult, chosen: Mapping[str, Any]) -> dict[str, str]:
    """The arms that validation chooses, among which, and how."""
    if not chosen:
        return {}
    roles = [
        f"{style(result, role).name}: one of {', '.join(style(result, arm).name for arm in arms)}"
        for role, arms in chosen["arms"].items()
    ]
    return {"Chosen arms": "; ".join((*roles, chosen["rule"]))}


def _secondary_pairs(result: StudyResult, pairs: Mapping[str, Any]) -> dict[str, str]:
    """The pairs of arms of the secondary family, by what is compared."""
    kinds = {"balanced_accuracy": "Balanced accuracy of", "gaps": "Gaps of"}
    return {
        title: "; ".join(pair_name(result, a, b) for a, b in pairs[kind])
        for kind, title in kinds.items()
        if pairs.get(kind)
    }


def _margin_name(name: str) -> str:
    of = quantity_name(name.removesuffix(" gap")).replace("_", " ")
    return of + " gap" * name.endswith(" gap")


def _margin(name: str, margin: float) -> str:
    share = is_share(name.removesuffix(" gap")) or name == "relative_loss"
    return margin_text(margin, share)


def _values(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
