"""All heads of a study at once: arms × seeds × learning rates × weight decays, on cached features.

    heads = Heads(features, labels, train, val, classes=7, seeds=(0, 1, 2, 3, 4),
                  learning_rates=(3e-4, 1e-3, 3e-3), weight_decays=(1e-4, 1e-2, 1e-1),
                  hidden=64, epochs=60, batch_size=128, loss="cross_entropy", device="cpu")
        features: {arm: (N, D) shared by the seeds, or (S, N, D) one matrix a seed}; labels: (N,)
    for record in heads.fit():                      one Record at step 0, steps 1, 2, 4, … of the
        record.epoch, record.step                   first epoch, then at the end of each epoch
        record.values[arm][curve]                   (S, G), curve one of CURVES
        record is None                              half a second went by: a moment to stop
    heads.grid                                      ((learning_rate, weight_decay), …), length G
    heads.choose() -> Choice                        .setting (index of the grid), .best {arm: index}
    heads.curves(arm, setting) -> dict              epoch (T,), step (T,), each of CURVES (T, S)
    heads.logits(arm, setting, features) -> (S, n, C) float32; features (n, D) or (S, n, D), raw
    heads.probabilities(arm, setting, features) -> (S, n, C), the plain softmax
    heads.weights(arm, setting) -> [dict] a seed    feature_mean, feature_std, head.0.weight, …

Features are standardised with the training rows' statistics. The initial head and the order of
batches come from the seed alone: equal for every setting and every arm of the same width. AdamW
with a cosine schedule over all steps. The arithmetic stands in wide.py and step.py, the order of work in teams.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import ConfigError, DataError
from ..nets.head import make_head
from ..seeds import stream_seed
from ..stats.metrics import log_prior
from .batched import LOSSES, WideHeads
from .parallel import Team, train_teams

CURVES = (
    "train_loss",
    "val_loss",
    "train_accuracy",
    "val_accuracy",
    "train_balanced_accuracy",
    "val_balanced_accuracy",
)


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


class Heads:
    """See the module's docstring. Raises ConfigError and DataError before any training.

    updates: the number of steps, where that is not to follow from the epochs. together: whether all
    arms and seeds of one width train as one team; by default so on a GPU, which many small kernels
    would leave idle, and not on a CPU, where a team is a single arm and seed and trains on one core:
    small matmuls use cores far better that way, and results do not depend on their number.
    """

    def __init__(
        self,
        features: Mapping[str, np.ndarray],
        labels: np.ndarray,
        train: np.ndarray,
        val: np.ndarray,
        *,
        classes: int,
        seeds: Sequence[int],
        learning_rates: Sequence[float],
        weight_decays: Sequence[float],
        hidden: int = 64,
        epochs: int = 60,
        updates: int | None = None,
        batch_size: int = 128,
        loss: str = "cross_entropy",
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        together: bool | None = None,
    ) -> None:
        if loss not in LOSSES:
            raise ConfigError(f"loss is {loss!r}; allowed: {', '.join(LOSSES)}.")
        labels, train, val = np.asarray(labels), np.asarray(train), np.asarray(val)
        _check(features, labels, train, val, classes, len(seeds))
        self.classes, self.seeds, self.loss = classes, tuple(seeds), loss
        self.learning_rates, self.weight_decays = tuple(learning_rates), tuple(weight_decays)
        self.grid = tuple((lr, wd) for lr in self.learning_rates for wd in self.weight_decays)
        self.batch_size = min(batch_size, len(train))
        self.batches = -(-len(train) // self.batch_size)
        self.steps = updates or epochs * self.batches
        self.epochs = epochs if updates is None else updates / self.batches
        self.device, self.dtype = torch.device(device), dtype
        self.log_prior = log_prior(labels[train], classes)
        self.arms = tuple(features)
        self.records: list[Record] = []
        together = self.device.type != "cpu" if together is None else together
        self.teams = self._teams(features, labels, {"train": train, "val": val}, hidden, together)
        self._place = {
            key: (team, unit) for team in self.teams for unit, key in enumerate(team.keys)
        }

    def _tensor(self, array: np.ndarray, dtype: torch.dtype | None = None) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.device, dtype or self.dtype)

    def _teams(
        self,
        features: Mapping[str, np.ndarray],
        labels: np.ndarray,
        rows: dict[str, np.ndarray],
        hidden: int,
        together: bool,
    ) -> list[Team]:
        """Arms and seeds that train as one, with their standardised features; seeds of an arm share its matrix."""
        members, scales, blocks = defaultdict(list), {}, {}
        for arm, matrix in features.items():
            for s in range(len(self.seeds)):
                members[matrix.shape[-1] if together else (arm, s)].append((arm, s))
                if matrix.ndim == 3 or s == 0:
                    one = matrix if matrix.ndim == 2 else matrix[s]
                    mean, std = standardisation(one[rows["train"]])
                    standardised = {
                        name: self._tensor((one[chosen] - mean) / std)
                        for name, chosen in rows.items()
                    }
                scales[arm, s], blocks[arm, s] = (mean, std), standardised
        targets = {name: self._tensor(labels[chosen], torch.int64) for name, chosen in rows.items()}
        teams = []
        for keys in members.values():
            seeds = tuple(self.seeds[s] for _, s in keys)
            heads = [
                make_head(features[arm].shape[-1], hidden, self.classes, stream_seed(seed, "head"))
                for (arm, _), seed in zip(keys, seeds, strict=True)
            ]
            data = {
                name: (_side_by_side([blocks[key][name] for key in keys]), targets[name])
                for name in rows
            }
            teams.append(
                Team(
                    tuple(keys),
                    seeds,
                    tuple(scales[key] for key in keys),
                    WideHeads(heads, self.grid, data, self.loss),
                    self.batch_size,
                )
            )
        return teams

    def fit(self, *, curves: bool = True) -> Iterator[Record | None]:
        """Train from the initial heads, once; yields what it also keeps in `records`.

        curves: False measures after the last step alone. Yields None where nothing was measured for
        half a second; a caller that stops iterating stops the training within a step.
        """
        wanted = {self.steps}
        if curves:
            within = {
                2**k
                for k in range(self.batches.bit_length())
                if 2**k < min(self.batches, self.steps)
            }
            wanted |= {0} | within | set(range(self.batches, self.steps, self.batches))
        for found in train_teams(self.teams, self.steps, wanted, self._measure):
            yield found and self._record(*found)

    def _measure(self, team: Team) -> torch.Tensor:
        """All curves of one team's heads, (6, U, G) in the order of CURVES."""
        prior = self._tensor(self.log_prior)
        train, val = (team.wide.evaluate(name, prior) for name in ("train", "val"))
        return torch.stack([train, val], 1).flatten(0, 1)

    def _record(self, step: int, measured: dict[Team, torch.Tensor]) -> Record:
        tables = {team: table.double().cpu().numpy() for team, table in measured.items()}
        values = {}
        for arm in self.arms:
            places = [self._place[arm, s] for s in range(len(self.seeds))]
            table = np.stack([tables[team][:, unit] for team, unit in places], 1)
            values[arm] = dict(zip(CURVES, table, strict=True))
        self.records.append(Record(step / self.batches, step, values))
        return self.records[-1]

    def choose(self) -> Choice:
        """Settings by validation loss at the last record; a head that diverged counts as infinite."""
        if not self.records:
            raise ConfigError("There is nothing to choose from before training: run fit() first.")
        loss = np.stack([self.records[-1].values[arm]["val_loss"] for arm in self.arms])
        mean = np.nan_to_num(loss, nan=np.inf).mean(1)
        setting, best = (
            int(mean.mean(0).argmin()),
            {a: int(mean[i].argmin()) for i, a in enumerate(self.arms)},
        )
        return Choice(
            setting, best, self._edge(setting), {a: self._edge(i) for a, i in best.items()}, mean
        )

    def _edge(self, setting: int) -> tuple[str, ...]:
        axes = (("learning_rate", self.learning_rates), ("weight_decay", self.weight_decays))
        return tuple(
            name
            for (name, values), chosen in zip(axes, self.grid[setting], strict=True)
            if len(values) > 1 and chosen in (min(values), max(values))
        )

    def curves(self, arm: str, setting: int) -> dict[str, np.ndarray]:
        """Curves of one arm at one setting: epoch and step (T,), each of CURVES (T, S)."""
        columns = {
            name: np.stack([r.values[arm][name][:, setting] for r in self.records])
            for name in CURVES
        }
        return {
            "epoch": np.array([r.epoch for r in self.records]),
            "step": np.array([r.step for r in self.records]),
            **columns,
        }

    def logits(self, arm: str, setting: int, features: np.ndarray) -> np.ndarray:
        """Logits (S, n, C) float32 of raw, not standardised features (n, D) or (S, n, D)."""
        out = []
        for s in range(len(self.seeds)):
            team, unit = self._place[arm, s]
            mean, std = team.scales[unit]
            x_nd = self._tensor(((features if features.ndim == 2 else features[s]) - mean) / std)
            out.append(team.wide.logits(x_nd, unit, setting).float().cpu().numpy())
        return np.stack(out)

    def probabilities(self, arm: str, setting: int, features: np.ndarray) -> np.ndarray:
        """The plain softmax (S, n, C) float32 of `logits`."""
        return (
            torch.softmax(torch.from_numpy(self.logits(arm, setting, features)).double(), -1)
            .float()
            .numpy()
        )

    def weights(self, arm: str, setting: int) -> list[dict[str, torch.Tensor]]:
        """What a published classifier needs beside its backbone, one dict a seed, float32 on the CPU."""
        names = ("head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias")
        published = []
        for s in range(len(self.seeds)):
            team, unit = self._place[arm, s]
            parts = {
                name: part[unit, setting]
                for name, part in zip(names, team.wide.weights, strict=True)
            }
            scale = dict(
                zip(
                    ("feature_mean", "feature_std"),
                    map(torch.from_numpy, team.scales[unit]),
                    strict=True,
                )
            )
            published.append(
                {k: v.detach().to("cpu", torch.float32).clone() for k, v in (scale | parts).items()}
            )
        return published


def _side_by_side(matrices: list[torch.Tensor]) -> torch.Tensor:
    """(U, N, D); a single matrix is not copied."""
    return matrices[0][None] if len(matrices) == 1 else torch.stack(matrices)


def _check(
    features: Mapping[str, np.ndarray],
    labels: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    classes: int,
    seeds: int,
) -> None:
    if not features or not len(train) or not len(val):
        raise DataError("Heads need at least one arm, one training image and one validation image.")
    for name, rows in (("training", train), ("validation", val)):
        if labels[rows].min() < 0 or labels[rows].max() >= classes:
            raise DataError(
                f"The {name} split has images without a label among the {classes} classes: leave them out."
            )
    for arm, matrix in features.items():
        shared = matrix.ndim == 2 and matrix.shape[0] == len(labels)
        if not shared and matrix.shape[:-1] != (seeds, len(labels)):
            raise DataError(
                f"Features of arm {arm!r} have shape {matrix.shape}; needed: ({len(labels)}, D), "
                f"or ({seeds}, {len(labels)}, D) for one matrix a seed."
            )
        if not np.isfinite(matrix).all():
            raise DataError(
                f"Features of arm {arm!r} are not all finite: its backbone or its weights are broken."
            )
