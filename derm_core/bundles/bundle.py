"""Published models: a classifier, or a pretrained VAE as an extractor, saved to a folder and loaded from it.

    from derm_core.bundles.bundle import load_extractor
    features = load_extractor("NAME").features(images)      # uint8 (n, S, S, 3) -> float32 (n, D)

A folder holds card.json, model.safetensors and, for a classifier, perhaps reference.safetensors. All of it is checked
(model_library.read_bundle) before a tensor is made, and nothing is unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from ..config import BackboneConfig
from ..errors import BundleError, ConfigError
from ..files import write_atomic, write_json
from ..nets.backbone import Backbone, normalise
from ..nets.head import Classifier, make_head
from ..nets.vae import VAE, Decoder, decode, in_batches
from ..stats.metrics import log_prior
from ..workspace import Workspace
from .card import Card, card_json, read_card
from .model_library import CARD, find_bundle, read_bundle, require_extractor
from .network import build_network, check_width
from .reference_file import Reference, pack, unpack
from .tensors import MODEL, REFERENCE, read_header


@dataclass
class Bundle:
    """A loaded classifier, in eval mode and float32 on the CPU.

    Attributes:
        decoder: of the VAE its backbone comes from, where it is published with it.
        reference: statistics of its training images, where they are published with it.
    """

    name: str
    folder: Path
    card: Card
    classifier: Classifier
    decoder: Decoder | None = None
    reference: Reference | None = None

    def log_prior(self) -> np.ndarray | None:
        """Log class shares (C,) of the training images, +inf for a class without any; None where they are not known.

        From the card, else counted where the bundle lists every training image.
        """
        card, listed = self.card, self.reference.points if self.reference else None
        if card.class_shares:
            shares = np.array([card.class_shares[name] for name in card.classes])
            with np.errstate(divide="ignore"):
                return np.where(shares > 0, np.log(shares), np.inf)
        trained_on = (card.split.counts or {}).get("train")
        if listed is None or len(listed.labels) != trained_on:
            return None
        return log_prior(listed.labels, len(card.classes))


@dataclass
class ExtractorBundle:
    """A loaded extractor.

    Attributes:
        vae: in eval mode and float32 on the CPU; it may be moved and trained. vae.backbone: images (B, 3, H, W),
            normalised with card.mean and card.std -> map (B, D, h, w), `pooled` -> (B, D); vae.to_mu, vae.to_logvar:
            pooled features -> the posterior; vae.decoder: latents (B, Z) -> images in [-1, 1].
    """

    name: str
    folder: Path
    card: Card
    vae: VAE

    def features(self, images_nssc: np.ndarray) -> np.ndarray:
        """uint8 (n, S, S, 3), sRGB -> pooled features, float32 (n, D).

        S is best card.input_size, the size of pretraining; other sizes are computed too.

        Raises:
            ValueError: another shape or type.
        """
        return self._encode(images_nssc, self.vae.backbone.pooled, self.card.features)

    def latents(self, images_nssc: np.ndarray) -> np.ndarray:
        """uint8 (n, S, S, 3) -> means of the posterior, float32 (n, Z)."""
        return self._encode(images_nssc, lambda x: self.vae.encode(x)[0], self.vae.latent_dim)

    def decode(self, latents_nz: np.ndarray) -> np.ndarray:
        """float (n, Z) -> the decoder's images, uint8 (n, S, S, 3), S = card.decoder.size."""
        return decode(self.vae.decoder, np.asarray(latents_nz))

    def _encode(
        self, images_nssc: np.ndarray, encode: Callable[[Tensor], Tensor], width: int
    ) -> np.ndarray:
        images_nssc = np.asarray(images_nssc)
        if images_nssc.dtype != np.uint8 or images_nssc.ndim != 4 or images_nssc.shape[3] != 3:
            raise ValueError(
                f"images must be uint8 (n, S, S, 3), got {images_nssc.dtype} {images_nssc.shape}"
            )
        mean, std = self.card.mean, self.card.std
        with torch.inference_mode():
            return in_batches(
                lambda batch: encode(normalise(batch, mean, std)).float(),
                images_nssc,
                (width,),
                self.vae.log_sigma.device,
            )


# ---- saving ------------------------------------------------------------------------------------


def save_bundle(
    folder: Path, network: Classifier | VAE, card: Card, decoder: Decoder | None = None
) -> Card:
    """Write a new bundle.

    Matrices and kernels are stored as float16, vectors (biases, normalisation) as float32.

    Args:
        folder: the new bundle's; its name is the card's.
        network: a classifier, or an extractor's VAE.
        card: complete but for tensors, sha256, file_bytes and parameters.
        decoder: of the VAE a classifier's backbone comes from.

    Returns:
        The card as it was written.

    Raises:
        BundleError: the folder holds a bundle, the card is not valid, or a weight is not finite in its stored type.
    """
    folder = Path(folder)
    if (folder / CARD).exists():
        raise BundleError(
            f"{folder.name} is already in the library; choose another name or remove that folder first."
        )
    state = network.state_dict()
    if decoder is not None:
        state |= {f"decoder.{key}": value for key, value in decoder.state_dict().items()}
    data = save({key: _stored(key, value) for key, value in state.items() if not _is_counter(key)})
    card = replace(
        card,
        tensors=read_header(data),
        sha256=hashlib.sha256(data).hexdigest(),
        file_bytes=len(data),
        parameters=sum(p.numel() for p in network.parameters()),
    )
    read_card(card_json(card))
    write_atomic(folder / MODEL, data)
    _write_card(folder, card)
    folder.chmod(0o755)  # a bundle is made to be shared
    (folder / MODEL).chmod(0o644)
    return card


def complete_bundle(folder: Path, card: Card, reference: Reference | None = None) -> Card:
    """Write the card of a saved bundle anew, and the reference beside its model, which stays as it is.

    Returns:
        The card as it was written, with the reference listed.

    Raises:
        BundleError: the card is not valid.
    """
    if reference is not None:
        data, listing = pack(reference, card.reference)
        card = replace(card, reference=listing)
        read_card(card_json(card))
        write_atomic(folder / REFERENCE, data)
        (folder / REFERENCE).chmod(0o644)
    _write_card(folder, card)
    return card


def _write_card(folder: Path, card: Card) -> None:
    value = card_json(card)
    read_card(value)
    write_json(folder / CARD, value)
    (folder / CARD).chmod(0o644)


def _is_counter(key: str) -> bool:
    """Whether a tensor counts batches: of no use to a network in eval mode."""
    return key.endswith("num_batches_tracked")


def _stored(key: str, tensor: Tensor) -> Tensor:
    dtype = torch.float16 if tensor.ndim > 1 else torch.float32
    stored = tensor.detach().cpu().to(dtype).contiguous()
    if not torch.isfinite(stored).all():
        raise BundleError(
            f"{key} is not finite, or too large for float16; this model cannot be published."
        )
    return stored


# ---- loading -----------------------------------------------------------------------------------


def load_bundle(name: str | Path, workspace: Workspace | None = None) -> Bundle | ExtractorBundle:
    """Verify a bundle and build its network.

    Args:
        name: its name in the library, or its folder.
        workspace: where the library is looked up; default: the one of this environment.

    Raises:
        NotFound: there is none of that name.
        BundleError: it is damaged, or its tensors do not fit its architecture.
    """
    folder = Path(name)
    if not (folder / CARD).is_file():
        folder = find_bundle(workspace or Workspace.open(), str(name))
    files = read_bundle(folder)
    card = files.card
    try:
        _check_sizes(card, len(files.model))
        state = {key: value.float() for key, value in load(files.model).items()}
        for key, value in state.items():
            if not value.isfinite().all():
                raise ValueError(f"tensor {key} holds values that are not finite")
        if card.kind == "extractor":
            return ExtractorBundle(card.name, folder, card, _build_vae(card, state))
        classifier, decoder = _build_classifier(card, state)
    except (ConfigError, ValueError, TypeError, RuntimeError) as error:
        raise BundleError(
            f"Bundle {folder.name} does not fit its architecture: {str(error).splitlines()[0]}"
        ) from error
    reference = None if files.reference is None else unpack(files.reference, card)
    return Bundle(card.name, folder, card, classifier, decoder, reference)


def load_classifier(name: str | Path, workspace: Workspace | None = None) -> Bundle:
    """`load_bundle` for a classifier. Raises BundleError for an extractor, too."""
    bundle = load_bundle(name, workspace)
    if not isinstance(bundle, Bundle):
        raise BundleError(
            f"{bundle.name} is an extractor, it has no classifier; it serves as the weights of an arm, or to Python "
            "by load_extractor."
        )
    return bundle


def load_extractor(name: str | Path, workspace: Workspace | None = None) -> ExtractorBundle:
    """`load_bundle` for an extractor. Raises BundleError for a classifier, too."""
    bundle = load_bundle(name, workspace)
    require_extractor(bundle.card)
    assert isinstance(bundle, ExtractorBundle)
    return bundle


def _check_sizes(card: Card, file_bytes: int) -> None:
    """Raise ValueError where the card's sizes would make a network larger than its file could fill."""
    largest = card.features * card.hidden
    if card.decoder:
        latent_dim = card.decoder.latent_dim
        largest = max(largest, latent_dim * card.decoder.width)
        if card.kind == "extractor":
            largest = max(largest, latent_dim * card.features)
    if largest > file_bytes:
        raise ValueError("a layer of the size its card says is larger than the file")


def _build_classifier(card: Card, state: Mapping[str, Tensor]) -> tuple[Classifier, Decoder | None]:
    backbone = build_network(card)
    head = make_head(backbone.width, card.hidden, len(card.classes), 0)
    classifier, decoder = Classifier(backbone, head), None
    own = {key: value for key, value in state.items() if not key.startswith("decoder.")}
    _fill(classifier, own)
    if card.decoder:
        decoder = Decoder(card.decoder.latent_dim, card.decoder.size, card.decoder.width)
        prefix = len("decoder.")
        _fill(decoder, {key[prefix:]: state[key] for key in state if key not in own})
        decoder.eval().requires_grad_(False)
    return classifier.eval().requires_grad_(False), decoder


def _build_vae(card: Card, state: Mapping[str, Tensor]) -> VAE:
    config, size = BackboneConfig(architecture=card.architecture, stage=card.stage), card.decoder
    assert size  # read_card requires it of an extractor
    backbone = Backbone(config, card.model_args)
    check_width(card, backbone)
    vae = VAE(backbone, size.size, size.latent_dim, size.width)
    _fill(vae, state)
    return vae.eval()


def _fill(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load exactly these tensors; counters of batches, which are not stored, stay as they are."""
    counters = {key: value for key, value in network.state_dict().items() if _is_counter(key)}
    network.load_state_dict({**counters, **state}, strict=True)
