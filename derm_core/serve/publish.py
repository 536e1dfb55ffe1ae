"""From a finished study to a bundle on the shelf: one arm, one seed, with all that its card must say."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import StudyConfig, from_dict, to_dict
from ..data.manifest import load_dataset
from ..data.priority import describe_map, descriptions
from ..errors import BundleError, NotFound, RunError
from ..events import jsonable
from ..files import read_json
from ..seeds import stream_seed
from ..workspace import RunPaths, Workspace, check_id
from . import provenance
from .bundle import find_bundle, load_bundle, save_bundle
from .calibrate import fit_temperature
from .card import SCHEMA
from .predictor import Predictor

if TYPE_CHECKING:
    from ..nets.head import Classifier

CHECKED_IMAGES = 48
TOLERANCE = 0.02   # mean absolute difference of probabilities after rounding to float16


def publish(workspace: Workspace, run_id: str, arm: str, name: str, *, shelf: str | Path | None = None,
            seed: int = 0) -> Path:
    """Put the classifier of `arm` and `seed` of study `run_id` on a shelf as bundle `name`; returns its folder.

    shelf: folder of bundles, default the workspace's. The temperature is fitted on validation
    predictions, and the stored bundle must repeat the study's own probabilities on validation images.
    Raises NotFound, RunError (not a finished study, no such arm or seed), BundleError.
    """
    check_id(name, "model name")
    target = Path(shelf or workspace.models) / name
    _check_free(workspace, name, target)
    run = workspace.run(run_id)
    config, study = _finished(run)
    entry = _arm_entry(study, arm, config, seed)
    if arm == "colour":
        raise BundleError("The colour histogram has no network to publish; publish another arm.")
    variants = entry["extractor"]["variants"]
    extractor = variants[config.seeds.index(seed) % len(variants)]
    if len(extractor) != 1:
        raise BundleError(f"The arm {arm} joins {len(extractor)} backbones; publish its parts, vae or imagenet, instead.")
    classifier = _classifier(workspace, run, config, study, arm, seed, extractor[0])
    decoder_info, decoder = _decoder(workspace, extractor[0])
    validation = _predictions(run, arm, seed, study["classes"])
    card = _card(workspace, config, study, entry, arm, name, seed, extractor[0], classifier)
    card |= {"decoder": decoder_info, "temperature": {
        **fit_temperature(validation["probabilities"], validation["labels"]), "fitted_on": "validation"}}
    _put(target, classifier, jsonable(card), decoder, lambda folder: _check_same(workspace, config, folder, validation))
    return target


def _put(target: Path, classifier: Classifier, card: dict, decoder: dict | None, check: Callable[[Path], None]) -> None:
    """Write and check the bundle beside the shelf's others, then move it there: a kill leaves none, or a whole one."""
    staging = target.parent / f".{target.name}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        save_bundle(staging / target.name, classifier, card, decoder)
        check(staging / target.name)
        os.rename(staging / target.name, target)
    except OSError as error:
        raise BundleError(f"The model {target.name} cannot be put on the shelf ({error.strerror}); nothing was published. "
                          "Check permissions and free disk space.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_free(workspace: Workspace, name: str, target: Path) -> None:
    try:
        taken = find_bundle(workspace, name)
    except NotFound:
        taken = target if target.exists() else None
    if taken:
        raise BundleError(f"A model {name} is already on the shelf ({taken.parent.name}/{name}); choose another name, "
                          "or delete that one first.")


def _finished(run: RunPaths) -> tuple[StudyConfig, dict]:
    """Config and results of a study that came to its end."""
    if not run.config.exists():
        raise NotFound(f"There is no run {run.id} in this workspace; `runs list` shows those there are.")
    config = from_dict(read_json(run.config))
    if not isinstance(config, StudyConfig):
        raise RunError(f"{run.id} is a {config.kind}; models are published from a study.")
    if config.folds:
        raise RunError(f"{run.id} belongs to a comparison in folds, which measures a recipe; models are published from a study "
                       "of one split.")
    try:
        return config, read_json(run.artefacts / "study.json")
    except FileNotFoundError:
        raise RunError(f"The study {run.id} is not finished; wait for it, or resume it.") from None


def _arm_entry(study: dict, arm: str, config: StudyConfig, seed: int) -> dict:
    if arm not in study["arms"]:
        raise RunError(f"The study has no arm {arm!r}; it has {', '.join(study['arms'])}.")
    if seed not in config.seeds:
        raise RunError(f"The study has no seed {seed}; it has {', '.join(map(str, config.seeds))}.")
    if config.pooling != "pooled":
        raise BundleError(f"This study used other features ({config.pooling}); only pooled ones can be published.")
    return study["arms"][arm]


def _classifier(workspace: Workspace, run: RunPaths, config: StudyConfig, study: dict, arm: str, seed: int,
                extractor: dict) -> Classifier:
    """The trained classifier of either regime, in eval mode."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from ..config import BackboneConfig
    from ..nets.backbone import build_backbone
    from ..nets.head import Classifier, make_head
    from ..study.arms import arm_file

    stem = arm_file(arm)
    try:
        if study["arms"][arm].get("regime", config.regime) == "finetune":
            state = load_file(run.artefacts / "models" / f"{stem}-seed{seed}.safetensors")
            backbone = build_backbone(BackboneConfig(architecture=extractor["architecture"], stage=extractor["stage"]),
                                      0, _model_args(workspace, extractor))
        else:
            index = config.seeds.index(seed)
            heads = load_file(run.artefacts / "heads" / f"{stem}.safetensors")
            backbone = _frozen_backbone(workspace, config, arm, index, extractor)
            state = {key: value[index] for key, value in heads.items()}
            state |= {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
        classifier = Classifier(backbone, make_head(backbone.width, config.hidden, len(study["classes"]), 0))
        classifier.load_state_dict(state, strict=True)
    except (OSError, SafetensorError, IndexError, RuntimeError) as error:
        raise RunError(f"The trained model of arm {arm}, seed {seed} cannot be read from {run.id} "
                       f"({str(error).splitlines()[0]}); repeat the study.") from error
    return classifier.eval()


def _model_args(workspace: Workspace, extractor: Mapping[str, Any]) -> dict:
    info = extractor.get("info") or {}
    if info.get("bundle"):
        return read_json(find_bundle(workspace, info["bundle"]) / "card.json")["model_args"]
    return dict(info.get("model_args") or {})


def _frozen_backbone(workspace: Workspace, config: StudyConfig, arm: str, index: int, extractor: dict):
    """The backbone the heads were trained on, rebuilt and compared by identity."""
    from ..study.arms import build_extractors
    built = build_extractors(arm, config, workspace)
    part = built[index % len(built)]
    if part.identity != extractor["identity"]:
        raise BundleError(f"The weights of arm {arm} are not those the study used; put the old ones back or repeat it.")
    return part.backbone


def _decoder(workspace: Workspace, extractor: dict) -> tuple[dict | None, dict | None]:
    """Latent sizes and tensors `decoder.*` of the VAE whose encoder this is, so that it can be sampled."""
    run_id = (extractor.get("info") or {}).get("run")
    if not run_id:
        return None, None
    from ..nets.vae import load_vae
    vae, _ = load_vae(workspace.run(run_id).artefacts)
    sizes = {"latent_dim": vae.latent_dim, "size": vae.size, "width": vae.decoder_width}
    return sizes, {f"decoder.{key}": value for key, value in vae.decoder.state_dict().items()}


def _predictions(run: RunPaths, arm: str, seed: int, classes: list[str]) -> dict[str, np.ndarray]:
    """Validation predictions of one arm and seed: image_ids, labels, probabilities (n, C)."""
    import pandas as pd
    table = pd.read_parquet(run.artefacts / "predictions.parquet",
                            filters=[("arm", "==", arm), ("split", "==", "val"), ("seed", "==", seed)])
    if not len(table):
        raise RunError(f"{run.id} keeps no validation predictions of arm {arm}, seed {seed}; repeat the study.")
    return {"image_ids": table["image_id"].to_numpy(), "labels": table["label"].to_numpy(),
            "probabilities": table[[f"p_{i}" for i in range(len(classes))]].to_numpy(np.float64)}


def _card(workspace: Workspace, config: StudyConfig, study: dict, entry: dict, arm: str, name: str, seed: int,
          extractor: dict, classifier: Classifier) -> dict:
    dataset = load_dataset(workspace, config.dataset).info
    data, task = provenance.training_data(dataset, config.dataset), study.get("labels") or {"kind": "classes"}
    initial = provenance.initial_weights(workspace, extractor)
    triage = task["kind"] == "priority"
    described = descriptions(task["map"], task["ours"]) if triage else dataset.get("class_descriptions") or {}
    return {
        "schema": SCHEMA, "name": name, "arm": arm, "label": entry["label"], "regime": entry.get("regime", config.regime),
        "created": time.strftime("%Y-%m-%d", time.gmtime()), "run": study.get("run_id"), "seed": seed,
        "architecture": extractor["architecture"], "stage": extractor["stage"],
        "model_args": dict(classifier.backbone.model_args), "features": classifier.backbone.width,
        "hidden": config.hidden, "classes": list(study["classes"]),
        "class_descriptions": {c: described[c] for c in study["classes"] if c in described}, "labels": task,
        "input_size": config.input_size, "preprocessing": provenance.PREPROCESSING,
        "mean": list(extractor["mean"]), "std": list(extractor["std"]),
        "initial_weights": initial, "training_data": data,
        "split": {"seed": config.split_seed, "max_images": config.max_images, **study["split"]},
        "metrics": entry["test"], "per_class": entry.get("per_class"), "gaps": entry.get("gaps"),
        "metrics_note": f"Test split; mean over {len(config.seeds)} seed(s) with 95 % intervals that resample groups, "
                        "before the temperature. Balanced accuracy uses the prior-adjusted decision.",
        "commands": provenance.commands(workspace, config, dataset, study, arm, name, seed),
        "config": to_dict(config), "versions": provenance.versions(), "intended_use": provenance.INTENDED_USE,
        "limits": provenance.limits(data, config.input_size) + ([describe_map(task["map"], task["ours"])] if triage else []),
        "license": provenance.weights_license(data, initial)}


def _check_same(workspace: Workspace, config: StudyConfig, folder: Path, validation: dict[str, np.ndarray]) -> None:
    """The bundle on disk gives the study's probabilities for some validation images, up to float16."""
    from ..data.store import open_store
    dataset = load_dataset(workspace, config.dataset)
    store = open_store(workspace, dataset, config.input_size)
    ids = validation["image_ids"]
    chosen = np.random.default_rng(stream_seed(0, "publish", "check")).permutation(len(ids))[:CHECKED_IMAGES]
    row_of = {image_id: row for row, image_id in enumerate(dataset.frame["image_id"])}
    images = np.stack([store.images[row_of[ids[i]]] for i in chosen])
    own = Predictor(load_bundle(folder))
    own.temperature = 1.0
    difference = float(np.abs(own.predict(images) - validation["probabilities"][chosen]).mean())
    if not difference <= TOLERANCE:
        raise BundleError(f"The published model differs from the study's own predictions (by {difference:.3f} on "
                          "average); nothing was published. Repeat the study with this version of the program.")
