"""A map of one extractor's space: pooled features of a dataset as UMAP and PCA, with neighbours.

Each part is saved as soon as it is there: the PCA of some images, the PCA of all, UMAP, the models'
predictions, data issues. Neighbours are looked up once, in the standardised feature space, never on
the map.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from ..background import Background, Report, in_background
from ..config import EmbedConfig, to_dict
from ..config.shared import ImageForm
from ..data.manifest import CORE
from ..data.on_demand import open_images
from ..data.splits import SPLITS
from ..errors import ConfigError, DataError, RunError
from ..events import Event, log
from ..files import write_atomic
from ..records import to_json
from ..stats.feature_space import (
    LEAST_STD,
    SHOWN_NEIGHBOURS,
    FeatureSpace,
    neighbour_accuracy,
    search_depth,
    standardise,
    vote_outside_group,
)
from ..stats.neighbours import (
    is_approximate,
    nearest,
    neighbourhood_preservation,
    principal_axes,
    silhouette,
    trust,
)
from ..workspace import RunFiles, Workspace
from .align import fixed_places, open_fixed_map, start_from, turn_onto
from .data_issues import DataIssues, find_issues
from .factors import PREFIX, factor_table
from .map_data import MapData, map_data, marks_of_models
from .map_predictions import MapPredictions, predict_map
from .saved_map import MapInfo, SavedMap, save_info, save_map, save_neighbours
from .traversal_sources import open_traversal
from .umap_layout import umap_layout

Layout = Callable[[FeatureSpace, np.ndarray, EmbedConfig, Report], np.ndarray]
UMAP_IS_READY = "UMAP is ready; the models' predictions follow."
SAME = 1e-4  # relative difference below which features differ by rounding alone


@dataclass(frozen=True)
class DrawnMap:
    """A map as it was computed; points: one row an image, as in map.parquet."""

    info: MapInfo
    points: pd.DataFrame
    space: FeatureSpace


def embed(config: EmbedConfig, workspace: Workspace, run: RunFiles) -> Iterator[Event]:
    """Map a dataset under one extractor; the summary is the last event.

    Files in the run's folder:
        map.json: a MapInfo.
        map.parquet: image_id, row (of the manifest), umap_x, umap_y (NaN until they are there), pca_x,
            pca_y, split, label, group and the attributes, then the columns of map_predictions.
        neighbours.npy, distances.npy: see SavedMap.
        trouble.parquet: see data_issues.
        factors.parquet: see factors, for posterior means of data with known factors.

    Raises what building an extractor, opening the dataset or the map to align to raises.
    """
    started = time.monotonic()
    for earlier in (run.neighbours, run.distances, run.data_issues):
        earlier.unlink(missing_ok=True)  # of this run, before it was interrupted
    fixed = open_fixed_map(workspace, config.aligned_to) if config.aligned_to else None
    data = yield from map_data(
        config, workspace, lambda part, images: _save_first_look(config, part, images, run, fixed)
    )
    drawn = yield from draw_pca(config, data, run, fixed)
    predicting = predict_map(config, workspace, data.dataset, data.rows)
    drawn, predictions = yield from _draw_umap_beside(predicting, config, drawn, run, fixed)
    others = drawn.points.drop(columns=predictions.columns.columns, errors="ignore")
    points = pd.concat([others, predictions.columns], axis=1)
    models = marks_of_models(workspace, [slot.name for slot in predictions.slots])
    marks = tuple(dict.fromkeys((*data.marks, *models)))
    info = replace(drawn.info, opinions=predictions.slots, marks=marks)
    save_map(run, info, points)
    yield log("The models' predictions are ready; data issues follow.")
    if config.space == "mu":
        try:
            _save_factors(workspace, run, config, data)
        except RunError as error:
            yield log(f"There is no table of factors: {error}")
    spaces = [standardise(other, data.is_training) for other in predictions.features.values()]
    _, store = yield from open_images(workspace, config.dataset, config.input_size)
    images = (data.dataset, data.rows, data.split, store.images)

    def save(issues: DataIssues) -> None:
        write_atomic(run.data_issues, issues.table.to_parquet(index=False))
        save_info(run, replace(info, trouble=issues.counts))

    issues = yield from in_background(
        lambda report: find_issues(*images, drawn.space, spaces, config.seed, report, save),
        "Data issues",
        "pairs",
    )
    save(issues)
    yield Event(
        kind="result",
        value={
            "dataset": data.dataset.name,
            "arm": config.arm,
            "images": len(data.rows),
            "space": config.space,
            "quality": info.quality,
            "trouble": to_json(issues.counts),
            "seconds": round(time.monotonic() - started, 2),
        },
    )


def _save_first_look(
    config: EmbedConfig, part: MapData, images: int, run: RunFiles, fixed: SavedMap | None
) -> None:
    """The PCA of some of the images, until that of all `images` is there."""
    if not part.is_training.any():
        return  # nothing to standardise by
    try:
        features = _standardised(config, part)
        pca, explained = principal_axes(features)
        points = _points(part, _turned(pca, part, fixed))
    except (ConfigError, DataError):
        return  # the whole map says what is wrong with it, if anything is
    save_map(run, replace(_info(config, part, explained), expected=images), points)


def draw_pca(
    config: EmbedConfig, data: MapData, run: RunFiles, fixed: SavedMap | None = None
) -> Generator[Event, None, DrawnMap]:
    """Compute and save PCA, then neighbours and the measures that need them.

    Args:
        config: of the map.
        data: its images.
        run: where it is saved.
        fixed: another map that this one is turned onto.
    """
    groups = data.dataset.groups[data.rows]
    features = _standardised(config, data)
    pca, explained = principal_axes(features)
    pca = _turned(pca, data, fixed)
    info, points = _info(config, data, explained), _points(data, pca)
    save_map(run, info, points)
    wanted = max(config.neighbours, SHOWN_NEIGHBOURS)
    positions, distances = yield from in_background(
        lambda report: nearest(features, search_depth(groups, wanted), config.seed), "Neighbours"
    )
    space = FeatureSpace(features, positions, distances)
    save_neighbours(run, data.rows, positions, distances)
    quality = _space_quality(data, space, config.seed)
    for name, value in _layout_quality(space, pca, config.seed).items():
        quality |= {name: None, f"{name}_pca": value}
    info = replace(info, quality=quality, approximate_neighbours=is_approximate(len(features)))
    save_map(run, info, points)
    yield log(
        "The PCA is ready; UMAP follows. Its first run on a machine takes about half a minute."
    )
    return DrawnMap(info, points, space)


def draw_umap(
    config: EmbedConfig,
    drawn: DrawnMap,
    run: RunFiles,
    fixed: SavedMap | None,
    layout: Layout,
    report: Report,
) -> DrawnMap:
    """Compute and save UMAP, turned onto the map `fixed`.

    Args:
        config: of the map.
        drawn: from `draw_pca`.
        run: where it is saved.
        fixed: another map of these images, or None.
        layout: `umap_layout`, or `fit_umap` to stay in this process.
        report: called with (epochs done, of how many).
    """
    points = drawn.points.copy()
    start = points[["pca_x", "pca_y"]].to_numpy(np.float32)
    if fixed is not None:
        places, shared = fixed_places(fixed, points["image_id"].to_numpy(), "umap")
        start = start_from(start, places, shared)
    umap = layout(drawn.space, start, config, report)
    if fixed is not None:
        umap = turn_onto(umap, places, shared)
    points["umap_x"], points["umap_y"] = umap.T
    quality = drawn.info.quality | _layout_quality(drawn.space, umap, config.seed)
    info = replace(drawn.info, quality=quality)
    save_map(run, info, points)
    return replace(drawn, info=info, points=points)


def _draw_umap_beside(
    predicting: Generator[Event, None, MapPredictions],
    config: EmbedConfig,
    drawn: DrawnMap,
    run: RunFiles,
    fixed: SavedMap | None,
) -> Generator[Event, None, tuple[DrawnMap, MapPredictions]]:
    """UMAP in its own process, the predictions meanwhile; UMAP is saved as soon as it is there.

    Until then it has a core to itself, and the progress is its own.
    """
    threads, drawing = torch.get_num_threads(), True
    with (
        contextlib.closing(predicting),
        Background(
            lambda report: draw_umap(config, drawn, run, fixed, umap_layout, report),
            "UMAP",
            "epochs",
        ) as background,
    ):
        torch.set_num_threads(max(1, threads - 1))
        try:
            while True:
                event = next(predicting)
                if drawing and not background.running:
                    drawing = False
                    torch.set_num_threads(threads)
                    yield log(UMAP_IS_READY)
                yield background.progress if drawing and event.kind == "progress" else event
        except StopIteration as end:
            predictions = end.value
        finally:
            torch.set_num_threads(threads)
        with_umap = yield from background.wait()
    if drawing:
        yield log(UMAP_IS_READY)
    return with_umap, predictions


def _info(config: EmbedConfig, data: MapData, explained: list[float]) -> MapInfo:
    """What is known of a map with its PCA. Its input size is that of the images that were read."""
    form = data.form or ImageForm(config.input_size)
    return MapInfo(
        params=to_dict(replace(config, input_size=form.size)),
        interpolation=form.interpolation,
        arm=config.arm,
        label=data.label,
        dataset=config.dataset,
        space=config.space,
        aligned_to=config.aligned_to,
        images=len(data.rows),
        pca_explained=tuple(explained),
        quality={},
        marks=data.marks,
    )


def _turned(pca_n2: np.ndarray, data: MapData, fixed: SavedMap | None) -> np.ndarray:
    """The PCA, turned onto that of another map where there is one. Raises what `fixed_places` raises."""
    if fixed is None:
        return pca_n2
    ids = data.dataset.frame["image_id"].to_numpy()[data.rows]
    return turn_onto(pca_n2, *fixed_places(fixed, ids, "pca"))


def _standardised(config: EmbedConfig, data: MapData) -> np.ndarray:
    """The features that a map is drawn of. Raises DataError where no map can be drawn of them."""
    what = f"features of {data.label} on {data.dataset.name}"
    if not np.isfinite(data.features).all():
        raise DataError(
            f"Some {what} are not finite numbers: no map can be drawn. Choose another extractor."
        )
    features = standardise(data.features, data.is_training)
    if not features.any() or np.allclose(data.features, data.features[:1], SAME, LEAST_STD):
        raise DataError(
            f"All {what} are equal: no map can be drawn. Check that the images differ, or choose "
            "another extractor."
        )
    return features


def _space_quality(data: MapData, space: FeatureSpace, seed: int) -> dict[str, float | None]:
    """Measures of the space itself: training labels vote on validation labels, test labels are not used."""
    labels, groups = data.dataset.labels[data.rows], data.dataset.groups[data.rows]
    voters = np.where(data.is_training, labels, -1)
    validation = np.where(data.split == SPLITS.index("val"), labels, -1)
    votes = vote_outside_group(space.positions, voters, groups, len(data.dataset.classes))
    return {
        **neighbour_accuracy(votes, validation),
        "silhouette": silhouette(space.features, labels, seed),
    }


def _layout_quality(space: FeatureSpace, map_n2: np.ndarray, seed: int) -> dict[str, float | None]:
    """Measures of how well a map keeps the neighbours of the space."""
    shown = space.positions[:, :SHOWN_NEIGHBOURS]
    return {
        "trustworthiness": trust(space.features, map_n2, seed),
        "neighbourhood_preservation": neighbourhood_preservation(shown, map_n2),
    }


def _points(data: MapData, pca_n2: np.ndarray) -> pd.DataFrame:
    frame = data.dataset.frame.iloc[data.rows].reset_index(drop=True)
    points = pd.DataFrame(
        {
            "image_id": frame["image_id"],
            "row": data.rows,
            "umap_x": np.float32(np.nan),
            "umap_y": np.float32(np.nan),
            "pca_x": pca_n2[:, 0],
            "pca_y": pca_n2[:, 1],
            "split": np.array(SPLITS, dtype=object)[data.split],
            "label": frame["label"],
            "group": frame["group"],
        }
    )
    extra = [name for name in data.dataset.attributes if name not in points and name not in CORE]
    return pd.concat([points, frame[extra]], axis=1)


def _save_factors(workspace: Workspace, run: RunFiles, config: EmbedConfig, data: MapData) -> None:
    """factors.parquet over the images outside the training split, if the data's factors are known."""
    held_out = ~data.is_training
    frame = data.dataset.frame.iloc[data.rows[held_out]]
    names = [name for name in frame.columns if name.startswith(PREFIX)]
    if names and held_out.any():
        source = config.vae_run or config.vae or config.arm.partition(":")[2]
        statistics = open_traversal(workspace, source).statistics
        factors = {name: frame[name].to_numpy() for name in names}
        latents = data.features[held_out]
        table = factor_table(latents, factors, statistics.kl_d, statistics.active_d)
        write_atomic(run.factors, table.to_parquet(index=False))
