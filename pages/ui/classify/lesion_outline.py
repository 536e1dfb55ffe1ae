"""The lesion mask of an image that is classified, where a dataset on this machine has one for this very file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from derm_core.config.shared import ImageForm
from derm_core.data.masks import as_seen
from derm_core.workspace import Workspace
from pages.ui import cached, words
from pages.ui.classify.answers import Answer, cropped


@dataclass(frozen=True)
class LesionMask:
    """The mask of the square that the models see.

    Attributes:
        dataset: that has it.
        picture: mode "L", of the whole image or of the crop that was chosen.
    """

    dataset: str
    picture: Image.Image

    def at(self, form: ImageForm) -> np.ndarray:
        """(S, S) bool: the mask as a model that reads images of this form sees its image."""
        return as_seen(self.picture, form)

    def about(self) -> str:
        """Where the outline comes from, and how to read the shares."""
        return (
            f"The lesion outline is the mask of this image in the dataset {words.plain(self.dataset)}. Evidence "
            "spread evenly over the square has as large a share inside the outline as the outline has of the area. A "
            "larger share says that the map lies on the lesion, not that the prediction is right."
        )


def find_mask(workspace: Workspace, answer: Answer) -> LesionMask | None:
    """The mask of an image, known by the hash of its file; None where no dataset has one."""
    known = cached.known_mask(workspace, answer.key)
    if known is None:
        return None
    dataset, mask = known
    return LesionMask(dataset, cropped(mask, answer.crop))
