"""All heads of a study at once: arms × seeds × learning rates × weight decays, on cached features.

    heads = Heads(features, labels, train, val, classes=7, seeds=(0, 1, 2, 3, 4),
                  learning_rates=(3e-4, 1e-3, 3e-3), weight_decays=(1e-4, 1e-2, 1e-1))
    for record in heads.fit():
        ...                                         # a Record after each epoch, else None
    heads.probabilities("vae", 4, features["vae"])  # (S, N, C) of the fifth setting; tuning.py chooses one

Features are standardised with the training rows' statistics. The initial head and the order of
batches come from the seed alone: equal for every setting and every arm of the same width. AdamW
with a cosine schedule over all steps. batched.py has the arithmetic, groups.py the steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..nets.head import LOSSES, make_head
from ..records import require
from ..seeds import stream_seed
from ..stats.metrics import log_prior
from .batched import BatchedHeads
from .groups import HeadGroup, train_groups

CURVES = (
    "train_loss",
    "val_loss",
    "train_accuracy",
    "val_accuracy",
    "train_balanced_accuracy",
    "val_balanced_accuracy",
)
AXES = ("learning_rate", "weight_decay")
MOST_STEPS = 128  # of an epoch, from which on a step takes more images
MANY_IMAGES = 2**14  # training images: of more, curves are measured after every second epoch
VERY_MANY_IMAGES = 2**16  # and of more than these after every fourth
GROUP_BYTES = 2**19  # of the weights that train as one on a CPU; four times that with all they need
HEAD_NAMES = ("head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias")


@dataclass(frozen=True)
class Record:
    """Metrics of all heads at one moment: values[arm][curve] is (S, G), curve one of CURVES."""

    epoch: float
    step: int
    values: dict[str, dict[str, np.ndarray]]


def standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (D,) float32 of training features; 1 for a constant feature."""
    mean = features.mean(0, dtype=np.float64)
    std = features.std(0, dtype=np.float64)
    std = np.where(std > 1e-6 * np.maximum(np.abs(mean), 1e-6), std, 1.0)
    return mean.astype(np.float32), std.astype(np.float32)


def images_of_step(least: int, images: int) -> int:
    """How many images a step takes: `least`, doubled while an epoch over all has more than MOST_STEPS steps.

    The weights of all heads are changed in each step, which with many steps takes as long as the
    gradients. The learning rate is chosen on validation in any case.
    """
    while images > least * MOST_STEPS:
        least *= 2
    return least


def measured_after(images: int) -> int:
    """After how many epochs over so many training images curves are measured: each takes a third of an epoch's time."""
    if images > VERY_MANY_IMAGES:
        return 4
    return 2 if images > MANY_IMAGES else 1


class Heads:
    """The heads of all arms, seeds and settings.

    Args:
        features: of each arm (N, D) shared by the seeds, or (S, N, D) one matrix a seed.
        labels: class indices (N,).
        train, val: rows of the two splits.
        classes: C.
        seeds: S seeds.
        learning_rates, weight_decays: the grid; G settings are all pairs of them.
        hidden: width of the hidden layer.
        epochs: passes over the training rows.
        updates: the number of steps, where that is not to follow from the epochs.
        batch_size: images of a step, at most all training rows.
        loss: "cross_entropy", "focal" or "brier".
        device, dtype: where and in what the heads are computed.

    Raises:
        ConfigError: for an unknown loss.
        DataError: for features or labels that do not fit; nothing is trained then.
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
    ) -> None:
        require(loss in LOSSES, "loss", loss, ", ".join(LOSSES))
        labels, train, val = np.asarray(labels), np.asarray(train), np.asarray(val)
        _check(features, labels, train, val, classes, len(seeds))
        self.classes, self.seeds, self.loss = classes, tuple(seeds), loss
        self.grid = tuple(product(learning_rates, weight_decays))
        self.rows = len(train)
        self.batch_size = min(batch_size, self.rows)
        self.batches = -(-self.rows // self.batch_size)
        self.steps = updates or epochs * self.batches
        self.epochs = epochs if updates is None else updates / self.batches
        self.device, self.dtype = torch.device(device), dtype
        self.log_prior = log_prior(labels[train], classes)
        self.arms = tuple(features)
        self.records: list[Record] = []
        self.groups = self._make_groups(features, labels, train, val, hidden)
        self.place = {
            key: (group, unit) for group in self.groups for unit, key in enumerate(group.keys)
        }

    def _tensor(self, array: np.ndarray, dtype: torch.dtype | None = None) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.device, dtype or self.dtype)

    def _make_groups(
        self,
        features: Mapping[str, np.ndarray],
        labels: np.ndarray,
        train: np.ndarray,
        val: np.ndarray,
        hidden: int,
    ) -> list[HeadGroup]:
        """Arms and seeds of one width, as many as `_together`, with standardised features.

        Seeds share an arm's matrix.
        """
        members, scales, blocks = defaultdict(list), {}, {}
        for arm, matrix in features.items():
            for s in range(len(self.seeds)):
                members[matrix.shape[-1]].append((arm, s))
                if matrix.ndim == 3 or s == 0:
                    raw = matrix if matrix.ndim == 2 else matrix[s]
                    mean, std = standardisation(raw[train])
                    block = [self._tensor((raw[rows] - mean) / std) for rows in (train, val)]
                scales[arm, s], blocks[arm, s] = (mean, std), block
        targets = [self._tensor(labels[rows], torch.int64) for rows in (train, val)]
        groups = []
        for keys in self._together(members, hidden):
            seeds = tuple(self.seeds[s] for _, s in keys)
            heads = [
                make_head(features[arm].shape[-1], hidden, self.classes, stream_seed(seed, "head"))
                for (arm, _), seed in zip(keys, seeds, strict=True)
            ]
            data = {
                name: ([blocks[key][split] for key in keys], targets[split])
                for split, name in enumerate(("train", "val"))
            }
            batched = BatchedHeads(heads, self.grid, data, self.loss)
            scale = tuple(scales[key] for key in keys)
            groups.append(HeadGroup(tuple(keys), seeds, scale, batched, self.batch_size))
        return groups

    def _together(
        self, members: Mapping[int, list[tuple[str, int]]], hidden: int
    ) -> Iterator[list[tuple[str, int]]]:
        """Arms and seeds that train as one. members: those of each width.

        On a CPU as many as have their weights, with gradients and moments, in a core's cache; a GPU
        has all of a width.
        """
        itemsize = torch.empty((), dtype=self.dtype).element_size()
        for width, keys in members.items():
            unit_bytes = len(self.grid) * hidden * (width + self.classes) * itemsize
            at_once = len(keys)
            if self.device.type == "cpu":
                at_once = min(at_once, max(1, GROUP_BYTES // unit_bytes))
            yield from (keys[at : at + at_once] for at in range(0, len(keys), at_once))

    def fit(self, *, curves: bool = True) -> Iterator[Record | None]:
        """Train from the initial heads, once; a caller that stops iterating stops the training.

        Afterwards the weights are there, and the data is let go of.

        Args:
            curves: measure at step 0, at steps 1, 2, 4, … of the first epoch, after it, and after each epoch
                or what `measured_after` says; otherwise after the last step alone.

        Yields:
            The records, which also stand in `records`, and None where half a second brought none.
        """
        wanted = {self.steps}
        if curves:
            first_epoch = min(self.batches, self.steps)
            wanted |= {2**k for k in range(self.batches.bit_length()) if 2**k < first_epoch}
            wanted |= {first_epoch, *range(0, self.steps, measured_after(self.rows) * self.batches)}
        for measured in train_groups(self.groups, self.steps, wanted, self.measure):
            yield None if measured is None else self._record(*measured)
        for group in self.groups:
            group.heads.release()

    def measure(self, group: HeadGroup) -> Tensor:
        """All curves of one group's heads, (6, U, G) in the order of CURVES."""
        prior = self._tensor(self.log_prior)
        train, val = (group.heads.evaluate(name, prior) for name in ("train", "val"))
        return torch.stack([train, val], 1).flatten(0, 1)

    def rename(self, sources: Mapping[str, str]) -> None:
        """Give the trained heads other names. sources: {name: the arm whose heads have it from now on}."""
        seeds = range(len(self.seeds))
        self.place = {(name, s): self.place[arm, s] for name, arm in sources.items() for s in seeds}
        self.records = [
            replace(record, values={name: record.values[arm] for name, arm in sources.items()})
            for record in self.records
        ]
        self.arms = tuple(sources)

    def _record(self, step: int, measured: dict[HeadGroup, Tensor]) -> Record:
        tables = {group: table.double().cpu().numpy() for group, table in measured.items()}
        values = {}
        for arm in self.arms:
            units = [tables[group][:, unit] for group, unit in self._units(arm)]
            values[arm] = dict(zip(CURVES, np.stack(units, 1), strict=True))
        self.records.append(Record(step / self.batches, step, values))
        return self.records[-1]

    def _units(self, arm: str) -> list[tuple[HeadGroup, int]]:
        """Where the heads of an arm's seeds are: a group and the unit in it."""
        return [self.place[arm, s] for s in range(len(self.seeds))]

    def point(self, setting: int) -> dict[str, float]:
        """{"learning_rate", "weight_decay"} of a setting."""
        return dict(zip(AXES, self.grid[setting], strict=True))

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
        logits = []
        for s, (group, unit) in enumerate(self._units(arm)):
            mean, std = group.scales[unit]
            x_nd = self._tensor(((features if features.ndim == 2 else features[s]) - mean) / std)
            logits.append(group.heads.logits(x_nd, unit, setting).float().cpu().numpy())
        return np.stack(logits)

    def probabilities(self, arm: str, setting: int, features: np.ndarray) -> np.ndarray:
        """The plain softmax (S, n, C) float32 of `logits`."""
        logits = torch.from_numpy(self.logits(arm, setting, features)).double()
        return torch.softmax(logits, -1).float().numpy()

    def weights(self, arm: str, setting: int) -> list[dict[str, Tensor]]:
        """What a published classifier needs beside its backbone, one dict a seed, float32 on the CPU.

        Keys: feature_mean, feature_std, head.0.weight, head.0.bias, head.2.weight, head.2.bias.
        """
        published = []
        for group, unit in self._units(arm):
            mean, std = (torch.from_numpy(values).clone() for values in group.scales[unit])
            tensors = {"feature_mean": mean, "feature_std": std}
            for name, part in zip(HEAD_NAMES, group.heads.weights, strict=True):
                tensors[name] = part[unit, setting].to("cpu", torch.float32, copy=True)
            published.append(tensors)
        return published


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
