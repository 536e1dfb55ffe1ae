"""A map of 10,000 features of width 256 as an embedding run makes it, against umap-learn alone; at most 1.1 times.

Ours is everything between the features and the saved map: neighbours, PCA, UMAP, quality, files.
umap-learn's fit_transform has the same numbers of neighbours, distance, start and seed, and finds
the neighbours itself. Both have compiled their loops before anything is measured.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings

import numpy as np
import pandas as pd

from derm_core.config import EmbedConfig
from derm_core.data.manifest import Dataset, save_dataset
from derm_core.data.splits import split_dataset
from derm_core.insight.embed import draw_pca, draw_umap
from derm_core.insight.map_data import MapData
from derm_core.insight.umap_layout import fit_umap
from derm_core.seeds import stream_seed
from derm_core.stats.neighbours import principal_axes
from derm_core.study.features import finish
from derm_core.workspace import Workspace

LIMIT = 1.1
REPEATS = 3
WIDTH, CLASSES = 256, 7
WARM = 4_500  # above 4,096 umap-learn searches neighbours as it does for more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int, default=10_000)


def run(args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(folder)
        both(workspace, "warm", WARM)
        measured = []
        for repeat in range(args.repeats):
            measured.append(both(workspace, f"repeat-{repeat}", args.images))
            print("embedding {:.1f} s, umap-learn {:.1f} s".format(*measured[-1]), file=sys.stderr)
    ours, against = (statistics.median(side) for side in zip(*measured))
    return {
        "ratio": ours / against,
        "limit": LIMIT,
        "better": "lower",
        "ours": ours,
        "against": against,
        "unit": "s",
        "peer": "umap-learn's fit_transform, same parameters, start and seed",
        "images": args.images,
        "width": WIDTH,
        "repeats": args.repeats,
    }


def both(workspace: Workspace, name: str, images: int) -> tuple[float, float]:
    """Seconds of an embedding run from its features on, and of umap-learn."""
    dataset, features = generated(workspace, name, images)
    config = EmbedConfig(dataset=name)
    split = split_dataset(dataset.labels, dataset.groups, config.split_seed)
    started = time.perf_counter()
    data = MapData(dataset, np.arange(images), split, features, "Random initialisation")
    run = workspace.run(name).create()
    drawn = finish(draw_pca(config, data, run))
    # Without its process: what starting that costs is in `benchmarks map`.
    draw_umap(config, drawn, run, None, fit_umap, lambda *done: None)
    ours = time.perf_counter() - started
    return ours, umap_alone(config, features)


def umap_alone(config: EmbedConfig, features: np.ndarray) -> float:
    import umap

    started = time.perf_counter()
    pca, _ = principal_axes(features)  # the start that both sides have
    reducer = umap.UMAP(
        n_neighbors=config.neighbours,
        min_dist=config.min_dist,
        init=pca / pca.std(),
        n_jobs=1,
        random_state=stream_seed(config.seed, "umap") % 2**32,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reducer.fit_transform(features)
    return time.perf_counter() - started


def generated(workspace: Workspace, name: str, images: int) -> tuple[Dataset, np.ndarray]:
    """A dataset without pixels, and features (images, 256) of correlated Gaussian classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, images)
    mixing = rng.normal(size=(WIDTH, WIDTH)) * np.geomspace(1, 0.02, WIDTH)[:, None]
    features = (
        3 * rng.normal(size=(CLASSES, WIDTH))[labels] + rng.normal(size=(images, WIDTH)) @ mixing
    )
    features = (features - features.mean(0)) / features.std(0)
    frame = pd.DataFrame(
        [
            {
                "image_id": f"i{i}",
                "path": f"i{i}.png",
                "label": f"class {label}",
                "group": f"g{i}",
                "sha256": f"{i:064x}",
                "width": 64,
                "height": 64,
            }
            for i, label in enumerate(labels)
        ]
    )
    info = {
        "layout": "synthetic",
        "source": "benchmarks.umap",
        "classes": [f"class {k}" for k in range(CLASSES)],
        "created": 0,
        "skipped": [],
        "seconds": 0.0,
        "notes": [],
    }
    return save_dataset(workspace, name, frame, info), features.astype(np.float32)
