"""The engine for a notebook or a script: comparisons and features as arrays, tables and figures.

    import derm_core

    study = derm_core.compare("ham10000", arms=["timm:resnet18", "random", "colour"])
    study.arms, study.differences          pandas tables, a row for each arm and each pair
    study.figures["leaderboard"]           plotly figures of the report
    derm_core.load_extractor("timm:resnet18").features(["a.jpg", "b.jpg"])      (2, 512) float32

A comparison runs in a process of its own, like those of the app and of the command line, and stays
in the workspace (DERM_HOME, default ./workspace): it goes on when the notebook is closed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from .arms import arm_parts, arm_recipe, reads_images_alone
from .bundles.model_library import list_cards
from .config import BackboneConfig, PretrainConfig, StudyConfig
from .config.shared import ImageForm
from .data.decode import open_picture, prepare
from .data.on_demand import open_dataset
from .errors import ConfigError, RunError
from .jobs.dependencies import matching_run
from .jobs.preflight import submit
from .jobs.supervisor import reconcile, wait
from .nets.backbone import Extractor
from .report.csv_tables import csv_tables
from .report.figure_style import Figure
from .report.html import read_curves
from .report.sections import all_sections
from .study.arms import build_extractors
from .study.feature_memory import CPU_BATCH
from .study.presets import preset as study_preset
from .study.study_result import StudyResult, read_study
from .workspace import RunFiles, Workspace

Picture = str | Path | Image.Image | np.ndarray
SHARED_SETTINGS = ("input_size", "split_seed", "splits", "max_images", "draw", "device")
FACTS = ("architecture", "input_size", "parameters", "images_per_second", "pretrained_on", "seen")


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Args:
        files: of its run.
        study: its whole result, as study.json has it.
    """

    files: RunFiles
    study: StudyResult

    @property
    def verdict(self) -> str:
        """The headline, in a sentence."""
        return self.study.verdict.headline

    @property
    def arms(self) -> pd.DataFrame:
        """A row for each arm: test metrics with the ends of their 95 % intervals, and what its network is."""
        rows = {}
        for name, arm in self.study.arms.items():
            row: dict[str, Any] = {"label": arm.label}
            for metric, interval in arm.test.items():
                row |= {
                    metric: interval.mean,
                    f"{metric}_low": interval.low,
                    f"{metric}_high": interval.high,
                }
            rows[name] = row | {fact: getattr(arm, fact) for fact in FACTS}
        table = pd.DataFrame.from_dict(rows, orient="index")
        return table.rename_axis("arm")

    @property
    def differences(self) -> pd.DataFrame:
        """A row for each pair of arms and metric: the paired difference, its interval and p-values."""
        return self.tables.get("differences", pd.DataFrame())

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table of the report by its name, unrounded."""
        return {name: pd.DataFrame(rows) for name, rows in csv_tables(self.study).items()}

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """Every figure of the report by the name of its section; of one a panel for each arm, "NAME: ARM"."""
        drawn = {}
        curves = read_curves(self.study, self.files.root)
        for section in all_sections(self.study, curves):
            for arm, figure in section.panels():
                drawn[f"{section.key}: {arm.key}" if arm else section.key] = figure
        return drawn

    @property
    def predictions(self) -> pd.DataFrame:
        """Probabilities of every image of validation and test, by arm and seed."""
        return pd.read_parquet(self.files.predictions)

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        metrics = ["label", "balanced_accuracy", "balanced_accuracy_low", "balanced_accuracy_high"]
        return self.arms[metrics].round(4).to_html()


class FeatureExtractor:
    """An extractor that is ready to compute features.

    Attributes:
        name: of the arm.
        form: how images are decoded: side in pixels, and the filter that resizes them.
        width: D, how many features an image has.
        about: where its weights come from.
    """

    def __init__(self, extractor: Extractor, form: ImageForm):
        self.name, self.form, self.about = extractor.name, form, extractor.info
        self.width = extractor.backbone.width
        self._extractor = extractor

    def features(self, images: Sequence[Picture] | np.ndarray) -> np.ndarray:
        """Pooled features (n, D), float32.

        Args:
            images: paths, PIL images or uint8 arrays (H, W, 3), sRGB, of any size: each is resized and
                cropped as those of a study.

        Raises:
            ImageError: an image cannot be read.
            ValueError: an array of another shape or type.
        """
        features = np.empty((len(images), self.width), np.float32)
        for start in range(0, len(images), CPU_BATCH):
            squares = [self._square(image) for image in images[start : start + CPU_BATCH]]
            batch = self._extractor.features(torch.from_numpy(np.stack(squares)))
            features[start : start + len(squares)] = batch.numpy()
        return features

    def _square(self, image: Picture) -> np.ndarray:
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f"images must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
            image = Image.fromarray(image)
        source = Path(image) if isinstance(image, str) else image
        picture = open_picture(source, getattr(source, "name", "image"))
        return prepare(picture, self.form.size, self.form.interpolation).copy()


def load_extractor(
    name: str,
    workspace: Workspace | None = None,
    *,
    architecture: str = "resnet18",
    stage: int = 3,
    input_size: int = 64,
) -> FeatureExtractor:
    """An extractor by the name of an arm or of a model of the library.

    Args:
        name: as for `compare`: "timm:NAME", "imagenet", "random", "run:ID"; or of a published model.
        workspace: with its models and runs; default: the one of this environment.
        architecture, stage, input_size: the network and pixels of arms that have none of their own.

    Raises:
        ConfigError: no arm has this name, or its features do not follow from an image alone.
        WeightsUnavailable: which file to put where.
        NotFound, BundleError, RunError: of a model or run.
    """
    workspace = workspace or Workspace.open()
    cards = {card.name: card for card in list_cards(workspace, None)}
    arm = f"bundle:{name}" if name in cards else name
    card = cards.get(arm.removeprefix("bundle:"))
    config = StudyConfig(
        dataset="none",
        arms=(arm,),
        backbone=BackboneConfig(architecture=architecture, stage=stage),
        input_size=card.input_size if card else input_size,
        seeds=(0,),
    )
    if not reads_images_alone(arm) or len(arm_parts(arm)) > 1:
        raise ConfigError(
            f"name is {name!r}; allowed: an arm whose features one network computes from an image."
        )
    extractor = build_extractors(arm, config, workspace)[0]
    return FeatureExtractor(extractor, extractor.form or ImageForm(config.input_size))


def compare(
    dataset: str,
    arms: Sequence[str],
    *,
    preset: str | None = None,
    workspace: Workspace | None = None,
    progress: bool = True,
    again: bool = False,
    **settings: Any,
) -> Comparison:
    """Compare extractors on a dataset under identical conditions; returns when the run is done.

    A finished comparison with the same settings is opened instead of repeated.

    Args:
        dataset: name of an imported dataset, or "synth-N" for N synthetic images.
        arms: names of arms, see `derm compare --help`.
        preset: whose settings are taken; default: "demo" for synthetic images, else "laptop".
        workspace: default: the one of this environment.
        progress: whether the run's log is printed.
        again: repeat a finished comparison.
        settings: further fields of `StudyConfig`, such as seeds=(0, 1), regime="finetune", input_size=96, device="cpu";
            and architecture and stage of the study's own network.

    Raises:
        ConfigError: a wrong setting, naming what is allowed.
        NotFound, WeightsUnavailable, BundleError, DataError: what an arm or the dataset lacks.
        RunError: the run failed; the message says why.
    """
    workspace = workspace or Workspace.open()
    config = _study(dataset, arms, preset, settings)
    reconcile(workspace)
    finished = None if again else matching_run(workspace, config, ("done",))
    run_id = finished.id if finished else submit(workspace, config)
    if not finished:
        run = wait(workspace, run_id, _print_log if progress else lambda row: None)
        if run.state != "done":
            raise RunError(f"{run_id} is {run.state}: {run.error or 'it was stopped'}")
    return open_comparison(run_id, workspace)


def open_comparison(run_id: str, workspace: Workspace | None = None) -> Comparison:
    """A finished comparison by the id of its run, or a published one by its name.

    Raises:
        NotFound: there is none.
    """
    files = (workspace or Workspace.open()).run(run_id)
    try:
        return Comparison(files, read_study(files.study))
    except FileNotFoundError:
        raise RunError(
            f"{run_id} has no result: it is no comparison, or it is not finished."
        ) from None


def dataset_table(name: str, workspace: Workspace | None = None) -> pd.DataFrame:
    """A row for each image of a dataset: image_id, path, label, group, … ("synth-N" is generated where it is missing).

    Raises:
        NotFound: there is no dataset of this name.
    """
    return open_dataset(workspace or Workspace.open(), name).frame.copy()


def _study(
    dataset: str, arms: Sequence[str], preset: str | None, settings: dict[str, Any]
) -> StudyConfig:
    """The preset's study with these arms and settings; its pretraining is changed alike, or left out."""
    base = study_preset(preset or ("demo" if dataset.startswith("synth") else "laptop"), dataset)
    changes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    network: dict[str, Any] = {
        name: changes.pop(name) for name in ("architecture", "stage") if name in changes
    }
    known = {field.name for field in dataclasses.fields(StudyConfig)}
    if unknown := sorted(changes.keys() - known):
        raise ConfigError(
            f"setting is {unknown[0]!r}; allowed: architecture, stage, {', '.join(sorted(known))}."
        )
    backbone = dataclasses.replace(changes.pop("backbone", base.backbone), **network)
    changes |= {"arms": tuple(arms), "dataset": dataset, "backbone": backbone}
    pretrain: PretrainConfig | None = changes.pop("pretrain", base.pretrain)
    parts = {part for arm in arms for part in arm_parts(arm)}
    pretrains = "vae" in parts or any(map(arm_recipe, parts))
    if not pretrains or changes.get("vae") or changes.get("vae_run"):
        pretrain = None
    elif pretrain:
        shared: dict[str, Any] = {
            name: changes[name] for name in SHARED_SETTINGS if name in changes
        }
        pretrain = dataclasses.replace(pretrain, dataset=dataset, backbone=backbone, **shared)
    return dataclasses.replace(base, pretrain=pretrain, **changes)


def _print_log(row: dict[str, Any]) -> None:
    if row["kind"] == "log":
        print(f"{row['run']}: {row['value']}", flush=True)
