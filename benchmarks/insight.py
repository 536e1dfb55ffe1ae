"""What the library's models say beside their answers, held against labels.

At least 95 % of pictures of other things called out.

For the models of the library that carry the statistics (at most two of one study by default):
coverage of the 90 % prediction sets on their own test split; the rate of pictures flagged as
outliers by all models together, among the test images, among pictures of other things (drawn ones,
and crops of photographs), and in datasets named as a shift; and the shares of LayerCAM, Grad-CAM
and occlusion that lie inside the lesion, on drawn lesions and where the dataset has lesion masks on
its own, beside the share of the area that the lesion takes (`_insight_saliency`). Needs the
workspace that holds the models' dataset (DERM_HOME).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from benchmarks._insight_saliency import drawn_lesions, inside
from derm_core.bundles import conformal, outlier
from derm_core.bundles.card import Card
from derm_core.bundles.model_library import list_cards
from derm_core.bundles.outlier import OutlierScore
from derm_core.bundles.predict import predict_batch
from derm_core.bundles.prediction import ArmPrediction
from derm_core.bundles.predictor import Predictor, load_predictors
from derm_core.data.decode import decode, prepare
from derm_core.data.manifest import load_dataset
from derm_core.data.masks import as_seen, read_masks
from derm_core.data.splits import split_fingerprint
from derm_core.data.store import open_store
from derm_core.data.used_images import used_images
from derm_core.errors import DataError
from derm_core.publish.non_lesions import nonlesion_images
from derm_core.records import to_json
from derm_core.seeds import stream_seed
from derm_core.workspace import Workspace

Result = tuple[ArmPrediction, OutlierScore | None]  # of one model for one image
REPEATS = 1
LIMIT, GOAL = 1.0, 0.95
DRAWN, CROPS = 30, 15  # of each kind, of each photograph
SEED = 1  # other pictures than those whose rate is on the card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models", help="names from the library (default: all that carry the statistics)"
    )
    parser.add_argument(
        "--shifts", default="", help="other datasets of the workspace to report the rate of, as A,B"
    )
    parser.add_argument(
        "--photos",
        type=Path,
        help="folder of photographs of other things (beside scikit-learn's two)",
    )
    parser.add_argument(
        "--masked",
        type=int,
        default=300,
        help="test images whose saliency is measured (default 300)",
    )
    parser.add_argument(
        "--occluded",
        type=int,
        default=100,
        help="of these, images that are hidden patch by patch (default 100)",
    )


def run(args: argparse.Namespace) -> dict:
    workspace = Workspace.open()
    predictors = choose(workspace, args.models)
    first = next(iter(predictors.values()))
    dataset, test = test_split(workspace, first.card)
    images = {
        size: np.asarray(open_store(workspace, dataset, size).images[test])
        for size in {p.size for p in predictors.values()}
    }
    labels, groups = dataset.labels[test], dataset.groups[test]
    results = [predict_batch(p, images[p.size]) for p in predictors.values()]
    others = other_things(args.photos)
    rates = rates_by_source(predictors, others)
    flagged = float(np.mean([flag for row in rates.values() for flag in row]))
    inliers = flags(predictors, results)
    saliency = saliency_inside(predictors, dataset, test, images, args)
    coverage = {
        name: covered(p, rows, labels, groups)
        for (name, p), rows in zip(predictors.items(), results)
    }
    shifts = {
        name: shift_rate(workspace, predictors, name)
        for name in filter(None, args.shifts.split(","))
    }
    return {
        "ratio": flagged / GOAL,
        "limit": LIMIT,
        "better": "higher",
        "ours": flagged,
        "against": GOAL,
        "unit": "share flagged",
        "peer": f"{GOAL:.0%} of pictures of other things, at about {outlier.RATE:.0%} of test images",
        "models": list(predictors),
        "test_images": len(test),
        "conformal_coverage": {name: row["coverage"]["mean"] for name, row in coverage.items()},
        "conformal": coverage,
        "outlier_flagged_rate": flagged,
        "outlier_images": len(others),
        "outlier_flagged_by_source": {source: float(np.mean(row)) for source, row in rates.items()},
        "inlier_flagged_rate": float(inliers.mean()),
        "inlier_flagged_by_arm": {
            name: float(np.mean([score.flagged for _, score in rows]))
            for name, rows in zip(predictors, results)
        },
        "shift_flagged_rate": shifts,
        "saliency_inside_lesion": default_inside(saliency, dataset.name),
        "saliency": saliency,
    }


def choose(workspace: Workspace, names: str | None) -> dict[str, Predictor]:
    """The models asked for, else those in the library whose cards carry prediction sets and outlier statistics."""
    complete = [card.name for card in list_cards(workspace) if card.conformal and card.outlier]
    chosen = [name.strip() for name in names.split(",")] if names else complete
    if not chosen or not set(chosen) <= set(complete):
        raise DataError(
            "These models carry no outlier statistics: "
            f"{', '.join(sorted(set(chosen) - set(complete))) or 'all of them'}; "
            "publish them anew (`models publish … --replace`)."
        )
    return load_predictors(workspace, chosen)


def test_split(workspace: Workspace, card: Card):
    """The dataset on a card and the rows of its labelled test images. Raises DataError where the split is another."""
    dataset = load_dataset(workspace, card.training_data.dataset)
    used = used_images(dataset, card.split.rule)
    ids = dataset.frame["image_id"].to_numpy()[used.rows]
    if split_fingerprint(used.split, ids) != card.split.fingerprint:
        raise DataError(
            f"The dataset {dataset.name} of this workspace is not the one {card.name} was trained on."
        )
    rows = used.members("test")
    return dataset, rows[dataset.labels[rows] >= 0]


def flags(predictors: dict[str, Predictor], results: list[list[Result]]) -> np.ndarray:
    """Whether each image is flagged by all models together, as predict_images does it: bool (n,)."""
    return np.array(
        [
            outlier.judge({name: score for name, (_, score) in zip(predictors, rows)}).flagged
            for rows in zip(*results)
        ]
    )


def covered(
    predictor: Predictor, rows: list[Result], labels: np.ndarray, groups: np.ndarray
) -> dict:
    """Coverage of the prediction sets, with its interval and by class, and its rank among random divisions."""
    p = np.array([[arm.probabilities[c] for c in predictor.classes] for arm, _ in rows])
    key, card = conformal.key(conformal.SHOWN), predictor.card.conformal
    thresholds = replace(card, coverages={key: card.coverages[key]})
    coverage = conformal.coverage_on(p, labels, groups, thresholds, predictor.classes)[key]
    redivided = (card.test or {}).get(key, {}).get("redivided")
    return to_json(coverage) | {"redivided": redivided}


def other_things(folder: Path | None) -> list[tuple[str, Image.Image]]:
    """(source, picture): drawn kinds, and crops of photographs at several places and scales."""
    import sklearn.datasets

    pictures = [
        (f"drawn: {kind}", Image.fromarray(image)) for kind, image in nonlesion_images(DRAWN, SEED)
    ]
    paths = sorted(Path(sklearn.datasets.__file__).parent.glob("images/*.jpg")) + (
        sorted(folder.iterdir()) if folder else []
    )
    for path in paths:
        photo, rng = (
            decode(path, path.name),
            np.random.default_rng(stream_seed(SEED, "crops", path.stem)),
        )
        pictures.append((f"photograph: {path.stem}", photo))
        for _ in range(CROPS - 1):
            side = round(min(photo.size) * rng.uniform(0.25, 1))
            left, top = (int(rng.integers(0, length - side + 1)) for length in photo.size)
            pictures.append(
                (f"photograph: {path.stem}", photo.crop((left, top, left + side, top + side)))
            )
    return pictures


def rates_by_source(
    predictors: dict[str, Predictor], pictures: list[tuple[str, Image.Image]]
) -> dict[str, list[bool]]:
    """Which pictures of each source are flagged."""
    results = [
        predict_batch(p, np.stack([prepare(picture, p.size) for _, picture in pictures]))
        for p in predictors.values()
    ]
    rates: dict[str, list[bool]] = {}
    for (source, _), flag in zip(pictures, flags(predictors, results), strict=True):
        rates.setdefault(source, []).append(bool(flag))
    return rates


def shift_rate(workspace: Workspace, predictors: dict[str, Predictor], name: str) -> float:
    dataset = load_dataset(workspace, name)
    return float(
        flags(
            predictors,
            [
                predict_batch(p, np.asarray(open_store(workspace, dataset, p.size).images))
                for p in predictors.values()
            ],
        ).mean()
    )


def saliency_inside(
    predictors: dict[str, Predictor],
    dataset,
    test: np.ndarray,
    images: dict[int, np.ndarray],
    args: SimpleNamespace,
) -> dict:
    """By model, on drawn lesions and on the dataset's where it has lesion masks: `_insight_saliency.inside`."""
    known = read_masks(dataset)
    if known is None:
        print("No lesion masks: the saliency is measured on drawn lesions alone.", file=sys.stderr)
    chosen = np.random.default_rng(stream_seed(SEED, "masked")).permutation(len(test))[
        : args.masked
    ]
    ids, result = dataset.frame["image_id"].to_numpy()[test[chosen]], {}
    for name, predictor in predictors.items():
        result[name] = {
            "synthetic": inside(
                predictor, *drawn_lesions(args.masked, predictor.size, SEED), args.occluded
            )
        }
        if known is not None:
            pictures = [known.of_image(name) for name in ids]
            masks = np.stack([as_seen(one, predictor.form) for one in pictures if one])
            usable = np.array([one is not None for one in pictures])
            result[name][dataset.name] = inside(
                predictor, images[predictor.size][chosen][usable], masks, args.occluded
            )
    return result


def default_inside(saliency: dict, dataset: str) -> dict[str, float]:
    """By model, the share of Classify's first map that lies on the lesion: the dataset's, or generated ones."""
    return {
        name: shares.get(dataset, shares["synthetic"])["layer_cam"]["inside"]
        for name, shares in saliency.items()
    }
