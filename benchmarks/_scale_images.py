"""Synthetic images as JPEG files, and data sets of the first so many of them."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from derm_core.data.synth.generator import View, lesion_factors, plan, write_views

SEED = 0
SIDE, QUALITY = 128, 90
CHUNK = 96  # images, whole lesions


def image_name(view: View) -> str:
    """The name under which the generator writes a view, without its suffix."""
    return f"synth-{view[0]:05d}-{view[1]}"


def write_images(folder: Path, count: int, processes: int) -> list[View]:
    """Write the first `count` synthetic images into `folder`, by several processes; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    views = plan(count, SEED)
    there = set(os.listdir(folder))
    missing = [view for view in views if f"{image_name(view)}.jpg" not in there]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        list(pool.map(partial(_write_chunk, folder), _chunks(missing)))
    return views


def _chunks(views: Sequence[View]) -> list[list[View]]:
    """Runs of views that keep those of a lesion together: its scene is drawn once."""
    chunks: list[list[View]] = [[]]
    for _, of_lesion in groupby(views, key=lambda view: view[0]):
        if len(chunks[-1]) >= CHUNK:
            chunks.append([])
        chunks[-1] += of_lesion
    return chunks


def _write_chunk(folder: Path, views: Sequence[View]) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        for row in write_views(views, SIDE, SEED, made, tempfile.mkdtemp(dir=made)):
            jpeg = Path(made) / f"{row['image_id']}.jpg"
            with Image.open(row["path"]) as image:
                image.save(jpeg, quality=QUALITY)
            os.replace(jpeg, folder / jpeg.name)


def write_data_set(folder: Path, images: Path, views: Sequence[View]) -> list[str]:
    """A data set of some of the images: a table of classes and lesions, and links to the files. Returns their paths."""
    linked = folder / "images"
    linked.mkdir(parents=True)
    paths = [linked / f"{image_name(view)}.jpg" for view in views]
    for path in paths:
        os.link(images / path.name, path)
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("image_id", "dx", "lesion_id"))
        for group, of_lesion in groupby(views, key=lambda view: view[0]):
            label = lesion_factors(SEED, group)["label"]
            table.writerows((image_name(view), label, f"lesion-{group:05d}") for view in of_lesion)
    return [str(path) for path in paths]


def read_all(paths: Sequence[str]) -> None:
    """Read files once, so that they lie in the page cache for whoever reads them next."""
    for path in paths:
        Path(path).read_bytes()
