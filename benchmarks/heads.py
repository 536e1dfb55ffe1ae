"""All heads of a study at once, against the same heads trained one after another.

Both sides train and measure the same: 3 arms x 5 seeds x 9 settings on 7,000 training and 1,500
validation features of width 256, 60 epochs of batches of 128, loss and accuracy on training and
validation features after each epoch. The peer is the ordinary loop of torch.nn and torch.optim on
all cores. --quick shortens both sides alike (1 arm, 2 seeds, 5 epochs); nothing is extrapolated.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
import torch
from torch import nn

from derm_core.nets.head import make_head
from derm_core.seeds import stream_seed
from derm_core.study.heads import Heads

TRAIN, VAL, WIDTH, CLASSES, BATCH, HIDDEN = 7_000, 1_500, 256, 7, 128, 64
RATES, DECAYS = (3e-4, 1e-3, 3e-3), (1e-4, 1e-2, 1e-1)
LIMIT = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="1 arm, 2 seeds, 5 epochs on both sides")


def run(args: argparse.Namespace) -> dict:
    """Seconds for all heads, ours against one after another, alternating; the ratio is of the medians."""
    arms, seeds, epochs = (1, 2, 5) if args.quick else (3, 5, 60)
    features, labels = make_features(arms)
    ours, against = [], []
    for _ in range(args.repeats):
        ours.append(seconds(lambda: together(features, labels, seeds, epochs)))
        against.append(seconds(lambda: one_by_one(features, labels, seeds, epochs)))
        print(f"together {ours[-1]:.1f} s, one by one {against[-1]:.1f} s", file=sys.stderr)
    middle, peer = statistics.median(ours), statistics.median(against)
    return {"ratio": middle / peer, "limit": LIMIT, "ours": middle, "against": peer, "unit": "s",
            "peer": "the same heads one after another with torch.nn and torch.optim.AdamW", "quick": args.quick,
            "heads": arms * seeds * len(RATES) * len(DECAYS), "epochs": epochs, "features": [TRAIN + VAL, WIDTH],
            "threads": torch.get_num_threads(), "repeats": args.repeats}


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def make_features(arms: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Gaussian features (N, D) an arm, their mean shifted by class; HAM10000-like class shares."""
    rng = np.random.default_rng(0)
    labels = rng.choice(CLASSES, TRAIN + VAL, p=[0.67, 0.11, 0.11, 0.05, 0.03, 0.02, 0.01])
    centres = rng.normal(size=(CLASSES, WIDTH)) * 0.3
    return {f"arm{k}": (rng.normal(size=(len(labels), WIDTH)) + centres[labels]).astype(np.float32)
            for k in range(arms)}, labels


def together(features: dict[str, np.ndarray], labels: np.ndarray, seeds: int, epochs: int) -> None:
    heads = Heads(features, labels, np.arange(TRAIN), np.arange(TRAIN, TRAIN + VAL), classes=CLASSES,
                  seeds=range(seeds), learning_rates=RATES, weight_decays=DECAYS, hidden=HIDDEN,
                  epochs=epochs, batch_size=BATCH)
    for _ in heads.fit():
        pass


def one_by_one(features: dict[str, np.ndarray], labels: np.ndarray, seeds: int, epochs: int) -> None:
    y = torch.from_numpy(labels)
    for matrix in features.values():
        x = torch.from_numpy((matrix - matrix[:TRAIN].mean(0)) / matrix[:TRAIN].std(0))
        for seed in range(seeds):
            for rate in RATES:
                for decay in DECAYS:
                    train_one(x, y, seed, rate, decay, epochs)


def train_one(x: torch.Tensor, y: torch.Tensor, seed: int, rate: float, decay: float, epochs: int) -> None:
    """One head by the ordinary loop, measured after each epoch."""
    head = make_head(WIDTH, HIDDEN, CLASSES, stream_seed(seed, "head"))
    optimiser = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=epochs * -(-TRAIN // BATCH))
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
        for rows in torch.randperm(TRAIN, generator=generator).split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(head(x[rows]), y[rows]).backward()
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            for part in (slice(TRAIN), slice(TRAIN, None)):
                logits = head(x[part])
                nn.functional.cross_entropy(logits, y[part]).item()
                (logits.argmax(1) == y[part]).double().mean().item()
