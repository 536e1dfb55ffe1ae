"""reference.safetensors beside a bundle's model: the feature space, its training images as points, the latent map.

    space.mean, space.std (D,) F32, space.axes (D, r) F32, space.variances (r + 1,) F32     always
    latents.weight (D, Z), latents.bias (Z,) F32                                           with a decoder
    points.positions (n, k) F16, points.labels (n,) I32, points.ids (n, L) U8              of training images

ids are UTF-8 padded with zeros. Points and ids are what is personal in it: `without_points` leaves them out.
The card lists the file under "reference": file_bytes, sha256, tensors, and what they hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..errors import BundleError
from .neighbours import Points
from .outlier import Space
from .tensors import read_header

REFERENCE = "reference.safetensors"
MAX_REFERENCE_BYTES = 64 * 2**20
DTYPES = ("F16", "F32", "I32", "U8")
SPACE = ("mean", "std", "axes", "variances")


@dataclass(frozen=True)
class Reference:
    """What a bundle keeps of its training. latents: (weight (D, Z), bias (Z,)) or None. points: None where left out."""

    space: Space
    points: Points | None
    latents: tuple[np.ndarray, np.ndarray] | None

    def draw_latents(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, Z) latents as training images have them: of features from their Gaussian (after Ghosh et al. 2020, arXiv
        1903.12436). What the prior draws beyond them, a decoder hardly learned to paint."""
        weight, bias = self.latents
        return self.space.draw(count, rng) @ weight + bias


def without_points(reference: Reference) -> Reference:
    """The statistics alone: nothing of a single training image."""
    return replace(reference, points=None)


def pack(reference: Reference) -> tuple[bytes, dict]:
    """The file's bytes, and what the card says of them: {file_bytes, sha256, tensors, images, ids}."""
    from safetensors.numpy import save

    arrays = {f"space.{key}": getattr(reference.space, key) for key in SPACE}
    if reference.latents:
        arrays |= {"latents.weight": reference.latents[0], "latents.bias": reference.latents[1]}
    points = reference.points
    if points is not None:
        arrays |= {"points.positions": points.positions, "points.labels": points.labels}
        if points.ids is not None:
            arrays["points.ids"] = _encode(points.ids)
    data = save({key: np.ascontiguousarray(value) for key, value in arrays.items()})
    return data, {
        "file_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "tensors": read_header(data, REFERENCE, DTYPES),
        "images": len(points.labels) if points else 0,
        "ids": bool(points and points.ids is not None),
    }


def check(data: bytes, card: Mapping) -> None:
    """Raise BundleError unless the bytes are those the card lists and fit the model it describes."""
    listed = card["reference"]
    if len(data) != listed["file_bytes"]:
        raise BundleError(
            f"{card['name']}/{REFERENCE} is not {listed['file_bytes']} bytes as its card says: it is "
            "truncated or another file; get the bundle again."
        )
    header = read_header(data, REFERENCE, DTYPES)
    if header != listed["tensors"]:
        raise BundleError(
            f"{card['name']}/{REFERENCE} does not hold the tensors its card lists; get the bundle again."
        )
    if hashlib.sha256(data).hexdigest() != listed["sha256"]:
        raise BundleError(
            f"{card['name']}/{REFERENCE} does not match the SHA-256 on its card: it was changed or "
            "damaged; get the bundle again."
        )
    problem = _misfit(header, card)
    if problem:
        raise BundleError(
            f"{card['name']}/{REFERENCE} does not fit its model: {problem}; get the bundle again."
        )


def _misfit(header: dict, card: Mapping) -> str | None:
    """What of the tensors cannot belong to the model on the card, by their names, types and shapes."""
    d, z = card["features"], (card.get("decoder") or {}).get("latent_dim")
    shapes = {key: (spec["dtype"], *spec["shape"]) for key, spec in header.items()}
    rank = shapes.get("space.axes", (None, 0, 0))[-1]
    n = shapes.get("points.labels", (None, 0))[-1]
    k, width = (shapes.get(key, (None, 0, 0))[-1] for key in ("points.positions", "points.ids"))
    wanted = {
        "space.mean": ("F32", d),
        "space.std": ("F32", d),
        "space.axes": ("F32", d, rank),
        "space.variances": ("F32", rank + 1),
    }
    if "latents.weight" in shapes or "latents.bias" in shapes:
        wanted |= {"latents.weight": ("F32", d, z), "latents.bias": ("F32", z)}
    if any(key.startswith("points.") for key in shapes):
        wanted |= {"points.positions": ("F16", n, k), "points.labels": ("I32", n)}
        if "points.ids" in shapes:
            wanted["points.ids"] = ("U8", n, width)
    if shapes != wanted:
        wrong = sorted(
            key for key in shapes.keys() | wanted.keys() if shapes.get(key) != wanted.get(key)
        )
        return f"{wrong[0]} is {shapes.get(wrong[0])}, {wanted.get(wrong[0])} is needed"
    return None if 1 <= rank <= d and 0 <= k <= rank else "more axes than features"


def unpack(data: bytes, card: Mapping) -> Reference:
    """The arrays of checked bytes. Raises BundleError where values make no sense: not finite, labels without a class."""
    from safetensors.numpy import load

    arrays = load(data)
    space = Space(*(arrays[f"space.{key}"] for key in SPACE))
    points = None
    if "points.labels" in arrays:
        ids = _decode(arrays["points.ids"], card["name"]) if "points.ids" in arrays else None
        points = Points(arrays["points.positions"], arrays["points.labels"], ids)
    latents = (
        (arrays["latents.weight"], arrays["latents.bias"]) if "latents.weight" in arrays else None
    )
    sound = (
        all(np.isfinite(array).all() for array in arrays.values())
        and (space.std > 0).all()
        and (space.variances > 0).all()
    )
    if points is not None and sound:
        sound = (
            len(points.labels) > 0
            and points.labels.min() >= 0
            and points.labels.max() < len(card["classes"])
        )
    if not sound:
        raise BundleError(
            f"{card['name']}/{REFERENCE} holds values that no training gives; get the bundle again."
        )
    return Reference(space, points, latents)


def _encode(ids: list[str]) -> np.ndarray:
    """Names as rows of UTF-8 bytes, padded with zeros."""
    raw = [name.encode() for name in ids]
    rows = np.zeros((len(raw), max(map(len, raw))), np.uint8)
    for row, text in zip(rows, raw):
        row[: len(text)] = np.frombuffer(text, np.uint8)
    return rows


def _decode(rows: np.ndarray, name: str) -> list[str]:
    try:
        return [row.tobytes().rstrip(b"\0").decode() for row in rows]
    except UnicodeDecodeError as error:
        raise BundleError(
            f"{name}/{REFERENCE} holds image ids that are no text; get the bundle again."
        ) from error
