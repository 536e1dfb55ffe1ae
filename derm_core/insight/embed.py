"""A map of one extractor's space: pooled features of a dataset as UMAP and PCA, with neighbours.

PCA is written first, so that there is something to see while UMAP works (its import and first fit
take half a minute on a cold machine). Neighbours are looked up once, in the standardised feature
space, never on the map.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..background import Report, in_background
from ..config import EmbedConfig, PretrainConfig, from_dict, to_dict
from ..data.manifest import CORE, Dataset
from ..data.on_demand import open_images
from ..data.splits import SPLITS, split_for
from ..errors import DataError, RunError
from ..events import Event, log
from ..files import read_json, write_atomic, write_json, writing
from ..seeds import stream_seed
from ..stats.feature_space import (
    SHOWN_NEIGHBOURS,
    nearest,
    neighbour_accuracy,
    neighbourhood_preservation,
    principal_axes,
    search_depth,
    silhouette,
    standardise,
    trust,
    vote_outside_group,
)
from ..workspace import RunFiles, Workspace
from .align import fixed_places, open_other, start_from, turn_onto
from .data_issues import find_trouble
from .factors import PREFIX, table
from .map_predictions import ask
from .saved_map import SavedMap
from .traverse import open_travel

LEAST_IMAGES = 10


@dataclass
class Mapped:
    """What a map is made of: about (map.json), points (map.parquet), space (n, D) standardised features, and the nearest
    in it, positions and distances (n, k)."""

    about: dict
    points: pd.DataFrame
    space: np.ndarray
    positions: np.ndarray
    distances: np.ndarray


def embed(config: EmbedConfig, workspace: Workspace, run: RunFiles) -> Iterator[Event]:
    """Map a dataset under one extractor; artefacts in the run's folder, the summary as the last event.

    map.parquet: image_id, row (of the manifest), umap_x, umap_y (NaN until they are there), pca_x,
    pca_y, split, label, group and the attributes, then the columns of insight.opinions; neighbours.npy (n, 10): rows of
    the nearest images in feature space, -1 where there are fewer; distances.npy (n, 10); map.json: parameters, arm,
    label, space, aligned_to, quality, opinions, trouble; trouble.parquet: see insight.trouble; factors.parquet: see
    insight.factors, for posterior means of data with known factors.
    Raises what building an extractor, opening the dataset or the map to align to raises.
    """
    started = time.monotonic()
    other = open_other(workspace, config.aligned_to) if config.aligned_to else None
    dataset, rows, split, features = yield from _features(config, workspace)
    mapped = yield from _map(config, dataset, rows, split, features, run, other)
    mapped.about["opinions"], columns, spaces = yield from ask(config, workspace, dataset, rows)
    mapped.points = pd.concat(
        [mapped.points.drop(columns=columns.columns, errors="ignore"), columns], axis=1
    )
    _save_map(run, mapped)
    if config.space == "mu":
        try:
            _save_factors(workspace, run, config, dataset.frame.iloc[rows], features, split)
        except RunError as error:
            yield log(f"There is no table of factors: {error}")
    also = [standardise(theirs, split == SPLITS.index("train")) for theirs in spaces.values()]
    _, store = yield from open_images(workspace, config.dataset, config.input_size)
    found = yield from in_background(
        lambda report: find_trouble(
            dataset, rows, split, store.images, mapped, also, config.seed, report
        ),
        "Data trouble",
        "pairs",
    )
    write_atomic(run.data_issues, found.table.to_parquet(index=False))
    mapped.about["trouble"] = found.counts
    _save_map(run, mapped)
    yield Event(
        kind="result",
        value={
            "dataset": dataset.name,
            "arm": config.arm,
            "images": len(rows),
            "space": config.space,
            "quality": mapped.about["quality"],
            "trouble": found.counts,
            "seconds": round(time.monotonic() - started, 2),
        },
    )


def map_features(
    config: EmbedConfig,
    dataset: Dataset,
    rows: np.ndarray,
    split: np.ndarray,
    features: np.ndarray,
    run: RunFiles,
) -> Generator[Event, None, dict]:
    """Make and save the map of `features` (n, D) of a dataset's `rows` (n,), `split` as in SPLITS; returns its quality."""
    return (yield from _map(config, dataset, rows, split, features, run)).about["quality"]


def _map(
    config: EmbedConfig,
    dataset: Dataset,
    rows: np.ndarray,
    split: np.ndarray,
    features: np.ndarray,
    run: RunFiles,
    other: SavedMap | None = None,
) -> Generator[Event, None, Mapped]:
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    space = standardise(features, split == SPLITS.index("train"))
    wanted = max(config.neighbours, SHOWN_NEIGHBOURS)
    positions, distances = yield from in_background(
        lambda report: nearest(space, search_depth(groups, wanted)), "Neighbours"
    )
    _save_neighbours(run, rows, positions, distances)
    pca, explained = principal_axes(space)
    start = pca
    if other is not None:
        ids = dataset.frame["image_id"].to_numpy()[rows]
        fixed, shared = fixed_places(other, ids, "umap")
        start, pca = (
            start_from(pca, fixed, shared),
            turn_onto(pca, *fixed_places(other, ids, "pca")),
        )
    near = positions[:, :SHOWN_NEIGHBOURS]
    quality = _quality(space, labels, groups, split, positions, len(dataset.classes), config.seed)
    quality |= {
        "trustworthiness": None,
        "trustworthiness_pca": trust(space, pca, config.seed),
        "neighbourhood_preservation": None,
        "neighbourhood_preservation_pca": neighbourhood_preservation(near, pca),
    }
    about, points = _about(config, explained, quality, len(rows)), _table(dataset, rows, split, pca)
    mapped = Mapped(about, points, space, positions, distances)
    _save_map(run, mapped)
    yield log(
        "The PCA is ready; UMAP follows. Its first run on a machine takes about half a minute."
    )
    umap = yield from in_background(
        lambda report: _umap(space, start, positions, distances, config, report), "UMAP", "epochs"
    )
    if other is not None:
        umap = turn_onto(umap, fixed, shared)
    mapped.points["umap_x"], mapped.points["umap_y"] = umap.T
    quality |= {
        "trustworthiness": trust(space, umap, config.seed),
        "neighbourhood_preservation": neighbourhood_preservation(near, umap),
    }
    _save_map(run, mapped)
    return mapped


def _quality(
    space: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    split: np.ndarray,
    positions: np.ndarray,
    classes: int,
    seed: int,
) -> dict[str, float | None]:
    """Measures of the space itself."""
    voters = np.where(
        split == SPLITS.index("train"), labels, -1
    )  # test labels are for the test alone
    asked = np.where(split == SPLITS.index("val"), labels, -1)
    return {
        **neighbour_accuracy(vote_outside_group(positions, voters, groups, classes), asked),
        "silhouette": silhouette(space, labels, seed),
    }


def _features(config: EmbedConfig, workspace: Workspace) -> Generator[Event, None, tuple]:
    """The dataset, the rows used, their split and features."""
    from ..bundles.library import require_posterior
    from ..machine import pick_device
    from ..study.arms import build_extractors
    from ..study.features import extract

    require_posterior(config, workspace)
    dataset, store = yield from open_images(workspace, config.dataset, config.input_size)
    rows = dataset.subset(config.max_images, config.split_seed)
    if len(rows) < LEAST_IMAGES:
        raise DataError(
            f"Dataset {dataset.name} has {len(rows)} images; a map needs {LEAST_IMAGES} or more."
        )
    split = split_for(
        _of_fold(config, workspace) or config, dataset.labels[rows], dataset.groups[rows]
    )
    extractor = build_extractors(config.arm, config, workspace)[0]
    chosen = None if len(rows) == len(dataset) else rows
    features = yield from extract(
        extractor, store, workspace, dataset.name, chosen, device=pick_device(config.device)
    )
    return dataset, rows, split, features


def _of_fold(config: EmbedConfig, workspace: Workspace) -> PretrainConfig | None:
    """The config of the map's pretraining where it was one of a fold of this dataset: its split is the map's."""
    if not config.vae_run:
        return None
    made = from_dict(read_json(workspace.run(config.vae_run).config), PretrainConfig)
    same = (made.dataset, made.split_seed, made.max_images) == (
        config.dataset,
        config.split_seed,
        config.max_images,
    )
    return made if made.fold and same else None


def _umap(
    space: np.ndarray,
    start: np.ndarray,
    positions: np.ndarray,
    distances: np.ndarray,
    config: EmbedConfig,
    report: Report,
) -> np.ndarray:
    """(n, 2) UMAP (McInnes 2018) from the neighbours at hand, started from PCA (Kobak and Linderman 2021) or another map.

    report: called with (epochs done, of how many).
    """
    import umap

    count = min(config.neighbours, len(space) - 1)
    itself = np.arange(len(space))[:, None]
    known = (
        np.hstack([itself, positions])[:, :count],
        np.hstack([np.zeros_like(itself), distances])[:, :count],
        None,
    )
    reducer = umap.UMAP(
        n_neighbors=count,
        min_dist=config.min_dist,
        init=start / start.std(),
        precomputed_knn=known,
        force_approximation_algorithm=True,
        n_jobs=1,
        random_state=stream_seed(config.seed, "umap") % 2**32,
        tqdm_kwds={"disable": False, "file": _Bar(report), "bar_format": "{n_fmt} {total_fmt}"},
    )
    with (
        warnings.catch_warnings()
    ):  # new images are not placed on the map, so it needs no search index
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
    points = pd.DataFrame(
        {
            "image_id": frame["image_id"],
            "row": rows,
            "umap_x": np.float32(np.nan),
            "umap_y": np.float32(np.nan),
            "pca_x": pca[:, 0],
            "pca_y": pca[:, 1],
            "split": np.array(SPLITS, dtype=object)[split],
            "label": frame["label"],
            "group": frame["group"],
        }
    )
    extra = [name for name in dataset.attributes if name not in points and name not in CORE]
    return pd.concat([points, frame[extra]], axis=1)


def _save_neighbours(
    run: RunFiles, rows: np.ndarray, positions: np.ndarray, distances: np.ndarray
) -> None:
    shown = min(SHOWN_NEIGHBOURS, positions.shape[1])
    near = np.full((len(rows), SHOWN_NEIGHBOURS), -1, np.int64)
    far = np.full((len(rows), SHOWN_NEIGHBOURS), np.nan, np.float32)
    near[:, :shown], far[:, :shown] = rows[positions[:, :shown]], distances[:, :shown]
    for name, array in (("neighbours.npy", near), ("distances.npy", far)):
        with writing(run.artefacts / name) as file:
            np.save(file, array, allow_pickle=False)


def _about(config: EmbedConfig, explained: list[float], quality: dict, images: int) -> dict:
    from ..arms import arm_label

    return {
        "params": to_dict(config),
        "arm": config.arm,
        "label": arm_label(config.arm),
        "dataset": config.dataset,
        "space": config.space,
        "aligned_to": config.aligned_to,
        "images": images,
        "pca_explained": explained,
        "quality": quality,
        "opinions": [],
        "trouble": None,
    }


def _save_map(run: RunFiles, mapped: Mapped) -> None:
    write_json(run.map_info, mapped.about)
    write_atomic(run.map_points, mapped.points.to_parquet(index=False))


def _save_factors(
    workspace: Workspace,
    run: RunFiles,
    config: EmbedConfig,
    frame: pd.DataFrame,
    mu_nd: np.ndarray,
    split: np.ndarray,
) -> None:
    """factors.parquet over the images outside the training split, where the data's factors are known."""
    names = [name for name in frame.columns if name.startswith(PREFIX)]
    held_out = split != SPLITS.index("train")
    if names and held_out.any():
        travel = open_travel(
            workspace, config.vae_run or config.vae or config.arm.partition(":")[2]
        )
        values = {name: frame[name].to_numpy()[held_out] for name in names}
        found = table(mu_nd[held_out], values, travel.kl_d, travel.active_d)
        write_atomic(run.factors, found.to_parquet(index=False))
