"""Bundles: a published classifier as card.json + model.safetensors (+ reference.safetensors), checked before it is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BundleError, ConfigError, NotFound
from ..files import read_json, write_atomic, write_json
from ..workspace import Workspace, check_id, models_folder
from .card import check_card
from .reference_file import MAX_REFERENCE_BYTES, REFERENCE, Reference, check, pack, unpack
from .tensors import read_header

if TYPE_CHECKING:
    from ..nets.head import Classifier
    from ..nets.vae import Decoder

CARD, TENSORS = "card.json", "model.safetensors"
MAX_CARD_BYTES = 8 * 2**20
MAX_TENSOR_BYTES = 1024 * 2**20


@dataclass
class Bundle:
    """A loaded bundle: the classifier in eval mode and float32, a VAE's decoder and the reference where they are shipped."""

    name: str
    folder: Path
    card: dict
    classifier: Classifier
    decoder: Decoder | None
    reference: Reference | None = None


def save_bundle(
    folder: Path, classifier: Classifier, card: dict, extra_tensors: Mapping[str, Any] | None = None
) -> dict:
    """Write a new bundle folder; returns the card with tensors, sha256, file_bytes and parameters filled in.

    Matrices and kernels are stored as float16, vectors (biases, normalisation) as float32.
    extra_tensors: further tensors by full name, such as `decoder.*`.
    Raises BundleError where a weight is not finite in its stored type, or the folder holds a bundle.
    """
    return save_tensors(
        folder,
        {**classifier.state_dict(), **(extra_tensors or {})},
        card,
        sum(p.numel() for p in classifier.parameters()),
    )


def save_tensors(folder: Path, state: Mapping[str, Any], card: dict, parameters: int) -> dict:
    """Write tensors and card of a new bundle of either kind; returns the card, completed. Raises as `save_bundle`."""
    import torch
    from safetensors.torch import save

    folder = Path(folder)
    if (folder / CARD).exists():
        raise BundleError(
            f"{folder.name} is already in the library; choose another name or remove that folder first."
        )
    stored = {}
    for key, tensor in state.items():
        if key.endswith("num_batches_tracked"):
            continue
        value = (
            tensor.detach()
            .cpu()
            .to(torch.float16 if tensor.ndim > 1 else torch.float32)
            .contiguous()
        )
        if not torch.isfinite(value).all():
            raise BundleError(
                f"{key} is not finite, or too large for float16; this model cannot be published."
            )
        stored[key] = value
    data = save(stored)
    card = check_card(
        {
            **card,
            "tensors": read_header(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "file_bytes": len(data),
            "parameters": parameters,
        }
    )
    write_atomic(folder / TENSORS, data)
    write_json(folder / CARD, card)
    for path in (folder, folder / TENSORS, folder / CARD):
        path.chmod(0o755 if path.is_dir() else 0o644)  # a bundle is made to be shared
    return card


def complete_bundle(
    folder: Path, fields: Mapping[str, Any], reference: Reference | None = None
) -> dict:
    """Add `fields` to the card of a saved bundle, and the reference beside its model; returns the card.

    The model itself stays as it is. Raises BundleError where the card would not be valid.
    """
    folder = Path(folder)
    card = {**read_json(folder / CARD), **fields}
    if reference is not None:
        data, listed = pack(reference)
        card["reference"] = {**card.get("reference", {}), **listed}
        write_atomic(folder / REFERENCE, data)
        (folder / REFERENCE).chmod(0o644)
    write_json(folder / CARD, check_card(card))
    (folder / CARD).chmod(0o644)
    return card


def verify_bundle(folder: Path) -> dict:
    """The card of a bundle whose files have the size, hash, names, types and shapes the card says.

    Needs no torch and makes no tensor. Raises BundleError with what differs.
    """
    return verified(Path(folder))[0]


def verified(folder: Path) -> tuple[dict, bytes, bytes | None]:
    """Card, tensors, and the reference's bytes where the card lists one, all checked. Raises BundleError."""
    try:
        _check_size(folder, CARD, MAX_CARD_BYTES)
        _check_size(folder, TENSORS, MAX_TENSOR_BYTES)
        card = check_card(read_json(folder / CARD))
        reference = None
        if card.get("reference"):
            _check_size(folder, REFERENCE, MAX_REFERENCE_BYTES)
            reference = (folder / REFERENCE).read_bytes()
        if (folder / TENSORS).stat().st_size != card["file_bytes"]:
            raise BundleError(
                f"{folder.name}/{TENSORS} is not {card['file_bytes']} bytes as its card says: it is "
                "truncated or another file; get the bundle again."
            )
        data = (folder / TENSORS).read_bytes()
    except FileNotFoundError as error:
        raise BundleError(
            f"Bundle {folder.name} has no {Path(error.filename).name}; get the bundle again."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(
            f"Bundle {folder.name} cannot be read ({error}); get the bundle again."
        ) from error
    if card["name"] != folder.name:
        raise BundleError(
            f"The card in folder {folder.name} is that of {card['name']}; the folder must be named so."
        )
    header = read_header(data)
    if header.keys() != card["tensors"].keys():
        raise BundleError(
            f"{folder.name}/{TENSORS} does not hold the tensors its card names; get the bundle again."
        )
    for key, spec in header.items():
        if spec != card["tensors"][key]:
            raise BundleError(
                f"{folder.name}: tensor {key} is {spec}, its card says {card['tensors'][key]}."
            )
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise BundleError(
            f"{folder.name}/{TENSORS} does not match the SHA-256 on its card: it was changed or "
            "damaged; get the bundle again."
        )
    if reference is not None:
        check(reference, card)
    return card, data, reference


def _check_size(folder: Path, name: str, limit: int) -> None:
    size = (folder / name).stat().st_size
    if size > limit:
        raise BundleError(f"{folder.name}/{name} has {size} bytes; at most {limit} are allowed.")


def load_bundle(folder: Path) -> Bundle:
    """Verify a bundle and build its classifier (and decoder) in float32, eval mode, on the CPU."""
    folder = Path(folder)
    card, data, reference = verified(folder)
    if "kind" in card:
        raise BundleError(
            f"{card['name']} is an extractor, it has no classifier; it serves as the weights of an arm, "
            "or to Python by load_extractor."
        )

    from safetensors.torch import load

    from ..config import BackboneConfig
    from ..nets.backbone import build_backbone
    from ..nets.head import Classifier, make_head
    from ..nets.vae import Decoder

    try:
        backbone = build_backbone(
            BackboneConfig(architecture=card["architecture"], stage=card["stage"]),
            0,
            card["model_args"],
        )
        if backbone.width != card["features"]:
            raise ValueError(
                f"{card['architecture']} to stage {card['stage']} has {backbone.width} features, "
                f"the card says {card['features']}"
            )
        if card["features"] * card["hidden"] > len(data):
            raise ValueError(f"a head of {card['hidden']} hidden units is larger than the file")
        classifier = Classifier(
            backbone, make_head(backbone.width, card["hidden"], len(card["classes"]), 0)
        )
        state = {key: value.float() for key, value in load(data).items()}
        if broken := [key for key, value in state.items() if not value.isfinite().all()]:
            raise ValueError(f"tensor {broken[0]} holds values that are not finite")
        decoder_state = {
            key.removeprefix("decoder."): state.pop(key)
            for key in list(state)
            if key.startswith("decoder.")
        }
        fresh = {
            key: value
            for key, value in classifier.state_dict().items()
            if key.endswith("num_batches_tracked")
        }
        classifier.load_state_dict({**fresh, **state}, strict=True)
        decoder, sizes = None, card.get("decoder")
        if sizes:
            if sizes["latent_dim"] * sizes["width"] > len(data):
                raise ValueError(f"a decoder of width {sizes['width']} is larger than the file")
            decoder = Decoder(sizes["latent_dim"], sizes["size"], sizes["width"])
            decoder.load_state_dict(decoder_state, strict=True)
    except (ConfigError, ValueError, TypeError, RuntimeError) as error:
        raise BundleError(
            f"Bundle {folder.name} does not fit its architecture: {str(error).splitlines()[0]}"
        ) from error
    return Bundle(
        card["name"],
        folder,
        card,
        classifier.eval().requires_grad_(False),
        decoder and decoder.eval().requires_grad_(False),
        None if reference is None else unpack(reference, card),
    )


def list_bundles(workspace: Workspace, kind: str | None = "classifier") -> list[dict]:
    """Cards of the bundles of a kind (classifier, extractor; None: both) in all libraries, the repository's first, each
    with ok, error, folder and shelf.

    Every one is verified; a refused one carries its name, ok False and the reason. Needs no torch.
    A name is listed once: the repository's library comes before the workspace's.
    """
    cards: dict[str, dict] = {}
    for shelf in workspace.shelves():
        for path in sorted(shelf.glob(f"*/{CARD}")):
            folder = path.parent
            if folder.name in cards or folder.name.startswith("."):
                continue
            if kind not in (None, kind_of(folder)):
                continue
            where = {
                "folder": str(folder),
                "shelf": "repository" if shelf == models_folder() else "workspace",
            }
            try:
                cards[folder.name] = {**verify_bundle(folder), "ok": True, "error": None, **where}
            except BundleError as error:
                cards[folder.name] = {
                    "name": folder.name,
                    "ok": False,
                    "error": str(error),
                    **where,
                }
    return list(cards.values())


def kind_of(folder: Path) -> str:
    """What a bundle says it is, before it is verified; one whose card cannot be read counts as a classifier."""
    try:
        _check_size(folder, CARD, MAX_CARD_BYTES)
        return str(read_json(folder / CARD).get("kind", "classifier"))
    except (BundleError, OSError, ValueError, AttributeError, RecursionError):
        return "classifier"


def find_bundle(workspace: Workspace, name: str) -> Path:
    """The folder of bundle `name` in the first library that has it. Raises NotFound, naming those there are."""
    check_id(name, "model name")
    for shelf in workspace.shelves():
        if (shelf / name / CARD).is_file():
            return shelf / name
    names = sorted(
        {path.parent.name for shelf in workspace.shelves() for path in shelf.glob(f"*/{CARD}")}
    )
    raise NotFound(
        f"There is no model {name!r} in the library; "
        + (
            f"there are: {', '.join(names)}."
            if names
            else "publish one from a finished study first."
        )
    )
