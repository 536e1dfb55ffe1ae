"""Pictures of a dataset as near-duplicates are compared in at last: larger than its store where that is small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import ImageError
from .decode import open_picture, prepare
from .registration import FINE


@dataclass(frozen=True)
class OwnFiles:
    """Reads rows at 128 px: from a store of that size, else from the dataset's own files, else the store's enlarged.

    Attributes:
        paths: of all images of the dataset.
    """

    paths: Sequence[str]

    def __call__(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        read = [self._read(images, row) for row in rows]
        return np.array(read, np.uint8).reshape(-1, FINE, FINE, 3)

    def _read(self, images: np.ndarray, row: int) -> np.ndarray:
        if images.shape[1] < FINE:
            try:
                path = Path(self.paths[row])
                return prepare(open_picture(path, path.name), FINE)
            except (ImageError, OSError):
                pass  # moved or damaged since the import: what the store has must do
        picture = Image.fromarray(images[row]).resize((FINE, FINE), Image.Resampling.BICUBIC)
        return np.asarray(picture)
