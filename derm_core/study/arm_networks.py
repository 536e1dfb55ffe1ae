"""The network behind every arm of a result, as the result records it, else as the study's settings imply it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..arms import arm_kind, arm_parts, arm_size
from ..data.embeddings import NOTHING
from .pretraining_data import UNTRAINED
from .study_result import ArmResult, StudyResult

PHOTOGRAPHS = "ImageNet"
WITHOUT_NETWORK = ("colour", "metadata")


@dataclass(frozen=True, kw_only=True)
class ArmNetwork:
    """What an arm's network is; fields as of `ArmResult`, None where they are not known.

    Args:
        recorded: whether the result has these facts; else they follow from the study's settings.
    """

    architecture: str | None = None
    input_size: int | None = None
    parameters: int | None = None
    pretrained_on: str | None = None
    seen: str | None = None
    recorded: bool = True


def arm_network(result: StudyResult, arm: str) -> ArmNetwork:
    """The network of an arm. Results of earlier versions recorded none: what their settings say is taken."""
    entry = result.arms[arm]
    if entry.architecture or entry.pretrained_on or entry.seen:
        return ArmNetwork(
            architecture=entry.architecture,
            input_size=entry.input_size,
            parameters=entry.parameters,
            pretrained_on=entry.pretrained_on,
            seen=entry.seen,
        )
    parts = [_implied(result, part) for part in arm_parts(_chosen(arm, entry))]
    sizes = [part.input_size for part in parts]
    trained = [part.pretrained_on for part in parts if part.pretrained_on != NOTHING]
    answers = [part.seen for part in parts]
    return ArmNetwork(
        architecture=_joined([part.architecture for part in parts], " + "),
        input_size=max((size for size in sizes if size), default=None) if all(sizes) else None,
        pretrained_on=_joined(trained, " and ") if trained else NOTHING,
        seen=None if None in answers else "yes" if "yes" in answers else "no",
        recorded=False,
    )


def _chosen(arm: str, entry: ArmResult) -> str:
    """The arm that all folds chose for a role such as imagenet@best, else the role itself."""
    return entry.chosen[0] if len(set(entry.chosen)) == 1 else arm


def _implied(result: StudyResult, part: str) -> ArmNetwork:
    """What the settings of a study say of an arm that has the study's network."""
    config, kind = result.config, arm_kind(part)
    common: dict[str, Any] = {
        "architecture": (config.get("backbone") or {}).get("architecture"),
        "input_size": arm_size(part) or config.get("input_size"),
    }
    if part in UNTRAINED:
        common = {} if part in WITHOUT_NETWORK else common
        return ArmNetwork(**common, pretrained_on=NOTHING, seen="no")
    if kind == "imagenet":
        sized = common if not part.endswith("@best") else common | {"input_size": None}
        return ArmNetwork(**sized, pretrained_on=PHOTOGRAPHS, seen="no")
    pretrain: Mapping[str, Any] = config.get("pretrain") or {}
    if kind in ("vae", "recipe") and pretrain:
        transductive = pretrain.get("images") == "all"
        trained = f"{result.dataset.name}, without labels"
        return ArmNetwork(**common, pretrained_on=trained, seen="yes" if transductive else "no")
    return ArmNetwork()


def _joined(values: list[str | None], by: str) -> str | None:
    """The different values; None where one is not known."""
    known = [value for value in values if value]
    return by.join(dict.fromkeys(known)) if len(known) == len(values) else None
