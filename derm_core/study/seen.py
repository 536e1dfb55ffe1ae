"""Has an extractor seen the images that a study tests? "yes", "no" or "unknown", and why.

yes      its pretraining used this dataset on another split, or a dataset of the same archive
no       it used none: collections that are known image by image, made-up images, this study's own
         training images alone
unknown  images of the open web or of companies, or nothing is stated

What an arm of the study's own pretraining has seen is fixed by the split, and said where a VAE is
transductive.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from ..bundles.model_library import find_bundle, verify_bundle
from ..data.embeddings import NOTHING
from ..errors import DataError
from ..files import read_json
from ..nets.backbone import Extractor
from ..records import from_json
from ..workspace import Workspace
from .arms import Arm
from .pretraining_data import UNTRAINED, Seen, Training, seen_in, seen_in_training
from .study_data import StudyData


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
        return seen_in_training(training, data.dataset, data.fingerprint)
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
        record = from_json(Training, training, error=DataError)
        return seen_in_training(record, data.dataset, data.fingerprint)
    about = str(source.get("pretrained_on") or "")
    return "no" if about == NOTHING else seen_in(about, data.dataset)
