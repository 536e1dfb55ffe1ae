"""The trainings behind weights of ours, one after the other, from records and cards; needs no torch.

A classifier of the library was trained on its dataset, and before that its backbone on others: on
ImageNet, by a VAE, or as part of another published model. What any of them saw, the model has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..bundles.card import Card
from ..bundles.model_library import find_bundle, verify_bundle
from ..config import PretrainConfig, from_dict
from ..data.known_datasets import cited_set
from ..data.used_images import SplitRule
from ..errors import DermError
from ..nets.pretrained_sources import NOT_STATED
from ..workspace import Workspace
from .pretraining_data import Stage, Training, names_in, stage_of

LONGEST = 20  # models, each of which started from another


def stages_of_record(record: Mapping[str, Any], known_as: str = "") -> tuple[Stage, ...]:
    """Of a pretraining, from the record beside its weights; known_as: the public data set that its dataset is."""
    training = Training(
        dataset=str(record.get("dataset") or ""),
        fingerprint=str(record.get("dataset_fingerprint") or ""),
        split=str(record.get("split_fingerprint") or ""),
        transductive=bool(record.get("transductive")),
        known_as=known_as,
    )
    return (stage_of(training),)


def stages_of_card(card: Card, workspace: Workspace, depth: int = 0) -> tuple[Stage, ...]:
    """Of a model of the library, the earliest first.

    Args:
        card: of the model.
        workspace: in whose library the model is looked for from which it started.
        depth: how many models that started from this one were followed here.
    """
    data = card.training_data
    known_as = cited_set(data.attribution) or ""
    if card.kind == "extractor":
        return stages_of_record(card.record, known_as)
    split = card.split.fingerprint or ""
    own = Training(dataset=data.dataset or "", split=split, labels=True, known_as=known_as)
    return (*_initial(card, workspace, depth), stage_of(own))


def _initial(card: Card, workspace: Workspace, depth: int) -> tuple[Stage, ...]:
    """Of the weights from which a classifier started."""
    initial = card.initial_weights
    kind, name = initial.get("kind"), str(initial.get("bundle") or "")
    if kind == "random":
        return ()
    if kind == "vae":
        return (stage_of(_of_vae(card)),)
    if kind == "bundle" and depth < LONGEST:
        try:
            start = verify_bundle(find_bundle(workspace, name))
        except DermError:
            start = None
        if start and start.sha256 == initial.get("sha256"):
            return stages_of_card(start, workspace, depth + 1)
        known = replace(_named(initial), labels=True)
        return (Stage(NOT_STATED, names=name), *([stage_of(known)] if known.dataset else []))
    file = names_in(card.arm, str(initial.get("file") or ""))
    return (Stage(str(initial.get("pretrained_on") or NOT_STATED), names=file),)


def _of_vae(card: Card) -> Training:
    """What the VAE saw from which a classifier started: the same split where both are drawn by one rule."""
    config = card.initial_weights.get("config") or {}
    named = _named(card.initial_weights)
    try:
        pretrain = from_dict(dict(config), PretrainConfig)
    except DermError:
        return named
    same_data = named.dataset == card.training_data.dataset
    same = same_data and _drawn(pretrain) == _of_split(card)
    return replace(
        named,
        split=(card.split.fingerprint or "") if same else "",
        transductive=pretrain.images == "all",
    )


def _drawn(config: PretrainConfig) -> tuple[Any, ...]:
    """What decides the split of a pretraining, whatever is marked."""
    return (*_parts_of(SplitRule.of(config)), config.fold)


def _of_split(card: Card) -> tuple[Any, ...]:
    return (*_parts_of(card.split.rule), None)


def _parts_of(rule: SplitRule) -> tuple[Any, ...]:
    drawn = (rule.max_images, rule.draw) if rule.max_images else ()
    return (rule.seed, rule.splits, *drawn)


def _named(initial: Mapping[str, Any]) -> Training:
    """A training on the dataset that initial weights name, of which nothing else is known."""
    data = initial.get("data") or {}
    known_as = cited_set(data.get("attribution")) or ""
    return Training(str(data.get("dataset") or ""), known_as=known_as)
