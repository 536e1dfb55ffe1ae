"""All heads of a study at once, against the same heads trained one after another.

Timed is training: 3 arms x 5 seeds x 9 settings on 7,000 features of width 256, 60 epochs of
batches of 128, and the validation loss at the end. The peer is the ordinary loop of torch.nn and
torch.optim with its default settings on all cores, or on the GPU; both sides see the same batches
and initial heads. `ratio` is how many times faster we are (at least `limit`). `with_curves` is the
same with what a study records after each epoch, loss and accuracy of training and validation, on
both sides.

Both sides' results are compared as well: float32_val_loss_difference is the largest over all heads,
float64_max_difference the largest over all weights of the nine heads of one arm and seed.

Three repeats (the default here) take 15 to 25 minutes on two cores. --quick shortens both sides
alike (1 arm, 2 seeds, 5 epochs). --peer-heads N times the peer on N heads only and multiplies: the
result says so.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from itertools import product

import numpy as np
import torch
from torch import nn

from derm_core.heads.grid import Heads, standardisation
from derm_core.nets.head import make_head
from derm_core.seeds import stream_seed

TRAIN, VAL, WIDTH, CLASSES, BATCH, HIDDEN = 7_000, 1_500, 256, 7, 128, 64
RATES, DECAYS = (3e-4, 1e-3, 3e-3), (1e-4, 1e-2, 1e-1)
LIMIT, REPEATS = 8.0, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="1 arm, 2 seeds, 5 epochs on both sides"
    )
    parser.add_argument(
        "--peer-heads",
        type=int,
        default=0,
        help="time the peer on so many heads only (default: all)",
    )
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="default: the GPU, if any",
    )


def run(args: argparse.Namespace) -> dict:
    """Seconds for all heads, ours against one after another, alternating; ratios are of the medians."""
    arms, seeds, epochs = (1, 2, 5) if args.quick else (3, 5, 60)
    features, labels = make_features(arms)
    every = list(product(features, range(seeds), RATES, DECAYS))
    chosen = (
        every[:: max(1, len(every) // args.peer_heads)][: args.peer_heads]
        if args.peer_heads
        else every
    )
    together(
        features, labels, 1, 1, args.device
    )  # libraries and kernels are loaded before anything is timed
    ours, recorded, against, measuring = [], [], [], []
    for _ in range(args.repeats):
        ours.append(seconds(lambda: together(features, labels, seeds, epochs, args.device)))
        recorded.append(
            seconds(lambda: together(features, labels, seeds, epochs, args.device, curves=True))
        )
        training, measured, losses = one_by_one(features, labels, chosen, epochs, args.device)
        against.append(training * len(every) / len(chosen))
        measuring.append(measured * len(every) / len(chosen))
        print(
            f"together {ours[-1]:.1f} s, with curves {recorded[-1]:.1f} s; one by one {against[-1]:.1f} s, "
            f"with curves {against[-1] + measuring[-1]:.1f} s",
            file=sys.stderr,
        )
    final = together(features, labels, seeds, epochs, args.device)
    apart = max(
        abs(loss - val_loss(final, *head)) for head, loss in zip(chosen, losses, strict=True)
    )
    middle, peer = statistics.median(ours), statistics.median(against)
    with_curves = (
        statistics.median(recorded),
        statistics.median(map(sum, zip(against, measuring, strict=True))),
    )
    return {
        "ratio": peer / middle,
        "limit": LIMIT,
        "better": "higher",
        "ours": middle,
        "against": peer,
        "unit": "s",
        "peer": "the same heads one after another with torch.nn and torch.optim.AdamW",
        "with_curves": {
            "ratio": with_curves[1] / with_curves[0],
            "ours": with_curves[0],
            "against": with_curves[1],
        },
        "float32_val_loss_difference": apart,
        "float64_max_difference": weight_difference(features, labels, epochs, args.device),
        "heads": len(every),
        "peer_heads": len(chosen),
        "epochs": epochs,
        "features": [TRAIN + VAL, WIDTH],
        "quick": args.quick,
        "device": args.device,
        "threads": torch.get_num_threads(),
        "repeats": args.repeats,
    }


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def make_features(arms: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Gaussian features (N, D) per arm; means shifted by class so that a tenth is confused; HAM10000-like shares."""
    rng = np.random.default_rng(0)
    labels = rng.choice(CLASSES, TRAIN + VAL, p=[0.67, 0.11, 0.11, 0.05, 0.03, 0.02, 0.01])
    centres = rng.normal(size=(CLASSES, WIDTH)) * 0.12
    return {
        f"arm{k}": (rng.normal(size=(len(labels), WIDTH)) + centres[labels]).astype(np.float32)
        for k in range(arms)
    }, labels


def together(
    features: dict[str, np.ndarray],
    labels: np.ndarray,
    seeds: int,
    epochs: int,
    device: str,
    *,
    curves: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Heads:
    """Our side: a study's own code, trained."""
    heads = Heads(
        features,
        labels,
        np.arange(TRAIN),
        np.arange(TRAIN, TRAIN + VAL),
        classes=CLASSES,
        seeds=range(seeds),
        learning_rates=RATES,
        weight_decays=DECAYS,
        hidden=HIDDEN,
        epochs=epochs,
        batch_size=BATCH,
        device=device,
        dtype=dtype,
    )
    for _ in heads.fit(curves=curves):
        pass
    return heads


def val_loss(heads: Heads, arm: str, seed: int, rate: float, decay: float) -> float:
    return float(heads.records[-1].values[arm]["val_loss"][seed, heads.grid.index((rate, decay))])


def one_by_one(
    features: dict[str, np.ndarray],
    labels: np.ndarray,
    chosen: list[tuple],
    epochs: int,
    device: str,
) -> tuple[float, float, list[float]]:
    """The peer's side: seconds of training, seconds of measuring after each epoch, final validation losses."""
    y = torch.from_numpy(labels).to(device)
    started, measuring, losses = time.perf_counter(), 0.0, []
    inputs = {arm: standardised(matrix).to(device) for arm, matrix in features.items()}
    for arm, seed, rate, decay in chosen:
        head, spent = train_one(inputs[arm], y, seed, rate, decay, epochs)
        measuring += spent
        losses.append(measure(head, inputs[arm][TRAIN:], y[TRAIN:])[0])
    return time.perf_counter() - started - measuring, measuring, losses


def standardised(matrix: np.ndarray) -> torch.Tensor:
    mean, std = standardisation(matrix[:TRAIN])
    return torch.from_numpy((matrix - mean) / std)


def train_one(
    x: torch.Tensor, y: torch.Tensor, seed: int, rate: float, decay: float, epochs: int
) -> tuple[nn.Sequential, float]:
    """One head by the ordinary loop, in the type of `x`; and the seconds that measuring it after each epoch took."""
    head = make_head(WIDTH, HIDDEN, CLASSES, stream_seed(seed, "head")).to(x.device, x.dtype)
    optimiser = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimiser, T_max=epochs * -(-TRAIN // BATCH)
    )
    measuring = 0.0
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
        for rows in torch.randperm(TRAIN, generator=generator).to(x.device).split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(head(x[rows]), y[rows]).backward()
            optimiser.step()
            schedule.step()
        if x.device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        measure(head, x[:TRAIN], y[:TRAIN])
        measure(head, x[TRAIN:], y[TRAIN:])
        measuring += time.perf_counter() - started
    return head, measuring


@torch.no_grad()
def measure(head: nn.Sequential, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Loss and accuracy."""
    logits = head(x)
    return nn.functional.cross_entropy(logits, y).item(), (
        logits.argmax(1) == y
    ).double().mean().item()


def weight_difference(
    features: dict[str, np.ndarray], labels: np.ndarray, epochs: int, device: str
) -> float:
    """The largest difference of a weight between both sides in float64, over the nine heads of one arm and seed."""
    arm, matrix = next(iter(features.items()))
    ours = together({arm: matrix}, labels, 1, epochs, device, dtype=torch.float64)
    x, y = standardised(matrix).to(device, torch.float64), torch.from_numpy(labels).to(device)
    largest = 0.0
    for setting, (rate, decay) in enumerate(ours.grid):
        alone, _ = train_one(x, y, 0, rate, decay, epochs)
        for mine, theirs in zip(ours.groups[0].heads.weights, alone.parameters(), strict=True):
            largest = max(largest, (mine[0, setting] - theirs.detach()).abs().max().item())
    return largest
