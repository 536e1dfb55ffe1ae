"""A published model as ONNX: the extractor, for a classifier with its head, for any runtime.

    images         uint8 (N, S, S, 3), sRGB, as `data.decode.prepare` gives them
    features       float32 (N, D)
    logits         float32 (N, C), before the temperature          of a classifier
    probabilities  float32 (N, C), at the temperature of the card  of a classifier
    latents        float32 (N, Z), means of the posterior          of an extractor

The colours are normalised inside. What has to be done to an image before, the classes and what the model
is stand in the file's metadata, under the key `derm` as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from .. import __version__
from ..errors import BundleError
from ..records import to_json
from .bundle import Bundle, ExtractorBundle

OPSET = 18
NEEDED = ("onnx", "onnxscript")  # torch.onnx.export writes with both
# Largest difference from PyTorch that is accepted: of probabilities, and of other values v, as a part of max(1, |v|).
PARITY = 1e-4
PREPARATION = (
    "EXIF orientation applied, colour profile converted to sRGB, transparency over white; the short side resized to "
    "input_size pixels ({filter}, antialiased), the centre square cut out; uint8, RGB, height × width × 3"
)
USE = "Research use only. Not for diagnosis."


@dataclass(frozen=True)
class OnnxModel:
    """A model as ONNX.

    Attributes:
        data: the file.
        outputs: names of the outputs.
        difference: largest difference of an output from PyTorch's on random images, of probabilities in
            absolute terms, of others relative to values above 1; None where onnxruntime is not
            installed, so that nothing was compared.
    """

    data: bytes
    outputs: tuple[str, ...]
    difference: float | None


class _Classifier(nn.Module):
    """uint8 images -> features, logits, probabilities."""

    outputs = ("features", "logits", "probabilities")

    def __init__(self, bundle: Bundle):
        super().__init__()
        self.classifier, card = bundle.classifier, bundle.card
        self.mean, self.std = card.mean, card.std
        self.temperature = card.temperature.value if card.temperature else 1.0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.classifier.backbone.pooled(_normalise(images, self.mean, self.std))
        logits = self.classifier.classify(features)
        return features, logits, torch.softmax(logits / self.temperature, 1)


class _Extractor(nn.Module):
    """uint8 images -> features, latents."""

    outputs = ("features", "latents")

    def __init__(self, bundle: ExtractorBundle):
        super().__init__()
        self.vae, self.mean, self.std = bundle.vae, bundle.card.mean, bundle.card.std

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.vae.backbone.pooled(_normalise(images, self.mean, self.std)).float()
        return features, self.vae.to_mu(features)


def _normalise(images_bhwc: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """`nets.backbone.normalise` without its cache, which would leave constants outside the graph."""
    by_channel = [torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std)]
    x = images_bhwc.permute(0, 3, 1, 2).float() / 255
    return (x - by_channel[0]) / by_channel[1]


def require_onnx() -> None:
    """Raise BundleError where a package that writing ONNX needs is not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise BundleError(
            f"Writing ONNX needs {' and '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} not installed: "
            "`pip install 'derm-core[onnx]'`, or in a checkout `pip install -c constraints.txt "
            f"{' '.join(NEEDED)}`."
        )


def export_onnx(bundle: Bundle | ExtractorBundle) -> OnnxModel:
    """A loaded model as ONNX; the number of images is free, their size that of the card.

    Raises:
        BundleError: a package is missing, its architecture cannot be exported, it is too large for one
            file, or what ONNX computes is not what PyTorch does.
    """
    require_onnx()
    network = _Classifier(bundle) if isinstance(bundle, Bundle) else _Extractor(bundle)
    images = _random_images(bundle.card.input_size)
    try:
        program = torch.onnx.export(
            network.eval(),
            (torch.from_numpy(images),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=list(network.outputs),
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    except Exception as error:
        raise BundleError(
            f"{bundle.name} ({bundle.card.architecture}) cannot be written as ONNX "
            f"({type(error).__name__}: {next(iter(str(error).splitlines()), '')[:160]})."
        ) from error
    proto = cast(Any, program).model_proto
    for key, text in _metadata(bundle).items():
        proto.metadata_props.add(key=key, value=text)
    data = _serialised(bundle, proto)
    return OnnxModel(data, network.outputs, _difference(bundle.name, network, data, images))


def _serialised(bundle: Bundle | ExtractorBundle, proto: Any) -> bytes:
    """The file. Raises BundleError above the 2 GB of a protobuf message."""
    try:
        data: bytes = proto.SerializeToString()
    except Exception as error:  # ValueError or EncodeError, by the version of protobuf
        raise BundleError(
            f"{bundle.name} ({bundle.card.parameters:,} parameters) does not fit into one ONNX file, which holds at "
            "most 2 GB: publish a smaller network, or use it from Python (derm_core.load_extractor)."
        ) from error
    return data


def _random_images(size: int) -> np.ndarray:
    """(3, S, S, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)


def _metadata(bundle: Bundle | ExtractorBundle) -> dict[str, str]:
    """What a reader of the file has to know, as texts."""
    card = bundle.card
    facts: dict[str, Any] = {
        "name": card.name,
        "label": card.label,
        "kind": card.kind,
        "architecture": card.architecture,
        "stage": card.stage,
        "pooling": card.pooling,
        "input": {
            "name": "images",
            "type": "uint8",
            "shape": ["N", card.input_size, card.input_size, 3],
            "colour": "sRGB",
            "input_size": card.input_size,
            "preparation": PREPARATION.format(filter=card.interpolation),
        },
        "normalised_inside": {"mean": list(card.mean), "std": list(card.std)},
        "weights_sha256": card.sha256,
        "license": card.license,
        "intended_use": card.intended_use,
        "limits": list(card.limits),
        "derm_core": __version__,
    }
    if isinstance(bundle, Bundle):
        facts |= {
            "classes": list(card.classes),
            "class_descriptions": to_json(card.class_descriptions),
            "temperature": card.temperature.value if card.temperature else None,
            "class_shares": to_json(card.class_shares),
            "decision": "the most probable class; after adjusting for class frequency: the class with the largest "
            "softmax(logits) / class_shares",
        }
    return {"derm": json.dumps(facts, ensure_ascii=False, sort_keys=True), "use": USE}


def _difference(
    name: str, network: _Classifier | _Extractor, data: bytes, images: np.ndarray
) -> float | None:
    """The largest difference from PyTorch; None without onnxruntime. Raises BundleError above PARITY."""
    if find_spec("onnxruntime") is None:
        return None
    session = import_module("onnxruntime").InferenceSession(
        data, providers=["CPUExecutionProvider"]
    )
    theirs = session.run(list(network.outputs), {"images": images})
    with torch.inference_mode():
        ours = network(torch.from_numpy(images))
    ours_by_name = dict(zip(network.outputs, (one.numpy() for one in ours), strict=True))
    return _parity(name, dict(zip(network.outputs, theirs, strict=True)), ours_by_name)


def _parity(name: str, theirs: dict[str, np.ndarray], ours: dict[str, np.ndarray]) -> float:
    """The largest difference of outputs, see `OnnxModel.difference`. Raises BundleError above PARITY."""
    differences = {}
    for output, value in ours.items():
        scale = 1.0 if output == "probabilities" else np.maximum(1.0, np.abs(value))
        differences[output] = float((np.abs(theirs[output] - value) / scale).max())
    worst = max(differences, key=lambda output: np.nan_to_num(differences[output], nan=np.inf))
    if not differences[worst] <= PARITY:
        raise BundleError(
            f"{name} was not written: as ONNX it computes other {worst} than in PyTorch (by "
            f"{differences[worst]:.2g}; allowed is {PARITY:g})."
        )
    return differences[worst]
