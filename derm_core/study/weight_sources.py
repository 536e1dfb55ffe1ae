"""Where weights come from: the sources of a study's arms against its split, and the training of published models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..arms import arm_kind, is_from_elsewhere
from ..bundles.card import Card
from ..bundles.model_library import find_bundle, verify_bundle
from ..config import StudyConfig, to_dict
from ..config.shared import UsedMarks
from ..data.known_datasets import cited_set
from ..data.manifest import Dataset, load_dataset
from ..data.used_images import used_images
from ..data.used_marks import left_out_ids
from ..errors import DataError, DermError, RunError
from ..files import read_json
from ..formatting import count
from ..records import from_json
from ..workspace import Workspace
from .arms import Arm
from .study_data import StudyData


def check_sources(
    config: StudyConfig, workspace: Workspace, data: StudyData, arms: list[Arm]
) -> list[str]:
    """Notes on weights made from other data, at another size or on another split.

    Raises:
        RunError: where a VAE was pretrained on another split of the same dataset: its training
            images may be this study's test images.
    """
    notes = []
    infos = [part.info for arm in arms for part in arm.parts]
    for run_id in sorted({info["run"] for info in infos if "run" in info}):
        card = read_json(workspace.run(run_id).vae)
        notes += _check_vae(config, data, f"The VAE of {run_id}", card)
    for name in sorted({info["extractor"] for info in infos if "extractor" in info}):
        bundle = verify_bundle(find_bundle(workspace, name))
        card = {**bundle.record, "config": bundle.config}
        public = cited_set(bundle.training_data.attribution)
        notes += _check_vae(config, data, f"The extractor {name}", card, public)
    notes += transductive(arms)
    bundles = {info["bundle"]: info for info in infos if "bundle" in info}
    for name, info in sorted(bundles.items()):
        notes += _check_bundle(config, data, name, info)
    return notes


def named_weights(config: StudyConfig, arms: list[Arm]) -> dict[str, dict[str, str]]:
    """{arm: file and SHA-256} of vectors, files and models that a study knows by names, which others can get later."""
    parts = {part.name: part.info for arm in arms for part in arm.parts}
    return {
        name: {key: str(info[key]) for key in ("file", "sha256") if info.get(key)}
        for name, info in sorted(parts.items())
        if name in config.parts and is_from_elsewhere(name) and arm_kind(name) != "run"
    }


def transductive(arms: list[Arm]) -> list[str]:
    """A sentence for every arm whose VAE was pretrained on validation and test images as well."""
    return [
        f"{arm.label} is transductive: its VAE saw the pixels, not the labels, of validation and test images. "
        "It cannot speak of images that are yet to come."
        for arm in arms
        if any(part.info.get("transductive") for part in arm.parts)
    ]


def _check_vae(
    config: StudyConfig,
    data: StudyData,
    who: str,
    card: Mapping[str, Any],
    public: str | None = None,
) -> list[str]:
    """public: name of the public data set that the VAE was pretrained on, whatever the dataset was called."""
    notes, theirs, fingerprint = [], card["config"], card.get("dataset_fingerprint")
    same_content = fingerprint == data.dataset.fingerprint
    if card["dataset"] != config.dataset and not same_content and not _is_public(data, public):
        notes.append(f"{who} was pretrained on {card['dataset']}, not on {config.dataset}.")
    elif card["split_fingerprint"] != data.fingerprint:
        raise RunError(
            f"{who} was pretrained on another split of {config.dataset} ({_split_settings(theirs)}), so it may "
            f"have seen this study's test images ({_split_settings(to_dict(config))}): use the same values, or "
            "pretrain again."
        )
    else:
        notes += _check_marks(config, data, who, theirs.get("marks"))
    if theirs["input_size"] != config.input_size:
        notes.append(
            f"{who} was pretrained at {theirs['input_size']} px; this study reads "
            f"{config.input_size} px."
        )
    return notes


def _check_marks(
    config: StudyConfig, data: StudyData, who: str, marks: Mapping[str, Any] | None
) -> list[str]:
    """Images that the study leaves out and the VAE may have seen, or the other way round.

    marks: of the VAE's config.
    """
    paths, used = data.dataset.paths, from_json(UsedMarks, marks) if marks else None
    if used == config.marks:
        return []
    own = left_out_ids(paths, config.marks)
    try:
        theirs = left_out_ids(paths, used)
    except DataError:
        return [f"{who} was pretrained {used}; which images these are is not known here."]
    notes = []
    if seen := len(own - theirs):
        notes.append(
            f"{who} may have seen the pixels, never the labels, of {count(seen, 'image')} that this study leaves "
            "out as marked: it was pretrained without these marks."
        )
    if unseen := len(theirs - own):
        notes.append(
            f"{who} was pretrained {used}: it has not seen {count(unseen, 'image')} that this study uses."
        )
    return notes


def _is_public(data: StudyData, public: str | None) -> bool:
    """Whether a study's dataset was recognised as this public data set."""
    return public is not None and data.dataset.info.known_as == public


def _split_settings(config: Mapping[str, Any]) -> str:
    """The settings that decide a split, as a config of any version has them."""
    former = {"splits": "grouped", "draw": "before_split"}
    names = ("split_seed", "splits", "max_images", *(["draw"] if config["max_images"] else []))
    return ", ".join(f"{name} {config.get(name, former.get(name))}" for name in names)


def _check_bundle(
    config: StudyConfig, data: StudyData, name: str, info: Mapping[str, Any]
) -> list[str]:
    trained_on, fingerprint = info["training_data"].get("dataset"), info["split"].get("fingerprint")
    public = cited_set(info["training_data"].get("attribution"))
    same_data = trained_on == config.dataset or _is_public(data, public)
    if same_data and fingerprint != data.fingerprint:
        return [
            f"The model {name} was trained with labels on another split of {config.dataset}: it may have seen this "
            "study's test images, and its numbers here may be too good."
        ]
    if fingerprint == data.fingerprint:
        return [
            f"The backbone of {name} was trained with the labels of this training split; that of the VAE was not."
        ]
    note = f"The backbone of {name} was trained with labels on {trained_on or 'other data'}."
    if data.dataset.info.layout != "synthetic":
        note += (
            f" Where {config.dataset} holds images of it under another name, they may be among this study's test "
            "images."
        )
    return [note]


@dataclass(frozen=True)
class Origin:
    """What is known of a model's training.

    Args:
        rows: of the manifest, those it was trained or chosen on; None where that dataset is not in
            this workspace.
        dataset: its name.
        shares: (C,) of the classes; None where they are not known.
    """

    rows: pd.DataFrame | None
    dataset: str
    shares: np.ndarray | None


def origin(workspace: Workspace, dataset: Dataset, card: Card) -> Origin:
    """What this workspace knows of the data behind a card; its split is sought in `dataset` and the one it names."""
    trained_on, fingerprint = str(card.training_data.dataset), str(card.split.fingerprint)
    for name in dict.fromkeys((dataset.name, trained_on)):
        try:
            source = dataset if name == dataset.name else load_dataset(workspace, name)
            used = used_images(source, card.split.rule)
        except DermError:
            continue
        if used.fingerprint(source) == fingerprint:
            labels = source.labels[used.members("train")]
            counts = np.bincount(labels[labels >= 0], minlength=len(source.classes))
            same = list(source.classes) == list(card.classes) and not card.split.marks
            shares = counts / counts.sum() if same else _shares(card)
            learnt = source.frame.iloc[np.setdiff1d(used.rows, used.members("test"))]
            return Origin(learnt, name, shares)
    return Origin(None, trained_on, _shares(card))


def _shares(card: Card) -> np.ndarray | None:
    """Class shares (C,) of a model's training; of its own test split, drawn in these shares, on older cards."""
    if card.class_shares:
        return np.array([card.class_shares[name] for name in card.classes])
    counts = {row["class"]: row["n"] for row in card.per_class or []}
    n = np.array([counts.get(name, 0) for name in card.classes], float)
    return n / n.sum() if n.all() else None
