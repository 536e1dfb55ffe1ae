"""Test images for a report, where they are asked for: small, inside the page, with what the arms called them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.decode import read_image
from ..data.manifest import load_dataset
from ..errors import DermError, NotFound
from ..seeds import stream_seed
from ..workspace import RunFiles, Workspace
from . import tables

PIXELS = 144


def test_images(
    study: Mapping[str, Any], workspace: Workspace, folder: Path, count: int
) -> tuple[list[tuple[str, str]], str]:
    """([(data address, what it is and is called)], the images' terms) of up to `count` test images, at random.

    Raises NotFound where the dataset or the predictions are not here any more. Unreadable files are left out.
    """
    dataset = load_dataset(workspace, study["dataset"]["name"])
    try:
        table = pd.read_parquet(RunFiles(folder).predictions, filters=[("split", "==", "test")])
    except OSError as error:
        raise NotFound(
            f"The predictions of {study['run_id']} are gone, and with them which images were tested; "
            "make the report without images."
        ) from error
    called = _called(study, table)
    labels = table.drop_duplicates("image_id").set_index("image_id")["label"]
    rows = dataset.frame.reset_index(drop=True).set_index("image_id")
    known = [image for image in labels.index if image in rows.index]
    shown = []
    for image in np.random.default_rng(stream_seed(0, "report images")).permutation(
        np.array(known, dtype=object)
    )[:count]:
        try:
            pixels = read_image(rows.at[image, "path"], PIXELS)
        except (DermError, OSError):
            continue
        told = "; ".join(
            f"{tables.name(study, arm)}: {found[image]}" for arm, found in called.items()
        )
        shown.append((_address(pixels), f"{image} is {study['classes'][labels[image]]}. {told}"))
    terms = " · ".join(
        str(dataset.info[key]) for key in ("license", "citation") if dataset.info.get(key)
    )
    return shown, terms or "not stated by the dataset; ask its owner before you pass this file on."


def _called(study: Mapping[str, Any], table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Per arm what the mean over seeds calls each image."""
    columns = [f"p_{i}" for i in range(len(study["classes"]))]
    found = {}
    for arm in tables.arms(study):
        mean = table[table["arm"] == arm].groupby("image_id")[columns].mean()
        found[arm] = dict(zip(mean.index, (study["classes"][i] for i in mean.to_numpy().argmax(1))))
    return found


def _address(pixels: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=75)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
