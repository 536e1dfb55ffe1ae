"""Finished maps for the page, written as an embedding run leaves them, without the work."""

from __future__ import annotations

import numpy as np
import pandas as pd

from derm_core.arms import arm_label
from derm_core.config import EmbedConfig, to_dict
from derm_core.data.manifest import load_dataset
from derm_core.files import write_atomic, write_json, writing
from derm_core.jobs.store import RunStore

OPINIONS = [
    {"slot": "a", "name": "a-vae", "arm": "vae"},
    {"slot": "b", "name": "an-imagenet", "arm": "imagenet"},
]
QUALITY = {
    "trustworthiness": 0.91,
    "trustworthiness_pca": 0.8,
    "neighbourhood_preservation": 0.25,
    "neighbourhood_preservation_pca": 0.1,
    "silhouette": -0.04,
    "knn_accuracy": 0.7,
    "knn_balanced_accuracy": 0.55,
}


def put_map(
    workspace,
    dataset: str = "tiny",
    seed: int = 0,
    umap: bool = True,
    opinions: bool = True,
    trouble: bool = True,
    **fields,
) -> str:
    """A done run with a map of `dataset`.

    Model "a" is right everywhere, "b" only about the first class. Returns its id.
    """
    data = load_dataset(workspace, dataset)
    config = to_dict(EmbedConfig(dataset=dataset, **{"arm": "random", "input_size": 32, **fields}))
    store, rng, images = RunStore(workspace), np.random.default_rng(seed), len(data)
    run_id = store.create("embed", config)
    folder = workspace.run(run_id).artefacts
    folder.mkdir(parents=True, exist_ok=True)
    places = rng.normal(size=(images, 4)).astype(np.float32)
    points = pd.DataFrame(
        {
            "image_id": data.frame["image_id"],
            "row": np.arange(images),
            "umap_x": places[:, 0] if umap else np.float32(np.nan),
            "umap_y": places[:, 1] if umap else np.float32(np.nan),
            "pca_x": places[:, 2],
            "pca_y": places[:, 3],
            "split": np.resize(["train", "val", "test"], images),
            "label": data.frame["label"],
            "group": data.frame["group"],
        }
    )
    points = pd.concat(
        [points, data.frame[[name for name in data.attributes if name not in points]]], axis=1
    )
    if opinions:
        points = points.assign(**_answers(points["label"], data.classes, rng))
    near = np.stack([rng.permutation(images)[:10] for _ in range(images)])
    _save(folder / "neighbours.npy", near)
    _save(folder / "distances.npy", np.sort(rng.random(near.shape), 1).astype(np.float32))
    about = {
        "params": config,
        "arm": config["arm"],
        "label": arm_label(config["arm"]),
        "dataset": dataset,
        "images": images,
        "pca_explained": [0.5, 0.2],
        "quality": QUALITY,
        "space": "pooled",
        "aligned_to": None,
        "opinions": OPINIONS if opinions else [],
    }
    if trouble:
        write_atomic(folder / "trouble.parquet", troubles(points).to_parquet(index=False))
        about["trouble"] = {
            "near_duplicate": 2,
            "label_error": 1,
            "outlier": 1,
            "known_pairs": 2,
            "found": 1,
        }
    write_json(folder / "map.json", about)
    write_atomic(folder / "map.parquet", points.to_parquet(index=False))
    store.transition(run_id, "queued", "running", started=1.0)
    store.transition(run_id, "running", "done", finished=2.0)
    return run_id


def _answers(labels: pd.Series, classes, rng: np.random.Generator) -> dict:
    predictions = {"a": labels.to_numpy(object), "b": np.full(len(labels), classes[0], object)}
    data = {"disagree": predictions["a"] != predictions["b"]}
    for slot, prediction in predictions.items():
        data |= {
            f"prediction_{slot}": prediction,
            f"correct_{slot}": (prediction == labels.to_numpy()).astype(object),
            f"confidence_{slot}": rng.uniform(0.4, 1, len(labels)).astype(np.float32),
            f"outlier_{slot}": np.linspace(0, 2, len(labels), dtype=np.float32),
        }
    return data


def troubles(points: pd.DataFrame) -> pd.DataFrame:
    """Two pairs of near-duplicates, one of them across splits, a label error and an outlier."""
    rows = [
        ("near_duplicate", 0, 3, 0.99, None, "The same photograph, <b>nearly</b>.", False),
        ("near_duplicate", 0, 1, 0.9, None, "Alike in two splits.", True),
        ("label_error", 5, -1, 0.95, "brown", "Labelled amber; the features say brown.", False),
        ("outlier", 7, -1, 4.2, None, "Far from all others.", False),
    ]
    return pd.DataFrame(
        rows, columns=["kind", "row", "other", "score", "suggestion", "reason", "across_splits"]
    )


def _save(path, array: np.ndarray) -> None:
    with writing(path) as file:
        np.save(file, array, allow_pickle=False)
