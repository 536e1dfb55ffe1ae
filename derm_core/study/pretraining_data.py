"""Has a pretraining seen a dataset? From its record, or from what is said of it; needs no network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ..data.known_datasets import ARRAY_SETS, TABLE_SETS, share_an_archive
from ..data.manifest import Dataset
from ..nets.corpora import corpora_in

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


def seen_in_training(training: Training, dataset: Dataset, split: str) -> Seen:
    """From what weights of ours were trained on; split: the fingerprint of the split that tests."""
    name = known_name(dataset)
    if training.split == split:
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
