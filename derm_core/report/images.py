"""Test images for a report, where they are wanted: small, inside the file, with what each arm decided."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ..data.decode import read_image
from ..data.manifest import load_dataset
from ..errors import DermError, NotFound
from ..seeds import stream_seed
from ..study.study_result import StudyResult
from ..workspace import RunFiles, Workspace
from .sections.parts import styles

PIXELS = 144
NO_TERMS = "not stated by the dataset; ask its owner before you pass this file on."


@dataclass(frozen=True)
class ReportImage:
    """address: the image itself as a data address; caption: what it is, and each arm's decision."""

    address: str
    caption: str


def report_images(
    result: StudyResult, workspace: Workspace, run_folder: Path, count: int
) -> tuple[list[ReportImage], str]:
    """Up to `count` test images drawn at random, and the terms of the dataset.

    Unreadable files are left out.

    Raises:
        NotFound: the dataset or the predictions are gone.
    """
    dataset = load_dataset(workspace, result.dataset.name)
    try:
        table = pd.read_parquet(RunFiles(run_folder).predictions, filters=[("split", "==", "test")])
    except OSError as error:
        raise NotFound(
            f"The predictions of {result.run_id} are gone, and with them which images were tested; "
            "make the report without images."
        ) from error
    decisions = _decisions(result, table)
    labels = table.drop_duplicates("image_id").set_index("image_id")["label"]
    rows = dataset.frame.reset_index(drop=True).set_index("image_id")
    known = np.array([image for image in labels.index if image in rows.index], dtype=object)
    images = []
    for image in np.random.default_rng(stream_seed(0, "report images")).permutation(known)[:count]:
        try:
            pixels = read_image(rows.at[image, "path"], PIXELS)
        except (DermError, OSError):
            continue
        decided = "; ".join(f"{arm}: {classes[image]}" for arm, classes in decisions.items())
        caption = f"{image} is {result.classes[labels[image]]}. Most probable class: {decided}"
        images.append(ReportImage(_data_address(pixels), caption))
    terms = " · ".join(filter(None, (dataset.info.license, dataset.info.citation)))
    return images, terms or NO_TERMS


def _decisions(result: StudyResult, table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """{arm: {image: its most probable class, mean over seeds}}."""
    columns = [f"p_{i}" for i in range(len(result.classes))]
    decisions = {}
    for arm, style in styles(result).items():
        mean = table[table["arm"] == arm].groupby("image_id")[columns].mean()
        classes = [result.classes[i] for i in mean.to_numpy().argmax(1)]
        decisions[style.name] = dict(zip(mean.index, classes, strict=True))
    return decisions


def _data_address(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=75)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
