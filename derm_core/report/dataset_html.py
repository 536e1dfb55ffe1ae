"""The report of an import as one HTML file that loads nothing.

    text = dataset_html(dataset)              a few small images of each class inside it
    text = dataset_html(dataset, images=0)    no image

It holds no script. jinja2 escapes names, values and sentences.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..data.audit import audit
from ..data.dataset_facts import dataset_facts
from ..data.decode import read_image
from ..data.manifest import Dataset
from ..data.splits import split_dataset
from ..errors import DermError
from ..formatting import NOTICE
from ..seeds import stream_seed
from .images import NO_TERMS, ReportImage
from .sections.dataset import dataset_sections
from .templating import rendered

PIXELS = 128
SAMPLES = 4  # of each class, unless another number is asked for
MOST_CLASSES = 40  # of which samples are drawn
NO_LABEL = "no label"


@dataclass(frozen=True)
class ClassSamples:
    """Images of one class, drawn at random; total: how many it has."""

    name: str
    total: int
    images: tuple[ReportImage, ...]


def dataset_html(dataset: Dataset, *, images: int = SAMPLES) -> str:
    """The report of an import: counts, sample images, cautions, audit and data statement.

    Args:
        dataset: as it was imported.
        images: of each class, small, inside the file. They may be personal data, and the file says
            so; with 0 there is none.
    """
    facts = dataset_facts(dataset)
    split = split_dataset(dataset.labels, dataset.groups, 0)
    terms = " · ".join(filter(None, (facts.license, facts.citation)))
    samples = class_samples(dataset, images) if images > 0 else []
    return rendered(
        "dataset.html",
        title=f"Dataset {dataset.name}",
        notice=NOTICE,
        fingerprint=dataset.fingerprint,
        sections=dataset_sections(facts, audit(dataset, split)),
        samples=samples,
        image_count=sum(len(one.images) for one in samples),
        terms=terms or NO_TERMS,
    )


def class_samples(dataset: Dataset, images: int) -> list[ClassSamples]:
    """Up to `images` readable images of each class, and of those without one, drawn at random."""
    rng = np.random.default_rng(stream_seed(0, "samples of classes"))
    samples = []
    for code, name in [*enumerate(dataset.classes), (-1, NO_LABEL)][:MOST_CLASSES]:
        rows = rng.permutation(np.flatnonzero(dataset.labels == code))
        drawn = [_sample(dataset, row, name) for row in rows[:images]]
        if len(rows):
            readable = tuple(image for image in drawn if image)
            samples.append(ClassSamples(name, len(rows), readable))
    return samples


def _sample(dataset: Dataset, row: int, label: str) -> ReportImage | None:
    """An image as a small JPEG; None where its file is gone or cannot be read."""
    try:
        pixels = read_image(dataset.frame["path"].iloc[row], PIXELS)
    except (DermError, OSError):
        return None
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    address = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return ReportImage(address, label)
