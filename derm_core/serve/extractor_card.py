"""The card of an extractor bundle, a pretrained VAE without a classifier; checked field by field as those of models are."""

from __future__ import annotations

from typing import Any

KIND = "extractor"
REQUIRED = {
    "schema": int, "name": str, "label": str, "architecture": str, "stage": int, "model_args": dict, "features": int,
    "input_size": int, "decoder": dict, "preprocessing": dict, "mean": list, "std": list, "training_data": dict,
    "config": dict, "record": dict, "reconstruction": dict, "latent": dict, "memorisation": dict, "commands": list,
    "versions": dict, "intended_use": str, "limits": list, "license": str, "parameters": int, "file_bytes": int,
    "sha256": str, "tensors": dict}
PER_DIMENSION = ("kl", "mean", "std")
MEASURED = ("pixel_mse", "active_units", "images")


def check_extractor(card: dict) -> dict:
    """`card` if every field a loader or a page relies on is there and sensible. Raises BundleError naming the field.

    Its values are bounded already (foreign.check_values).
    """
    from .card import ID_PATTERN, LABEL, SAFE_ARGUMENTS, SCHEMA
    from .card import _need as need
    from .card import _number as number
    for field, kind in REQUIRED.items():
        value = card.get(field)
        need(isinstance(value, kind) and not isinstance(value, bool), field, f"a value of kind {kind.__name__}")
    need(card["schema"] == SCHEMA, "schema", f"{SCHEMA}; a newer bundle needs a newer version of this program")
    need(bool(ID_PATTERN.fullmatch(card["name"])), "name", "1 to 40 lower-case letters, digits and hyphens")
    need(bool(LABEL.fullmatch(card["label"])), "label", "1 to 120 letters, digits, blanks and . , ( ) + -, one colon")
    need(card.get("reference") is None, "reference", "absent: an extractor has no reference file")
    need(0 <= card["stage"] <= 9, "stage", "0 to 9")
    for field, limit in (("features", 65536), ("input_size", 1024)):
        need(1 <= card[field] <= limit, field, f"1 to {limit}")
    for field in ("mean", "std"):
        need(len(card[field]) == 3 and all(number(v) for v in card[field]), field, "three numbers")
    need(all(v > 0 for v in card["std"]), "std", "three numbers above 0")
    need(all(name in SAFE_ARGUMENTS and (value is None or isinstance(value, (str, int, float)))
             for name, value in card["model_args"].items()), "model_args", "plain values of " + ", ".join(SAFE_ARGUMENTS))
    sizes = card["decoder"]
    need(all(type(sizes.get(key)) is int and 1 <= sizes[key] <= 4096 for key in ("latent_dim", "size", "width")),
         "decoder", "an object with latent_dim, size and width from 1 to 4096")
    need(all(isinstance(text, str) for text in (*card["limits"], *card["commands"])), "limits and commands", "texts")
    _check_measured(card, need, number)
    return card


def _check_measured(card: dict, need: Any, number: Any) -> None:
    need(all(number(card["reconstruction"].get(name)) for name in MEASURED), "reconstruction",
         "an object of numbers: " + ", ".join(MEASURED))
    for name in PER_DIMENSION:
        values = card["latent"].get(name)
        need(isinstance(values, list) and len(values) == card["decoder"]["latent_dim"] and all(number(v) for v in values),
             f"latent.{name}", "a number for each latent dimension")
    need(all(type(card["memorisation"].get(name)) is int for name in ("samples", "copies")), "memorisation",
         "an object with samples and copies")
    if (knn := card.get("knn")) is not None:
        need(isinstance(knn, dict) and all(number(knn.get(name)) for name in ("accuracy", "balanced_accuracy")), "knn",
             "an object with accuracy and balanced_accuracy, or absent")
