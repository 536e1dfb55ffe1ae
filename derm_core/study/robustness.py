"""Does the lead survive corrupted images? The test repeated under dermoscopy corruptions of five severities.

Every arm and seed sees the same corrupted images, nothing is trained or chosen on them. Relative
loss is (clean − corrupted) / clean of balanced accuracy, paired over groups and seeds.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.corruptions import SEVERITIES, corrupt
from ..events import TICK, Event, log, progress
from ..files import writing
from ..records import to_json
from ..stats.intervals import Difference
from ..stats.metrics import decide
from ..stats.multiple_tests import with_holm
from ..stats.paired import Estimate, Scorer, arm_pairs, average, combine
from ..training.precision import Precision, default_precision
from .predictors import Predictors
from .questions import TrainedStudy
from .verdict import choose_pair

CLEAN = "clean"
Decisions = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class FamilyDifference(Difference):
    """The difference of two arms' relative losses under one family of corruptions, or "all"."""

    family: str


def robustness(study: TrainedStudy) -> Generator[Event, None, dict]:
    """{families, severities, images, precision, clean, rows, families_summary, mean, differences, note}.

    A family that is finished is not computed again when the study is resumed.
    """
    families = list(study.config.corruptions)
    precision = default_precision(study.config.backbone.architecture, study.device)
    yield log(
        f"Robustness: {len(families)} families of corruptions at five severities; "
        f"backbones compute in {precision.describe()}."
    )
    decided = yield from _decide_all(study, families, precision)
    return {
        **summarise(study, families, decided),
        "images": len(study.data.members("test")),
        "precision": precision.describe(),
        "note": "All test images, the same corrupted ones for every arm and seed; nothing was trained or chosen on "
        "them. The clean reference is computed in the same precision as the corrupted images.",
    }


def _decide_all(
    study: TrainedStudy, families: list[str], precision: Precision
) -> Generator[Event, None, dict[str, Decisions]]:
    """Prior-adjusted decisions {"clean" or family: {arm: (severities, S, n) int16}}, kept family by family."""
    folder, decided = study.run.checkpoints / "robustness", {}
    per_family = len(study.data.members("test")) * len(SEVERITIES)
    todo = [name for name in [CLEAN, *families] if not (folder / f"{name}.npz").exists()]
    total = sum(per_family if name != CLEAN else per_family // len(SEVERITIES) for name in todo)
    done, started = 0, time.monotonic()
    with closing(Predictors(study, precision)) as predictors:
        for name in todo:
            found: dict[str, list] = {arm: [] for arm in predictors.arms}
            for severity in SEVERITIES if name != CLEAN else (0,):
                parts = []
                for begin in range(0, len(study.data.members("test")), predictors.batch):
                    batch = predictors(
                        _images(study, slice(begin, begin + predictors.batch), name, severity)
                    )
                    parts.append({arm: _decide(p, study.log_prior) for arm, p in batch.items()})
                    done += parts[-1][predictors.arms[0]].shape[1]
                    yield progress(
                        done, total, "images", what=f"Robustness: {name}", started=started
                    )
                    yield TICK
                for arm in found:
                    found[arm].append(np.concatenate([part[arm] for part in parts], 1))
            _keep(folder / f"{name}.npz", {arm: np.stack(each) for arm, each in found.items()})
    for name in [CLEAN, *families]:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as stored:
            decided[name] = {arm: stored[arm] for arm in study.trained}
    return decided


def _images(study: TrainedStudy, which: slice, family: str, severity: int) -> np.ndarray:
    data = study.data
    chosen = data.members("test")[which]
    images = np.array(data.store.images[data.rows[chosen]])
    return images if family == CLEAN else corrupt(images, family, severity, data.image_ids[chosen])


def _decide(probabilities: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    return decide(probabilities, log_prior).astype(np.int16)


def _keep(path: Path, decisions: Decisions) -> None:
    with writing(path) as file:
        np.savez_compressed(file, **decisions)


def summarise(study: TrainedStudy, families: list[str], decided: dict[str, Decisions]) -> dict:
    """Tables from decisions: every family and severity, means over severities and families, pairs of arms."""
    test = study.data.members("test")
    scorer = Scorer(
        study.data.labels[test],
        study.data.groups[test],
        len(study.data.classes),
        resamples=study.config.bootstrap,
        seed=study.config.split_seed,
    )
    arms, rows = list(study.trained), []
    clean = {arm: scorer.balanced_accuracy(decided[CLEAN][arm][0]) for arm in arms}
    losses: dict[str, dict[str, Estimate]] = {}
    for arm in arms:
        by_family = {}
        for family in families:
            scores = [scorer.balanced_accuracy(one) for one in decided[family][arm]]
            lost = [combine(lambda a, b: (a - b) / a, clean[arm], score) for score in scores]
            rows += [
                {
                    "arm": arm,
                    "family": family,
                    "severity": severity,
                    "balanced_accuracy": to_json(score.interval("balanced_accuracy")),
                    "relative_loss": to_json(loss.interval()),
                }
                for severity, score, loss in zip(SEVERITIES, scores, lost, strict=True)
            ]
            by_family[family] = average(lost)
        losses[arm] = {**by_family, "all": average(list(by_family.values()))}
    return {
        "families": families,
        "severities": list(SEVERITIES),
        "clean": {arm: to_json(clean[arm].interval("balanced_accuracy")) for arm in arms},
        "rows": rows,
        "families_summary": [
            {"arm": arm, "family": family, "relative_loss": to_json(losses[arm][family].interval())}
            for arm in arms
            for family in families
        ],
        "mean": {arm: to_json(losses[arm]["all"].interval()) for arm in arms},
        "differences": to_json(
            with_holm(
                [
                    FamilyDifference.of(
                        a, b, (losses[a][family] - losses[b][family]).interval(), family=family
                    )
                    for a, b in arm_pairs(arms, choose_pair(arms))
                    for family in ["all", *families]
                ]
            )
        ),
    }
