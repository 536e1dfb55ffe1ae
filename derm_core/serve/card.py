"""A bundle's card: what a model is, where it comes from and what it may be used for; checked field by field."""

from __future__ import annotations

import math
import re
from typing import Any

from ..errors import BundleError
from ..workspace import ID_PATTERN
from .extractor_card import KIND, check_extractor
from .foreign import check_values

SCHEMA = 1
# timm arguments a card may carry: plain settings, none of which names a file, a folder or an address
SAFE_ARGUMENTS = ("pad_type", "bn_eps", "bn_momentum", "act_layer", "norm_layer", "stem_type", "patch_size")
COVERAGE = re.compile(r"0\.\d\d")
PRIORITIES = ("high", "medium", "low")     # as in data.priority, which reads tables
ARM, LABEL = re.compile(r"[a-z0-9][a-z0-9:-]{0,79}"), re.compile(r"(?!.*:.*:)[\w .,:()+\u2013-]{1,120}")    # stand in badges
REQUIRED = {
    "schema": int, "name": str, "arm": str, "label": str, "regime": str, "architecture": str, "stage": int,
    "model_args": dict, "features": int, "hidden": int, "classes": list, "class_descriptions": dict,
    "input_size": int, "preprocessing": dict, "mean": list, "std": list, "initial_weights": dict,
    "training_data": dict, "split": dict, "seed": int, "metrics": dict, "commands": list, "versions": dict,
    "intended_use": str, "limits": list, "license": str, "parameters": int, "file_bytes": int, "sha256": str,
    "tensors": dict}


def check_card(card: Any) -> dict:
    """`card` if every field a loader relies on is there and sensible. Raises BundleError naming the field."""
    _need(isinstance(card, dict), "card.json", "a JSON object")
    check_values(card)
    if "kind" in card:                       # a classifier's has none
        _need(card["kind"] == KIND, "kind", f"{KIND!r}, or absent")
        return check_extractor(card)
    for field, kind in REQUIRED.items():
        value = card.get(field)
        _need(isinstance(value, kind) and not isinstance(value, bool), field, f"a value of kind {kind.__name__}")
    _need(card["schema"] == SCHEMA, "schema", f"{SCHEMA}; a newer bundle needs a newer version of this program")
    _need(bool(ID_PATTERN.fullmatch(card["name"])), "name", "1 to 40 lower-case letters, digits and hyphens")
    _need(bool(ARM.fullmatch(card["arm"])), "arm", "lower-case letters, digits, hyphens and colons")
    _need(bool(LABEL.fullmatch(card["label"])), "label", "1 to 120 letters, digits, blanks and . , ( ) + -, one colon")
    _need(0 <= card["stage"] <= 9, "stage", "0 to 9")
    for field, limit in (("features", 65536), ("hidden", 65536), ("input_size", 1024)):
        _need(1 <= card[field] <= limit, field, f"1 to {limit}")
    classes = card["classes"]
    _need(2 <= len(classes) <= 1000 and all(isinstance(c, str) and c for c in classes)
          and len(set(classes)) == len(classes), "classes", "2 to 1000 different names")
    for field in ("mean", "std"):
        _need(len(card[field]) == 3 and all(_number(v) for v in card[field]), field, "three numbers")
    _need(all(v > 0 for v in card["std"]), "std", "three numbers above 0")
    for name, value in card["model_args"].items():
        _need(name in SAFE_ARGUMENTS and (value is None or isinstance(value, (str, int, float))), "model_args",
              "plain values of " + ", ".join(SAFE_ARGUMENTS))
    for name, metric in card["metrics"].items():
        _need(isinstance(metric, dict) and all(metric.get(key) is None or _number(metric[key])
                                               for key in ("mean", "std", "low", "high")), f"metrics.{name}", "an object of finite numbers")
    texts = [*card["limits"], *card["commands"], *card["class_descriptions"].values()]
    _need(all(isinstance(text, str) for text in texts), "limits, commands and class_descriptions", "texts")
    temperature = card.get("temperature")
    if temperature is not None:
        _need(isinstance(temperature, dict) and _number(temperature.get("value")) and temperature["value"] > 0,
              "temperature", "an object with a value above 0")
    decoder = card.get("decoder")
    if decoder is not None:
        _need(isinstance(decoder, dict) and all(
            type(decoder.get(key)) is int and 1 <= decoder[key] <= 4096 for key in ("latent_dim", "size", "width")),
            "decoder", "an object with latent_dim, size and width from 1 to 4096")
    _check_evidence(card)
    return card


def _check_evidence(card: dict) -> None:
    """What publishing adds for a single answer: each part may be missing, none may be half there."""
    def part(field: str) -> dict:
        value = card.get(field)
        _need(value is None or isinstance(value, dict), field, "an object")
        return value or {}

    if conformal := part("conformal"):
        limits = conformal.get("coverages")
        _need(isinstance(limits, dict) and bool(limits) and all(
            COVERAGE.fullmatch(key) and _number(q) and 0 <= q <= 1 for key, q in limits.items()),
            "conformal.coverages", "an object of thresholds from 0 to 1 by coverage, such as 0.90")
    if outlier := part("outlier"):
        for field in ("distance", "reconstruction"):
            score = outlier.get(field)
            _need((score is None and field == "reconstruction") or (
                isinstance(score, dict) and _number(score.get("threshold")) and score["threshold"] > 0),
                f"outlier.{field}", "an object with a threshold above 0")
        _need(bool(card.get("reference")), "reference", "there where outlier statistics are")
    if point := part("operating_point"):
        _need(point.get("class") in card["classes"] and all(_number(point.get(key)) for key in ("threshold", "specificity")),
              "operating_point", "an object with a class of the model, threshold and specificity")
    if reference := part("reference"):
        _need(type(reference.get("file_bytes")) is int and isinstance(reference.get("sha256"), str)
              and isinstance(reference.get("tensors"), dict), "reference", "an object with file_bytes, sha256 and tensors")
        duplicate = reference.get("duplicate")
        _need(duplicate is None or (isinstance(duplicate, dict) and _number(duplicate.get("threshold"))),
              "reference.duplicate", "an object with a threshold")
    if priority := part("priority"):
        mapping = priority.get("map")
        _need(isinstance(mapping, dict) and set(mapping) == set(card["classes"]) and set(mapping.values()) <= set(PRIORITIES),
              "priority", "an object whose map gives each class one of " + ", ".join(PRIORITIES))


def temperature_of(card: dict) -> float:
    """The temperature that divides the logits: 1 where none was fitted."""
    return float((card.get("temperature") or {}).get("value", 1.0))


def describe_class(card: dict, name: str) -> str:
    """A class's readable name: its code and, where the data set says it, what it means."""
    words = card["class_descriptions"].get(name)
    return f"{name} ({words})" if words else name


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _need(holds: bool, field: str, allowed: str) -> None:
    if not holds:
        raise BundleError(f"The bundle's card is not valid: {field} must be {allowed}. Get the bundle again.")
