"""The card of an extractor bundle, a pretrained VAE without a classifier; checked field by field as those of models are."""

from __future__ import annotations

from .card_fields import check_common, check_decoder, need, number

KIND = "extractor"
REQUIRED = {
    "schema": int,
    "name": str,
    "label": str,
    "architecture": str,
    "stage": int,
    "model_args": dict,
    "features": int,
    "input_size": int,
    "decoder": dict,
    "preprocessing": dict,
    "mean": list,
    "std": list,
    "training_data": dict,
    "config": dict,
    "record": dict,
    "reconstruction": dict,
    "latent": dict,
    "memorisation": dict,
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
PER_DIMENSION = ("kl", "mean", "std")
MEASURED = ("pixel_mse", "active_units", "images")


def check_extractor(card: dict) -> dict:
    """`card` if every field a loader or a page relies on is there and sensible. Raises BundleError naming the field.

    Its values are bounded already (foreign.check_values).
    """
    check_common(card, REQUIRED, ("features",))
    need(card.get("reference") is None, "reference", "absent: an extractor has no reference file")
    check_decoder(card)
    need(
        all(isinstance(text, str) for text in (*card["limits"], *card["commands"])),
        "limits and commands",
        "texts",
    )
    _check_measured(card)
    return card


def _check_measured(card: dict) -> None:
    need(
        all(number(card["reconstruction"].get(name)) for name in MEASURED),
        "reconstruction",
        "an object of numbers: " + ", ".join(MEASURED),
    )
    for name in PER_DIMENSION:
        values = card["latent"].get(name)
        need(
            isinstance(values, list)
            and len(values) == card["decoder"]["latent_dim"]
            and all(number(v) for v in values),
            f"latent.{name}",
            "a number for each latent dimension",
        )
    need(
        all(type(card["memorisation"].get(name)) is int for name in ("samples", "copies")),
        "memorisation",
        "an object with samples and copies",
    )
    if (knn := card.get("knn")) is not None:
        need(
            isinstance(knn, dict)
            and all(number(knn.get(name)) for name in ("accuracy", "balanced_accuracy")),
            "knn",
            "an object with accuracy and balanced_accuracy, or absent",
        )
