"""What is shown while a VAE learns: validation ELBO, active units, reconstructions, the online probe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import Recipe
from ..data.augment import augment
from ..events import Event
from ..nets.vae import VAE_MEAN, VAE_STD, active_units, encode, to_colours
from ..seeds import stream_seed
from .batches import ImageSource, normaliser
from .image_grid import save_grid
from .precision import Precision
from .probe import EVALUATION_BATCH, pooled_features, probe_accuracy
from .tasks import Batch, VAETask

VAL_IMAGES, PROBE_IMAGES, PROBES = 1024, 2000, 8
GRID_IMAGES = 8


@dataclass(frozen=True)
class VAEEvaluation:
    """Evaluates `task` on fixed images.

    Attributes:
        images: uint8 (N, S, S, 3).
        train, val: rows of both parts.
        labels: (N,), read by the linear probe alone.
        state: the run's JSON values, which hold the latest metrics.
    """

    task: VAETask
    images: np.ndarray
    train: np.ndarray
    val: np.ndarray
    labels: np.ndarray
    recipe: Recipe
    seed: int
    device: str
    precision: Precision
    artefacts: Path
    state: dict[str, Any]

    def __call__(self, step: int, epoch: float) -> Iterator[Event]:
        """Metrics, a picture of reconstructions and, every few epochs, the probe."""
        metrics = self.elbo()
        whole = round(epoch)
        if whole % -(-self.recipe.epochs // PROBES) == 0 or whole == self.recipe.epochs:
            accuracy = self.probe()
            if accuracy is not None:
                metrics["probe/balanced_accuracy"] = accuracy
        self.state["metrics"] = {**self.state.get("metrics", {}), **metrics}
        self.state.setdefault("start", metrics)
        for series, value in metrics.items():
            yield Event(kind="metric", series=series, value=value, step=step, epoch=epoch)
        name = f"recon-{whole:03d}.png"
        save_grid(self.artefacts / name, self.reconstructions(GRID_IMAGES))
        yield Event(kind="image", series="reconstruction", value=name, step=step, epoch=epoch)

    def _some(self, rows: np.ndarray, count: int, name: str) -> np.ndarray:
        """At most `count` of `rows`, the same ones each time, sorted."""
        chosen = np.random.default_rng(stream_seed(self.seed, name)).permutation(rows)[:count]
        return np.sort(chosen)

    @torch.no_grad()
    def elbo(self) -> dict[str, float]:
        """Means over at most 1024 unaugmented val images, with beta's full weight and fixed noise.

        loss, reconstruction and kl in nats per image; pixel_mse for colours in [0, 1]; active_units:
        dimensions of the latent space whose mean varies over images by more than 0.01.
        """
        source = ImageSource(
            self.images,
            self._some(self.val, VAL_IMAGES, "val"),
            self.device,
            self.precision.memory_format,
        )
        normalise = normaliser(VAE_MEAN, VAE_STD, self.device)
        sums: dict[str, Any] = {}
        mu = []
        torch.manual_seed(stream_seed(self.seed, "val-noise"))
        for images_bchw in source.in_order(EVALUATION_BATCH):
            x_bchw = normalise(images_bchw)
            with self.precision.autocast(self.device):
                output = self.task(Batch(x_bchw, x_bchw, progress=1.0))
            mse = (to_colours(output["output"]) - images_bchw).square().mean()
            for name, value in [
                *((n, output[n]) for n in ("loss", "reconstruction", "kl")),
                ("pixel_mse", mse),
            ]:
                sums[name] = sums.get(name, 0.0) + float(value) * len(images_bchw)
            mu.append(output["mu"].float().cpu())
        means = {f"val/{name}": total / len(source) for name, total in sums.items()}
        return {**means, "val/active_units": float(active_units(torch.cat(mu)))}

    def probe(self) -> float | None:
        """Balanced accuracy of a linear probe, train (at most 2000 images) to val (at most 1024)."""
        train = self._some(self.train[self.labels[self.train] >= 0], PROBE_IMAGES, "probe")
        val = self._some(self.val[self.labels[self.val] >= 0], VAL_IMAGES, "val")
        if len(train) == 0 or len(val) == 0:
            return None
        train_nd, val_nd = (
            pooled_features(
                self.task.vae.backbone,
                self.images,
                rows,
                self.device,
                self.precision,
                VAE_MEAN,
                VAE_STD,
            )
            for rows in (train, val)
        )
        return probe_accuracy(train_nd, self.labels[train], val_nd, self.labels[val])

    def posterior(self) -> tuple[Tensor, Tensor]:
        """Mean and log variance (n, Z), on the CPU, of at most 2000 training images."""
        rows = self._some(self.train, PROBE_IMAGES, "posterior")
        with self.precision.autocast(self.device):
            mu_nz, logvar_nz = encode(self.task.vae, self.images[rows])
        return torch.from_numpy(mu_nz), torch.from_numpy(logvar_nz)

    @torch.no_grad()
    def reconstructions(self, count: int) -> list[Tensor]:
        """Rows of a grid: validation images and their reconstructions.

        For a recipe that masks patches also the masked images and their reconstructions.
        """
        rows = self._some(self.val, count, "grid")
        source = ImageSource(self.images, rows, self.device, self.precision.memory_format)
        images_bchw = next(source.in_order(count))
        shown = [images_bchw, self._decode(images_bchw)]
        if self.recipe.augment.mask_ratio:
            generator = torch.Generator(device=self.device)
            generator.manual_seed(stream_seed(self.seed, "grid-mask"))
            view_bchw, target_bchw = augment(images_bchw, self.recipe.augment, generator)
            shown += [target_bchw, view_bchw, self._decode(view_bchw)]
        return shown

    def _decode(self, images_bchw: Tensor) -> Tensor:
        with self.precision.autocast(self.device):
            mu_bz, _ = self.task.vae.encode(normaliser(VAE_MEAN, VAE_STD, self.device)(images_bchw))
            return to_colours(self.task.vae.decode(mu_bz).float())
