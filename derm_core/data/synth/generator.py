"""A procedural stand-in for dermoscopy images: known factors, lesion masks, groups of one to three views.

The embedded default: with no data at all the product still works. A lesion's class is drawn first
and its factors around the class's profile; profiles overlap, so that no reader of the factors can
be always right. Everything about a view (rotation, light, hair, ruler, ink, bubbles, vignette) is
independent of the class. A lesion depends on the seed and its number alone, never on how many
others are made or by which process.
"""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from threadpoolctl import ThreadpoolController

from ...errors import NotFound
from ...files import private_file
from ...locks import hold
from ...records import require
from ...seeds import stream_seed
from ...workspace import Workspace
from ..decode_all import default_processes
from ..manifest import Dataset, load_dataset, save_dataset
from .photo import take_view
from .render import paint_scene
from .workers import paint_chunks

IMAGES = 2000
SIZE = 128
VIEWS = (0.60, 0.28, 0.12)  # share of lesions with one, two and three views
# share of lesions, then the means of what a class is known by (structures 0 to 1, colours 1 to 5)
PROFILES = {
    "synth-network": dict(
        share=0.32,
        network=0.72,
        globules=0.16,
        streaks=0.10,
        irregularity=0.35,
        colours=1.7,
        pigment=0.95,
    ),
    "synth-globular": dict(
        share=0.24,
        network=0.14,
        globules=0.68,
        streaks=0.08,
        irregularity=0.30,
        colours=1.6,
        pigment=0.80,
    ),
    "synth-streaked": dict(
        share=0.17,
        network=0.24,
        globules=0.20,
        streaks=0.70,
        irregularity=0.45,
        colours=2.0,
        pigment=1.25,
    ),
    "synth-plain": dict(
        share=0.16,
        network=0.10,
        globules=0.10,
        streaks=0.05,
        irregularity=0.30,
        colours=1.6,
        pigment=0.75,
    ),
    "synth-mixed": dict(
        share=0.11,
        network=0.46,
        globules=0.44,
        streaks=0.34,
        irregularity=0.75,
        colours=3.4,
        pigment=1.15,
    ),
}
CLASSES = tuple(PROFILES)
DESCRIPTIONS = {
    "synth-network": "Synthetic: a net of pigmented lines dominates.",
    "synth-globular": "Synthetic: round brown clods dominate.",
    "synth-streaked": "Synthetic: radial streaks cross the border.",
    "synth-plain": "Synthetic: pigment without structures.",
    "synth-mixed": "Synthetic: several structures and colours, irregular border.",
}
SPREAD = 0.20  # standard deviation of a lesion around its class's profile
Progress = Callable[[int, int], None]


def lesion_factors(seed: int, group: int) -> dict:
    """Class and factors of lesion number `group`: what all its views share."""
    rng = np.random.default_rng(stream_seed(seed, "lesion", group))
    label = CLASSES[rng.choice(len(CLASSES), p=[p["share"] for p in PROFILES.values()])]
    profile = PROFILES[label]
    structures = {
        name: float(np.clip(rng.normal(profile[name], SPREAD), 0, 1))
        for name in ("irregularity", "network", "globules", "streaks")
    }
    return {
        "label": label,
        "skin_melanin": float(rng.beta(1.1, 4.0) * 1.3),
        "skin_redness": float(rng.uniform(0.10, 0.95)),
        "size": float(rng.uniform(0.38, 0.72)),
        "elongation": float(rng.uniform(1.0, 1.7)),
        "softness": float(rng.beta(1.6, 2.2)),
        "asymmetry": float(rng.uniform(0.1, 1.0)),
        "pigment": float(np.clip(rng.normal(profile["pigment"], 0.28), 0.3, 2.0)),
        "redness": float(rng.uniform(0.0, 0.8)),
        "colours": int(np.clip(round(rng.normal(profile["colours"], 0.8)), 1, 5)),
        "network_spacing": float(rng.uniform(0.090, 0.135)),
        **structures,
    }


def view_factors(seed: int, group: int, view: int) -> dict:
    """How one photograph of a lesion was taken, and what lay in the way; the class plays no part."""
    rng = np.random.default_rng(stream_seed(seed, "view", group, view))
    device = np.random.default_rng(
        stream_seed(seed, "device", group)
    )  # one lesion, mostly one device
    return {
        "rotation": float(rng.uniform(0, 360)),
        "zoom": float(rng.uniform(0.92, 1.25)),
        "shift_x": float(rng.uniform(-0.14, 0.14)),
        "shift_y": float(rng.uniform(-0.14, 0.14)),
        "light": float(rng.uniform(0.88, 1.06)),
        "warmth": float(device.normal(0, 0.8) + rng.normal(0, 0.3)),
        "blur": float(rng.choice([0.0, rng.uniform(0.3, 0.7)])),
        "noise": float(rng.uniform(0.004, 0.014)),
        "hair": int(rng.choice([0, rng.integers(1, 6), rng.integers(6, 18)], p=[0.5, 0.35, 0.15])),
        "ruler": bool(rng.random() < 0.12),
        "ink": bool(rng.random() < 0.10),
        "bubbles": int(rng.choice([0, rng.integers(1, 6)], p=[0.75, 0.25])),
        "vignette": float(rng.beta(1.2, 2.0)),
        "tube": bool(rng.random() < 0.10),
    }


def plan(images: int, seed: int) -> list[tuple[int, int]]:
    """(group, view) of the first `images` images; more images continue the same list."""
    rows, group = [], 0
    while len(rows) < images:
        rng = np.random.default_rng(stream_seed(seed, "views", group))
        rows += [(group, view) for view in range(1 + rng.choice(3, p=VIEWS))]
        group += 1
    return rows[:images]


def generate(
    images: int, size: int = SIZE, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray, dict]]:
    """Images (size, size, 3) uint8, lesion masks (size, size) bool and factors, one after the other.

    The factors hold `label`, `group` and `view` beside what the image was made from.
    """
    yield from _paint(plan(images, seed), size, seed)


def _paint(
    rows: list[tuple[int, int]], size: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, dict]]:
    scene, painted, threads = None, None, ThreadpoolController()
    for group, view in rows:
        factors = view_factors(seed, group, view)
        with threads.limit(
            limits=1
        ):  # many small products: more threads would only wait for one another
            if group != painted:
                lesion, painted = lesion_factors(seed, group), group
                scene = paint_scene(
                    lesion, size, np.random.default_rng(stream_seed(seed, "scene", group))
                )
            rng = np.random.default_rng(stream_seed(seed, "photo", group, view))
            image, mask = take_view(scene, factors, size, rng)
        yield image, mask, {"group": group, "view": view, **lesion, **factors}


def ensure_synth(
    workspace: Workspace, scale: float = 1.0, progress: Progress | None = None
) -> Dataset:
    """The synthetic dataset, made on first need: "synth" with 2,000 images, or a `scale` of it.

    A scaled one is called synth-IMAGES. Processes that ask at the same time wait for one another.
    """
    require(0 < scale <= 1, "scale", scale, "above 0, at most 1")
    images = max(60, round(IMAGES * scale))
    return make_synth(
        workspace, "synth" if images == IMAGES else f"synth-{images}", images, progress=progress
    )


def make_synth(
    workspace: Workspace,
    name: str = "synth",
    images: int = IMAGES,
    size: int = SIZE,
    seed: int = 0,
    progress: Progress | None = None,
    processes: int | None = None,
) -> Dataset:
    """Paint a synthetic dataset into the workspace: PNG images, masks and a manifest with `factor_` columns.

    Returns the dataset of that name if it was made with the same number, size and seed before.
    processes: painters, by default one per core for 200 images or more, at most 8; 1 paints here.
    """
    require(1 <= images <= 200_000, "images", images, "1 to 200000")
    require(32 <= size <= 1024, "size", size, "32 to 1024 pixels")
    paths = workspace.dataset(name)
    made_from = {"images": images, "size": size, "seed": seed}
    for folder in (paths.root, paths.images, paths.masks):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with hold(paths.root / "making.lock", patience=math.inf):
        try:
            dataset = load_dataset(workspace, name)
        except NotFound:
            dataset = None
        if dataset is not None:
            require(
                dataset.info.get("made_from") == made_from,
                "name",
                name,
                "a name that no other dataset has; delete that dataset first, or choose another name",
            )
            return dataset
        return _make(workspace, name, made_from, progress, processes)


def _make(
    workspace: Workspace,
    name: str,
    made_from: dict,
    progress: Progress | None,
    processes: int | None,
) -> Dataset:
    """Paint, write and register the dataset; nothing is registered before every image is there."""
    started, images = time.monotonic(), made_from["images"]
    paths = workspace.dataset(name)
    rows = plan(images, made_from["seed"])
    chunks = [
        (rows[i:j], made_from["size"], made_from["seed"], str(paths.images), str(paths.masks))
        for i, j in _chunk_bounds(rows)
    ]
    workers = processes or (1 if images < 200 else min(8, default_processes()))
    painted, done = {}, 0
    for number, records in _paint_all(chunks, workers):
        painted[number], done = records, done + len(records)
        if progress:
            progress(done, images)
    frame = pd.DataFrame([record for number in sorted(painted) for record in painted[number]])
    classes = [c for c in CLASSES if (frame["label"] == c).any()]
    info = {
        "layout": "synthetic",
        "source": "painted by derm_core.data.synth.generator",
        "license": "made by this program, free to use",
        "classes": classes,
        "class_descriptions": {c: DESCRIPTIONS[c] for c in classes},
        "created": time.time(),
        "skipped": [],
        "seconds": round(time.monotonic() - started, 2),
        "made_from": made_from,
        "notes": [
            "Synthetic images: they show that everything works and say nothing about real skin."
        ],
    }
    return save_dataset(workspace, name, frame, info)


def _chunk_bounds(rows: list[tuple[int, int]], least: int = 24) -> list[tuple[int, int]]:
    """Runs of at least `least` rows that keep the views of a lesion together."""
    starts = [0]
    for i in range(1, len(rows)):
        if rows[i][0] != rows[i - 1][0] and i - starts[-1] >= least:
            starts.append(i)
    return list(zip(starts, starts[1:] + [len(rows)]))


def _paint_all(chunks: list[tuple], workers: int) -> Iterator[tuple[int, list[dict]]]:
    """(number of the chunk, its rows) of all chunks, painted here or by `workers` processes."""
    if workers == 1:
        return ((i, write_chunk(*chunk)) for i, chunk in enumerate(chunks))
    return paint_chunks(chunks, workers)


def write_chunk(
    rows: list[tuple[int, int]], size: int, seed: int, images: str, masks: str
) -> list[dict]:
    """Paint some views into the folders `images` and `masks`; returns their rows of the manifest."""
    return [_write_view(*view, Path(images), Path(masks)) for view in _paint(rows, size, seed)]


def _write_view(
    image: np.ndarray, mask: np.ndarray, factors: dict, images: Path, masks: Path
) -> dict:
    image_id = f"synth-{factors['group']:05d}-{factors['view']}"
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=3)
    path = private_file(images / f"{image_id}.png")
    path.write_bytes(buffer.getvalue())
    Image.fromarray(mask).save(private_file(masks / f"{image_id}.png"))
    recorded = {
        f"factor_{name}": round(value, 4) if isinstance(value, float) else value
        for name, value in factors.items()
        if name not in ("label", "group")
    }
    return {
        "image_id": image_id,
        "path": str(path),
        "label": factors["label"],
        "group": f"lesion-{factors['group']:05d}",
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "width": len(image),
        "height": len(image),
        **recorded,
    }
