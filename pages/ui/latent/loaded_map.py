"""A map as the page shows it: its points, the models whose predictions belong to it, and the names of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from derm_core.arms import ArmStyle, arm_style
from derm_core.data.manifest import CORE, Dataset
from derm_core.insight.packed_map import COORDINATES
from derm_core.insight.saved_map import MapInfo, SavedMap
from derm_core.workspace import Workspace
from pages.ui import cached, words
from pages.ui.images import Reconstruct
from pages.ui.latent.stored_images import StoredImages, stored_images

METHODS = {"umap": "UMAP", "pca": "PCA"}
MODEL_COLUMNS = {
    "prediction": "Most probable class",
    "correct": "Most probable class correct",
    "adjusted": "Adjusted class",
    "adjusted_correct": "Adjusted class correct",
    "confidence": "Confidence",
    "outlier": "Outlier score",
}
CLASS_COLUMNS = (
    "prediction",
    "adjusted",
)  # columns of a model, without its slot, that hold classes
# Parameters of a map that decide its features and so its neighbours; the others decide its layout alone.
FEATURE_PARAMETERS = (
    "dataset",
    "arm",
    "vae_run",
    "vae",
    "backbone",
    "input_size",
    "split_seed",
    "splits",
    "seed",
    "max_images",
    "draw",
)


@dataclass(frozen=True)
class MapModel:
    """A model whose predictions are saved with a map, in the columns that end in `slot` ("a", "b", …).

    Attributes:
        style: name and colour of its arm; the name is that of its card, where the library has the model.
    """

    slot: str
    name: str
    arm: str
    short_name: str
    style: ArmStyle


@dataclass(frozen=True)
class LoadedMap:
    """A saved map with its dataset.

    Attributes:
        version: differs for every other content; part of a cache's key.
        stored: what a published map has in place of images; None for others.
        labels: what the library's cards call the arm of each model, by the model's name.
        suffix: what distinguishes it from the other map on the page where both have one name.
    """

    run_id: str
    saved: SavedMap
    dataset: Dataset
    version: tuple[Any, ...]
    stored: StoredImages | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""

    @property
    def reconstruct(self) -> Reconstruct | None:
        """Draws images that are not on this machine, for a published map."""
        return self.stored.thumbnails if self.stored else None

    @property
    def points(self) -> pd.DataFrame:
        """One row for each image."""
        return self.saved.points

    @property
    def info(self) -> MapInfo:
        """The map's description."""
        return self.saved.info

    @property
    def params(self) -> Mapping[str, Any]:
        """Parameters of the run."""
        return self.info.params

    @property
    def quality(self) -> Mapping[str, float | None]:
        """Quality measures by name."""
        return self.info.quality

    @property
    def methods(self) -> list[str]:
        """UMAP where it is computed, and PCA."""
        return ["umap", "pca"] if "umap_x" in self.saved.known else ["pca"]

    @property
    def name(self) -> str:
        """The arm, "μ" for a map of posterior means, and the suffix."""
        arm = arm_style(self.info.arm, self.info.label).name
        return ", ".join(filter(None, (arm, "μ" if self.saved.space == "mu" else "", self.suffix)))

    @property
    def features(self) -> dict[str, Any]:
        """What decides the features: maps that agree in it differ in their layout alone."""
        known = {name: self.params.get(name) for name in FEATURE_PARAMETERS}
        return known | {"space": self.saved.space}

    @property
    def models(self) -> list[MapModel]:
        """The models whose predictions are saved with the map."""
        arms = [model.arm for model in self.info.opinions]
        models = []
        for model in self.info.opinions:
            own = self.labels.get(model.name) or (model.name if ":" in model.arm else None)
            style = arm_style(model.arm, own)
            short_name = style.brief if arms.count(model.arm) == 1 else model.name
            models.append(MapModel(model.slot, model.name, model.arm, short_name, style))
        return models

    @property
    def columns(self) -> dict[str, str]:
        """Columns to colour and filter by, and their names: class, split, predictions of models, attributes."""
        names = {"label": "Class", "split": "Split"}
        for model in self.models:
            names |= {
                f"{kind}_{model.slot}": f"{name}, {model.short_name}"
                for kind, name in MODEL_COLUMNS.items()
            }
        names["disagree"] = "Models disagree"
        rest = sorted(set(self.points.columns) - set(names) - {*CORE, *COORDINATES, "row"})
        names |= {name: words.attribute(name) for name in rest}
        return {column: name for column, name in names.items() if column in self.saved.known}

    def levels(self, column: str) -> list[str]:
        """The classes in one order, for columns of classes: both maps colour them alike."""
        holds_classes = column == "label" or column.rpartition("_")[0] in CLASS_COLUMNS
        return sorted(self.dataset.classes) if holds_classes else []


def load_map(workspace: Workspace, run_id: str) -> LoadedMap | None:
    """The map of a run; None before its PCA is computed."""
    saved = cached.saved_map(workspace, run_id)
    if saved is None:
        return None
    dataset = cached.map_dataset(workspace, run_id, saved.info.dataset)
    version = (cached.map_version(workspace, run_id), dataset.fingerprint)
    labels = {card.name: card.label for card in cached.cards(workspace)}
    return LoadedMap(run_id, saved, dataset, version, stored_images(workspace, run_id), labels)


def with_distinct_names(first: LoadedMap, second: LoadedMap) -> tuple[LoadedMap, LoadedMap]:
    """The two maps, with suffixes where one name stands for different features.

    A suffix is the input size, the network, or the end of the pretraining's or the map's id.
    """
    if first.name != second.name or first.features == second.features:
        return first, second
    for suffix in (_pixels, _network, _pretraining, lambda loaded: loaded.run_id[-4:]):
        one, other = suffix(first), suffix(second)
        if one and other and one != other:
            break
    return replace(first, suffix=one), replace(second, suffix=other)


def _pixels(loaded: LoadedMap) -> str:
    return f"{loaded.params['input_size']}{words.THIN}px" if "input_size" in loaded.params else ""


def _network(loaded: LoadedMap) -> str:
    if str(loaded.params.get("arm", "")).startswith("bundle:"):
        return ""  # it has its own, which its name stands for
    backbone = loaded.params.get("backbone") or {}
    return f"{backbone['architecture']} to stage {backbone['stage']}" if backbone else ""


def _pretraining(loaded: LoadedMap) -> str:
    return (loaded.params.get("vae_run") or loaded.params.get("vae") or "")[-4:]
