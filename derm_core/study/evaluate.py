"""Evaluation of published models on a labelled dataset, without training anything.

Writes artefacts/study.json in the shape of a study's, without what only training has (curves, gaps,
grid, the paper's table), and artefacts/predictions.parquet. Images that a model is known to have
been trained or chosen on are left out for all models, unless the config asks for all; either way
they are counted.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Iterator

import numpy as np
import pandas as pd
import torch

from ..bundles.bundle import Bundle, load_classifier
from ..bundles.card import card_json
from ..config import EvaluateConfig, to_dict
from ..data.classmaps import class_map
from ..data.known_datasets import share_an_archive
from ..data.manifest import Dataset
from ..data.on_demand import open_dataset, open_images
from ..data.overlap import describe_overlap
from ..events import TICK, Event, log
from ..files import read_json, write_json
from ..machine import pick_device
from ..nets.backbone import normalise
from ..stats.decisions import DecisionScores, score_decisions
from ..workspace import RunFiles, Workspace
from .answers import ExternalSet
from .comparison import dataset_summary, prediction_table, save_predictions, versions
from .external import ExternalImages, evaluate_on, external_images
from .external_cautions import companion_caution
from .looks import count_looks
from .predictors import CPU_BATCH, CUDA_BATCH, in_batches, softmax
from .roles import choose_pair
from .study_result import ArmResult, StudyResult, Verdict, study_json
from .summaries import SplitSummary
from .verdict import accuracy_outcome
from .weight_sources import Origin, origin

ON_CARD = (
    "arm",
    "label",
    "architecture",
    "stage",
    "input_size",
    "seed",
    "sha256",
    "training_data",
    "split",
    "metrics",
    "license",
)
NOTE = "Plain softmax, before any temperature; each model at its own input size. Nothing was trained or chosen here."
NO_PRIOR = "{name}: the class shares of its training are not known: its classes are not adjusted for class frequency."


def evaluate_models(config: EvaluateConfig, workspace: Workspace, run: RunFiles) -> Iterator[Event]:
    """What the worker runs for `models evaluate`.

    Yields:
        Events; the last is a `result` with {arms, verdict}.

    Raises:
        NotFound, BundleError: for an unknown or broken dataset or model.
        ConfigError: where there is no common class.
        DataError: where no image is left.
    """
    run.create()
    if not run.study.exists():
        started = time.monotonic()
        result = yield from _evaluate(config, workspace, run)
        seconds = time.monotonic() - started
        write_json(run.study, study_json(dataclasses.replace(result, seconds=seconds)))
    body = read_json(run.study)
    arms = {
        arm: {"label": entry["label"], "test": entry["test"]} for arm, entry in body["arms"].items()
    }
    yield Event(kind="result", value={"arms": arms, "verdict": body["verdict"]})


def _evaluate(
    config: EvaluateConfig, workspace: Workspace, run: RunFiles
) -> Generator[Event, None, StudyResult]:
    bundles = {name: load_classifier(name, workspace) for name in config.models}
    yield TICK
    first = next(iter(bundles.values())).card
    classes, through = first.classes, (first.labels or {}).get("map")
    dataset = open_dataset(workspace, config.dataset)
    origins = {name: origin(workspace, dataset, bundle.card) for name, bundle in bundles.items()}
    rows = [source.rows for source in origins.values() if source.rows is not None]
    known = pd.concat(rows) if rows else None
    mapped = class_map(dataset.classes, classes, config.class_map, through, dataset.name)
    images = external_images(dataset, mapped, known, classes, keep_known=config.split == "all")
    yield log(f"Testing {', '.join(bundles)} on {len(images.rows):,} images of {dataset.name}.")
    device, probabilities = pick_device(config.device), {}
    for name, bundle in bundles.items():
        p_nc = yield from _probabilities(workspace, dataset.name, bundle, images.rows, device)
        order = [bundle.card.classes.index(label) for label in classes]
        probabilities[f"bundle:{name}"] = p_nc[None, :, order]
    prior, cautions = _prior(origins, len(classes))
    measured = evaluate_on(images, probabilities, prior, classes, config.bootstrap, config.seed)
    decisions = score_decisions(
        images.labels,
        images.groups,
        probabilities,
        prior,
        resamples=config.bootstrap,
        seed=config.seed,
    )
    _save_predictions(run, dataset, images, probabilities, bundles)
    leaks = _leaks(config, measured.leak, origins, dataset.name)
    companions = [
        companion_caution(dataset.name, trained_on)
        for trained_on in dict.fromkeys(source.dataset for source in origins.values())
        if trained_on != dataset.name
        and share_an_archive(dataset.info.known_as or dataset.name, trained_on)
    ]
    cautions = [*leaks, *companions, *measured.cautions, *cautions]
    measured = dataclasses.replace(measured, cautions=tuple(cautions))
    tested = dataset.frame["image_id"].to_numpy()[images.rows]
    looks = count_looks(workspace, dataset.name, run.id, tested)
    result = _result(config, run, dataset, bundles, classes, measured, decisions)
    return dataclasses.replace(result, looks=looks)


def _prior(origins: dict[str, Origin], classes: int) -> tuple[np.ndarray, list[str]]:
    """Log class shares (C,) for the decisions of all models, and cautions."""
    cautions = [NO_PRIOR.format(name=name) for name, of in origins.items() if of.shares is None]
    shares = [
        np.full(classes, 1 / classes) if of.shares is None else of.shares for of in origins.values()
    ]
    if np.ptp(shares, axis=0).max() > 0.01:
        cautions.append(
            "The models were trained on different class shares; classes are adjusted for their mean."
        )
    mean = np.mean(shares, axis=0)
    with np.errstate(divide="ignore"):
        return np.where(mean > 0, np.log(mean), np.inf), cautions


def _probabilities(
    workspace: Workspace, name: str, bundle: Bundle, rows: np.ndarray, device: str
) -> Generator[Event, None, np.ndarray]:
    """Plain softmax (n, C) of a dataset's `rows` at the model's own input size, before its temperature."""
    card, network = bundle.card, bundle.classifier
    _, store = yield from open_images(workspace, name, card.input_size, card.interpolation)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(images_nssc: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(np.array(images_nssc)).to(device)
        with torch.inference_mode():
            return softmax(network(normalise(images, card.mean, card.std)))

    batch, what = CPU_BATCH if device == "cpu" else CUDA_BATCH, f"Testing {bundle.name}"
    parts = yield from in_batches(predict, store.images, rows, batch, what)
    network.to("cpu")
    return np.concatenate(parts)


def _result(
    config: EvaluateConfig,
    run: RunFiles,
    dataset: Dataset,
    bundles: dict[str, Bundle],
    classes: tuple[str, ...],
    measured: ExternalSet,
    decisions: dict[str, DecisionScores],
) -> StudyResult:
    arms = {}
    for name, bundle in bundles.items():
        arm, card, on_card = f"bundle:{name}", bundle.card, card_json(bundle.card)
        arms[arm] = ArmResult(
            label=name,
            kind="bundle",
            regime=card.regime,
            features=card.features,
            test=measured.arms[arm],
            per_class=measured.per_class[arm],
            decisions=decisions[arm],
            card={key: on_card.get(key) for key in ON_CARD},
        )
    return StudyResult(
        run_id=run.id,
        kind="evaluate",
        config=to_dict(config),
        dataset=dataset_summary(dataset),
        split=SplitSummary(
            name=config.split,
            counts={"test": measured.images},
            groups={"test": measured.groups},
        ),
        classes=classes,
        arms=arms,
        majority=measured.majority,
        differences=measured.differences,
        confusion=measured.confusion,
        map=measured.map,
        left_out=measured.left_out,
        absent=measured.absent,
        leak=measured.leak,
        verdict=evaluation_verdict(measured, {arm: one.label for arm, one in arms.items()}),
        cautions=measured.cautions,
        notes=(NOTE,),
        versions=versions(),
    )


def _leaks(
    config: EvaluateConfig, leak: dict[str, int], origins: dict[str, Origin], dataset: str
) -> list[str]:
    sentence = describe_overlap(leak, "training or validation images of a model")
    if sentence and config.split == "all":
        for verb in ("they show", "it shows"):
            sentence = sentence.replace(f"left out because {verb}", f"kept although {verb}")
        sentence += " These numbers are too good."
    unknown = [
        f"The images that {name} was trained on ({source.dataset}) are not in this workspace: whether some of them "
        f"are among those of {dataset} is not known."
        for name, source in origins.items()
        if source.rows is None
    ]
    return ([sentence] if sentence else []) + unknown


def evaluation_verdict(measured: ExternalSet, labels: dict[str, str]) -> Verdict:
    """Which published model has the better balanced accuracy. labels: {arm: its name}."""
    pair, dataset = choose_pair(list(labels)), measured.dataset
    levels = {arm: measured.arms[arm]["balanced_accuracy"] for arm in labels}
    sentences = [
        f"Balanced accuracy of {labels[arm]} on {dataset}: {one.mean:.1%} (95 % interval {one.low:.1%} to "
        f"{one.high:.1%})."
        for arm, one in levels.items()
    ]
    if pair is None:
        return Verdict(headline=sentences[0], sentences=tuple(sentences))
    row = next(row for row in measured.differences if row.of_pair(pair, "balanced_accuracy"))
    mean, low, high = (100 * (value or 0.0) for value in (row.mean, row.low, row.high))
    names = f"{labels[pair[0]]} − {labels[pair[1]]}"
    sentences.append(f"{names}: {mean:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}).")
    better = {1: pair[0], -1: pair[1], 0: None}[row.claimed]
    return Verdict(
        headline=f"{accuracy_outcome(row, labels, f' on {dataset}')}.",
        sentences=tuple(sentences),
        pair=pair,
        more_accurate=better,
        equivalent=bool(row.equivalent) and better is None,
        detectable=row.detectable,
    )


def _save_predictions(
    run: RunFiles,
    dataset: Dataset,
    images: ExternalImages,
    probabilities: dict[str, np.ndarray],
    bundles: dict[str, Bundle],
) -> None:
    """predictions.parquet, with the columns of a study's."""
    frame = dataset.frame.iloc[images.rows]
    columns = {
        "image_id": frame["image_id"].to_numpy(),
        "split": "test",
        "group": frame["group"].to_numpy(),
        "label": images.labels,
    }
    seeds = [bundle.card.seed for bundle in bundles.values()]
    save_predictions(
        run.predictions,
        [
            prediction_table(columns, arm, seed, p_snc[0])
            for (arm, p_snc), seed in zip(probabilities.items(), seeds, strict=True)
        ],
    )
