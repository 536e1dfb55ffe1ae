"""Travel in a VAE's latent space: which dimensions carry something, what decodes where, and paths between images.

    travel = open_travel(workspace, "pretrain-…" or a bundle's name)
    travel.decode(travel.between(*travel.encode(two_images), steps=9))

A pretraining and an extractor have encoder and decoder. A classifier's bundle carries the decoder alone: where the
pretraining or extractor that its card names is at hand and intact, its encoder is used; else the linear map from the bundle's own features to latents that
stands in its reference (see insight.outlier), and KL is estimated from the spread of those latents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BundleError, DermError
from ..files import read_json
from ..workspace import Workspace
from .latents import kept_statistics, posterior

if TYPE_CHECKING:
    from ..bundles.bundle import Bundle, ExtractorBundle
    from ..bundles.predictor import Predictor

ACTIVE_KL = 0.01  # nats; a dimension with less says nothing of an image
PATH_LENGTH = 16.0  # of a whole path towards a class, in standard deviations: about as far as two images lie apart
INNER_STEPS = 3  # of the gradient, for each that is shown
MOMENTUM = 0.8


@dataclass(frozen=True)
class Travel:
    """A VAE ready to be travelled in. Latents are float32 (n, D), images uint8 (n, S, S, 3); two CPU threads.

    source: the run or bundle asked for. size: S. kl_d (D,): mean KL to the prior per dimension over validation images,
    nats; estimated: whether it was inferred from the spread of latents alone. active_d: indices with a KL above
    0.01, largest first. mean_d, std_d (D,): of the posterior means over those images.
    decoder: a nets.vae.Decoder; encoder: uint8 images -> (n, D), or None where the source has nothing to encode with.
    """

    source: str
    size: int
    kl_d: np.ndarray
    mean_d: np.ndarray
    std_d: np.ndarray
    estimated: bool
    decoder: Any
    encoder: Callable[[np.ndarray], np.ndarray] | None

    @property
    def active_d(self) -> np.ndarray:
        order = np.argsort(-self.kl_d, kind="stable")
        return order[self.kl_d[order] > ACTIVE_KL]

    @property
    def can_encode(self) -> bool:
        return self.encoder is not None

    def encode(self, images_nssc: np.ndarray) -> np.ndarray:
        """uint8 (n, S, S, 3) -> posterior means (n, D). ValueError for other images, BundleError without an encoder."""
        if self.encoder is None:
            raise BundleError(
                f"{self.source} carries no way from an image to its latent; open the pretraining it comes "
                "from."
            )
        expected = (self.size, self.size, 3)
        if images_nssc.dtype != np.uint8 or images_nssc.shape[1:] != expected:
            raise ValueError(
                f"images must be uint8 (n, {self.size}, {self.size}, 3), got {images_nssc.dtype} "
                f"{images_nssc.shape}"
            )
        return self.encoder(images_nssc)

    def decode(self, z_nd: np.ndarray) -> np.ndarray:
        """(n, D) -> mean images, uint8 (n, S, S, 3)."""
        from ..bundles.predictor import compute_slot
        from ..nets.vae import decode

        with compute_slot():
            return decode(self.decoder, z_nd)

    def between(self, z0_d: np.ndarray, z1_d: np.ndarray, steps: int) -> np.ndarray:
        """(steps, D): the straight line from z0 to z1, both ends included."""
        share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
        return ((1 - share) * z0_d + share * z1_d).astype(np.float32)

    def mean_of(self, mu_nd: np.ndarray) -> np.ndarray:
        """(D,): the mean latent of some images; decoded, their mean image."""
        return np.asarray(mu_nd, np.float32).mean(0)

    def towards(
        self, z_d: np.ndarray, target: str, predictor: Predictor, steps: int = 9
    ) -> tuple[np.ndarray, np.ndarray]:
        """A path from z towards the class `target`: latents (steps, D), and the predictor's probabilities (steps, C).

        The first is z itself. Each next one follows the gradient of the class's log-probability through decoder and
        classifier, with momentum, by a length in standard deviations that is halved where it would lower the probability:
        the path shows what the classifier looks for, which need not be how such a lesion would change. It stays as near
        to the mean as latents of images lie (the root of their dimension, in standard deviations) or as z does: farther
        out the decoder draws what no image looks like, and a classifier is easily convinced by it. Probabilities are
        calibrated, those of the decoded images before their rounding to bytes. Raises ValueError for an unknown class.
        """
        if target not in predictor.classes:
            raise ValueError(f"{predictor.name} knows {', '.join(predictor.classes)}, not {target}")
        return _climb(
            self, np.asarray(z_d, np.float32), predictor.classes.index(target), predictor, steps
        )


def _climb(
    travel: Travel, z_d: np.ndarray, target: int, predictor: Predictor, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    import torch

    from ..bundles.predictor import compute_slot

    mean, scale = (
        torch.from_numpy(travel.mean_d),
        torch.from_numpy(np.maximum(travel.std_d, 1e-3).astype(np.float32)),
    )
    length = most = PATH_LENGTH / max(steps - 1, 1) / INNER_STEPS

    def look(u):
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            log_p = _log_probabilities(
                travel.decoder((mean + scale * u)[None]).clamp(-1, 1), predictor
            )[0]
            (slope,) = torch.autograd.grad(log_p[target], u)
        return log_p.detach(), slope / slope.norm().clamp_min(1e-12)

    with compute_slot():
        u = (torch.from_numpy(z_d) - mean) / scale  # in standard deviations
        farthest = max(float(u.norm()), len(u) ** 0.5)
        log_p, slope = look(u)
        path, chances, speed = [u], [log_p], torch.zeros_like(u)
        for _ in range(steps - 1):
            for _ in range(INNER_STEPS):
                speed = MOMENTUM * speed + slope
                for _ in range(3):
                    moved = u + speed / speed.norm().clamp_min(1e-12) * length
                    moved = moved * min(1.0, farthest / max(float(moved.norm()), 1e-12))
                    found = look(moved)
                    if found[0][target] >= log_p[target]:
                        u, (log_p, slope), length = moved, found, min(1.5 * length, most)
                        break
                    speed, length = slope, length / 2
            path.append(u)
            chances.append(log_p)
    latents = (mean + scale * torch.stack(path)).numpy()
    latents[0] = z_d  # to the last bit
    return latents, torch.stack(chances).exp().numpy().astype(np.float64)


def _log_probabilities(drawn_bchw, predictor: Predictor):
    """Calibrated log-probabilities (B, C) of images in [-1, 1], at the predictor's size and normalisation."""
    import torch
    import torch.nn.functional as F

    if drawn_bchw.shape[-1] != predictor.size:
        drawn_bchw = F.interpolate(
            drawn_bchw, size=(predictor.size,) * 2, mode="bilinear", antialias=True
        )
    mean, std = (
        torch.tensor(getattr(predictor.card, name)).view(1, 3, 1, 1) for name in ("mean", "std")
    )
    features = predictor.bundle.classifier.backbone.pooled(((drawn_bchw + 1) / 2 - mean) / std)
    return F.log_softmax(
        predictor.bundle.classifier.classify(features).float() / predictor.temperature, dim=1
    )


def open_travel(workspace: Workspace, source: str) -> Travel:
    """The VAE of a finished pretraining (its run id), of an extractor or of a model that carries a decoder (its name).

    Statistics of a pretraining are computed from its validation images once and kept beside its weights. Raises
    NotFound for an unknown source, RunError or BundleError for one that is damaged or has no decoder.
    """
    if (workspace.run(source).vae).exists():
        return _of_run(workspace, source)
    from ..bundles.bundle import ExtractorBundle, load_bundle

    bundle = load_bundle(source, workspace)
    if isinstance(bundle, ExtractorBundle):
        return _of_extractor(bundle)
    if bundle.decoder is None:
        raise BundleError(f"{source} carries no decoder; choose a model that was made from a VAE.")
    return _of_bundle(workspace, bundle)


def _of_run(workspace: Workspace, run_id: str) -> Travel:
    import torch

    from ..nets.vae import load_vae

    vae, card = load_vae(workspace.run(run_id).artefacts)
    vae.to(memory_format=torch.channels_last)  # faster for one image, as in Predictor
    kept = kept_statistics(workspace, run_id, vae, card)
    return Travel(
        run_id,
        vae.size,
        *(np.array(kept[name], np.float32) for name in ("kl", "mean", "std")),
        False,
        vae.decoder,
        lambda images: posterior(vae, images)[0],
    )


def _of_extractor(bundle: ExtractorBundle) -> Travel:
    """A published VAE, whose card has the statistics of its latents."""
    latent = bundle.card.latent
    return Travel(
        bundle.name,
        bundle.vae.size,
        *(np.array(values, np.float32) for values in (latent.kl, latent.mean, latent.std)),
        False,
        bundle.vae.decoder,
        lambda images: posterior(bundle.vae, images)[0],
    )


def _of_bundle(workspace: Workspace, bundle: Bundle) -> Travel:
    """The bundle's decoder with the encoder it was trained with where that is at hand, else with the reference's map."""
    import torch

    bundle.decoder.to(memory_format=torch.channels_last)
    size = bundle.decoder.size
    made = _origin(workspace, bundle.card.initial_weights)
    if made is not None:
        return Travel(
            bundle.name,
            size,
            made.kl_d,
            made.mean_d,
            made.std_d,
            False,
            bundle.decoder,
            made.encoder,
        )
    latents = bundle.reference.latents if bundle.reference else None
    if latents is None:
        zero = np.zeros(bundle.card.decoder.latent_dim, np.float32)
        return Travel(bundle.name, size, zero + 1, zero, zero + 1, True, bundle.decoder, None)
    return _from_reference(bundle, *latents)


def _origin(workspace: Workspace, made_by: dict) -> Travel | None:
    """The VAE that a card's initial weights name, a run or an extractor of the same sha256; None where it is not here."""
    from ..bundles.bundle import load_extractor

    try:
        if made_by.get("extractor"):
            bundle = load_extractor(made_by["extractor"], workspace)
            return _of_extractor(bundle) if bundle.card.sha256 == made_by["sha256"] else None
        card = read_json(workspace.run(made_by["run"]).vae)
        return _of_run(workspace, made_by["run"]) if card["sha256"] == made_by["sha256"] else None
    except (DermError, OSError, KeyError, TypeError, ValueError):
        return None  # another machine's run or shelf, or its data are gone


def _from_reference(bundle: Bundle, weight_fz: np.ndarray, bias_z: np.ndarray) -> Travel:
    """KL_d is about -log(1 - variance of the means) / 2 where the latents of all images together are the prior's."""
    from ..bundles.predictor import Predictor

    predictor, space, points = Predictor(bundle), bundle.reference.space, bundle.reference.points

    def encode(images: np.ndarray) -> np.ndarray:
        return space.standardise(predictor.features_and_logits(images)[0]) @ weight_fz + bias_z

    if points is None:
        mean, variance = bias_z, np.square(space.axes.T @ weight_fz).T @ space.variances[:-1]
    else:
        z_nf = points.known[0] @ space.axes[:, : points.known[0].shape[1]].T
        mean, variance = (z_nf @ weight_fz + bias_z).mean(0), (z_nf @ weight_fz).var(0)
    kl = -0.5 * np.log1p(-np.clip(variance, 0, 1 - 1e-4)) + 0.5 * mean**2
    same = bundle.card.input_size == bundle.decoder.size
    statistics = (np.asarray(values, np.float32) for values in (kl, mean, np.sqrt(variance)))
    return Travel(
        bundle.name,
        bundle.decoder.size,
        *statistics,
        True,
        bundle.decoder,
        encode if same else None,
    )
