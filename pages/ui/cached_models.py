"""Networks that the pages hold in memory. Their modules load torch, so each is imported when it is first needed."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from derm_core.bundles.model_library import find_bundle
from derm_core.config import BackboneConfig
from derm_core.study.network_list import ListedNetwork, listed_networks
from derm_core.workspace import Workspace
from pages.ui.cached import cards, map_version, newest_runs, stamp

LISTED_RUNS = 200  # pretrainings, whose configs are read

if TYPE_CHECKING:
    from derm_core.bundles.predictor import Predictor
    from derm_core.insight.placement import Placer
    from derm_core.insight.traverse import Traversal


@st.cache_data(ttl="1m", show_spinner=False)
def imagenet_status(architecture: str, stage: int) -> dict[str, Any]:
    """{available, source, detail} of the ImageNet weights; never downloads."""
    from derm_core.nets import weights

    return weights.imagenet_status(BackboneConfig(architecture=architecture, stage=stage))


@st.cache_resource(ttl="1m", max_entries=4, show_spinner="Listing networks…")
def _networks(
    _workspace: Workspace, root: str, models: tuple[str, ...], runs: tuple[str, ...]
) -> list[ListedNetwork]:
    listed = [card for kind in ("classifier", "extractor") for card in cards(_workspace, kind)]
    return listed_networks(_workspace, listed, runs)


def networks(workspace: Workspace) -> list[ListedNetwork]:
    """What can be an arm with its own weights, at most a minute old; never downloads.

    Of the workspace's pretrainings the newest LISTED_RUNS.
    """
    models = tuple(
        card.sha256 for kind in ("classifier", "extractor") for card in cards(workspace, kind)
    )
    done = tuple(run.id for run in newest_runs(workspace, LISTED_RUNS, "pretrain"))
    return _networks(workspace, str(workspace.root), models, done)


@st.cache_resource(max_entries=4, show_spinner=False)
def _predictor(folder: str, changed: int) -> Predictor:
    from derm_core.bundles.bundle import load_classifier
    from derm_core.bundles.predictor import Predictor, compute_slot

    with compute_slot():  # on busy cores, two threads take several times as long as one
        return Predictor(load_classifier(Path(folder)))


def _predictor_key(workspace: Workspace, name: str) -> tuple[str, int]:
    folder = Path(find_bundle(workspace, name))
    return str(folder), stamp(folder / "card.json", folder / "model.safetensors")


@functools.lru_cache(4)  # a look-up of Streamlit's cache takes as long as drawing an element
def _predictor_in_memory(folder: str, changed: int) -> Predictor:
    with st.spinner("Loading the model…"):
        return _predictor(folder, changed)


def predictor(workspace: Workspace, name: str) -> Predictor:
    """The predictor of a bundle, loaded once. Raises BundleError or NotFound."""
    return _predictor_in_memory(*_predictor_key(workspace, name))


def load_predictor(workspace: Workspace, name: str) -> None:
    """Load a bundle's predictor, outside of a page. Raises BundleError or NotFound."""
    _predictor(*_predictor_key(workspace, name))


@st.cache_resource(max_entries=2, show_spinner="Loading the extractor…")
def _placer(_workspace: Workspace, root: str, run_id: str, changed: int) -> Placer:
    from derm_core.insight import placement

    return placement.open_placer(_workspace, run_id)


def placer(workspace: Workspace, run_id: str) -> Placer:
    """A map's extractor, which places images on the map."""
    return _placer(workspace, *map_version(workspace, run_id))


@st.cache_resource(max_entries=2, show_spinner=False)
def _traversal(_workspace: Workspace, root: str, source: str, changed: int) -> Traversal:
    from derm_core.bundles.predictor import compute_slot
    from derm_core.insight import traversal_sources

    with compute_slot():
        return traversal_sources.open_traversal(_workspace, source)


def _traversal_key(workspace: Workspace, source: str) -> tuple[str, str, int]:
    files = [folder / source / "card.json" for folder in workspace.shelves()]
    return str(workspace.root), source, stamp(*files)


@functools.lru_cache(2)
def _traversal_in_memory(workspace: Workspace, root: str, source: str, changed: int) -> Traversal:
    with st.spinner("Loading the VAE…"):
        return _traversal(workspace, root, source, changed)


def traversal(workspace: Workspace, source: str) -> Traversal:
    """The latent space of a pretraining, or of a bundle with a decoder. Raises NotFound, RunError or BundleError."""
    return _traversal_in_memory(workspace, *_traversal_key(workspace, source))


def load_traversal(workspace: Workspace, source: str) -> None:
    """Load a latent space, outside of a page. Raises as `traversal`."""
    _traversal(workspace, *_traversal_key(workspace, source))


@st.cache_data(max_entries=4, show_spinner="Generating samples…")
def _samples(
    _workspace: Workspace, root: str, n: int, seed: int, models: tuple[str, ...]
) -> list[tuple[str, bytes, str]]:
    from derm_core.bundles import sample_images

    return sample_images.sample_images(_workspace, n, seed)


def samples(workspace: Workspace, n: int, seed: int) -> list[tuple[str, bytes, str]]:
    """Generated images to try a classifier on: (file name, PNG, how it was made)."""
    models = tuple(card.sha256 for card in cards(workspace))
    return _samples(workspace, str(workspace.root), n, seed, models)
