"""Extractor bundles: a pretrained VAE, encoder and decoder, to start from.

    from derm_core.bundles import load_extractor
    features = load_extractor("NAME").features(images)      # uint8 (n, S, S, 3) -> float32 (n, D)

Stored and checked as a classifier's bundle is: card.json + model.safetensors, sizes and SHA-256, no pickle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BundleError, ConfigError
from ..workspace import Workspace
from .bundle import CARD, find_bundle, save_tensors, verified, verify_bundle
from .extractor_card import KIND

if TYPE_CHECKING:
    from torch import Tensor

    from ..config import EmbedConfig
    from ..nets.vae import VAE

BATCH = 64


@dataclass
class ExtractorBundle:
    """A loaded extractor. vae: the torch module, eval mode, float32, on the CPU; move it, train it, take it apart.

    vae.backbone: images (B, 3, H, W), normalised with card["mean"] and card["std"] -> map (B, D, h, w), `pooled` -> (B, D);
    vae.to_mu, vae.to_logvar: pooled features -> the posterior; vae.decoder: latents (B, Z) -> images in [-1, 1].
    The arrays that the methods below take and give are numpy's; they compute where the module is.
    """

    name: str
    folder: Path
    card: dict
    vae: VAE

    def features(self, images_nssc: np.ndarray) -> np.ndarray:
        """uint8 (n, S, S, 3), sRGB -> pooled features, float32 (n, D).

        S is best card["input_size"], the size of pretraining; other sizes are computed too. Raises ValueError for
        another shape or type.
        """
        return self._encoded(images_nssc, self.vae.backbone.pooled, self.card["features"])

    def latents(self, images_nssc: np.ndarray) -> np.ndarray:
        """uint8 (n, S, S, 3) -> means of the posterior, float32 (n, Z)."""
        return self._encoded(
            images_nssc, lambda x_bchw: self.vae.encode(x_bchw)[0], self.vae.latent_dim
        )

    def decode(self, latents_nz: np.ndarray) -> np.ndarray:
        """float (n, Z) -> the images they stand for, uint8 (n, S, S, 3), S = card["decoder"]["size"]."""
        import torch

        side, device = self.vae.size, self.vae.log_sigma.device
        found = [np.empty((0, side, side, 3), np.uint8)]
        with torch.inference_mode():
            for start in range(0, len(latents_nz), BATCH):
                z_bz = torch.as_tensor(
                    np.asarray(latents_nz[start : start + BATCH], np.float32), device=device
                )
                drawn_bchw = (
                    ((self.vae.decode(z_bz).float().clamp(-1, 1) + 1) * 127.5)
                    .round()
                    .to(torch.uint8)
                )
                found.append(drawn_bchw.permute(0, 2, 3, 1).cpu().numpy())
        return np.concatenate(found)

    def _encoded(
        self, images_nssc: np.ndarray, encode: Callable[[Tensor], Tensor], width: int
    ) -> np.ndarray:
        import torch

        from ..nets.backbone import normalise

        images_nssc = np.asarray(images_nssc)
        if images_nssc.dtype != np.uint8 or images_nssc.ndim != 4 or images_nssc.shape[3] != 3:
            raise ValueError(
                f"images must be uint8 (n, S, S, 3), got {images_nssc.dtype} {images_nssc.shape}"
            )
        found, device = [np.empty((0, width), np.float32)], self.vae.log_sigma.device
        with torch.inference_mode():
            for start in range(0, len(images_nssc), BATCH):
                batch = torch.from_numpy(np.array(images_nssc[start : start + BATCH])).to(device)
                found.append(
                    encode(normalise(batch, self.card["mean"], self.card["std"]))
                    .float()
                    .cpu()
                    .numpy()
                )
        return np.concatenate(found)


def is_extractor(card: dict) -> bool:
    """Whether a card is that of an extractor, which has no classifier."""
    return card.get("kind") == KIND


def require_extractor(card: dict) -> None:
    """Raises BundleError for the card of a classifier."""
    if not is_extractor(card):
        raise BundleError(
            f"{card['name']} is a classifier, not an extractor: it has no encoder and decoder to start from. "
            f"`models list` says which is which; its backbone serves as the arm bundle:{card['name']}."
        )


def require_posterior(config: EmbedConfig, workspace: Workspace) -> None:
    """Raises BundleError where a map is to show the posterior means of a classifier, which has none."""
    _, _, name = config.arm.partition("bundle:")
    if (
        config.space == "mu"
        and name
        and not is_extractor(verify_bundle(find_bundle(workspace, name)))
    ):
        raise BundleError(
            f"{name} is a classifier, whose features have no posterior means: map its pooled features, "
            "or μ of an extractor or a pretraining."
        )


def save_extractor(folder: Path, vae: VAE, card: dict) -> dict:
    """Write a new extractor bundle; returns the card with tensors, sha256, file_bytes and parameters filled in."""
    return save_tensors(
        folder, vae.state_dict(), {**card, "kind": KIND}, sum(p.numel() for p in vae.parameters())
    )


def load_extractor(name: str | Path, workspace: Workspace | None = None) -> ExtractorBundle:
    """The extractor of that name in the library, or in that folder, verified before anything is built.

    Raises NotFound, or BundleError where it is damaged or a classifier.
    """
    folder = Path(name)
    if not (folder / CARD).is_file():
        folder = find_bundle(workspace or Workspace.open(), str(name))
    card, data, _ = verified(folder)
    require_extractor(card)

    from safetensors.torch import load

    from ..config import BackboneConfig
    from ..nets.backbone import Backbone
    from ..nets.vae import VAE

    try:
        sizes = card["decoder"]
        if max(sizes["latent_dim"] * sizes["width"], card["features"] * sizes["latent_dim"]) > len(
            data
        ):
            raise ValueError("a decoder or latent space of that size is larger than the file")
        backbone = Backbone(
            BackboneConfig(architecture=card["architecture"], stage=card["stage"]),
            card["model_args"],
        )
        if backbone.width != card["features"]:
            raise ValueError(
                f"{card['architecture']} to stage {card['stage']} has {backbone.width} features, the card "
                f"says {card['features']}"
            )
        vae = VAE(backbone, sizes["size"], sizes["latent_dim"], sizes["width"])
        state = {key: value.float() for key, value in load(data).items()}
        if broken := [key for key, value in state.items() if not value.isfinite().all()]:
            raise ValueError(f"tensor {broken[0]} holds values that are not finite")
        fresh = {
            key: value
            for key, value in vae.state_dict().items()
            if key.endswith("num_batches_tracked")
        }
        vae.load_state_dict({**fresh, **state}, strict=True)
    except (ConfigError, ValueError, TypeError, RuntimeError) as error:
        raise BundleError(
            f"Extractor {folder.name} does not fit its architecture: {str(error).splitlines()[0]}"
        ) from error
    return ExtractorBundle(card["name"], folder, card, vae.eval())
