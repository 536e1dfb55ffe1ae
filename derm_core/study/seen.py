"""Has an extractor seen the images that a study tests? "yes", "no" or "unknown", and why.

yes      its pretraining used this dataset on another split, or a dataset of the same archive
no       it used none: collections that are known image by image, made-up images, this study's own
         training images alone
unknown  images of the open web or of companies, or nothing is stated

What an arm of the study's own pretraining has seen is fixed by the split, and said where a VAE is
transductive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, Literal

from ..bundles.model_library import find_bundle, verify_bundle
from ..data.embeddings import NOTHING
from ..data.known_datasets import ARRAY_SETS, TABLE_SETS, share_an_archive
from ..data.manifest import Dataset
from ..errors import DataError
from ..files import read_json
from ..nets.backbone import Extractor
from ..nets.corpora import corpora_in
from ..records import from_json
from ..workspace import Workspace
from .arms import Arm
from .study_data import StudyData

Seen = Literal["yes", "no", "unknown"]
OF_ARCHIVE = re.compile(
    r"ham ?-?10000|isic|bcn ?-?20000"
)  # in a name or description, in lower case
UNTRAINED = ("random", "scratch", "colour", "metadata")


@dataclass(frozen=True)
class Training:
    """What weights of ours were trained on; fingerprints are empty where they were not recorded.

    Args:
        dataset: its name.
        fingerprint: of its content.
        split: fingerprint of the split whose training images were used.
        labels: whether labels were used.
        transductive: whether validation and test images were used as well.
    """

    dataset: str
    fingerprint: str = ""
    split: str = ""
    labels: bool = False
    transductive: bool = False

    def __str__(self) -> str:
        return f"{self.dataset or 'data that is not stated'}, {'with' if self.labels else 'without'} labels"


def training_of(part: Extractor, workspace: Workspace) -> Training | None:
    """What a run's or bundle's weights were trained on; None of weights from elsewhere."""
    info = part.info
    if "bundle" in info:
        trained, split = info["training_data"], info["split"]
        return Training(
            dataset=str(trained.get("dataset") or ""),
            split=str(split.get("fingerprint") or ""),
            labels=True,
            transductive=bool(info.get("transductive")),
        )
    if "run" in info:
        record = read_json(workspace.run(info["run"]).vae)
    elif "extractor" in info:
        record = verify_bundle(find_bundle(workspace, info["extractor"])).record
    else:
        return None
    return Training(
        dataset=str(record.get("dataset") or ""),
        fingerprint=str(record.get("dataset_fingerprint") or ""),
        split=str(record.get("split_fingerprint") or ""),
        transductive=bool(record.get("transductive")),
    )


def pretraining_of_part(part: Extractor, workspace: Workspace) -> str:
    """What an extractor was pretrained on: "nothing", "ham10000, without labels", "ImageNet-1k (a1_in1k)"."""
    if part.name in UNTRAINED:
        return NOTHING
    training = training_of(part, workspace)
    return str(training or part.info.get("pretrained_on") or "not stated")


def seen_by(arm: Arm, data: StudyData, workspace: Workspace) -> Seen:
    """Whether one of an arm's extractors has seen images of the dataset that the study may test."""
    return _together({_seen_by_part(part, data, workspace) for part in arm.parts})


def _together(answers: Set[Seen]) -> Seen:
    if "yes" in answers:
        return "yes"
    return "unknown" if "unknown" in answers else "no"


def _seen_by_part(part: Extractor, data: StudyData, workspace: Workspace) -> Seen:
    if part.name in UNTRAINED:
        return "no"
    if training := training_of(part, workspace):
        return _seen_in_training(training, data)
    if "sources" in part.info:
        return _together({_seen_by_source(source, data) for source in part.info["sources"]})
    seen = seen_in(
        f"{part.info.get('pretrained_on', '')} {part.name} {part.info.get('file', '')}",
        data.dataset,
    )
    drawn_here = data.dataset.info.layout == "synthetic"
    return "no" if drawn_here and seen == "unknown" else seen


def _seen_by_source(source: Mapping[str, Any], data: StudyData) -> Seen:
    """Of one extractor behind brought vectors, from what is stated of it alone: file names say nothing."""
    if training := source.get("training"):
        return _seen_in_training(from_json(Training, training, error=DataError), data)
    about = str(source.get("pretrained_on") or "")
    return "no" if about == NOTHING else seen_in(about, data.dataset)


def _seen_in_training(training: Training, data: StudyData) -> Seen:
    dataset, name = data.dataset, known_name(data.dataset)
    if training.split == data.fingerprint:
        return "yes" if training.transductive else "no"
    if training.dataset == dataset.name or training.fingerprint == dataset.fingerprint:
        return "yes"
    if share_an_archive(training.dataset, name):
        return "yes"
    made_up = training.dataset.startswith("synth") or dataset.info.layout == "synthetic"
    return "no" if made_up or {_letters(training.dataset), _letters(name)} <= PUBLIC else "unknown"


def seen_in(about: str, dataset: Dataset) -> Seen:
    """From a description of a pretraining: what it names decides.

    >>> from types import SimpleNamespace as Record
    >>> info = Record(layout="table", imported=None)
    >>> ham = Record(name="ham10000", info=info)
    >>> [seen_in(text, ham) for text in ("ImageNet-1k", "LAION and ImageNet-1k", "ISIC 2019", "")]
    ['no', 'unknown', 'yes', 'unknown']
    """
    text, name = about.lower(), known_name(dataset)
    if len(_letters(name)) > 3 and _letters(name) in _letters(text):
        return "yes"
    if OF_ARCHIVE.search(text) and share_an_archive(name, "HAM10000"):
        return "yes"
    named = corpora_in(about)
    return "no" if named and all(corpus.listed for corpus in named) else "unknown"


def known_name(dataset: Dataset) -> str:
    """The public data set that a dataset is, else its own name."""
    imported = dataset.info.imported
    return (imported.known_as if imported else None) or dataset.name


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


PUBLIC = {_letters(known.name) for known in (*TABLE_SETS, *ARRAY_SETS)}
