"""What a new app shows first, read and loaded into the pages' caches before somebody asks for it.

What cannot be read is left out here: the page that needs it says so.
"""

from __future__ import annotations

import contextlib

from derm_core.errors import DermError
from derm_core.workspace import Workspace
from pages.ui import cached, cached_models
from pages.ui.classify import models
from pages.ui.latent import loaded_map


def read_results() -> None:
    """What Home shows: the machine, the library, the published studies."""
    with contextlib.suppress(DermError):
        workspace = Workspace.open()
        cached.machine()
        cached.bundles(workspace)
        for run in cached.published("study"):
            cached.study(workspace, run.id)


def load_networks() -> None:
    """The models that Classify chooses by default, and the published maps with the VAE that draws their images."""
    with contextlib.suppress(DermError):
        workspace = Workspace.open()
        for card in models.default_models(cached.bundles(workspace)):
            cached_models.load_predictor(workspace, card.name)
        for run in cached.published("embed"):
            loaded_map.load_map(workspace, run.id)
            if run.about.vae is not None:
                cached_models.load_traversal(workspace, run.about.vae.source)
