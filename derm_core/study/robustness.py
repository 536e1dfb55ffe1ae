"""Robustness: the test repeated under dermoscopy corruptions of five severities.

Every arm and seed sees the same corrupted images, nothing is trained or chosen on them. Relative
loss is (clean − corrupted) / clean of balanced accuracy, paired over groups and seeds.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import numpy as np

from ..config.shared import ImageForm
from ..data.corruptions import SEVERITIES, corrupt
from ..events import TICK, Event, log, progress
from ..stats.intervals import MARGINS, Difference
from ..stats.metrics import decide
from ..stats.multiple_tests import with_holm
from ..stats.paired import Estimate, average, combine
from ..training.precision import Precision, default_precision
from .answers import Robustness, RobustnessRow
from .image_arms import on_images
from .predictors import Predictors
from .roles import chosen_pairs
from .trained_arm import TrainedStudy, load_arrays, save_arrays

CLEAN = "clean"
NOTE = (
    "All test images, the same corrupted ones for every arm and seed; nothing was trained or chosen on them. The clean "
    "reference is computed in the same precision as the corrupted images."
)
Decisions = dict[str, np.ndarray]


def robustness(study: TrainedStudy) -> Generator[Event, None, Robustness]:
    """Balanced accuracy of every arm under every corruption and severity, and what is lost of the clean one.

    A family that is finished is not computed again when the study is resumed.
    """
    study, left_out = on_images(study)
    families: list[str] = list(study.config.corruptions)
    precision = default_precision(study.config.backbone.architecture, study.device)
    yield log(
        f"Robustness: {len(families)} families of corruptions at five severities; "
        f"backbones compute in {precision.describe()}."
    )
    decisions = yield from _decide_all(study, families, precision)
    answer = summarise(study, families, decisions, precision.describe())
    return replace(answer, note=f"{answer.note} {left_out}".rstrip())


def _decide_all(
    study: TrainedStudy, families: list[str], precision: Precision
) -> Generator[Event, None, dict[str, Decisions]]:
    """Prior-adjusted decisions {"clean" or family: {arm: (severities, S, n) int16}}, written family by family."""
    folder = study.run.checkpoints / "robustness"
    count = len(study.data.members("test"))
    todo = [name for name in [CLEAN, *families] if not (folder / f"{name}.npz").exists()]
    total = count * sum(len(SEVERITIES) if name != CLEAN else 1 for name in todo)
    done, started = 0, time.monotonic()
    with closing(Predictors(study, precision)) as predictors:
        for name in todo:
            by_arm: dict[str, list[np.ndarray]] = {arm: [] for arm in predictors.arms}
            for severity in SEVERITIES if name != CLEAN else (0,):
                parts = []
                for begin in range(0, count, predictors.batch):
                    which = slice(begin, begin + predictors.batch)
                    images = _images(study, which, name, severity)
                    others = {
                        form: _images(study, which, name, severity, form)
                        for form in predictors.other_forms
                    }
                    batch = predictors(images, others)
                    parts.append({arm: decide(p, study.log_prior) for arm, p in batch.items()})
                    done += min(predictors.batch, count - begin)
                    what = f"Robustness: {name}"
                    yield progress(done, total, "images", what=what, started=started)
                    yield TICK
                for arm, each in by_arm.items():
                    each.append(np.concatenate([part[arm] for part in parts], 1, dtype=np.int16))
            save_arrays(folder / f"{name}.npz", {arm: np.stack(of) for arm, of in by_arm.items()})
    return {name: load_arrays(folder / f"{name}.npz") for name in [CLEAN, *families]}


def _images(
    study: TrainedStudy, which: slice, family: str, severity: int, form: ImageForm | None = None
) -> np.ndarray:
    data, positions = study.data, study.data.members("test")[which]
    images = np.array(data.store_at(form).images[data.rows[positions]])
    return (
        images if family == CLEAN else corrupt(images, family, severity, data.image_ids[positions])
    )


def summarise(
    study: TrainedStudy, families: list[str], decisions: dict[str, Decisions], precision: str
) -> Robustness:
    """Tables from decisions: every family and severity, means over severities and families, pairs of arms."""
    scorer, arms = study.scorer, list(study.trained)
    clean = {arm: scorer.balanced_accuracy(decisions[CLEAN][arm][0]) for arm in arms}
    rows, losses = [], {}
    for arm in arms:
        by_family: dict[str, Estimate] = {}
        for family in families:
            scores = [scorer.balanced_accuracy(one) for one in decisions[family][arm]]
            lost = [combine(lambda a, b: (a - b) / a, clean[arm], score) for score in scores]
            rows += [
                RobustnessRow(
                    arm=arm,
                    family=family,
                    severity=severity,
                    balanced_accuracy=score.interval("balanced_accuracy"),
                    relative_loss=loss.interval(),
                )
                for severity, score, loss in zip(SEVERITIES, scores, lost, strict=True)
            ]
            by_family[family] = average(lost)
        losses[arm] = {**by_family, "all": average(list(by_family.values()))}
    differences = [
        Difference.of(a, b, change.interval(), MARGINS["relative_loss"], family=family)
        for a, b in chosen_pairs(arms)
        for family in ["all", *families]
        for change in [losses[a][family] - losses[b][family]]
    ]
    return Robustness(
        families=tuple(families),
        severities=tuple(SEVERITIES),
        clean={arm: clean[arm].interval("balanced_accuracy") for arm in arms},
        rows=tuple(rows),
        families_summary=tuple(
            RobustnessRow(arm=arm, family=family, relative_loss=losses[arm][family].interval())
            for arm in arms
            for family in families
        ),
        mean={arm: losses[arm]["all"].interval() for arm in arms},
        differences=tuple(with_holm(differences)),
        images=len(study.data.members("test")),
        precision=precision,
        note=NOTE,
    )
