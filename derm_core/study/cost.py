"""What every arm of a study cost: images, seconds and, as an estimate, energy.

Energy is seconds times the power of the device, see `machine.power`: an upper estimate, for no
device draws its limit all the time. Pretraining on ImageNet was done elsewhere and is not in it. Arms
that share a pretraining or an extractor have it in full, each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import DermError
from ..files import read_json
from ..machine import Power, power
from ..nets.backbone import Extractor
from ..nets.corpora import corpora_in
from .arms import Arm
from .clinical_answers import ArmCost, Cost
from .features import extraction_seconds
from .pretraining_data import UNTRAINED, listed_alone
from .trained_arm import TrainedStudy

IMAGENET_1K = 1_281_167  # training images of ILSVRC 2012
JOULES_PER_KWH = 3.6e6


def study_cost(study: TrainedStudy) -> Cost:
    """The cost of every arm of a study on one split."""
    used: dict[str, Power] = {}
    arms = {name: _arm_cost(study, one.arm, used) for name, one in study.trained.items()}
    return Cost(arms=arms, power=used)


def cost_of_folds(costs: Sequence[Cost | None], arms: Iterable[str]) -> Cost | None:
    """The folds' costs of `arms` as one; None where one is not known."""
    each = [cost for cost in costs if cost is not None]
    if not each or len(each) < len(costs):
        return None
    names = [name for name in arms if all(name in cost.arms for cost in each)]
    return Cost(
        arms={name: _joined([cost.arms[name] for cost in each]) for name in names},
        power={kind: value for cost in each for kind, value in cost.power.items()},
    )


def _joined(each: Sequence[ArmCost]) -> ArmCost:
    def mean(field: str) -> float | None:
        total = _sum(getattr(one, field) for one in each)
        return None if total is None else total / len(each)

    seconds = ("pretraining_seconds", "feature_seconds", "head_seconds", "energy_kwh")
    return ArmCost(
        **{field: _sum(getattr(one, field) for one in each) for field in seconds},
        **{field: mean(field) for field in ("pretraining_images", "head_images")},
    )


def _arm_cost(study: TrainedStudy, arm: Arm, used: dict[str, Power]) -> ArmCost:
    parts = {part.identity: part for part in arm.parts}.values()
    runs = {part.info["run"] for part in parts if "run" in part.info}
    summaries = [_summary(study, run) for run in sorted(runs)]
    here, frozen = _device(study.device), study.frozen
    features = heads = None
    if frozen and arm.name in frozen.features:
        read = {(part.identity, part.form): part for part in arm.parts}.values()
        features = _sum(extraction_of(study, part) for part in read)
        # An arm that was chosen has the heads of another.
        widths = {id(matrix): matrix.shape[-1] for matrix in frozen.features.values()}
        own = frozen.features[arm.name].shape[-1]
        heads = frozen.seconds * own / sum(widths.values())
    spent = [(one.get("seconds"), _device(str(one.get("device", "cpu")))) for one in summaries]
    energy = 0.0
    for seconds, device in [*spent, (features, here), (heads, here)]:
        if seconds:
            used[device] = power(device)
            energy += seconds * used[device].watts / JOULES_PER_KWH
    pretrained = _sum(one.get("seconds") for one in summaries)
    nothing = all(part.name in UNTRAINED for part in parts)
    return ArmCost(
        pretraining_images=_sum(_pretraining_images(study, part) for part in parts),
        pretraining_seconds=0.0 if nothing else pretrained if runs else None,
        head_images=len(study.data.members("train")),
        feature_seconds=features,
        head_seconds=heads,
        energy_kwh=energy or None,
    )


def _device(name: str) -> str:
    return "cuda" if name.startswith("cuda") else "cpu"


def _summary(study: TrainedStudy, run: str) -> dict[str, Any]:
    """What a pretraining reports; empty where its folder is gone."""
    try:
        summary: dict[str, Any] = read_json(study.workspace.run(run).summary)
    except (OSError, ValueError, DermError):
        return {}
    return summary


def extraction_of(study: TrainedStudy, part: Extractor) -> float | None:
    """Seconds in which an extractor's features of the study's images were computed; None where not recorded."""
    data = study.data
    rows = None if data.all_rows else data.rows
    return extraction_seconds(
        part, data.store_at(part.form), study.workspace, data.dataset.name, rows
    )


def _pretraining_images(study: TrainedStudy, part: Extractor) -> float | None:
    """How many different images an extractor's weights were pretrained on."""
    info = part.info
    if "run" in info:
        summary = _summary(study, info["run"])
        return summary.get("pretrained_on") or (summary.get("images") or {}).get("train")
    about = str(info.get("pretrained_on") or "")
    if corpora := corpora_in(about):
        alone = [corpus.name for corpus in corpora] == ["ImageNet-1k"] and listed_alone(about)
        return IMAGENET_1K if alone else None
    return 0 if part.name in UNTRAINED else None


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum; None where one is not known or there is none."""
    each = list(values)
    if not each or any(value is None for value in each):
        return None
    return float(np.sum(np.array(each, float)))
