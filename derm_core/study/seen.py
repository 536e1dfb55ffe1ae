"""Has an extractor seen the images that a study tests? "yes", "no" or "unknown", and why.

yes      its pretraining used this dataset on another split, or a dataset of the same archive
no       it used none: collections that are known image by image and nothing else, made-up images,
         this study's own training images alone
unknown  images of the open web or of companies, anything else that is named, or nothing is stated

A model of the library was trained several times: what any of these trainings saw counts. What an arm
of the study's own pretraining has seen is fixed by the split, and said where a VAE is transductive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bundles.model_library import find_bundle, verify_bundle
from ..errors import DataError
from ..files import read_json
from ..nets.backbone import Extractor
from ..nets.pretrained_sources import NOT_STATED
from ..records import from_json
from ..workspace import Workspace
from .arms import Arm
from .pretraining_data import (
    UNTRAINED,
    Seen,
    Stage,
    Training,
    in_words,
    names_in,
    seen_in_stages,
    together,
)
from .study_data import StudyData
from .training_history import stages_of_card, stages_of_record


def stages_of(part: Extractor, workspace: Workspace) -> tuple[Stage, ...]:
    """The trainings behind an extractor, the earliest first; none of a network that was not trained."""
    info = part.info
    if part.name in UNTRAINED:
        return ()
    if name := info.get("bundle") or info.get("extractor"):
        return stages_of_card(verify_bundle(find_bundle(workspace, name)), workspace)
    if "run" in info:
        return stages_of_record(read_json(workspace.run(info["run"]).vae))
    if "sources" in info:
        return tuple(map(_of_source, info["sources"]))
    about = str(info.get("pretrained_on") or NOT_STATED)
    return (Stage(about, names=names_in(part.name, str(info.get("file") or ""))),)


def pretraining_of_part(part: Extractor, workspace: Workspace) -> str:
    """What an extractor was pretrained on: "nothing", "ham10000, without labels", "ImageNet-1k (a1_in1k)"."""
    if "sources" in part.info:  # of networks side by side
        return str(part.info.get("pretrained_on") or NOT_STATED)
    return in_words(stages_of(part, workspace))


def seen_by(arm: Arm, data: StudyData, workspace: Workspace) -> Seen:
    """Whether one of an arm's extractors has seen images of the dataset that the study may test."""
    return together({_seen_by_part(part, data, workspace) for part in arm.parts})


def _seen_by_part(part: Extractor, data: StudyData, workspace: Workspace) -> Seen:
    stages = stages_of(part, workspace)
    if "sources" in part.info:  # who brought them may have trained on images that were made here
        return together({stage.seen(data.dataset, data.fingerprint) for stage in stages})
    return seen_in_stages(stages, data.dataset, data.fingerprint)


def _of_source(source: Mapping[str, Any]) -> Stage:
    """Of one training behind brought vectors, from what is stated of it alone: file names say nothing."""
    training = source.get("training")
    return Stage(
        str(source.get("pretrained_on") or NOT_STATED),
        from_json(Training, training, error=DataError) if training else None,
        str(source.get("names") or ""),
    )
