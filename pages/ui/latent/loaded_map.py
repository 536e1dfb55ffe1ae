"""A map as the page shows it: its points, the models whose answers stand beside them, and what its columns are called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from derm_core.arms import arm_style
from derm_core.data.manifest import CORE
from derm_core.insight.selection import COORDINATES
from pages.ui import cached, words

METHODS = {"umap": "UMAP", "pca": "PCA"}
OF_MODELS = {
    "prediction": "Prediction",
    "correct": "Correct",
    "confidence": "Confidence",
    "outlier": "Outlier score",
}
OF_FEATURES = (
    "dataset",
    "arm",
    "vae_run",
    "vae",
    "backbone",
    "input_size",
    "split_seed",
    "seed",
    "max_images",
)


@dataclass(frozen=True)
class LoadedMap:
    """run_id; saved: insight.atlas.SavedMap; dataset: data.manifest.Dataset; version: another one for every other content;
    apart: what tells it from the other map on show where both have one name, "" where nothing need be told."""

    run_id: str
    saved: Any
    dataset: Any
    version: tuple
    apart: str = ""

    @property
    def points(self) -> pd.DataFrame:
        return self.saved.points

    @property
    def about(self) -> dict:
        return self.saved.about

    @property
    def quality(self) -> dict:
        return self.about.get("quality") or {}

    @property
    def methods(self) -> list[str]:
        """UMAP where it is there, and PCA."""
        return ["umap", "pca"] if "umap_x" in self.saved.known else ["pca"]

    @property
    def name(self) -> str:
        """The arm's name, that it is mu where it is, and what tells it from the other map on show."""
        arm = arm_style(self.about["arm"], self.about.get("label")).name
        return ", ".join(filter(None, (arm, "μ" if self.saved.space == "mu" else "", self.apart)))

    @property
    def features(self) -> dict[str, Any]:
        """What decides a map's features, and so its neighbours: maps that agree in it differ in their layout alone."""
        return {name: self.params.get(name) for name in OF_FEATURES} | {"space": self.saved.space}

    @property
    def params(self) -> dict:
        return self.about.get("params") or {}

    @property
    def opinions(self) -> list[dict]:
        """map.json's opinions, each with "shown", what its model is called in short."""
        arms = [opinion["arm"] for opinion in self.saved.opinions]
        return [
            {
                **opinion,
                "shown": arm_style(opinion["arm"]).brief
                if arms.count(opinion["arm"]) == 1
                else opinion["name"],
            }
            for opinion in self.saved.opinions
        ]

    @property
    def columns(self) -> dict[str, str]:
        """Columns to colour and filter by, and what they are called: class, split, models' answers, attributes."""
        found = {"label": "Class", "split": "Split"}
        for opinion in self.opinions:
            found |= {
                f"{kind}_{opinion['slot']}": f"{name}, {opinion['shown']}"
                for kind, name in OF_MODELS.items()
            }
        found["disagree"] = "Models disagree"
        rest = sorted(set(self.points.columns) - set(found) - {*CORE, *COORDINATES, "row"})
        found |= {
            name: name.removeprefix("factor_").replace("_", " ").capitalize() for name in rest
        }
        return {column: name for column, name in found.items() if column in self.saved.known}

    def levels(self, column: str) -> list[str]:
        """The classes, in one order, for columns that hold classes: both maps colour them alike."""
        return (
            sorted(self.dataset.classes)
            if column == "label" or column.startswith("prediction_")
            else []
        )


def load_map(workspace, run_id: str) -> LoadedMap | None:
    """The map of a run; None while there is nothing to see of it."""
    saved = cached.saved_map(workspace, run_id)
    if saved is None:
        return None
    dataset = cached.dataset(workspace, saved.about["dataset"])
    return LoadedMap(
        run_id, saved, dataset, (cached.map_version(workspace, run_id), dataset.fingerprint)
    )


def tell_apart(first: LoadedMap, second: LoadedMap) -> tuple[LoadedMap, LoadedMap]:
    """The two maps, whose names also differ where their features do: by pixels or network, else by the run's last letters."""
    if first.name != second.name or first.features == second.features:
        return first, second
    sides = (first, second)
    for told in (
        _pixels,
        _network,
        lambda map_: (map_.params.get("vae_run") or map_.params.get("vae") or "")[-4:],
        lambda map_: map_.run_id[-4:],
    ):
        names = [told(map_) for map_ in sides]
        if all(names) and names[0] != names[1]:
            break
    return tuple(replace(map_, apart=name) for map_, name in zip(sides, names, strict=True))


def _pixels(map_: LoadedMap) -> str:
    return f"{map_.params['input_size']}{words.THIN}px" if "input_size" in map_.params else ""


def _network(map_: LoadedMap) -> str:
    backbone = map_.params.get("backbone") or {}
    return f"{backbone['architecture']} to stage {backbone['stage']}" if backbone else ""
