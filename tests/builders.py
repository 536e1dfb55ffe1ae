"""Builders that tests share: pictures, image files and small labelled datasets."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from derm_core.data.importers import import_dataset
from derm_core.data.manifest import Dataset, DatasetInfo, load_dataset, save_dataset
from derm_core.data.synth.photo import take_view
from derm_core.data.synth.render import render_scene
from derm_core.workspace import Workspace

CLASSES = ("amber", "brown", "violet")
COLOURS = np.array([[200, 120, 90], [90, 60, 50], [150, 90, 140]])


def noise(height: int, width: int | None = None, seed: int = 0, low: int = 0) -> np.ndarray:
    """(height, width, 3) uint8 of independent values from `low` to 255; square without a width."""
    shape = (height, height if width is None else width, 3)
    return np.random.default_rng(seed).integers(low, 256, shape, dtype=np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    """The bytes of an image file of that kind."""
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def write_image(path: Path, image: Image.Image | np.ndarray) -> Path:
    """Write an image file of the kind that its suffix names, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path)
    return path


def write_noise(
    folder: Path, count: int, height: int = 24, width: int | None = None, suffix: str = "png"
) -> list[Path]:
    """Write `count` different image files 0000.png … of noise."""
    rng = np.random.default_rng(0)
    shape = (count, height, width or height, 3)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    return [write_image(folder / f"{i:04d}.{suffix}", image) for i, image in enumerate(images)]


def manifest_row(path: Path, label: str | None, group: str) -> dict:
    """The manifest's row of an image file."""
    with Image.open(path) as image:
        width, height = image.size
    return {
        "image_id": path.stem,
        "path": str(path),
        "label": label,
        "group": group,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "width": width,
        "height": height,
    }


def save_files(
    workspace: Workspace,
    name: str,
    paths: Sequence[Path],
    labels: Sequence[str | None],
    groups: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    **info,
) -> Dataset:
    """Save image files, wherever they lie, as dataset `name`; each is its own group by default.

    Classes are the labels in alphabetical order unless given; info: further entries of
    dataset.json.
    """
    rows = map(manifest_row, paths, labels, groups or [path.stem for path in paths])
    classes = classes or sorted({label for label in labels if label is not None})
    described = DatasetInfo(
        **{"layout": "folders", "source": "test", "classes": tuple(classes), **info}
    )
    return save_dataset(workspace, name, pd.DataFrame(rows), described)


def save_images(
    workspace: Workspace, name: str, images: Sequence[np.ndarray], *labels, **info
) -> Dataset:
    """Write uint8 images as i000.png … into dataset `name`; the rest as in `save_files`."""
    folder = workspace.dataset(name).images
    paths = [write_image(folder / f"i{i:03d}.png", image) for i, image in enumerate(images)]
    return save_files(workspace, name, paths, *labels, **info)


def write_dataset(
    workspace: Workspace,
    name: str = "tiny",
    images: int = 90,
    size: int = 32,
    seed: int = 0,
    classes: Sequence[str] = CLASSES,
    colours: np.ndarray = COLOURS,
) -> Dataset:
    """Noisy images of three classes, each of its class's colour, two to a group."""
    rng = np.random.default_rng(seed)
    labels = [i // 2 % 3 for i in range(images)]
    pixels = [
        colours[label] + rng.normal(0, 35, (size, size, 3)) + rng.normal(0, 25, (1, 1, 3))
        for label in labels
    ]
    return save_images(
        workspace,
        name,
        [image.clip(0, 255).astype(np.uint8) for image in pixels],
        [classes[label] for label in labels],
        [f"g{i // 2}" for i in range(images)],
        classes,
        layout="synthetic",
    )


def import_ham10000(
    workspace: Workspace, folder: Path, name: str = "ham", images: int = 14
) -> Dataset:
    """Import a folder laid out as HAM10000 is, with images of noise, two to a lesion and class, under any name."""
    files = write_noise(folder / "HAM10000_images", images, suffix="jpg")
    lines = ["lesion_id,image_id,dx"]
    for i, file in enumerate(files):
        image = file.rename(file.with_name(f"ISIC_{24306 + i:07d}.jpg")).stem
        lines.append(f"HAM_{i // 2:07d},{image},{('akiec', 'bcc', 'nv')[i // 2 % 3]}")
    (folder / "HAM10000_metadata.csv").write_text("\n".join(lines) + "\n")
    import_dataset(workspace, folder, name, sizes=(), processes=1)
    return load_dataset(workspace, name)


def name_parts(workspace: Workspace, dataset: Dataset, parts: Sequence[str | None]) -> Dataset:
    """The dataset saved again with these parts as its official split, repeated as often as needed."""
    repeated = [parts[i % len(parts)] for i in range(len(dataset))]
    frame = dataset.frame.assign(official_split=repeated)
    return save_dataset(workspace, dataset.name, frame, dataset.info)


PLAIN_VIEW = {
    "rotation": 0.0,
    "zoom": 1.0,
    "shift_x": 0.0,
    "shift_y": 0.0,
    "light": 1.0,
    "warmth": 0.0,
    "blur": 0.0,
    "noise": 0.0,
    "hair": 0,
    "ruler": False,
    "ink": False,
    "bubbles": 0,
    "vignette": 0.0,
    "tube": False,
}
PLAIN_LESION = {
    "skin_melanin": 0.1,
    "skin_redness": 0.4,
    "size": 0.55,
    "elongation": 1.2,
    "softness": 0.3,
    "asymmetry": 0.5,
    "pigment": 0.9,
    "redness": 0.2,
    "colours": 1,
    "network_spacing": 0.11,
    "irregularity": 0.2,
    "network": 0.0,
    "globules": 0.0,
    "streaks": 0.0,
}


def render_lesion(pixels: int = 96, seed: int = 0, **factors) -> tuple[np.ndarray, np.ndarray]:
    """An image in [0, 1] and its mask, with everything but `factors` plain and clean."""
    lesion = {**PLAIN_LESION, **{k: v for k, v in factors.items() if k in PLAIN_LESION}}
    view = {**PLAIN_VIEW, **{k: v for k, v in factors.items() if k in PLAIN_VIEW}}
    scene = render_scene(lesion, pixels, np.random.default_rng(seed))
    image, mask = take_view(scene, view, pixels, np.random.default_rng(seed))
    return image / 255, mask
