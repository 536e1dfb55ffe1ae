"""Features that stand in a table, one row an image, in the place of a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import RunError
from .backbone import FeatureNetwork


class GivenFeatures(FeatureNetwork):
    """The features of a dataset's images as they were given: no pixels are read.

    Args:
        features_nd: (N, D), one row for each image of the dataset, stored as float32; NaN in the rows
            of images that have none.
        name: what stands in the place of an architecture.
    """

    features_nd: Tensor

    def __init__(self, features_nd: np.ndarray, name: str):
        super().__init__()
        features = np.ascontiguousarray(features_nd, dtype=np.float32)
        self.register_buffer("features_nd", torch.from_numpy(features))
        self.architecture, self.stage, self.model_args = name, 0, {}
        self.width = features.shape[1]

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """(n, D) of the images in these rows of the dataset; of all of them in order the table itself, not a copy."""
        features: np.ndarray = self.features_nd.numpy()
        return features if np.array_equal(rows, np.arange(len(features))) else features[rows]

    def known(self, rows: np.ndarray) -> np.ndarray:
        """(n,) whether the images in these rows have features."""
        finite: np.ndarray = np.isfinite(self.of_rows(rows)).all(1)
        return finite

    def pooled(self, x_bchw: Tensor) -> Tensor:
        """Raises RunError: there is no network that could compute features of other images."""
        raise RunError(
            f"The features ({self.architecture}) are given for the images of one dataset and cannot be computed from "
            "the pixels of others: choose a map or model of an extractor that reads images."
        )
