"""What a bundle says of an image beyond its probabilities, from its card and its reference.

A card that carries none of this (bundles of earlier versions) gives null in its place. One forward
pass serves all of it; only a VAE's decoder runs once more, on the latents its map gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from . import conformal, outlier
from . import neighbours as reference

SHOWN = conformal.key(conformal.SHOWN)


def opinions(predictor, images_nssc: np.ndarray) -> list[dict]:
    """For each image {"arm": what predict_images says of it, "score": outlier score or None, "duplicate": or None}.

    images: uint8 (n, S, S, 3), S the predictor's size.
    """
    features_nd, logits_nc = predictor.features_and_logits(images_nssc)
    probabilities = predictor.calibrate(logits_nc)
    arms = [_arm(predictor, row) for row in probabilities]
    scores = _scores(predictor, features_nd, images_nssc)
    near = _neighbours(predictor, features_nd)
    return [
        {
            "arm": {**arm, "neighbours": found},
            "score": score,
            "duplicate": _duplicate(predictor, found),
        }
        for arm, score, found in zip(arms, scores, near, strict=True)
    ]


def _arm(predictor, probabilities_c: np.ndarray) -> dict:
    card, p = predictor.card, dict(zip(predictor.classes, map(float, probabilities_c), strict=True))
    return {
        "top": predictor.classes[int(probabilities_c.argmax())],
        "probabilities": p,
        "prediction_set": prediction_set(card, p),
        "priority": priorities(card, p),
        "operating_point": _operating_point(card, p),
    }


def prediction_set(
    card: Mapping, probabilities: Mapping[str, float], coverage: float = conformal.SHOWN
) -> dict | None:
    """{"coverage", "classes" most likely first}; None where the card has no threshold for this coverage.

    probabilities: {class: p} as in the card's order, such as a row of predict_images holds.
    """
    limits = (card.get("conformal") or {}).get("coverages", {})
    if conformal.key(coverage) not in limits:
        return None
    p = np.array([[probabilities[c] for c in card["classes"]]])
    chosen = conformal.prediction_sets(p, limits[conformal.key(coverage)])[0]
    order = np.argsort(-p[0], kind="stable")
    return {"coverage": coverage, "classes": [card["classes"][i] for i in order if chosen[i]]}


def priorities(card: Mapping, probabilities: Mapping[str, float]) -> dict[str, float] | None:
    """Triage {"high", "medium", "low": p}, the sums over the classes of each; None where classes have no priority."""
    from ..data.triage import PRIORITIES, default_map

    if (card.get("labels") or {}).get("kind") == "priority":
        mapping = {c: c for c in card["classes"]}
    else:
        mapping = (card.get("priority") or {}).get("map") or default_map(card["classes"])
    if not mapping:
        return None
    return {
        level: float(sum(probabilities[c] for c in card["classes"] if mapping[c] == level))
        for level in PRIORITIES
    }


def _operating_point(card: Mapping, probabilities: Mapping[str, float]) -> dict | None:
    point = card.get("operating_point")
    if not point:
        return None
    return {
        "class": point["class"],
        "threshold": point["threshold"],
        "specificity": point["specificity"],
        "sensitivity": (point.get("sensitivity") or {}).get("mean"),
        "called": probabilities[point["class"]] > point["threshold"],
    }


def _scores(predictor, features_nd: np.ndarray, images_nssc: np.ndarray) -> list[dict | None]:
    """Outlier scores by image, None where the bundle has no statistics."""
    known, stats = predictor.bundle.reference, predictor.card.get("outlier")
    if known is None or not stats:
        return [None] * len(features_nd)
    far = outlier.distance(known.space, features_nd)
    limit, second = stats["distance"]["threshold"], stats.get("reconstruction")
    drawn = (
        predictor.reconstruction_errors(features_nd, images_nssc) if second else [None] * len(far)
    )
    rows = []
    for d, r in zip(far, drawn, strict=True):
        row = {
            "distance": float(d),
            "threshold": limit,
            "reconstruction": None if r is None else float(r),
            "reconstruction_threshold": second["threshold"] if second else None,
        }
        rows.append({**row, "flagged": outlier.excess(row) > 1})
    return rows


def _neighbours(predictor, features_nd: np.ndarray) -> list[list[dict]]:
    """The nearest training images of each image as {"image_id", "label", "distance"}, nearest first."""
    known = predictor.bundle.reference
    if known is None or known.points is None:
        return [[] for _ in features_nd]
    points = known.points
    near, distances = reference.nearest(known.space, points, features_nd)
    return [
        [
            {
                "image_id": points.ids[i] if points.ids else None,
                "label": predictor.classes[points.labels[i]],
                "distance": float(d),
            }
            for i, d in zip(*pair, strict=True)
        ]
        for pair in zip(near, distances, strict=True)
    ]


def _duplicate(predictor, neighbours: Sequence[Mapping]) -> dict | None:
    limit = ((predictor.card.get("reference") or {}).get("duplicate") or {}).get("threshold")
    if not neighbours or limit is None or neighbours[0]["distance"] > limit:
        return None
    return {
        "name": predictor.name,
        "image_id": neighbours[0]["image_id"],
        "distance": neighbours[0]["distance"],
        "threshold": limit,
    }


def closest_duplicate(found: Sequence[Mapping | None]) -> dict | None:
    """Of the models' findings the one furthest below its threshold, as {"name", "image_id", "distance"}."""
    named = [row for row in found if row]
    if not named:
        return None
    best = min(named, key=lambda row: row["distance"] / row["threshold"])
    return {key: best[key] for key in ("name", "image_id", "distance")}


def agreement_of(cards: Sequence[Mapping]) -> dict | None:
    """What agreement meant on the test set of the study both models come from; None for other pairs.

    {"with": NAME of the second, "agree": {"images", "accuracy": {NAME: share}}, "disagree": {…}}, as publishing
    put it on the first card for every other arm of its study.
    """
    if len(cards) != 2:
        return None
    own, other = cards
    found = (own.get("agreement") or {}).get(other.get("arm"))
    same = (
        own.get("run")
        and own.get("run") == other.get("run")
        and own.get("seed") == other.get("seed")
    )
    if not found or not same or own["classes"] != other["classes"]:
        return None
    names = {own["arm"]: own["name"], other["arm"]: other["name"]}
    return {
        "with": other["name"],
        **{
            part: {
                **found[part],
                "accuracy": {names[arm]: share for arm, share in found[part]["accuracy"].items()},
            }
            for part in ("agree", "disagree")
        },
    }
