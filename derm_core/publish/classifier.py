"""From a finished study to a bundle in the library: one arm, one seed, with all that its card must say."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bundles.bundle import (
    CARD,
    complete_bundle,
    find_bundle,
    load_bundle,
    save_bundle,
    verify_bundle,
)
from ..bundles.card_fields import SCHEMA
from ..bundles.conformal import split_validation
from ..bundles.predictor import Predictor
from ..config import StudyConfig, from_dict, to_dict
from ..data.manifest import PriorityMap, load_dataset
from ..data.triage import describe_map, descriptions
from ..errors import BundleError, NotFound, RunError
from ..events import jsonable
from ..files import read_json
from ..records import to_json
from ..seeds import stream_seed
from ..stats.calibration import fit_temperature
from ..workspace import RunFiles, Workspace, check_id
from . import provenance, statistics

if TYPE_CHECKING:
    from ..nets.head import Classifier
    from ..study.study_data import StudyData

CHECKED_IMAGES = 48
TOLERANCE = 0.02  # mean absolute difference of probabilities after rounding to float16


def publish(
    workspace: Workspace,
    run_id: str,
    arm: str,
    name: str,
    *,
    shelf: str | Path | None = None,
    seed: int = 0,
    replace: bool = False,
    rates: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Put the classifier of `arm` and `seed` of study `run_id` in a library as bundle `name`; returns its folder.

    shelf: folder of bundles, default the workspace's. The temperature is fitted on a quarter of validation's groups;
    the others calibrate prediction sets and outlier scores. The stored bundle must repeat the study's own probabilities
    on validation images. replace: write card and reference of a published model anew; its tensors must be the same.
    rates: names of datasets whose rate of outliers goes on the card. progress: called with (images done, of how many);
    an exception it raises stops the publication, and nothing is left in the library.
    Raises NotFound, RunError (not a finished study, no such arm or seed), BundleError.
    """
    check_id(name, "model name")
    target = Path(shelf or workspace.models) / name
    former = former_hash(workspace, name, target, replace)
    run = workspace.run(run_id)
    config, study, entry, extractor = _publishable(run, arm, seed)
    material = _material(workspace, config, study)
    classifier = _classifier(workspace, run, config, study, arm, seed, extractor)
    vae = _vae(workspace, extractor)
    validation = _predictions(run, arm, seed, study["classes"], "val")
    fitting, calibration = split_validation(validation["groups"], config.split_seed)
    card = _card(workspace, config, study, entry, arm, name, seed, extractor, classifier, rates)
    card |= {
        "decoder": vae
        and {"latent_dim": vae.latent_dim, "size": vae.size, "width": vae.decoder_width},
        "temperature": {
            **to_json(
                fit_temperature(validation["probabilities"][fitting], validation["labels"][fitting])
            ),
            "fitted_on": "a quarter of validation's groups",
        },
        "agreement": statistics.agreement(_test_tables(run, study, seed), arm),
    }

    def complete(folder: Path) -> None:
        _check_same(workspace, config, folder, validation)
        if former and read_json(folder / CARD)["sha256"] != former:
            raise BundleError(
                f"The tensors of this model are not those published as {name}; choose another name."
            )
        fields, reference = statistics.measure(
            workspace,
            Predictor(load_bundle(folder)),
            material,
            validation["image_ids"][calibration],
            vae,
            public=provenance.is_public(card["training_data"]),
            seed=config.split_seed,
            rates=rates,
            report=progress,
        )
        settings = (study.get("grid") or {}).get("points") or [None]
        fields["conformal"]["calibrated_on"] = statistics.calibrated_on(
            card["regime"], len(settings)
        )
        complete_bundle(folder, jsonable(fields), reference)
        verify_bundle(folder)

    decoder = vae and {f"decoder.{key}": value for key, value in vae.decoder.state_dict().items()}
    _put(target, classifier, jsonable(card), decoder, complete)
    return target


def require_publishable(
    workspace: Workspace, run_id: str, arm: str, name: str, seed: int = 0
) -> None:
    """Raise what `publish` would raise at once: ConfigError, NotFound, RunError or BundleError, before anything is computed."""
    check_id(name, "model name")
    former_hash(workspace, name, workspace.models / name, False)
    _publishable(workspace.run(run_id), arm, seed)


def _publishable(run: RunFiles, arm: str, seed: int) -> tuple[StudyConfig, dict, dict, dict]:
    """Config and results of a finished study, the arm's entry in them, and the one extractor behind it."""
    config, study = _finished(run)
    entry = _arm_entry(study, arm, config, seed)
    if arm == "colour":
        raise BundleError("The colour histogram has no network to publish; publish another arm.")
    variants = entry["extractor"]["variants"]
    extractor = variants[config.seeds.index(seed) % len(variants)]
    if len(extractor) != 1:
        raise BundleError(
            f"The arm {arm} joins {len(extractor)} backbones; publish its parts, vae or imagenet, instead."
        )
    return config, study, entry, extractor[0]


def _put(
    target: Path,
    classifier: Classifier,
    card: dict,
    decoder: dict | None,
    complete: Callable[[Path], None],
) -> None:
    """Write, check and complete a classifier's bundle, then move it to the library."""

    def make(folder: Path) -> None:
        save_bundle(folder, classifier, card, decoder)
        complete(folder)

    put_whole(target, make)


def put_whole(target: Path, make: Callable[[Path], None]) -> None:
    """Have a bundle's folder made beside the library's others, then move it there: a kill leaves none, or a whole one."""
    staging = target.parent / f".{target.name}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        make(staging / target.name)
        if target.exists():
            os.rename(target, staging / "former")
        os.rename(staging / target.name, target)
    except OSError as error:
        raise BundleError(
            f"The model {target.name} cannot be put in the library ({error.strerror}); nothing was published. "
            "Check permissions and free disk space."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def former_hash(workspace: Workspace, name: str, target: Path, replace: bool) -> str | None:
    """SHA-256 of the tensors published under this name, None where the name is free. Raises BundleError where it is taken."""
    try:
        taken = target if target.exists() else find_bundle(workspace, name)
    except NotFound:
        return None
    if not replace:
        raise BundleError(
            f"A model {name} is already in the library ({taken.parent.name}/{name}); choose another name, "
            "or delete that one first."
        )
    return verify_bundle(taken)["sha256"]


def _material(workspace: Workspace, config: StudyConfig, study: dict) -> StudyData:
    """The study's images, split as it was. Raises BundleError where the dataset is another one now."""
    from ..study.features import finish
    from ..study.study_data import prepare

    material = finish(prepare(config, workspace))
    if material.fingerprint != study["split"]["fingerprint"]:
        raise BundleError(
            f"The dataset {config.dataset} is not the one this study used: its split is another. "
            "Put the old images back, or repeat the study."
        )
    return material


def _finished(run: RunFiles) -> tuple[StudyConfig, dict]:
    """Config and results of a study that came to its end."""
    if not run.config.exists():
        raise NotFound(
            f"There is no run {run.id} in this workspace; `runs list` shows those there are."
        )
    config = from_dict(read_json(run.config))
    if not isinstance(config, StudyConfig):
        raise RunError(f"{run.id} is a {config.kind}; models are published from a study.")
    if config.folds:
        raise RunError(
            f"{run.id} belongs to a comparison in folds, which measures a recipe; models are published from a study "
            "of one split."
        )
    try:
        return config, read_json(run.study)
    except FileNotFoundError:
        raise RunError(f"The study {run.id} is not finished; wait for it, or resume it.") from None


def _arm_entry(study: dict, arm: str, config: StudyConfig, seed: int) -> dict:
    if arm not in study["arms"]:
        raise RunError(f"The study has no arm {arm!r}; it has {', '.join(study['arms'])}.")
    if seed not in config.seeds:
        raise RunError(f"The study has no seed {seed}; it has {', '.join(map(str, config.seeds))}.")
    if config.pooling != "pooled":
        raise BundleError(
            f"This study used other features ({config.pooling}); only pooled ones can be published."
        )
    return study["arms"][arm]


def _classifier(
    workspace: Workspace,
    run: RunFiles,
    config: StudyConfig,
    study: dict,
    arm: str,
    seed: int,
    extractor: dict,
) -> Classifier:
    """The trained classifier of either regime, in eval mode."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from ..arms import arm_file
    from ..config import BackboneConfig
    from ..nets.backbone import build_backbone
    from ..nets.head import Classifier, make_head

    stem = arm_file(arm)
    try:
        if study["arms"][arm].get("regime", config.regime) == "finetune":
            state = load_file(run.artefacts / "models" / f"{stem}-seed{seed}.safetensors")
            backbone = build_backbone(
                BackboneConfig(architecture=extractor["architecture"], stage=extractor["stage"]),
                0,
                _model_args(workspace, extractor),
            )
        else:
            index = config.seeds.index(seed)
            heads = load_file(run.artefacts / "heads" / f"{stem}.safetensors")
            backbone = _frozen_backbone(workspace, config, arm, index, extractor)
            state = {key: value[index] for key, value in heads.items()}
            state |= {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
        classifier = Classifier(
            backbone, make_head(backbone.width, config.hidden, len(study["classes"]), 0)
        )
        classifier.load_state_dict(state, strict=True)
    except (OSError, SafetensorError, IndexError, RuntimeError) as error:
        raise RunError(
            f"The trained model of arm {arm}, seed {seed} cannot be read from {run.id} "
            f"({str(error).splitlines()[0]}); repeat the study."
        ) from error
    return classifier.eval()


def _model_args(workspace: Workspace, extractor: Mapping[str, Any]) -> dict:
    info = extractor.get("info") or {}
    if info.get("bundle"):
        return read_json(find_bundle(workspace, info["bundle"]) / "card.json")["model_args"]
    return dict(info.get("model_args") or {})


def _frozen_backbone(
    workspace: Workspace, config: StudyConfig, arm: str, index: int, extractor: dict
):
    """The backbone the heads were trained on, rebuilt and compared by identity."""
    from ..study.arms import build_extractors

    built = build_extractors(arm, config, workspace)
    part = built[index % len(built)]
    if part.identity != extractor["identity"]:
        raise BundleError(
            f"The weights of arm {arm} are not those the study used; put the old ones back or repeat it."
        )
    return part.backbone


def _vae(workspace: Workspace, extractor: dict):
    """The VAE whose encoder this is, so that its decoder can be published; None for other extractors."""
    info = extractor.get("info") or {}
    if name := info.get("extractor"):
        from ..bundles.extractor import load_extractor

        return load_extractor(name, workspace).vae
    run_id = info.get("run")
    if not run_id:
        return None
    from ..nets.vae import load_vae

    return load_vae(workspace.run(run_id).artefacts)[0]


def _predictions(
    run: RunFiles, arm: str, seed: int, classes: list[str], split: str
) -> dict[str, np.ndarray]:
    """Predictions of one arm and seed on a split: image_ids, groups, labels, probabilities (n, C)."""
    import pandas as pd

    table = pd.read_parquet(
        run.predictions,
        filters=[("arm", "==", arm), ("split", "==", split), ("seed", "==", seed)],
    )
    if not len(table):
        raise RunError(
            f"{run.id} keeps no {split} predictions of arm {arm}, seed {seed}; repeat the study."
        )
    return {
        "image_ids": table["image_id"].to_numpy(),
        "groups": table["group"].to_numpy(),
        "labels": table["label"].to_numpy(),
        "probabilities": table[[f"p_{i}" for i in range(len(classes))]].to_numpy(np.float64),
    }


def _test_tables(run: RunFiles, study: dict, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Test predictions of every arm that has this seed."""
    found = {}
    for arm in study["arms"]:
        try:
            found[arm] = _predictions(run, arm, seed, study["classes"], "test")
        except RunError:
            continue
    return found


def _card(
    workspace: Workspace,
    config: StudyConfig,
    study: dict,
    entry: dict,
    arm: str,
    name: str,
    seed: int,
    extractor: dict,
    classifier: Classifier,
    rates: Sequence[str],
) -> dict:
    dataset = load_dataset(workspace, config.dataset).info
    data, task = (
        provenance.training_data(dataset, config.dataset),
        study.get("labels") or {"kind": "classes"},
    )
    initial = provenance.initial_weights(workspace, extractor)
    triage = task["kind"] == "priority"
    seeds = f"mean over {len(config.seeds)} seeds" if len(config.seeds) > 1 else "one seed"
    described = (
        descriptions(PriorityMap(task["map"], task["ours"]))
        if triage
        else dataset.class_descriptions or {}
    )
    return {
        "schema": SCHEMA,
        "name": name,
        "arm": arm,
        "label": entry["label"],
        "regime": entry.get("regime", config.regime),
        "created": time.strftime("%Y-%m-%d", time.gmtime()),
        "run": study.get("run_id"),
        "seed": seed,
        "architecture": extractor["architecture"],
        "stage": extractor["stage"],
        "model_args": dict(classifier.backbone.model_args),
        "features": classifier.backbone.width,
        "hidden": config.hidden,
        "classes": list(study["classes"]),
        "class_descriptions": {c: described[c] for c in study["classes"] if c in described},
        "labels": task,
        "priority": None if triage else statistics.triage(config.dataset, dataset),
        "input_size": config.input_size,
        "preprocessing": provenance.PREPROCESSING,
        "mean": list(extractor["mean"]),
        "std": list(extractor["std"]),
        "initial_weights": initial,
        "training_data": data,
        "split": {"seed": config.split_seed, "max_images": config.max_images, **study["split"]},
        "metrics": entry["test"],
        "per_class": entry.get("per_class"),
        "gaps": entry.get("gaps"),
        "metrics_note": f"Test split; {seeds} with 95 % intervals that resample groups, "
        "before the temperature. Balanced accuracy uses the prior-adjusted decision.",
        "commands": provenance.commands(workspace, config, dataset, study, arm, name, seed, rates),
        "config": to_dict(config),
        "versions": provenance.versions(),
        "intended_use": provenance.INTENDED_USE,
        "limits": provenance.limits(data, config.input_size)
        + ([describe_map(PriorityMap(task["map"], task["ours"]))] if triage else []),
        "license": provenance.weights_license(data, initial),
    }


def _check_same(
    workspace: Workspace, config: StudyConfig, folder: Path, validation: dict[str, np.ndarray]
) -> None:
    """The bundle on disk gives the study's probabilities for some validation images, up to float16."""
    from ..data.store import open_store

    dataset = load_dataset(workspace, config.dataset)
    store = open_store(workspace, dataset, config.input_size)
    ids = validation["image_ids"]
    chosen = np.random.default_rng(stream_seed(0, "publish", "check")).permutation(len(ids))[
        :CHECKED_IMAGES
    ]
    row_of = {image_id: row for row, image_id in enumerate(dataset.frame["image_id"])}
    images = np.stack([store.images[row_of[ids[i]]] for i in chosen])
    own = Predictor(load_bundle(folder))
    own.temperature = 1.0
    difference = float(np.abs(own.predict(images) - validation["probabilities"][chosen]).mean())
    if not difference <= TOLERANCE:
        raise BundleError(
            f"The published model differs from the study's own predictions (by {difference:.3f} on "
            "average); nothing was published. Repeat the study with this version of the program."
        )
