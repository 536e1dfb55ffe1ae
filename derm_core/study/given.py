"""Arms whose features are given for each image of a dataset and not computed from its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arms import METADATA, METADATA_LABEL, arm_embeddings, arm_label
from ..config import EmbedConfig, StudyConfig
from ..data.embeddings import embeddings_info, load_embeddings, sources_of
from ..data.manifest import Dataset, load_dataset
from ..data.metadata import encode_metadata
from ..data.used_images import SplitRule, used_images
from ..errors import DataError
from ..formatting import listed
from ..nets.backbone import Extractor, make_extractor
from ..nets.given import GivenFeatures
from ..workspace import Workspace


def metadata_extractor(config: StudyConfig, workspace: Workspace) -> Extractor:
    """Age, sex and site of a study's images, encoded with what its own training images have.

    Raises:
        DataError: no training image has any of them.
    """
    dataset = load_dataset(workspace, config.dataset)
    train = used_images(dataset, SplitRule.of(config)).members("train")
    encoded = encode_metadata(dataset, train)
    label = f"{METADATA_LABEL}{', '.join(encoded.fields)})"
    about = {
        "weights": f"none: {listed(list(encoded.fields))} of each image",
        "label": label,
        "columns": list(encoded.columns),
        "encoding": f"{label}: {encoded.describe()}",
    }
    return _extractor(METADATA, GivenFeatures(encoded.values_nd, METADATA), about)


def embeddings_extractor(
    arm: str, config: StudyConfig | EmbedConfig, workspace: Workspace
) -> Extractor:
    """The vectors of an arm embeddings:NAME. A study needs one of each of its images; a map shows those that have one.

    Raises:
        NotFound: the dataset has no embeddings of that name.
        DataError: they are damaged, or an image of a study has none.
    """
    name = arm_embeddings(arm) or ""
    dataset = load_dataset(workspace, config.dataset)
    info = embeddings_info(workspace, dataset.name, name)
    features = load_embeddings(workspace, dataset, name)
    if isinstance(config, StudyConfig):
        _require_all(features, dataset, config, arm_label(arm))
    sources = sources_of(info)
    trainings = [source.get("training") or {} for source in sources]
    stated = [str(source.get("pretrained_on") or "not stated") for source in sources]
    about = {
        "weights": f"vectors of {info.file}",
        "label": arm_label(arm),
        "sources": sources,
        "pretrained_on": " and ".join(dict.fromkeys(stated)),
        "sha256": info.sha256,
        "encoding": f"{arm_label(arm)}: {' '.join(info.notes)}",
        "transductive": any(training.get("transductive") for training in trainings),
    }
    return _extractor(arm, GivenFeatures(features, f"vectors of {info.file}"), about)


def _require_all(features: np.ndarray, dataset: Dataset, config: StudyConfig, label: str) -> None:
    """Raise DataError where an image of a study has no vector: all arms are compared on the same images."""
    rows = used_images(dataset, SplitRule.of(config)).rows
    lacking = rows[~np.isfinite(features[rows]).all(1)]
    if len(lacking):
        few = ", ".join(dataset.frame["image_id"].iloc[lacking[:5]])
        raise DataError(
            f"{label} has no vector of {len(lacking):,} of the {len(rows):,} images of this study ({few}"
            f"{', …' if len(lacking) > 5 else ''}), and arms are compared on the same images: bring a file with all "
            "of them, or import a dataset of those that have one."
        )


def _extractor(arm: str, features: GivenFeatures, about: Mapping[str, Any]) -> Extractor:
    """The features as an extractor that normalises nothing."""
    return make_extractor(arm, features, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), about)
