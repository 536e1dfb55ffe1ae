"""All heads of a study at once: arms × seeds × learning rates × weight decays, on cached features.

    heads = Heads(features, labels, train, val, classes=7, seeds=(0, 1, 2, 3, 4),
                  learning_rates=(3e-4, 1e-3, 3e-3), weight_decays=(1e-4, 1e-2, 1e-1),
                  hidden=64, epochs=60, batch_size=128, loss="cross_entropy", device="cpu")
        features: {arm: (N, D) shared by the seeds, or (S, N, D) one matrix a seed}; labels: (N,)
    for record in heads.fit():                      one Record at step 0, steps 1, 2, 4, … of the
        record.epoch, record.step                   first epoch, then at the end of each epoch
        record.values[arm][curve]                   (S, G), curve one of CURVES
    heads.grid                                      ((learning_rate, weight_decay), …), length G
    heads.choose() -> Choice                        .setting (index of the grid), .best {arm: index}
    heads.curves(arm, setting) -> dict              epoch (T,), step (T,), each of CURVES (T, S)
    heads.logits(arm, setting, features) -> (S, n, C) float32; features (n, D) or (S, n, D), raw
    heads.probabilities(arm, setting, features) -> (S, n, C), the plain softmax
    heads.weights(arm, setting) -> [dict] a seed    feature_mean, feature_std, head.0.weight, …

Features are standardised with the training rows' statistics. The initial head and the order of
batches come from the seed alone: equal for every setting and every arm of the same width. AdamW
with a cosine schedule over all steps. How the heads train side by side stands in wide.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import ConfigError, DataError
from ..nets.head import make_head
from ..seeds import stream_seed
from .metrics import log_prior
from .wide import LOSSES, WideHeads

CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy",
          "train_balanced_accuracy", "val_balanced_accuracy")


@dataclass(frozen=True)
class Record:
    """Metrics of all heads at one moment: values[arm][curve] is (S, G)."""

    epoch: float
    step: int
    values: dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Choice:
    """The settings chosen on validation loss at the final epoch (indices into `Heads.grid`).

    setting: one for all arms, the lowest mean over arms and seeds: the primary comparison.
    best: each arm's own. edge / best_edge: which of "learning_rate", "weight_decay" lie at the
    edge of a grid of two or more values, where a wider grid might have served better.
    mean_loss: (arms, G) validation loss, mean over seeds.
    """

    setting: int
    best: dict[str, int]
    edge: tuple[str, ...]
    best_edge: dict[str, tuple[str, ...]]
    mean_loss: np.ndarray


def standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (D,) float32 of training features; 1 for a constant feature."""
    mean = features.mean(0, dtype=np.float64)
    std = features.std(0, dtype=np.float64)
    std = np.where(std > 1e-6 * np.maximum(np.abs(mean), 1e-6), std, 1.0)
    return mean.astype(np.float32), std.astype(np.float32)


def cosine(step: int, steps: int) -> float:
    """Share of the learning rate at `step` of `steps`: 1 at the start, 0 after the last."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


class Heads:
    """See the module's docstring. Raises ConfigError and DataError before any training."""

    def __init__(self, features: Mapping[str, np.ndarray], labels: np.ndarray, train: np.ndarray,
                 val: np.ndarray, *, classes: int, seeds: Sequence[int],
                 learning_rates: Sequence[float], weight_decays: Sequence[float], hidden: int = 64,
                 epochs: int = 60, batch_size: int = 128, loss: str = "cross_entropy",
                 device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> None:
        if loss not in LOSSES:
            raise ConfigError(f"loss is {loss!r}; allowed: {', '.join(LOSSES)}.")
        labels, train, val = np.asarray(labels), np.asarray(train), np.asarray(val)
        _check(features, labels, train, val, classes, len(seeds))
        self.classes, self.seeds, self.loss = classes, tuple(seeds), loss
        self.learning_rates, self.weight_decays = tuple(learning_rates), tuple(weight_decays)
        self.grid = tuple((lr, wd) for lr in self.learning_rates for wd in self.weight_decays)
        self.epochs, self.batch_size = epochs, min(batch_size, len(train))
        self.device, self.dtype = torch.device(device), dtype
        self.log_prior = log_prior(labels[train], classes)
        self.arms = tuple(features)
        self.records: list[Record] = []
        self._labels = {"train": self._tensor(labels[train], torch.int64),
                        "val": self._tensor(labels[val], torch.int64)}
        self._units = {(arm, s): self._unit(matrix if matrix.ndim == 2 else matrix[s], train, val, seed, hidden)
                       for arm, matrix in features.items() for s, seed in enumerate(self.seeds)}

    def _tensor(self, array: np.ndarray, dtype: torch.dtype | None = None) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.device, dtype or self.dtype)

    def _unit(self, matrix: np.ndarray, train: np.ndarray, val: np.ndarray, seed: int, hidden: int) -> WideHeads:
        mean, std = standardisation(matrix[train])
        blocks = {name: (self._tensor((matrix[rows] - mean) / std), self._labels[name])
                  for name, rows in (("train", train), ("val", val))}
        head = make_head(matrix.shape[1], hidden, self.classes, stream_seed(seed, "head"))
        return WideHeads(head, self.grid, blocks, mean, std, seed, self.loss)

    def fit(self) -> Iterator[Record]:
        """Train from the initial heads, once; yields what it also keeps in `records`."""
        batches = -(-len(self._labels["train"]) // self.batch_size)
        within = {2**k for k in range(batches.bit_length()) if 2**k < batches}
        yield self._record(0, batches, self._each(lambda unit: {0: self._measure(unit)}))
        for epoch in range(self.epochs):
            wanted = (within if epoch == 0 else set()) | {batches}
            yield from self._epoch(epoch, batches, sorted(wanted))

    def _epoch(self, epoch: int, batches: int, wanted: list[int]) -> Iterator[Record]:
        """One epoch of every unit, measured after the steps `wanted` (counted from 1)."""
        def work(unit: WideHeads) -> dict[int, torch.Tensor]:
            measured = {}
            for step, rows in enumerate(self._order(unit.seed, epoch), start=1):
                unit.train_step(rows, cosine(epoch * batches + step - 1, self.epochs * batches))
                if step in wanted:
                    measured[epoch * batches + step] = self._measure(unit)
            return measured

        results = self._each(work)
        for step in wanted:
            yield self._record(epoch * batches + step, batches, results)

    def _each(self, work: Callable[[WideHeads], dict[int, torch.Tensor]]) -> dict[tuple[str, int], dict]:
        """`work` on every arm and seed: on a CPU one core each, which small matmuls use far better
        than all cores one matmul, keeps a unit's weights in cache and its result free of the core count."""
        if self.device.type != "cpu":
            return {key: work(unit) for key, unit in self._units.items()}
        cores = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                return dict(zip(self._units, pool.map(work, self._units.values()), strict=True))
        finally:
            torch.set_num_threads(cores)

    def _order(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """The batches of one epoch: the same for every arm and setting of a seed."""
        generator = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
        order = torch.randperm(len(self._labels["train"]), generator=generator)
        return order.to(self.device).split(self.batch_size)

    def _measure(self, unit: WideHeads) -> torch.Tensor:
        """All curves of one unit's heads, (6, G) in the order of CURVES."""
        prior = self._tensor(self.log_prior)
        train, val = (unit.evaluate(name, prior) for name in ("train", "val"))
        return torch.stack([train, val], 1).flatten(0, 1)

    def _record(self, step: int, batches: int, measured: dict[tuple[str, int], dict]) -> Record:
        values = {}
        for arm in self.arms:
            table = torch.stack([measured[arm, s][step] for s in range(len(self.seeds))], 1).double().cpu().numpy()
            values[arm] = dict(zip(CURVES, table, strict=True))
        self.records.append(Record(step / batches, step, values))
        return self.records[-1]

    def choose(self) -> Choice:
        """Settings by validation loss at the last record; a head that diverged counts as infinite."""
        if not self.records:
            raise ConfigError("There is nothing to choose from before training: run fit() first.")
        loss = np.stack([self.records[-1].values[arm]["val_loss"] for arm in self.arms])
        mean = np.nan_to_num(loss, nan=np.inf).mean(1)
        setting, best = int(mean.mean(0).argmin()), {a: int(mean[i].argmin()) for i, a in enumerate(self.arms)}
        return Choice(setting, best, self._edge(setting), {a: self._edge(i) for a, i in best.items()}, mean)

    def _edge(self, setting: int) -> tuple[str, ...]:
        axes = (("learning_rate", self.learning_rates), ("weight_decay", self.weight_decays))
        return tuple(name for (name, values), chosen in zip(axes, self.grid[setting], strict=True)
                     if len(values) > 1 and chosen in (min(values), max(values)))

    def curves(self, arm: str, setting: int) -> dict[str, np.ndarray]:
        """Curves of one arm at one setting: epoch and step (T,), each of CURVES (T, S)."""
        columns = {name: np.stack([r.values[arm][name][:, setting] for r in self.records]) for name in CURVES}
        return {"epoch": np.array([r.epoch for r in self.records]),
                "step": np.array([r.step for r in self.records]), **columns}

    def logits(self, arm: str, setting: int, features: np.ndarray) -> np.ndarray:
        """Logits (S, n, C) float32 of raw, not standardised features (n, D) or (S, n, D)."""
        out = []
        for s in range(len(self.seeds)):
            unit, matrix = self._units[arm, s], features if features.ndim == 2 else features[s]
            x_nd = self._tensor((matrix - unit.mean) / unit.std)
            out.append(unit.logits(x_nd, setting).float().cpu().numpy())
        return np.stack(out)

    def probabilities(self, arm: str, setting: int, features: np.ndarray) -> np.ndarray:
        """The plain softmax (S, n, C) float32 of `logits`."""
        return torch.softmax(torch.from_numpy(self.logits(arm, setting, features)).double(), -1).float().numpy()

    def weights(self, arm: str, setting: int) -> list[dict[str, torch.Tensor]]:
        """What a published classifier needs beside its backbone, one dict a seed, float32 on the CPU."""
        names = ("head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias")
        published = []
        for s in range(len(self.seeds)):
            unit = self._units[arm, s]
            parts = {name: part[setting] for name, part in zip(names, unit.parts(), strict=True)}
            scale = {"feature_mean": torch.from_numpy(unit.mean), "feature_std": torch.from_numpy(unit.std)}
            published.append({k: v.detach().to("cpu", torch.float32).clone() for k, v in (scale | parts).items()})
        return published


def _check(features: Mapping[str, np.ndarray], labels: np.ndarray, train: np.ndarray, val: np.ndarray,
           classes: int, seeds: int) -> None:
    if not features or not len(train) or not len(val):
        raise DataError("Heads need at least one arm, one training image and one validation image.")
    for name, rows in (("training", train), ("validation", val)):
        if labels[rows].min() < 0 or labels[rows].max() >= classes:
            raise DataError(f"The {name} split has images without a label among the {classes} classes: leave them out.")
    for arm, matrix in features.items():
        shared = matrix.ndim == 2 and matrix.shape[0] == len(labels)
        if not shared and matrix.shape[:-1] != (seeds, len(labels)):
            raise DataError(f"Features of arm {arm!r} have shape {matrix.shape}; needed: ({len(labels)}, D), "
                            f"or ({seeds}, {len(labels)}, D) for one matrix a seed.")
        if not np.isfinite(matrix).all():
            raise DataError(f"Features of arm {arm!r} are not all finite: its backbone or its weights are broken.")
