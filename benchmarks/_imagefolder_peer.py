"""One training by the ordinary loop: `python -m benchmarks._imagefolder_peer JSON`, started by train_peer.py.

What a Lightning module's default run comes down to, written out: a torchvision ImageFolder of PNG
files, its transforms image by image, a DataLoader with workers, float32, AdamW, the loss read and
logged each ten steps. The last line of standard output is {"seconds", "parameters"}.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from derm_core.config import BackboneConfig
from derm_core.config.recipes import recipe
from derm_core.nets.vae import build_vae
from derm_core.training.tasks import Batch, VAETask

LOG_EVERY = 10


def main(given: dict) -> dict:
    """Train as `given` says: folder (of class folders), epochs, batch_size, learning_rate, weight_decay, network."""
    device = torch.device(given["device"])
    dataset = ImageFolder(
        given["folder"],
        transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
        ),
    )
    loader = DataLoader(
        dataset,
        given["batch_size"],
        shuffle=True,
        num_workers=given["workers"],
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )
    vae = build_vae(
        BackboneConfig(**given["backbone"]),
        given["size"],
        given["latent_dim"],
        given["decoder_width"],
        seed=0,
    )
    task = VAETask(vae, recipe("paper")).to(device).train()
    optimiser = torch.optim.AdamW(
        task.parameters(), lr=given["learning_rate"], weight_decay=given["weight_decay"]
    )
    started, logged = time.perf_counter(), []
    for _epoch in range(given["epochs"]):
        for step, (x_bchw, _) in enumerate(loader):
            x_bchw = x_bchw.to(device, non_blocking=True)
            loss = task(Batch(x_bchw, x_bchw, progress=1.0))["loss"] / task.loss_scale
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(task.parameters(), 1.0)
            optimiser.step()
            if step % LOG_EVERY == 0:
                logged.append(loss.item())
    if device.type == "cuda":
        torch.cuda.synchronize()
    return {
        "seconds": time.perf_counter() - started,
        "parameters": sum(p.numel() for p in task.parameters()),
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
