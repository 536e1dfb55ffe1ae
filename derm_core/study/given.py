"""Arms whose features are given for each image of a dataset and not computed from its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arms import METADATA, METADATA_LABEL
from ..config import StudyConfig
from ..data.manifest import load_dataset
from ..data.metadata import encode_metadata
from ..data.used_images import SplitRule, used_images
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
    encoded = encode_metadata(dataset, train[dataset.labels[train] >= 0])
    label = f"{METADATA_LABEL}{', '.join(encoded.fields)})"
    about = {
        "weights": f"none: {listed(list(encoded.fields))} of each image",
        "label": label,
        "columns": list(encoded.columns),
        "encoding": f"{label}: {encoded.describe()}",
    }
    return _extractor(METADATA, GivenFeatures(encoded.values_nd, METADATA), about)


def _extractor(arm: str, features: GivenFeatures, about: Mapping[str, Any]) -> Extractor:
    """The features as an extractor that normalises nothing."""
    return make_extractor(arm, features, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), about)
