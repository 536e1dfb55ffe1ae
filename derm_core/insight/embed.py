"""A map of one extractor's space: pooled features of a dataset as UMAP and PCA, with neighbours.

PCA is written first, so that there is something to see while UMAP works (its import and first fit
take half a minute on a cold machine). Neighbours are looked up once, in the standardised feature
space, never on the map.
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Generator, Iterator

import numpy as np
import pandas as pd

from ..aside import Report, aside
from ..config import EmbedConfig, PretrainConfig, from_dict, to_dict
from ..data.manifest import CORE, Dataset
from ..data.splits import SPLITS, split_for
from ..errors import DataError
from ..events import Event, log
from ..files import read_json, write_atomic, write_json
from ..seeds import stream_seed
from ..workspace import RunPaths, Workspace
from .space import (SHOWN_NEIGHBOURS, nearest, neighbour_accuracy, principal_axes, search_depth, standardise, trust,
                    vote_outside_group)

LEAST_IMAGES = 10


def embed(config: EmbedConfig, workspace: Workspace, run: RunPaths) -> Iterator[Event]:
    """Map a dataset under one extractor; artefacts in the run's folder, the summary as the last event.

    map.parquet: image_id, row (of the manifest), umap_x, umap_y (NaN until they are there), pca_x,
    pca_y, split, label, group and the attributes; neighbours.npy (n, 10): rows of the nearest images
    in feature space, -1 where there are fewer; distances.npy (n, 10); map.json: parameters, arm,
    label and quality. Raises what building the extractor or opening the dataset raises.
    """
    started = time.monotonic()
    dataset, rows, split, features = yield from _features(config, workspace)
    quality = yield from map_features(config, dataset, rows, split, features, run)
    yield Event(kind="result", value={"dataset": dataset.name, "arm": config.arm, "images": len(rows),
                                      "quality": quality, "seconds": round(time.monotonic() - started, 2)})


def map_features(config: EmbedConfig, dataset: Dataset, rows: np.ndarray, split: np.ndarray, features: np.ndarray,
                 run: RunPaths) -> Generator[Event, None, dict]:
    """Make and save the map of `features` (n, D) of a dataset's `rows` (n,), `split` as in SPLITS; returns its quality."""
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    space = standardise(features, split == SPLITS.index("train"))
    wanted = max(config.neighbours, SHOWN_NEIGHBOURS)
    positions, distances = yield from aside(lambda report: nearest(space, search_depth(groups, wanted)), "Neighbours")
    _save_neighbours(run, rows, positions, distances)
    pca, explained = principal_axes(space)
    voters = np.where(split == SPLITS.index("train"), labels, -1)   # test labels are for the test alone
    asked = np.where(split == SPLITS.index("val"), labels, -1)
    quality = neighbour_accuracy(vote_outside_group(positions, voters, groups, len(dataset.classes)), asked)
    quality |= {"trustworthiness": None, "trustworthiness_pca": trust(space, pca, config.seed)}
    points = _table(dataset, rows, split, pca)
    _save_map(run, config, points, quality, explained)
    yield log("The PCA is ready; UMAP follows. Its first run on a machine takes about half a minute.")
    umap = yield from aside(lambda report: _umap(space, pca, positions, distances, config, report), "UMAP", "epochs")
    points["umap_x"], points["umap_y"] = umap.T
    quality["trustworthiness"] = trust(space, umap, config.seed)
    _save_map(run, config, points, quality, explained)
    return quality


def _features(config: EmbedConfig, workspace: Workspace) -> Generator[Event, None, tuple]:
    """The dataset, the rows used, their split and pooled features."""
    from ..data.ondemand import open_images
    from ..study.arms import build_extractors
    from ..study.features import extract
    from ..training.devices import pick_device

    dataset, store = yield from open_images(workspace, config.dataset, config.input_size)
    rows = dataset.subset(config.max_images, config.split_seed)
    if len(rows) < LEAST_IMAGES:
        raise DataError(f"Dataset {dataset.name} has {len(rows)} images; a map needs {LEAST_IMAGES} or more.")
    split = split_for(_of_fold(config, workspace) or config, dataset.labels[rows], dataset.groups[rows])
    extractor = build_extractors(config.arm, config, workspace)[0]
    chosen = None if len(rows) == len(dataset) else rows
    features = yield from extract(extractor, store, workspace, dataset.name, chosen, device=pick_device(config.device))
    return dataset, rows, split, features


def _of_fold(config: EmbedConfig, workspace: Workspace) -> PretrainConfig | None:
    """The config of the map's pretraining where it was one of a fold of this dataset: its split is the map's."""
    if not config.vae_run:
        return None
    made = from_dict(read_json(workspace.run(config.vae_run).config), PretrainConfig)
    same = (made.dataset, made.split_seed, made.max_images) == (config.dataset, config.split_seed, config.max_images)
    return made if made.fold and same else None


def _umap(space: np.ndarray, pca: np.ndarray, positions: np.ndarray, distances: np.ndarray,
          config: EmbedConfig, report: Report) -> np.ndarray:
    """(n, 2) UMAP (McInnes 2018) from the neighbours at hand, started from PCA (Kobak and Linderman 2021).

    report: called with (epochs done, of how many).
    """
    import umap

    count = min(config.neighbours, len(space) - 1)
    itself = np.arange(len(space))[:, None]
    known = (np.hstack([itself, positions])[:, :count], np.hstack([np.zeros_like(itself), distances])[:, :count], None)
    reducer = umap.UMAP(n_neighbors=count, min_dist=config.min_dist, init=pca / pca.std(), precomputed_knn=known,
                        force_approximation_algorithm=True, n_jobs=1,
                        random_state=stream_seed(config.seed, "umap") % 2**32, tqdm_kwds={
                            "disable": False, "file": _Bar(report), "bar_format": "{n_fmt} {total_fmt}"})
    with warnings.catch_warnings():  # new images are not placed on the map, so it needs no search index
        warnings.filterwarnings("ignore", message=".*knn_search_index.*")
        return reducer.fit_transform(space).astype(np.float32)


class _Bar:
    """The file that umap-learn's progress bar (tqdm) is written to: "\\r12 500" becomes report(12, 500)."""

    def __init__(self, report: Report):
        self.report = report

    def write(self, text: str) -> None:
        numbers = text.split()
        if len(numbers) == 2 and all(number.isdigit() for number in numbers):
            self.report(*map(int, numbers))

    def flush(self) -> None:
        """What a file has; nothing is kept back here."""


def _table(dataset: Dataset, rows: np.ndarray, split: np.ndarray, pca: np.ndarray) -> pd.DataFrame:
    frame = dataset.frame.iloc[rows].reset_index(drop=True)
    points = pd.DataFrame({
        "image_id": frame["image_id"], "row": rows, "umap_x": np.float32(np.nan), "umap_y": np.float32(np.nan),
        "pca_x": pca[:, 0], "pca_y": pca[:, 1], "split": np.array(SPLITS, dtype=object)[split],
        "label": frame["label"], "group": frame["group"]})
    extra = [name for name in dataset.attributes if name not in points and name not in CORE]
    return pd.concat([points, frame[extra]], axis=1)


def _save_neighbours(run: RunPaths, rows: np.ndarray, positions: np.ndarray, distances: np.ndarray) -> None:
    shown = min(SHOWN_NEIGHBOURS, positions.shape[1])
    near = np.full((len(rows), SHOWN_NEIGHBOURS), -1, np.int64)
    far = np.full((len(rows), SHOWN_NEIGHBOURS), np.nan, np.float32)
    near[:, :shown], far[:, :shown] = rows[positions[:, :shown]], distances[:, :shown]
    for name, array in (("neighbours.npy", near), ("distances.npy", far)):
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        write_atomic(run.artefacts / name, buffer.getvalue())


def _save_map(run: RunPaths, config: EmbedConfig, points: pd.DataFrame, quality: dict, explained: list[float]) -> None:
    from ..study.arms import arm_label

    write_json(run.artefacts / "map.json", {
        "params": to_dict(config), "arm": config.arm, "label": arm_label(config.arm), "dataset": config.dataset,
        "images": len(points), "pca_explained": explained, "quality": quality})
    write_atomic(run.artefacts / "map.parquet", points.to_parquet(index=False))
