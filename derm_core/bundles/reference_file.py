"""reference.safetensors beside a bundle's model: the feature space, its training images as points, the latent map.

    space.mean, space.std (D,) F32, space.axes (D, r) F32, space.variances (r + 1,) F32     always
    latents.weight (D, Z), latents.bias (Z,) F32                                           with a decoder
    points.positions (n, k) F16, points.labels (n,) I32, points.ids (n, L) U8              of training images

ids are UTF-8 padded with zeros. Points and ids are what is personal in it: `without_points` leaves them out.
The card lists the file under "reference": file_bytes, sha256, tensors, and what they hold.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from safetensors.numpy import load, save

from ..errors import BundleError
from .card import Card
from .card_parts import ReferenceListing
from .neighbours import Points
from .outlier import Space
from .tensors import REFERENCE, check_tensors, read_header

SPACE = ("mean", "std", "axes", "variances")


@dataclass(frozen=True)
class Reference:
    """What a bundle has of its training images.

    Attributes:
        space: of their features.
        points: the images in it; None where they were left out.
        latents: (weight (D, Z), bias (Z,)) of the linear map from features to latents; None without a decoder.
    """

    space: Space
    points: Points | None = None
    latents: tuple[np.ndarray, np.ndarray] | None = None

    def draw_latents(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, Z) latents like those of training images: of features drawn from their Gaussian.

        After Ghosh et al. 2020 (arXiv 1903.12436): a decoder has hardly learned what the prior draws beyond them.
        """
        assert self.latents, "a bundle with a decoder has a latent map"
        weight, bias = self.latents
        latents_nz: np.ndarray = self.space.draw(count, rng) @ weight + bias
        return latents_nz


def without_points(reference: Reference) -> Reference:
    """The statistics alone: nothing of a single training image."""
    return replace(reference, points=None)


def pack(
    reference: Reference, listing: ReferenceListing | None = None
) -> tuple[bytes, ReferenceListing]:
    """The file's bytes, and `listing` with what the card says of them."""
    arrays = {f"space.{key}": getattr(reference.space, key) for key in SPACE}
    if reference.latents:
        arrays |= {"latents.weight": reference.latents[0], "latents.bias": reference.latents[1]}
    points = reference.points
    if points is not None:
        arrays |= {"points.positions": points.positions, "points.labels": points.labels}
        if points.ids is not None:
            arrays["points.ids"] = _encode(points.ids)
    data = save({key: np.ascontiguousarray(value) for key, value in arrays.items()})
    return data, replace(
        listing or ReferenceListing(),
        file_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        tensors=read_header(data, REFERENCE),
        images=len(points.labels) if points else 0,
        ids=bool(points and points.ids is not None),
    )


def check_reference(data: bytes, card: Card) -> None:
    """Raise BundleError unless the bytes are those the card lists and fit the model it describes."""
    assert card.reference
    check_tensors(data, card.reference, card.name, REFERENCE)
    if problem := _misfit(card):
        raise BundleError(
            f"{card.name}/{REFERENCE} does not fit its model: {problem}; get the bundle again."
        )


def _misfit(card: Card) -> str | None:
    """Which listed tensor cannot belong to the model on the card, by its name, type and shape."""
    assert card.reference
    d, z = card.features, card.decoder.latent_dim if card.decoder else None
    specs = card.reference.tensors
    shapes = {key: (spec.dtype, *spec.shape) for key, spec in specs.items()}

    def last(name: str) -> int:
        spec = specs.get(name)
        return spec.shape[-1] if spec and spec.shape else 0

    rank, n, k = last("space.axes"), last("points.labels"), last("points.positions")
    expected: dict[str, tuple[str | int | None, ...]] = {
        "space.mean": ("F32", d),
        "space.std": ("F32", d),
        "space.axes": ("F32", d, rank),
        "space.variances": ("F32", rank + 1),
    }
    if "latents.weight" in shapes or "latents.bias" in shapes:
        expected |= {"latents.weight": ("F32", d, z), "latents.bias": ("F32", z)}
    if any(key.startswith("points.") for key in shapes):
        expected |= {"points.positions": ("F16", n, k), "points.labels": ("I32", n)}
        if "points.ids" in shapes:
            expected["points.ids"] = ("U8", n, last("points.ids"))
    for key in sorted(shapes.keys() | expected.keys()):
        if shapes.get(key) != expected.get(key):
            return f"{key} is {shapes.get(key)}, {expected.get(key)} is needed"
    return None if 1 <= rank <= d and 0 <= k <= rank else "more axes than features"


def unpack(data: bytes, card: Card) -> Reference:
    """The arrays of checked bytes.

    Raises:
        BundleError: values that no training gives: not finite, or labels without a class.
    """
    arrays = load(data)
    space = Space(*(arrays[f"space.{key}"] for key in SPACE))
    points, latents = None, None
    if "points.labels" in arrays:
        ids = _decode(arrays["points.ids"], card.name) if "points.ids" in arrays else None
        points = Points(arrays["points.positions"], arrays["points.labels"], ids)
    if "latents.weight" in arrays:
        latents = arrays["latents.weight"], arrays["latents.bias"]
    sound = (
        all(np.isfinite(array).all() for array in arrays.values())
        and (space.std > 0).all()
        and (space.variances > 0).all()
    )
    if points is not None and sound:
        sound = (
            len(points.labels) > 0
            and points.labels.min() >= 0
            and points.labels.max() < len(card.classes)
        )
    if not sound:
        raise BundleError(
            f"{card.name}/{REFERENCE} holds values that no training gives; get the bundle again."
        )
    return Reference(space, points, latents)


def _encode(ids: list[str]) -> np.ndarray:
    """Names as rows of UTF-8 bytes, padded with zeros."""
    raw = [name.encode() for name in ids]
    rows = np.zeros((len(raw), max(map(len, raw))), np.uint8)
    for row, text in zip(rows, raw, strict=True):
        row[: len(text)] = np.frombuffer(text, np.uint8)
    return rows


def _decode(rows: np.ndarray, name: str) -> list[str]:
    try:
        return [row.tobytes().rstrip(b"\0").decode() for row in rows]
    except UnicodeDecodeError as error:
        raise BundleError(
            f"{name}/{REFERENCE} holds image ids that are no text; get the bundle again."
        ) from error
