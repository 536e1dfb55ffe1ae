"""Vectors that were brought for a dataset, kept in its folder under a name: the arm `embeddings:NAME`.

NAME.npz     ids (n,) and vectors (n, D) float32
NAME.json    an EmbeddingsInfo
"""

from __future__ import annotations

import hashlib
import re
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ConfigError, DataError, NotFound
from ..files import read_json, write_json, writing
from ..records import from_json, optional, to_json
from ..workspace import Workspace, check_id
from .embedding_files import BroughtEmbeddings
from .manifest import Dataset

NOTHING = "nothing"  # the pretraining of features that no image was learnt from


@dataclass(frozen=True, kw_only=True)
class EmbeddingsInfo:
    """What is known of brought vectors.

    Attributes:
        name: under which they are registered.
        dataset: the images of which they are of.
        file: name of the file they came from.
        images: how many images have a vector.
        features: D.
        sha256: of ids and vectors.
        pretrained_on: images of the extractor's pretraining, as the user states them; empty where nothing
            is stated.
        origin: what `derm features` wrote of the arm that they were of; None for other files.
        notes: what was assumed when the file was read.
        created: seconds since 1970.
    """

    name: str
    dataset: str
    file: str
    images: int
    features: int
    sha256: str
    pretrained_on: str = ""
    origin: dict[str, Any] | None = optional()
    notes: tuple[str, ...] = ()
    created: float = 0.0


def register_embeddings(
    workspace: Workspace,
    dataset: Dataset,
    name: str,
    brought: BroughtEmbeddings,
    file: str,
    pretrained_on: str = "",
) -> EmbeddingsInfo:
    """Keep vectors under a name; the same ones again change nothing.

    Args:
        file: name of the file they came from.
        pretrained_on: images of the extractor's pretraining, where they are known.

    Raises:
        ConfigError: other vectors have that name, or it is no name.
    """
    ids = np.array(dataset.frame["image_id"].to_numpy()[brought.rows], dtype=str)
    vectors = np.ascontiguousarray(brought.vectors_nd, np.float32)
    digest = hashlib.sha256("\n".join(ids.tolist()).encode() + vectors.tobytes()).hexdigest()
    info = EmbeddingsInfo(
        name=check_id(name, "name of embeddings"),
        dataset=dataset.name,
        file=file,
        images=len(ids),
        features=vectors.shape[1],
        sha256=digest,
        pretrained_on=pretrained_on,
        origin=brought.origin or None,
        notes=brought.notes,
        created=time.time(),
    )
    if name in embedding_names(workspace, dataset.name):
        earlier = embeddings_info(workspace, dataset.name, name)
        if (earlier.sha256, earlier.pretrained_on) == (
            digest,
            pretrained_on or earlier.pretrained_on,
        ):
            return earlier
        raise ConfigError(
            f"{dataset.name} has other embeddings of the name {name} (from {earlier.file}): give another name, or "
            f"remove them with `derm data embeddings {dataset.name} --delete {name}`."
        )
    folder = _folder(workspace, dataset.name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with writing(folder / f"{name}.npz") as target:
        np.savez(target, ids=ids, vectors=vectors)
    write_json(folder / f"{name}.json", to_json(info))
    return info


def usual_name(file: str) -> str:
    """The name of embeddings after that of their file, as far as names allow: "my-clip" for "My CLIP.parquet"."""
    return re.sub(r"[^a-z0-9]+", "-", Path(file).stem.lower()).strip("-")[:40].strip("-")


def embedding_names(workspace: Workspace, dataset: str) -> list[str]:
    """Names of a dataset's embeddings, sorted."""
    return sorted(path.stem for path in _folder(workspace, dataset).glob("*.json"))


def embeddings_info(workspace: Workspace, dataset: str, name: str) -> EmbeddingsInfo:
    """What is known of embeddings.

    Raises:
        NotFound: the dataset has none of that name.
        DataError: their description is damaged.
    """
    try:
        value = read_json(
            _folder(workspace, dataset) / f"{check_id(name, 'name of embeddings')}.json"
        )
    except FileNotFoundError:
        known = ", ".join(embedding_names(workspace, dataset)) or "none yet"
        raise NotFound(
            f"{dataset} has no embeddings of the name {name} (there are: {known}); `derm data embeddings {dataset} "
            "FILE` brings them."
        ) from None
    except (OSError, ValueError) as error:
        raise _damaged(name, error) from error
    return from_json(EmbeddingsInfo, value, error=DataError)


def load_embeddings(workspace: Workspace, dataset: Dataset, name: str) -> np.ndarray:
    """(N, D) float32, one row for each image of the dataset as it is now, NaN where one has no vector.

    Raises:
        NotFound, DataError: they are missing or damaged.
    """
    info = embeddings_info(workspace, dataset.name, name)
    path = _folder(workspace, dataset.name) / f"{name}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            ids, vectors = stored["ids"], stored["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(name, error) from error
    if vectors.shape != (info.images, info.features) or len(ids) != info.images:
        raise _damaged(
            name, ValueError(f"{vectors.shape} in place of ({info.images}, {info.features})")
        )
    features = np.full((len(dataset), info.features), np.nan, np.float32)
    rows = pd.Index(dataset.frame["image_id"].astype(str)).get_indexer(ids)
    features[rows[rows >= 0]] = vectors[rows >= 0]
    return features


def delete_embeddings(workspace: Workspace, dataset: str, name: str) -> None:
    """Remove embeddings. Raises NotFound where there are none of that name."""
    embeddings_info(workspace, dataset, name)
    for suffix in (".json", ".npz"):
        (_folder(workspace, dataset) / f"{name}{suffix}").unlink(missing_ok=True)


def sources_of(info: EmbeddingsInfo) -> list[Mapping[str, Any]]:
    """What is known of the pretraining behind embeddings: {pretrained_on, training} of each extractor.

    What the user states counts before what `derm features` wrote.
    """
    if info.pretrained_on or not info.origin:
        return [{"pretrained_on": info.pretrained_on}]
    sources = info.origin.get("sources")
    if isinstance(sources, list) and sources and all(isinstance(one, dict) for one in sources):
        return sources
    return [{"pretrained_on": ""}]


def _folder(workspace: Workspace, dataset: str) -> Path:
    return workspace.dataset(dataset).embeddings


def _damaged(name: str, error: Exception) -> DataError:
    return DataError(
        f"The embeddings {name} are damaged ({type(error).__name__}: {error}): remove them with `derm data embeddings "
        f"DATASET --delete {name}` and bring the file again."
    )
