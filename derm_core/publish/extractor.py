"""From a finished pretraining to an extractor in the library: the VAE itself, with what its card must say."""

from __future__ import annotations

import copy
import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..bundles.bundle import ExtractorBundle, load_extractor, save_bundle
from ..bundles.card import SCHEMA, Card
from ..bundles.card_parts import TrainingData
from ..config import PretrainConfig, from_dict, to_dict
from ..config.recipes import RECIPES, describe
from ..data.manifest import DatasetInfo, load_dataset
from ..data.official_split import OfficialSplit, describe_official
from ..errors import BundleError, NotFound, RunError
from ..files import read_json
from ..nets.vae import VAE, load_vae
from ..records import from_json
from ..study.features import finish
from ..training.pretrain import PretrainingData, load_data
from ..workspace import RunFiles, Workspace, check_id
from . import provenance
from .classifier_card import vae_size
from .extractor_statistics import measure
from .placement import place, published_hash

RECORD = (
    "dataset",
    "dataset_fingerprint",
    "split_seed",
    "splits",
    "official",
    "split_fingerprint",
    "images",
    "transductive",
    "pretrained_on",
)


def publish_extractor(
    workspace: Workspace, run_id: str, name: str, *, shelf: str | Path | None = None
) -> Path:
    """Publish the VAE of a finished pretraining as extractor `name`.

    Everything on the card is measured after the rounding to float16, on training and validation images; test images are
    not used.

    Args:
        workspace: the run's.
        run_id: of the pretraining.
        name: of the bundle.
        shelf: folder of bundles; default: the workspace's.

    Returns:
        The bundle's folder.

    Raises:
        NotFound: there is no such run.
        RunError: it is not a finished pretraining.
        BundleError: the name is taken, or the dataset changed.
    """
    check_id(name, "model name")
    target = Path(shelf or workspace.models) / name
    published_hash(workspace, name, target)
    run = workspace.run(run_id)
    config, vae, meta = _finished(run)
    material = _material(workspace, config, meta, run_id)
    rounded = _rounded(vae)
    info = load_dataset(workspace, config.dataset).info
    card = _card(config, meta, info, run_id, name, vae)
    measured = measure(ExtractorBundle(name, target, card, rounded), vae, material, config.seed)
    card = replace(card, **vars(measured))
    if measured.memorisation.copies:
        warning = (
            f"{measured.memorisation.copies} of {measured.memorisation.samples} images drawn from it are near-copies "
            "of training images: whoever has it may see them."
        )
        card = replace(card, limits=(*card.limits, warning))

    def make(folder: Path) -> None:
        save_bundle(folder, rounded, card)
        load_extractor(folder)

    place(target, make)
    return target


def _finished(run: RunFiles) -> tuple[PretrainConfig, VAE, dict[str, Any]]:
    """Config, weights and sidecar of a pretraining that came to its end."""
    if not run.config.exists():
        raise NotFound(
            f"There is no run {run.id} in this workspace; `runs list --kind pretrain` shows those there are."
        )
    config = from_dict(read_json(run.config))
    if not isinstance(config, PretrainConfig):
        raise RunError(
            f"{run.id} is a {config.kind}; an extractor is published from a pretraining, a model from a study "
            "with --arm."
        )
    if config.fold:
        raise RunError(
            f"{run.id} belongs to a comparison in folds, which measures a recipe; publish a pretraining of one "
            "split."
        )
    if not run.vae.exists():
        raise RunError(f"The pretraining {run.id} is not finished; wait for it, or resume it.")
    return config, *load_vae(run.artefacts)


def _material(
    workspace: Workspace, config: PretrainConfig, meta: Mapping[str, Any], run_id: str
) -> PretrainingData:
    """The pretraining's images, split as they were. Raises BundleError where the dataset is another one now."""
    material = finish(load_data(config, workspace))
    same = ("dataset_fingerprint", "split_fingerprint")
    if any(material.record[key] != meta.get(key) for key in same):
        raise BundleError(
            f"The dataset {config.dataset} is not the one {run_id} saw: its content or split is another. "
            "Put the old images back, or repeat the pretraining."
        )
    return material


def _rounded(vae: VAE) -> VAE:
    """The VAE as it will be read back: matrices and kernels rounded to float16."""
    rounded = copy.deepcopy(vae)
    with torch.no_grad():
        for tensor in rounded.state_dict().values():
            if tensor.ndim > 1 and tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    return rounded.eval()


def _card(
    config: PretrainConfig,
    meta: Mapping[str, Any],
    info: DatasetInfo,
    run_id: str,
    name: str,
    vae: VAE,
) -> Card:
    """The card but for what is measured. meta: the VAE's sidecar. info: the dataset's dataset.json."""
    data, recipe = provenance.training_data(info, config.dataset), config.recipe
    described = (
        describe(recipe.name)
        if recipe.name in RECIPES
        else "A variant of a named recipe; the config says every value."
    )
    return Card(
        schema=SCHEMA,
        kind="extractor",
        name=name,
        label=f"VAE of recipe {recipe.name}",
        run=run_id,
        created=time.strftime("%Y-%m-%d", time.gmtime()),
        architecture=meta["architecture"],
        stage=meta["stage"],
        model_args=dict(meta["model_args"]),
        features=vae.backbone.width,
        decoder=vae_size(vae),
        input_size=config.input_size,
        preprocessing=provenance.preprocessing(),
        mean=tuple(meta["mean"]),
        std=tuple(meta["std"]),
        training_data=data,
        labels_used=False,
        config=to_dict(config),
        record={key: meta[key] for key in RECORD if key in meta},
        metrics=meta.get("metrics", {}),
        recipe=described,
        commands=tuple(_commands(config, info, run_id, name)),
        versions=provenance.versions(),
        intended_use=provenance.INTENDED_USE,
        limits=(*_limits(data, config), *_split_note(meta)),
        license=provenance.weights_license(data),
    )


def _commands(config: PretrainConfig, info: DatasetInfo, run_id: str, name: str) -> list[str]:
    """The command lines that repeat this extractor where its recipe is a named one; the config holds every value."""
    options = {
        "dataset": shlex.quote(config.dataset),
        "recipe": config.recipe.name if config.recipe.name in RECIPES else "RECIPE",
        "epochs": config.recipe.epochs,
        "batch-size": config.recipe.batch_size,
        "architecture": config.backbone.architecture,
        "stage": config.backbone.stage,
        "input-size": config.input_size,
        "split-seed": config.split_seed,
        "seed": config.seed,
    }
    if config.max_images:
        options |= {"max-images": config.max_images, "draw": config.draw}
    if config.splits != "grouped":
        options["splits"] = config.splits
    pretrain = " ".join(f"--{option} {value}" for option, value in options.items())
    return [
        provenance.import_command(info, config.dataset),
        f"{provenance.PROGRAM} pretrain {pretrain}"
        + (" --transductive" if config.images == "all" else "")
        + (" --marks" if config.marks else ""),
        f"{provenance.PROGRAM} models publish {run_id} --name {name}",
    ]


def _split_note(meta: Mapping[str, Any]) -> list[str]:
    """What crosses the official split, where the pretraining used it."""
    if not meta.get("official"):
        return []
    return [describe_official(from_json(OfficialSplit, meta["official"], unknown="ignore"))]


def _limits(data: TrainingData, config: PretrainConfig) -> tuple[str, ...]:
    seen = (
        "the pixels, not the labels, of all images of the dataset, those of its test split among them"
        if config.images == "all"
        else "the images of the dataset's training split alone, without labels"
    )
    seen += f", {config.marks}" if config.marks else ""
    return (
        "Research use only. Not for diagnosis.",
        "Gives features, not classes: whatever is trained on them needs a validation of its own.",
        f"Has seen {seen}, at {config.input_size} px; other cameras, skin types and sites may be served worse, and "
        "this was not measured.",
        f"Its figures are of the validation split of {data.dataset} and of one pretraining; another dataset's are "
        "others.",
    )
