"""A bundle's card: what a model is, where it comes from and what it may be used for; checked field by field."""

from __future__ import annotations

import re
from typing import Any

from .card_fields import check_common, check_decoder, need, number
from .card_values import check_values
from .extractor_card import KIND, check_extractor

COVERAGE = re.compile(r"0\.\d\d")
PRIORITIES = ("high", "medium", "low")  # as in data.priority, which reads tables
ARM = re.compile(r"[a-z0-9][a-z0-9:-]{0,79}")  # stands in badges
REQUIRED = {
    "schema": int,
    "name": str,
    "arm": str,
    "label": str,
    "regime": str,
    "architecture": str,
    "stage": int,
    "model_args": dict,
    "features": int,
    "hidden": int,
    "classes": list,
    "class_descriptions": dict,
    "input_size": int,
    "preprocessing": dict,
    "mean": list,
    "std": list,
    "initial_weights": dict,
    "training_data": dict,
    "split": dict,
    "seed": int,
    "metrics": dict,
    "commands": list,
    "versions": dict,
    "intended_use": str,
    "limits": list,
    "license": str,
    "parameters": int,
    "file_bytes": int,
    "sha256": str,
    "tensors": dict,
}


def check_card(card: Any) -> dict:
    """`card` if every field a loader relies on is there and sensible. Raises BundleError naming the field."""
    need(isinstance(card, dict), "card.json", "a JSON object")
    check_values(card)
    if "kind" in card:  # a classifier's has none
        need(card["kind"] == KIND, "kind", f"{KIND!r}, or absent")
        return check_extractor(card)
    check_common(card, REQUIRED, ("features", "hidden"))
    need(bool(ARM.fullmatch(card["arm"])), "arm", "lower-case letters, digits, hyphens and colons")
    classes = card["classes"]
    need(
        2 <= len(classes) <= 1000
        and all(isinstance(c, str) and c for c in classes)
        and len(set(classes)) == len(classes),
        "classes",
        "2 to 1000 different names",
    )
    for name, metric in card["metrics"].items():
        need(
            isinstance(metric, dict)
            and all(
                metric.get(key) is None or number(metric[key])
                for key in ("mean", "std", "low", "high")
            ),
            f"metrics.{name}",
            "an object of finite numbers",
        )
    texts = [*card["limits"], *card["commands"], *card["class_descriptions"].values()]
    need(
        all(isinstance(text, str) for text in texts),
        "limits, commands and class_descriptions",
        "texts",
    )
    temperature = card.get("temperature")
    if temperature is not None:
        need(
            isinstance(temperature, dict)
            and number(temperature.get("value"))
            and temperature["value"] > 0,
            "temperature",
            "an object with a value above 0",
        )
    if card.get("decoder") is not None:
        check_decoder(card)
    _check_evidence(card)
    return card


def _check_evidence(card: dict) -> None:
    """What publishing adds for a single answer: each part may be missing, none may be half there."""

    def part(field: str) -> dict:
        value = card.get(field)
        need(value is None or isinstance(value, dict), field, "an object")
        return value or {}

    if conformal := part("conformal"):
        limits = conformal.get("coverages")
        need(
            isinstance(limits, dict)
            and bool(limits)
            and all(
                COVERAGE.fullmatch(key) and number(q) and 0 <= q <= 1 for key, q in limits.items()
            ),
            "conformal.coverages",
            "an object of thresholds from 0 to 1 by coverage, such as 0.90",
        )
    if outlier := part("outlier"):
        for field in ("distance", "reconstruction"):
            score = outlier.get(field)
            need(
                (score is None and field == "reconstruction")
                or (
                    isinstance(score, dict)
                    and number(score.get("threshold"))
                    and score["threshold"] > 0
                ),
                f"outlier.{field}",
                "an object with a threshold above 0",
            )
        need(bool(card.get("reference")), "reference", "there where outlier statistics are")
    if point := part("operating_point"):
        need(
            point.get("class") in card["classes"]
            and all(number(point.get(key)) for key in ("threshold", "specificity")),
            "operating_point",
            "an object with a class of the model, threshold and specificity",
        )
    if reference := part("reference"):
        need(
            type(reference.get("file_bytes")) is int
            and isinstance(reference.get("sha256"), str)
            and isinstance(reference.get("tensors"), dict),
            "reference",
            "an object with file_bytes, sha256 and tensors",
        )
        duplicate = reference.get("duplicate")
        need(
            duplicate is None
            or (isinstance(duplicate, dict) and number(duplicate.get("threshold"))),
            "reference.duplicate",
            "an object with a threshold",
        )
    if priority := part("priority"):
        mapping = priority.get("map")
        need(
            isinstance(mapping, dict)
            and set(mapping) == set(card["classes"])
            and set(mapping.values()) <= set(PRIORITIES),
            "priority",
            "an object whose map gives each class one of " + ", ".join(PRIORITIES),
        )


def temperature_of(card: dict) -> float:
    """The temperature that divides the logits: 1 where none was fitted."""
    return float((card.get("temperature") or {}).get("value", 1.0))


def describe_class(card: dict, name: str) -> str:
    """A class's readable name: its code and, where the data set says it, what it means."""
    words = card["class_descriptions"].get(name)
    return f"{name} ({words})" if words else name
