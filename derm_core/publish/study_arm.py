"""One arm and seed of a finished study, as publishing needs it. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..arms import arm_parts, reads_images_alone
from ..config import StudyConfig, from_dict
from ..config.shared import ImageForm
from ..errors import BundleError, NotFound, RunError
from ..files import read_json
from ..study.study_result import ArmResult, StudyResult, read_study
from ..workspace import RunFiles, Workspace, check_id
from .placement import published_hash


@dataclass(frozen=True)
class Predictions:
    """Predictions of one arm and seed on a split, one row per image.

    Attributes:
        probabilities: (n, C), before the temperature.
    """

    image_ids: np.ndarray
    groups: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class StudyArm:
    """An arm and seed of a finished study.

    Attributes:
        extractor: what the study recorded of the arm's one network.
    """

    run: RunFiles
    config: StudyConfig
    study: StudyResult
    arm: str
    seed: int
    extractor: Mapping[str, Any]

    @property
    def result(self) -> ArmResult:
        return self.study.arms[self.arm]

    @property
    def regime(self) -> str:
        return self.result.regime

    @property
    def built_arm(self) -> str:
        """The arm as a study is asked for it, where this one was chosen on validation."""
        return built_arm(self.arm, self.result)

    @property
    def input_size(self) -> int:
        """The side of the images that the arm reads, in pixels."""
        return self.form.size

    @property
    def form(self) -> ImageForm:
        """How the images that the arm reads are decoded."""
        size = int(self.extractor.get("input_size") or self.config.input_size)
        return ImageForm(size, self.extractor.get("interpolation") or "bicubic")

    @property
    def labels(self) -> Mapping[str, Any]:
        """The task: {"kind": "classes"}, or {"kind": "priority", "map", "ours"}."""
        return self.study.labels or {"kind": "classes"}

    def predictions(self, split: str, arm: str | None = None) -> Predictions:
        """Predictions of this arm, or another one, on a split ("val", "test"). Raises RunError where there are none."""
        arm = arm or self.arm
        table = pd.read_parquet(
            self.run.predictions,
            filters=[("arm", "==", arm), ("split", "==", split), ("seed", "==", self.seed)],
        )
        if not len(table):
            raise RunError(
                f"{self.run.id} has no {split} predictions of arm {arm}, seed {self.seed}; repeat the study."
            )
        columns = [f"p_{i}" for i in range(len(self.study.classes))]
        return Predictions(
            table["image_id"].to_numpy(),
            table["group"].to_numpy(),
            table["label"].to_numpy(),
            table[columns].to_numpy(np.float64),
        )

    def test_predictions(self) -> dict[str, Predictions]:
        """Test predictions of every arm that has this seed, by `built_arm`."""
        tables = {}
        for arm, result in self.study.arms.items():
            try:
                tables[built_arm(arm, result)] = self.predictions("test", arm)
            except RunError:
                continue
        return tables


def built_arm(arm: str, result: ArmResult) -> str:
    """The arm that builds the extractors of an arm of a result: where it was chosen on validation, that arm."""
    return result.chosen[0] if result.chosen else arm


def open_study_arm(run: RunFiles, arm: str, seed: int) -> StudyArm:
    """The arm and seed of a study, where they can be published.

    Raises:
        NotFound: there is no such run.
        RunError: it is not a finished study, or has no such arm or seed.
        BundleError: the arm has no network, several, or other features.
    """
    config, study = _finished(run)
    if arm not in study.arms:
        raise RunError(f"The study has no arm {arm!r}; it has {', '.join(study.arms)}.")
    if seed not in config.seeds:
        raise RunError(f"The study has no seed {seed}; it has {', '.join(map(str, config.seeds))}.")
    if config.pooling != "pooled":
        raise BundleError(
            f"This study used other features ({config.pooling}); only pooled ones can be published."
        )
    if arm == "colour":
        raise BundleError("The colour histogram has no network to publish; publish another arm.")
    if not reads_images_alone(arm):
        raise BundleError(
            f"The arm {arm} needs more than an image, all that a published model is given; publish another arm."
        )
    variants = (study.arms[arm].extractor or {})["variants"]
    parts = variants[config.seeds.index(seed) % len(variants)]
    if len(parts) != 1:
        raise BundleError(
            f"The arm {arm} joins {len(parts)} backbones; publish its parts, {' or '.join(arm_parts(arm))}, instead."
        )
    return StudyArm(run, config, study, arm, seed, parts[0])


def _finished(run: RunFiles) -> tuple[StudyConfig, StudyResult]:
    if not run.config.exists():
        raise NotFound(
            f"There is no run {run.id} in this workspace; `runs list` shows those there are."
        )
    config = from_dict(read_json(run.config))
    if not isinstance(config, StudyConfig):
        raise RunError(f"{run.id} is a {config.kind}; models are published from a study.")
    if config.folds:
        raise RunError(
            f"{run.id} belongs to a comparison in folds, which measures a recipe; models are published from a study "
            "of one split."
        )
    try:
        return config, read_study(run.study)
    except FileNotFoundError:
        raise RunError(f"The study {run.id} is not finished; wait for it, or resume it.") from None


def require_publishable(
    workspace: Workspace, run_id: str, arm: str, name: str, seed: int = 0
) -> None:
    """Raise at once what publishing would raise: ConfigError, NotFound, RunError or BundleError."""
    check_id(name, "model name")
    published_hash(workspace, name, workspace.models / name)
    open_study_arm(workspace.run(run_id), arm, seed)
