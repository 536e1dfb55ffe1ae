"""What an arm's network is: architecture, input size, parameters, speed, and what it was pretrained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arms import arm_embeddings
from ..nets.backbone import Extractor
from ..nets.given import GivenFeatures
from .arms import Arm
from .cost import extraction_of
from .seen import pretraining_of_part
from .study_result import ArmResult
from .trained_arm import TrainedStudy

FACTS = ("architecture", "input_size", "parameters", "images_per_second", "pretrained_on", "seen")


def arm_facts(study: TrainedStudy, arm: Arm) -> dict[str, Any]:
    """The fields FACTS of `ArmResult`, of an arm's networks side by side; of one variant, for all are alike."""
    parts = arm.variants[0]
    sizes = [
        part.input_size or study.config.input_size
        for part in parts
        if not isinstance(part.backbone, GivenFeatures)
    ]
    trained = [pretraining_of_part(part, study.workspace) for part in parts]
    return {
        "architecture": " + ".join(dict.fromkeys(part.backbone.architecture for part in parts)),
        "input_size": max(sizes, default=None),
        "parameters": _parameters(parts),
        "images_per_second": _images_per_second(study, arm),
        "pretrained_on": " and ".join(dict.fromkeys(trained)),
        "seen": arm.seen or None,
    }


def _parameters(parts: Sequence[Extractor]) -> int | None:
    """Of all networks; None where vectors were brought, whose network is not known."""
    if any(arm_embeddings(part.name) for part in parts):
        return None
    return sum(p.numel() for part in parts for p in part.backbone.parameters())


def _images_per_second(study: TrainedStudy, arm: Arm) -> float | None:
    """Images in each second of an extraction of the arm's features, mean over its variants."""
    if not study.frozen or arm.name not in study.frozen.features:
        return None
    seconds = []
    for parts in arm.variants:
        each = [
            extraction_of(study, part) for part in {one.identity: one for one in parts}.values()
        ]
        if any(one is None for one in each):
            return None
        seconds.append(sum(one or 0.0 for one in each))
    mean = float(np.mean(seconds))
    return len(study.data.rows) / mean if mean > 0 else None


def facts_of_folds(arms: Sequence[ArmResult]) -> dict[str, Any]:
    """The facts of one arm in all folds as one: those of the first, speed as the mean; none of earlier versions."""
    facts = {name: getattr(arms[0], name) for name in FACTS}
    speeds = [one.images_per_second for one in arms]
    known = [speed for speed in speeds if speed is not None]
    return facts | {"images_per_second": float(np.mean(known)) if len(known) == len(arms) else None}
