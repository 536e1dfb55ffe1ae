"""Evaluate what exists: published models on a labelled dataset, without training anything.

Writes artefacts/study.json in the shape of a study's, without what only training has (curves, gaps,
grid, the paper's table), and artefacts/predictions.parquet. Images that a model is known to have been
trained or chosen on are left out for all models, unless the config asks for all; either way they are counted.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..bundles.bundle import Bundle, load_classifier
from ..bundles.card import Card, card_json
from ..config import EvaluateConfig, to_dict
from ..data.classmaps import class_map
from ..data.manifest import Dataset, load_dataset
from ..data.on_demand import open_dataset, open_images
from ..data.overlap import describe_overlap
from ..data.splits import SPLITS, split_dataset, split_fingerprint
from ..errors import DermError
from ..events import TICK, Event, jsonable, log, progress
from ..files import read_json, write_json, writing
from ..machine import pick_device
from ..workspace import RunFiles, Workspace
from .external import TestSet, secondary, tables, test_set
from .predictors import CPU_BATCH, CUDA_BATCH
from .results import versions
from .study_data import count_test_look
from .verdict import choose_pair

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
NO_PRIOR = "{name}: the class shares of its training are not known, so its decisions are not adjusted to them."


@dataclass(frozen=True)
class Origin:
    """What is known of a model's training. rows: of the manifest, those it was trained or chosen on, None where that dataset
    is not in this workspace; dataset: its name; shares (C,) of the classes, or None; fingerprint of the split."""

    rows: pd.DataFrame | None
    dataset: str
    shares: np.ndarray | None
    fingerprint: str


def evaluate_models(config: EvaluateConfig, workspace: Workspace, run: RunFiles) -> Iterator[Event]:
    """What the worker runs for `models evaluate`. The last event is a `result` with {arms, verdict}.

    Raises NotFound, BundleError, ConfigError (no common class) and DataError (no image is left).
    """
    run.create()
    path = run.study
    if not path.exists():
        started = time.monotonic()
        result = yield from _evaluate(config, workspace, run)
        write_json(path, jsonable({**result, "seconds": time.monotonic() - started}))
    result = read_json(path)
    arms = {
        arm: {"label": entry["label"], "test": entry["test"]}
        for arm, entry in result["arms"].items()
    }
    yield Event(kind="result", value={"arms": arms, "verdict": result["verdict"]})


def _evaluate(
    config: EvaluateConfig, workspace: Workspace, run: RunFiles
) -> Generator[Event, None, dict]:
    bundles = {name: load_classifier(name, workspace) for name in config.models}
    yield TICK
    first = next(iter(bundles.values())).card
    classes, through = first.classes, (first.labels or {}).get("map")
    dataset = open_dataset(workspace, config.dataset)
    origins = {name: origin(workspace, dataset, bundle.card) for name, bundle in bundles.items()}
    known = [found.rows for found in origins.values() if found.rows is not None]
    mapped = class_map(dataset.classes, classes, config.class_map, through, dataset.name)
    chosen = test_set(
        dataset,
        mapped,
        pd.concat(known) if known else None,
        classes,
        keep_known=config.split == "all",
    )
    yield log(f"Testing {', '.join(bundles)} on {len(chosen.rows):,} images of {dataset.name}.")
    device, probabilities = pick_device(config.device), {}
    for name, bundle in bundles.items():
        p_nc = yield from _probabilities(workspace, dataset.name, bundle, chosen.rows, device)
        order = [bundle.card.classes.index(label) for label in classes]
        probabilities[f"bundle:{name}"] = p_nc[None, :, order]
    prior, said = _prior(origins, len(classes))
    found = tables(chosen, probabilities, prior, classes, config.bootstrap, config.seed)
    found["differences"] = secondary(found["differences"])
    _save_predictions(run, dataset, chosen, probabilities, bundles)
    return _record(config, run, dataset, chosen, bundles, origins, found, said)


def origin(workspace: Workspace, dataset: Dataset, card: Card) -> Origin:
    """What this workspace knows of the data behind a card, whose split is looked for in `dataset` and in the one it names."""
    trained_on, fingerprint = str(card.training_data.dataset), str(card.split.fingerprint)
    seed, most = card.split.seed or 0, card.split.max_images
    for name in dict.fromkeys((dataset.name, trained_on)):
        try:
            source = dataset if name == dataset.name else load_dataset(workspace, name)
        except DermError:
            continue
        rows = source.subset(most, seed)
        parts = split_dataset(source.labels[rows], source.groups[rows], seed)
        if split_fingerprint(parts, source.frame["image_id"].to_numpy()[rows]) == fingerprint:
            labels = source.labels[rows[parts == SPLITS.index("train")]]
            counts = np.bincount(labels[labels >= 0], minlength=len(source.classes))
            shares = (
                counts / counts.sum()
                if list(source.classes) == list(card.classes)
                else _shares(card)
            )
            return Origin(
                source.frame.iloc[rows[parts != SPLITS.index("test")]], name, shares, fingerprint
            )
    return Origin(None, trained_on, _shares(card), fingerprint)


def _shares(card: Card) -> np.ndarray | None:
    """Class shares (C,) of a model's own test split, which was drawn in the shares of its training."""
    counts = {row["class"]: row["n"] for row in card.per_class or []}
    n = np.array([counts.get(name, 0) for name in card.classes], float)
    return n / n.sum() if n.all() else None


def _prior(origins: dict[str, Origin], classes: int) -> tuple[np.ndarray, list[str]]:
    """Log class shares (C,) for the decisions of all models, and what must be said of them."""
    said = [NO_PRIOR.format(name=name) for name, found in origins.items() if found.shares is None]
    shares = [
        np.full(classes, 1 / classes) if found.shares is None else found.shares
        for found in origins.values()
    ]
    if np.ptp(shares, axis=0).max() > 0.01:
        said.append(
            "The models were trained on different class shares; decisions are adjusted to their mean."
        )
    mean = np.mean(shares, axis=0)
    with np.errstate(divide="ignore"):
        return np.where(mean > 0, np.log(mean), np.inf), said


def _probabilities(
    workspace: Workspace, name: str, bundle: Bundle, rows: np.ndarray, device: str
) -> Generator[Event, None, np.ndarray]:
    """Plain softmax (n, C) of a dataset's `rows` at the model's own input size, before its temperature."""
    import torch

    from ..nets.backbone import normalise

    card = bundle.card
    _, store = yield from open_images(workspace, name, card.input_size)
    network = bundle.classifier.to(device=device, memory_format=torch.channels_last)
    batch, parts, started = CPU_BATCH if device == "cpu" else CUDA_BATCH, [], time.monotonic()
    for begin in range(0, len(rows), batch):
        images = torch.from_numpy(np.array(store.images[rows[begin : begin + batch]])).to(device)
        with torch.inference_mode():
            logits = network(normalise(images, card.mean, card.std))
            parts.append(torch.softmax(logits.double(), -1).float().cpu().numpy())
        yield progress(
            min(begin + batch, len(rows)),
            len(rows),
            "images",
            what=f"Testing {bundle.name}",
            started=started,
        )
        yield TICK
    network.to("cpu")
    return np.concatenate(parts)


def _record(
    config: EvaluateConfig,
    run: RunFiles,
    dataset: Dataset,
    chosen: TestSet,
    bundles: dict[str, Bundle],
    origins: dict[str, Origin],
    found: dict,
    said: list[str],
) -> dict:
    classes = next(iter(bundles.values())).card.classes
    own = [
        name
        for name, where in origins.items()
        if where.dataset == dataset.name and where.rows is not None
    ]
    looked = (
        count_test_look(dataset.paths, origins[own[0]].fingerprint, run.id)
        if own and config.split == "unseen"
        else 0
    )
    arms = {}
    for name, bundle in bundles.items():
        arm, card, on_card = f"bundle:{name}", bundle.card, card_json(bundle.card)
        arms[arm] = {
            "label": name,
            "kind": "bundle",
            "regime": card.regime,
            "features": card.features,
            "test": found["arms"][arm],
            "per_class": found["per_class"][arm],
            "card": {key: on_card.get(key) for key in ON_CARD},
        }
    return {
        "run_id": run.id,
        "kind": "evaluate",
        "config": to_dict(config),
        "dataset": {
            "name": dataset.name,
            "images": len(dataset),
            "classes": len(dataset.classes),
            "groups": len(np.unique(dataset.groups)),
            "fingerprint": dataset.fingerprint,
        },
        "split": {
            "name": config.split,
            "counts": {"test": found["images"]},
            "groups": {"test": found["groups"]},
            "looked_before": looked,
        },
        "classes": list(classes),
        "arms": arms,
        **{
            key: found[key]
            for key in ("majority", "differences", "confusion", "map", "left_out", "absent", "leak")
        },
        "verdict": verdict(
            found, dataset.name, {arm: entry["label"] for arm, entry in arms.items()}
        ),
        "cautions": _leaks(config, found["leak"], origins, dataset.name) + found["cautions"] + said,
        "notes": [
            "Plain softmax, before any temperature; each model at its own input size. Nothing was trained or chosen "
            "here."
        ],
        "versions": versions(),
    }


def _leaks(
    config: EvaluateConfig, leak: dict[str, int], origins: dict[str, Origin], dataset: str
) -> list[str]:
    sentence = describe_overlap(leak, "training or validation images of a model")
    if sentence and config.split == "all":
        sentence = (
            sentence.replace("left out because they show", "kept although they show").replace(
                "left out because it shows", "kept although it shows"
            )
            + " These numbers are too good."
        )
    unknown = [
        f"The images that {name} was trained on ({found.dataset}) are not in this workspace: whether some of them "
        f"are among those of {dataset} is not known."
        for name, found in origins.items()
        if found.rows is None
    ]
    return ([sentence] if sentence else []) + unknown


def verdict(found: dict, dataset: str, labels: dict[str, str]) -> dict:
    """{headline, sentences, pair, more_accurate, equivalent, detectable}: which model has the better balanced accuracy."""
    pair = choose_pair(list(labels))
    levels = {arm: found["arms"][arm]["balanced_accuracy"] for arm in labels}
    sentences = [
        f"Balanced accuracy of {labels[arm]} on {dataset}: {one['mean']:.1%} (95 % interval {one['low']:.1%} to "
        f"{one['high']:.1%})."
        for arm, one in levels.items()
    ]
    said = {
        "pair": pair,
        "more_accurate": None,
        "equivalent": False,
        "detectable": None,
        "sentences": sentences,
    }
    if pair is None:
        return {**said, "headline": sentences[0]}
    row = next(
        r
        for r in found["differences"]
        if (r["a"], r["b"]) == pair and r["metric"] == "balanced_accuracy"
    )
    a, b = (labels[arm] for arm in pair)
    mean, low, high = (100 * row[key] for key in ("mean", "low", "high"))
    sentences.append(f"{a} − {b}: {mean:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}).")
    if row["low"] > 0 or row["high"] < 0:
        better = pair[row["high"] < 0]
        return {
            **said,
            "more_accurate": better,
            "detectable": row["detectable"],
            "headline": f"{labels[better]} is more accurate than {b if better == pair[0] else a} on {dataset}.",
        }
    same = f"{a} and {b} are equally accurate on {dataset} within 2 points."
    return {
        **said,
        "equivalent": row["equivalent"],
        "detectable": row["detectable"],
        "headline": same
        if row["equivalent"]
        else f"No difference in accuracy shown between {a} and {b} on {dataset}.",
    }


def _save_predictions(
    run: RunFiles,
    dataset: Dataset,
    chosen: TestSet,
    probabilities: dict[str, np.ndarray],
    bundles: dict[str, Bundle],
) -> None:
    """artefacts/predictions.parquet, with the columns of a study's."""
    frame = dataset.frame.iloc[chosen.rows]
    parts = [
        pd.DataFrame(
            {
                "image_id": frame["image_id"].to_numpy(),
                "split": "test",
                "group": frame["group"].to_numpy(),
                "label": chosen.labels,
                "arm": arm,
                "seed": bundle.card.seed,
                **{f"p_{c}": p_snc[0, :, c] for c in range(p_snc.shape[-1])},
            }
        )
        for (arm, p_snc), bundle in zip(probabilities.items(), bundles.values(), strict=True)
    ]
    with writing(run.predictions) as file:
        pd.concat(parts, ignore_index=True).to_parquet(file, index=False)
