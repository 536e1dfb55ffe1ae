"""A published result of a tiny dataset with two aligned maps, made by the tool that publishes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from derm_core.data.import_options import ImportSource
from derm_core.data.manifest import Dataset, save_dataset
from derm_core.workspace import Workspace
from tests.app.bundles import put_bundle, put_extractor
from tests.app.maps import put_map
from tests.builders import write_dataset
from tools.studies import publish

NETWORK = {"backbone": {"architecture": "resnet18", "stage": 1}}


def put_source(workspace: Workspace, name: str = "moles", images: int = 60) -> Dataset:
    """A dataset that was recognised as a known one, with its terms."""
    dataset = write_dataset(workspace, name, images)
    info = replace(
        dataset.info,
        license="CC BY-NC 4.0",
        citation="Somebody (2018)",
        imported=ImportSource(layout="isic", known_as="MOLES"),
    )
    return save_dataset(workspace, name, dataset.frame, info)


def publish_maps(workspace: Workspace) -> Path:
    """studies/moles with maps of an extractor and of a classifier, aligned; returns the folder."""
    put_source(workspace)
    put_extractor(workspace, "skin")
    put_bundle(workspace, "judge", "imagenet")
    first = put_map(workspace, "moles", arm="bundle:skin", **NETWORK)
    second = put_map(workspace, "moles", seed=1, arm="bundle:judge", aligned_to=first, **NETWORK)
    return publish(workspace, "moles", maps=[first, second])
