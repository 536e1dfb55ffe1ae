"""A map as the page shows it: its points, the models whose answers stand beside them, and what its columns are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from derm_core.data.manifest import CORE
from derm_core.insight.selection import COORDINATES

from .. import cached, words

METHODS = {"umap": "UMAP", "pca": "PCA"}
OF_MODELS = {"prediction": "Prediction", "correct": "Correct", "confidence": "Confidence", "outlier": "Outlier score"}


@dataclass(frozen=True)
class Shown:
    """run_id; saved: insight.atlas.SavedMap; dataset: data.manifest.Dataset; version: another one for every other content."""

    run_id: str
    saved: Any
    dataset: Any
    version: tuple

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
        """The arm's name, and that it is mu where it is."""
        arm = words.arm(self.about["arm"], self.about.get("label")).name
        return f"{arm}, μ" if self.saved.space == "mu" else arm

    @property
    def opinions(self) -> list[dict]:
        """map.json's opinions, each with "shown", what its model is called in short."""
        arms = [opinion["arm"] for opinion in self.saved.opinions]
        return [{**opinion, "shown": words.arm(opinion["arm"]).brief if arms.count(opinion["arm"]) == 1 else opinion["name"]}
                for opinion in self.saved.opinions]

    @property
    def columns(self) -> dict[str, str]:
        """Columns to colour and filter by, and what they are called: class, split, models' answers, attributes."""
        found = {"label": "Class", "split": "Split"}
        for opinion in self.opinions:
            found |= {f"{kind}_{opinion['slot']}": f"{name}, {opinion['shown']}" for kind, name in OF_MODELS.items()}
        found["disagree"] = "Models disagree"
        rest = sorted(set(self.points.columns) - set(found) - {*CORE, *COORDINATES, "row"})
        found |= {name: name.removeprefix("factor_").replace("_", " ").capitalize() for name in rest}
        return {column: name for column, name in found.items() if column in self.saved.known}

    def levels(self, column: str) -> list[str]:
        """The classes, in one order, for columns that hold classes: both maps colour them alike."""
        return sorted(self.dataset.classes) if column == "label" or column.startswith("prediction_") else []


def load(workspace, run_id: str) -> Shown | None:
    """The map of a run; None while there is nothing to see of it."""
    saved = cached.saved_map(workspace, run_id)
    if saved is None:
        return None
    dataset = cached.dataset(workspace, saved.about["dataset"])
    return Shown(run_id, saved, dataset, (cached.map_version(workspace, run_id), dataset.fingerprint))
