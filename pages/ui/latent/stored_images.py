"""What a published map has in place of images: its terms, and latents that a VAE of the library draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from derm_core.errors import DermError
from derm_core.insight.packed_map import read_latents
from derm_core.published import About, publication_of
from derm_core.workspace import Workspace
from pages.ui import cached, cached_models, images

if TYPE_CHECKING:
    from derm_core.insight.traverse import Traversal


@dataclass(frozen=True, eq=False)
class StoredImages:
    """The images of a published map.

    Attributes:
        study: name of the published result.
        about: what it says of itself.
        latents_nd: stored posterior means, a row an image of the map; None where there are none.
    """

    workspace: Workspace
    study: str
    about: About
    latents_nd: np.ndarray | None

    @property
    def terms(self) -> str:
        """Source, attribution and licence in a line."""
        source = self.about.dataset
        return f"Published result · {source.name}: {source.attribution} · {source.license}"

    def traversal(self) -> Traversal | None:
        """The VAE that drew the latents, where the library has it."""
        vae = self.about.vae
        if vae is None or self.latents_nd is None:
            return None
        try:
            traversal = cached_models.traversal(self.workspace, vae.source)
        except DermError:
            return None
        return traversal if traversal.vae == vae.sha256 else None

    def latents_of(self, traversal: Traversal) -> np.ndarray | None:
        """The stored latents (n, D), where they are those of this VAE's encoder."""
        vae = self.about.vae
        return self.latents_nd if vae is not None and traversal.vae == vae.sha256 else None

    def pixels(self, rows: Sequence[int]) -> np.ndarray | None:
        """Reconstructions of these rows, uint8 (m, S, S, 3); None where nothing draws them."""
        traversal = self.traversal()
        if traversal is None or self.latents_nd is None:
            return None
        return traversal.decode(self.latents_nd[list(rows)])

    def thumbnails(self, rows: Sequence[int], size: int) -> list[bytes]:
        """Reconstructions as WEBP of `size` pixels, drawn once for all sessions; empty where nothing draws them."""
        drawn: dict[tuple[int, int], bytes] = cached.built_once(
            ("reconstructions", self.study, self.about.created), dict
        )
        absent = [row for row in rows if (row, size) not in drawn]
        if absent:
            pixels = self.pixels(absent)
            if pixels is None:
                return []
            for row, image in zip(absent, pixels, strict=True):
                drawn[row, size] = images.webp(images.resized(image, size))
        return [drawn[row, size] for row in rows]


def stored_images(workspace: Workspace, run_id: str) -> StoredImages | None:
    """Those of a published map; None for a map of the workspace."""
    study = publication_of(workspace.run(run_id))
    if study is None:
        return None
    key = ("latents", study.root.name, study.about.created)
    latents = cached.built_once(key, lambda: read_latents(study))
    return StoredImages(workspace, study.root.name, study.about, latents)
