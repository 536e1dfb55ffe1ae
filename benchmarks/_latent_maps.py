"""Two finished maps of 10,000 images without the work of making them.

What the page reads, not what an extractor saw.
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image

from derm_core.config import BackboneConfig, EmbedConfig, to_dict
from derm_core.data.decode import read_image
from derm_core.data.manifest import DatasetInfo, save_dataset
from derm_core.files import read_json, write_atomic, write_json, writing
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
SHARES = (0.033, 0.051, 0.11, 0.012, 0.111, 0.669, 0.014)  # HAM10000's
PICTURES, SIDE = 60, 256
MODEL = "vae-resnet18-64"


def furnish(workspace: Workspace, images: int, pictures: int = PICTURES) -> list[str]:
    """A dataset "many" whose images share `pictures` files, and two maps of it: their run ids."""
    rng = np.random.default_rng(0)
    labels = rng.choice(len(CLASSES), images, p=SHARES)
    names = np.array(CLASSES, object)[labels]
    paths = _pictures(workspace, rng, pictures)
    frame = pd.DataFrame(
        {
            "image_id": [f"many_{row:07d}" for row in range(images)],
            "path": [paths[row % pictures] for row in range(images)],
            "label": names,
            "group": [f"g{row // 2}" for row in range(images)],
            "sha256": [f"{row % pictures:064x}" for row in range(images)],
            "width": SIDE,
            "height": SIDE,
            "age": rng.integers(5, 90, images).astype(float),
            "site": rng.choice(["back", "face", "foot"], images),
        }
    )
    save_dataset(
        workspace,
        "many",
        frame,
        DatasetInfo(layout="synthetic", source="benchmarks.latent", classes=CLASSES),
    )
    points = frame[["image_id", "label", "group", "age", "site"]].assign(
        row=np.arange(images),
        split=rng.choice(["train", "val", "test"], images, p=[0.7, 0.15, 0.15]),
    )
    for slot in "ab":
        right = rng.random(images) < 0.75
        answers = np.where(right, names, rng.choice(np.array(CLASSES, object), images))
        points[f"prediction_{slot}"], points[f"correct_{slot}"] = (
            answers,
            (answers == names).astype(object),
        )
        points[f"confidence_{slot}"] = rng.beta(5, 2, images).astype(np.float32)
        points[f"outlier_{slot}"] = rng.gamma(9, 0.06, images).astype(np.float32)
    points["disagree"] = points["prediction_a"] != points["prediction_b"]
    return [_map(workspace, points, labels, np.random.default_rng(seed)) for seed in (1, 2)]


def _pictures(workspace: Workspace, rng: np.random.Generator, pictures: int) -> list[str]:
    folder = workspace.dataset("many").images
    folder.mkdir(parents=True)
    for number in range(pictures):
        (folder / f"{number}.jpg").write_bytes(noise(rng))
    return [str(folder / f"{number}.jpg") for number in range(pictures)]


def noise(rng: np.random.Generator) -> bytes:
    """A JPEG of coarse coloured noise."""
    buffer, coarse = io.BytesIO(), Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def keep_features(workspace: Workspace, run_id: str) -> None:
    """An empty store, and features of such pictures in the cache, as the map's extractor gives them.

    What places an image on this map then computes the features of that image alone.
    """
    import torch

    from derm_core.config import from_dict
    from derm_core.data.manifest import load_dataset
    from derm_core.data.store import CARD, IMAGES, open_store, store_fingerprint
    from derm_core.study.arms import build_extractors
    from derm_core.study.features import feature_path

    config = from_dict(read_json(workspace.run(run_id).config), EmbedConfig)
    dataset, size = load_dataset(workspace, "many"), config.input_size
    folder = dataset.paths.store(size)
    folder.mkdir(parents=True)
    np.lib.format.open_memmap(
        folder / IMAGES, "w+", np.uint8, (len(dataset), size, size, 3)
    ).flush()  # no room until written
    write_json(folder / CARD, {"fingerprint": store_fingerprint(dataset, size)})
    extractor = build_extractors(config.arm, config, workspace)[0]
    pictures = np.stack([read_image(path, size) for path in dataset.frame["path"][:PICTURES]])
    own = extractor.features(torch.from_numpy(pictures)).numpy()
    features = (
        np.random.default_rng(0)
        .normal(own.mean(0), own.std(0), (len(dataset), own.shape[1]))
        .astype(np.float32)
    )
    store = open_store(workspace, dataset, size)
    with writing(feature_path(workspace, "many", extractor, store, None)) as file:
        np.save(file, features, allow_pickle=False)


def _map(
    workspace: Workspace, points: pd.DataFrame, labels: np.ndarray, rng: np.random.Generator
) -> str:
    """One cloud a class; neighbours are drawn, as nothing on the page depends on which they are."""
    config = EmbedConfig(
        dataset="many",
        arm="random",
        input_size=64,
        backbone=BackboneConfig(architecture="resnet18", stage=3),
    )
    store = RunStore(workspace)
    run_id = store.create("embed", to_dict(config))
    folder = workspace.run(run_id).artefacts
    folder.mkdir(parents=True, exist_ok=True)
    centres = rng.normal(0, 5, (len(CLASSES), 4))
    places = (centres[labels] + rng.normal(0, 1.5, (len(points), 4))).astype(np.float32)
    made = points.assign(**dict(zip(("umap_x", "umap_y", "pca_x", "pca_y"), places.T, strict=True)))
    near = rng.integers(0, len(points), (len(points), 10))
    for name, array in (
        ("neighbours.npy", near),
        ("distances.npy", np.sort(rng.random(near.shape), 1).astype(np.float32)),
    ):
        with writing(folder / name) as file:
            np.save(file, array, allow_pickle=False)
    write_json(
        folder / "map.json",
        {
            "params": to_dict(config),
            "arm": "random",
            "label": "Random initialisation",
            "dataset": "many",
            "images": len(points),
            "space": "pooled",
            "pca_explained": [0.3, 0.1],
            "aligned_to": None,
            "opinions": [
                {"slot": "a", "name": MODEL, "arm": "vae"},
                {"slot": "b", "name": "imagenet-resnet18-64", "arm": "imagenet"},
            ],
            "quality": {
                "trustworthiness": 0.9,
                "trustworthiness_pca": 0.8,
                "knn_balanced_accuracy": 0.3,
            },
        },
    )
    write_atomic(folder / "map.parquet", made.to_parquet(index=False))
    store.transition(run_id, "queued", "running", started=1.0)
    store.transition(run_id, "running", "done", finished=2.0)
    return run_id
