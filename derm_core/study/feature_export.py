"""Features of an arm as a file for other tools: id, split, group, label and vector of each image.

The file is Parquet; its metadata have what the arm is and what its extractors were pretrained on, so that
the vectors brought back (`embeddings:FILE`) are known for what they are. They are the study's own, to the
last bit: those that are cached are read, others computed as a study computes them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .. import __version__
from ..config import StudyConfig
from ..config.shared import ImageForm
from ..data.embedding_tables import ORIGIN
from ..data.embeddings import NOTHING
from ..data.splits import SPLITS
from ..events import Event
from ..nets.backbone import Extractor
from ..records import require, to_json
from ..training.distributed import training_device
from ..workspace import Workspace
from .arms import Arm, resolve_arms
from .frozen import arm_features
from .pretraining_data import Stage
from .seen import stages_of
from .study_data import StudyData, open_study_data, with_stores

COLUMNS = ("image_id", "split", "group", "label", "vector")


@dataclass(frozen=True, eq=False)
class ExportedFeatures:
    """The features of one arm.

    Attributes:
        table: columns image_id, split, group and label, one row an image.
        vectors_nd: (n, D) float32.
        origin: what the arm is: its name, dataset, split, settings, and the stages of training behind its
            extractors.
        notes: what has to be known of them.
    """

    table: pd.DataFrame
    vectors_nd: np.ndarray
    origin: dict[str, Any]
    notes: tuple[str, ...]

    def parquet(self) -> bytes:
        """The file: COLUMNS, vectors as lists of D 32-bit floats."""
        flat = pa.array(np.ascontiguousarray(self.vectors_nd).ravel(), pa.float32())
        columns = [
            pa.array(self.table[name], pa.string(), from_pandas=True) for name in COLUMNS[:4]
        ]
        columns.append(pa.FixedSizeListArray.from_arrays(flat, self.vectors_nd.shape[1]))
        table = pa.Table.from_arrays(columns, names=list(COLUMNS))
        written = json.dumps(self.origin, ensure_ascii=False, sort_keys=True).encode()
        target = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({ORIGIN: written}), target)
        return target.getvalue()


def export_features(
    config: StudyConfig, workspace: Workspace
) -> Generator[Event, None, ExportedFeatures]:
    """The features of the one arm of a config, of every image that a study with these settings uses.

    Of arms whose initialisation a seed draws (random) those of the one seed of the config.

    Raises:
        ConfigError: more than one arm or seed, or folds; otherwise what `resolve_arms` raises.
    """
    require(len(config.arms) == 1, "arms", config.arms, "one arm")
    require(len(config.seeds) == 1, "seeds", config.seeds, "one seed")
    require(not config.folds, "folds", config.folds, "0: the features of one split")
    data = yield from open_study_data(config, workspace)
    [arm], notes = resolve_arms(config, workspace)
    data = yield from with_stores(data, workspace, [part.form for part in arm.parts])
    vectors_nd = yield from arm_features(arm, workspace, data, training_device(config.device))
    frame = data.dataset.frame.iloc[data.rows]
    table = pd.DataFrame(
        {
            "image_id": data.image_ids,
            "split": np.array(SPLITS, dtype=object)[data.split],
            "group": frame["group"].to_numpy(),
            "label": frame["label"].to_numpy(),
        }
    )
    encodings = [part.info["encoding"] for part in arm.parts if "encoding" in part.info]
    origin = _origin(config, workspace, data, arm)
    return ExportedFeatures(table, vectors_nd, origin, (*notes, *encodings))


def _origin(config: StudyConfig, workspace: Workspace, data: StudyData, arm: Arm) -> dict[str, Any]:
    """What the features are, as the file's metadata say it."""
    parts = arm.variants[0]
    form = ImageForm(config.input_size)
    return {
        "arm": arm.name,
        "label": arm.label,
        "dataset": data.dataset.name,
        "dataset_fingerprint": data.dataset.fingerprint,
        "split_fingerprint": data.fingerprint,
        "seed": config.seeds[0],
        "pooling": config.pooling,
        "networks": [part.backbone.architecture for part in parts],
        "pixels": [str(part.form or form) for part in parts],
        "sources": [source for part in parts for source in _sources(part, workspace)],
        "derm_core": __version__,
    }


def _sources(part: Extractor, workspace: Workspace) -> list[dict[str, Any]]:
    """The trainings behind an extractor, or behind brought vectors, as records; without any one that says so."""
    stages = stages_of(part, workspace) or (Stage(NOTHING),)
    return [to_json(stage) for stage in stages]
