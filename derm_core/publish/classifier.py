"""From a finished study to a bundle in the library: one arm, one seed, with all that its card must say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..bundles.bundle import complete_bundle, load_classifier, load_extractor, save_bundle
from ..bundles.conformal import split_validation
from ..bundles.model_library import find_bundle, verify_bundle
from ..bundles.predictor import Predictor, softmax
from ..config import BackboneConfig
from ..data.manifest import load_dataset
from ..data.store import open_store
from ..errors import BundleError, RunError
from ..nets.backbone import FeatureNetwork, build_backbone
from ..nets.head import Classifier, make_head
from ..nets.pretrained import BEHIND_ALL_STAGES, build_pretrained
from ..nets.vae import VAE, load_vae
from ..seeds import stream_seed
from ..study.arms import build_extractors
from ..study.features import finish
from ..study.study_data import StudyData, prepare, with_stores
from ..workspace import Workspace, check_id
from .classifier_card import build_card, complete_card
from .decisions import class_shares
from .placement import place, published_hash
from .statistics import measure
from .study_arm import Predictions, StudyArm, open_study_arm

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
    """Publish the classifier of an arm and seed of a study as bundle `name`; returns its folder.

    The temperature is fitted on a quarter of validation's groups; the others calibrate prediction sets and outlier
    scores. The stored bundle must repeat the study's own probabilities on validation images.

    Args:
        workspace: the study's.
        run_id: of the study.
        arm: of the study.
        name: of the bundle.
        shelf: folder of bundles; default: the workspace's.
        seed: which of the arm's classifiers.
        replace: write card and reference of a published model anew; its tensors must be the same.
        rates: datasets whose rate of outliers goes on the card.
        progress: called with (images done, of how many); an exception it raises stops the publication, and nothing
            is left in the library.

    Raises:
        NotFound: there is no such run.
        RunError: it is not a finished study, or has no such arm or seed.
        BundleError: the name is taken, or the model is not the study's.
    """
    check_id(name, "model name")
    target = Path(shelf or workspace.models) / name
    former = published_hash(workspace, name, target, replace)
    source = open_study_arm(workspace.run(run_id), arm, seed)
    data = _study_data(workspace, source)
    classifier, vae = _classifier(workspace, source), _vae(workspace, source.extractor)
    validation = source.predictions("val")
    fitting, calibration = split_validation(validation.groups, source.config.split_seed)
    card = dataclasses.replace(
        build_card(workspace, source, name, classifier, vae, validation, fitting, rates),
        class_shares=class_shares(data.labels_of("train"), tuple(source.study.classes)),
    )

    def make(folder: Path) -> None:
        saved = save_bundle(folder, classifier, card, vae.decoder if vae else None)
        if former and saved.sha256 != former:
            raise BundleError(
                f"The tensors of this model are not those published as {name}; choose another name."
            )
        predictor = Predictor(load_classifier(folder))
        _check_same(workspace, source, predictor, validation)
        image_ids = validation.image_ids[calibration]
        measured = measure(workspace, predictor, data, image_ids, vae, rates, progress)
        complete_bundle(folder, complete_card(saved, measured, source), measured.reference)
        verify_bundle(folder)

    place(target, make)
    return target


def _study_data(workspace: Workspace, source: StudyArm) -> StudyData:
    """The images of the study at the input size of the arm, split as they were.

    Raises:
        BundleError: the dataset is another one now.
    """
    data = finish(prepare(source.config, workspace))
    if data.fingerprint != source.study.split.fingerprint:
        raise BundleError(
            f"The dataset {source.config.dataset} is not the one this study used: its split is another. "
            "Put the old images back, or repeat the study."
        )
    form = source.form if source.extractor.get("input_size") else None
    data = finish(with_stores(data, workspace, [form]))
    return dataclasses.replace(data, store=data.store_at(form))


def _classifier(workspace: Workspace, source: StudyArm) -> Classifier:
    """The trained classifier of either regime, in eval mode."""
    config, run = source.config, source.run
    try:
        if source.regime == "finetune":
            state = load_file(run.model(source.arm, source.seed))
            backbone = _untrained_backbone(workspace, source)
        else:
            index = config.seeds.index(source.seed)
            heads = load_file(run.heads(source.arm))
            backbone = _frozen_backbone(workspace, source, index)
            state = {key: value[index] for key, value in heads.items()}
            state |= {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
        head = make_head(backbone.width, config.hidden, len(source.study.classes), 0)
        classifier = Classifier(backbone, head)
        classifier.load_state_dict(state, strict=True)
    except (OSError, SafetensorError, IndexError, RuntimeError) as error:
        raise RunError(
            f"The trained model of arm {source.arm}, seed {source.seed} cannot be read from {run.id} "
            f"({str(error).splitlines()[0]}); repeat the study."
        ) from error
    return classifier.eval()


def _untrained_backbone(workspace: Workspace, source: StudyArm) -> FeatureNetwork:
    """The network that an arm was fine-tuned from, with other weights."""
    extractor, arguments = source.extractor, _model_args(workspace, source.extractor)
    if extractor["stage"] != BEHIND_ALL_STAGES:
        architecture, stage = extractor["architecture"], extractor["stage"]
        return build_backbone(BackboneConfig(architecture=architecture, stage=stage), 0, arguments)
    tokens = (extractor.get("info") or {}).get("tokens", "")
    return build_pretrained(extractor["architecture"], source.input_size, tokens, arguments)


def _model_args(workspace: Workspace, extractor: Mapping[str, Any]) -> Mapping[str, Any]:
    info = extractor.get("info") or {}
    if info.get("bundle"):
        return verify_bundle(find_bundle(workspace, info["bundle"])).model_args
    return info.get("model_args") or {}


def _frozen_backbone(workspace: Workspace, source: StudyArm, index: int) -> FeatureNetwork:
    """The backbone the heads were trained on, rebuilt and compared by identity."""
    built = build_extractors(source.built_arm, source.config, workspace)
    part = built[index % len(built)]
    if part.identity != source.extractor["identity"]:
        raise BundleError(
            f"The weights of arm {source.arm} are not those the study used; put the old ones back or repeat it."
        )
    return part.backbone


def _vae(workspace: Workspace, extractor: Mapping[str, Any]) -> VAE | None:
    """The VAE whose encoder this is, so that its decoder can be published; None for other extractors."""
    info = extractor.get("info") or {}
    if info.get("extractor"):
        return load_extractor(info["extractor"], workspace).vae
    if info.get("run"):
        return load_vae(workspace.run(info["run"]).artefacts)[0]
    return None


def _check_same(
    workspace: Workspace, source: StudyArm, predictor: Predictor, validation: Predictions
) -> None:
    """Raise BundleError unless the stored bundle gives the study's probabilities for some images, up to float16."""
    dataset = load_dataset(workspace, source.config.dataset)
    store = open_store(workspace, dataset, source.form.size, source.form.interpolation)
    rng = np.random.default_rng(stream_seed(0, "publish", "check"))
    chosen = rng.permutation(len(validation.image_ids))[:CHECKED_IMAGES]
    row_of = {image_id: row for row, image_id in enumerate(dataset.frame["image_id"])}
    images = np.stack([store.images[row_of[validation.image_ids[i]]] for i in chosen])
    probabilities = softmax(predictor.logits(images).astype(np.float64))
    difference = float(np.abs(probabilities - validation.probabilities[chosen]).mean())
    if not difference <= TOLERANCE:
        raise BundleError(
            f"The published model differs from the study's own predictions (by {difference:.3f} on "
            "average); nothing was published. Repeat the study with this version of the program."
        )
