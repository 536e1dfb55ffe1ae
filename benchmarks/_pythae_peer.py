"""One training by pythae's trainer, in its own environment: `python -m benchmarks._pythae_peer JSON`.

Started by train_peer.py; the last line of standard output is {"seconds", "parameters", "versions"}.
The model is pythae's VAE around this project's encoder and decoder; everything else is pythae's:
its dataset of float images in memory, its loader, loss, optimiser step and callbacks.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from importlib.metadata import version

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig

from derm_core.config import BackboneConfig
from derm_core.nets.vae import build_vae


class Encoder(BaseEncoder):
    def __init__(self, vae: torch.nn.Module):
        super().__init__()
        self.backbone, self.to_mu, self.to_logvar = vae.backbone, vae.to_mu, vae.to_logvar

    def forward(self, x: torch.Tensor) -> ModelOutput:
        features = self.backbone.pooled(x)
        return ModelOutput(
            embedding=self.to_mu(features), log_covariance=self.to_logvar(features).clamp(-10, 10)
        )


class Decoder(BaseDecoder):
    def __init__(self, vae: torch.nn.Module):
        super().__init__()
        self.decoder = vae.decoder

    def forward(self, z: torch.Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.decoder(z))


def main(given: dict) -> dict:
    """Train as `given` says: store (a .npy file), images, epochs, batch_size, learning_rate, weight_decay, network."""
    store = np.load(given["store"], mmap_mode="r")
    images = np.resize(np.arange(len(store)), given["images"])
    x = torch.from_numpy(store[images]).permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous()
    size, latent = x.shape[-1], given["latent_dim"]
    vae = build_vae(
        BackboneConfig(**given["backbone"]), size, latent, given["decoder_width"], seed=0
    )
    model = VAE(VAEConfig(input_dim=(3, size, size), latent_dim=latent), Encoder(vae), Decoder(vae))
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=given["epochs"],
            per_device_train_batch_size=given["batch_size"],
            optimizer_cls="AdamW",
            optimizer_params={"weight_decay": given["weight_decay"]},
            learning_rate=given["learning_rate"],
            no_cuda=given["device"] == "cpu",
        )
        trainer = BaseTrainer(model, BaseDataset(x, torch.zeros(len(x))), training_config=config)
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "versions": {"pythae": version("pythae"), "torch": torch.__version__},
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
