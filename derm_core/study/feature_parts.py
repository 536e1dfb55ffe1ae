"""Finished parts of an extraction of features, kept beside its cache file until the whole is written.

A part holds consecutive rows, cut between batches; it is written once a minute, so that a short extraction
has none, and at the end of a shard that is to be merged with others. Its name says which rows, and in what
batches and on what kind of device they were computed: what was computed otherwise may differ in its last
digits and is not taken. Its JSON says how long it took, as that of the whole does. It begins with the name of
the cache file, and goes with the dataset or run that this names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ..files import private_folder, read_json, write_json, writing

PART_SECONDS = 60.0  # between two parts: about what a killed extraction loses
ROWS = re.compile(r"-(\d+)-(\d+)\.npy$")


@dataclasses.dataclass(frozen=True)
class FeatureParts:
    """The parts of the cache file `path` that are computed on `device` in batches of `batch` images.

    every: seconds between two parts.
    """

    path: Path
    device: str
    batch: int
    every: float

    @property
    def _prefix(self) -> str:
        return f"{self.path.stem}.part-{self.device.split(':')[0]}{self.batch}"

    def _files(self) -> Iterator[tuple[Path, int, int]]:
        """Every part with its first row and the row after its last, in their order."""
        for part in sorted(self.path.parent.glob(f"{self._prefix}-*.npy")):
            begin, end = map(int, ROWS.search(part.name).groups())  # type: ignore[union-attr]
            yield part, begin, end

    def keep(
        self,
        features_nd: torch.Tensor,
        rows: np.ndarray,
        seconds: float,
        *,
        first: int = 0,
        last: bool = False,
    ) -> bool:
        """Write rows as parts, one for each run of consecutive ones, and say whether that was done.

        Not where the disk would then lack room for all features, unless these are the last ones.

        Args:
            features_nd: of a shard.
            rows: which of them, ascending.
            seconds: in which they were computed.
            first: the row of the whole that is the shard's first.
            last: that the shard is done.

        Raises:
            StorageError: the disk is full, or the folder may not be written to.
        """
        private_folder(self.path.parent)
        needed = features_nd.nbytes + features_nd[:1].nbytes * len(rows)
        if not last and shutil.disk_usage(self.path.parent).free < needed:
            return False
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            begin, end = int(run[0]), int(run[-1]) + 1
            name = f"{self._prefix}-{first + begin:09d}-{first + end:09d}.npy"
            part = self.path.with_name(name)
            write_json(part.with_suffix(".json"), {"seconds": seconds * len(run) / len(rows)})
            with writing(part) as file:
                np.save(file, features_nd[begin:end].cpu().numpy(), allow_pickle=False)
        return True

    def restore(self, features_nd: torch.Tensor, first: int = 0) -> tuple[np.ndarray, float]:
        """Fill `features_nd`, whose first row is row `first` of the whole, from the parts.

        Returns:
            (n,) bool: the rows that were filled; and the seconds that these took. One part after the
            other is read.
        """
        done, seconds = np.zeros(len(features_nd), bool), 0.0
        for part, begin, end in self._files():
            low, high = max(begin, first), min(end, first + len(features_nd))
            if low >= high or done[low - first : high - first].all():
                continue
            rows = read_features(part, end - begin)
            if rows is None or rows.shape[1] != features_nd.shape[1]:
                continue
            new = int((~done[low - first : high - first]).sum())
            features_nd[low - first : high - first] = torch.from_numpy(
                rows[low - begin : high - begin]
            )
            done[low - first : high - first] = True
            with contextlib.suppress(OSError, ValueError, KeyError):
                took = float(read_json(part.with_suffix(".json"))["seconds"])
                seconds += took * new / (end - begin)
        return done, seconds

    def named(self, count: int) -> np.ndarray:
        """(count,) bool: the rows of the whole that there are parts of, by their names alone."""
        rows = np.zeros(count, bool)
        for _, begin, end in self._files():
            rows[begin:end] = True
        return rows


def read_features(path: Path, count: int) -> np.ndarray | None:
    """Features (count, D) float32 of a file, None where it is missing or damaged or holds others."""
    try:
        features = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = features.ndim == 2 and len(features) == count and features.dtype == np.float32
    return features if fits else None


def remove_parts(path: Path) -> None:
    """Delete all parts of the cache file `path`, however they were computed."""
    for part in path.parent.glob(f"{path.stem}.part-*"):
        part.unlink(missing_ok=True)
