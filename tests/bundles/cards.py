"""Cards and bundles for tests, from the fields that matter to each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from derm_core.bundles import bundle
from derm_core.bundles.card import Card, card_json, read_card
from derm_core.bundles.model_library import verify_bundle
from derm_core.bundles.reference_file import Reference

FIELDS = {
    "schema": 1,
    "name": "small",
    "arm": "vae",
    "label": "VAE (from scratch)",
    "regime": "frozen",
    "architecture": "resnet18",
    "stage": 1,
    "model_args": {},
    "features": 64,
    "hidden": 8,
    "classes": ["a", "b", "c"],
    "class_descriptions": {"a": "first"},
    "input_size": 32,
    "preprocessing": {"version": 1},
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "initial_weights": {},
    "training_data": {"dataset": "synth"},
    "split": {},
    "seed": 0,
    "metrics": {},
    "commands": [],
    "versions": {},
    "intended_use": "tests",
    "limits": [],
    "license": "none",
}


def make_card(**fields: Any) -> Card:
    """The card of a classifier with these fields, the others as in FIELDS."""
    return read_card({**FIELDS, **fields})


def save_bundle(folder: Path, network: Any, fields: dict[str, Any], decoder: Any = None) -> Card:
    """Save a bundle whose card has these fields, complete but for what saving fills in."""
    return bundle.save_bundle(folder, network, read_card(fields), decoder)


def complete_bundle(
    folder: Path, fields: dict[str, Any], reference: Reference | None = None
) -> Card:
    """Write the card of a saved bundle anew with these fields, and its reference."""
    value = {**card_json(verify_bundle(folder)), **fields}
    return bundle.complete_bundle(folder, read_card(value), reference)
