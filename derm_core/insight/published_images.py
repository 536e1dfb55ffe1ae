"""The images of a published map: as a dataset, with the files of those that are on this machine."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..data.manifest import Dataset, DatasetInfo, load_dataset, read_info
from ..errors import DataError, NotFound, RunError
from ..published import About, publication_of
from ..workspace import RunFiles, Workspace
from .packed_map import IMAGES

OF_FILES = {
    "path": "",
    "sha256": "",
    "width": 0,
    "height": 0,
}  # and what they are of an absent file


def local_names(workspace: Workspace, about: About) -> list[str]:
    """Datasets of the workspace that are the one a published result was made from, whatever their names.

    A dataset is the same where its fingerprint is, or where its import recognised it as the same
    known set; those of the same fingerprint come first.
    """
    source = about.dataset
    names: list[str] = []
    for name in workspace.dataset_names():
        try:
            info = read_info(workspace.dataset(name))
        except (DataError, NotFound):
            continue  # damaged; the page Data says so
        if info.fingerprint == source.fingerprint:
            names.insert(0, name)
        elif info.known_as is not None and info.known_as == source.known_as:
            names.append(name)
    return names


def published_dataset(workspace: Workspace, run: RunFiles) -> Dataset:
    """The images of a published map; path and sha256 are empty where an image is not on this machine.

    Rows are those of the map.

    Raises:
        RunError: it is no published map, or cannot be read.
    """
    study = publication_of(run)
    if study is None:
        raise RunError(f"{run.id} is no published map.")
    source = study.about.dataset
    try:
        images = pd.read_parquet(run.root.parent / IMAGES)
    except (OSError, ValueError) as error:
        raise RunError(
            f"The images of {run.id} cannot be read ({error}); get the program again."
        ) from error
    files = _files_here(workspace, study.about, images["image_id"])
    frame = pd.concat(
        [images[["image_id"]], files, images.drop(columns=["image_id", "split"])], axis=1
    )
    for column in ("label", "group"):
        frame[column] = frame[column].astype(object).where(frame[column].notna(), None)
    info = DatasetInfo(
        classes=source.classes,
        class_descriptions=source.class_descriptions,
        license=source.license,
        citation=source.attribution,
        images=len(images),
        fingerprint=source.fingerprint,
    )
    return Dataset(source.name, frame, source.classes, info, workspace.dataset(study.root.name))


def _files_here(workspace: Workspace, about: About, image_ids: pd.Series) -> pd.DataFrame:
    """The columns OF_FILES of these images."""
    tables = []
    for name in local_names(workspace, about):
        try:
            tables.append(load_dataset(workspace, name).frame[["image_id", *OF_FILES]])
        except (DataError, NotFound):
            continue
    if not tables:
        return pd.DataFrame(OF_FILES, index=range(len(image_ids)))
    known = pd.concat(tables).drop_duplicates("image_id").set_index("image_id")
    here = known.reindex(image_ids.to_numpy()).reset_index(drop=True).fillna(OF_FILES)
    return here.astype({"width": np.int64, "height": np.int64})
