"""Finished parts of an extraction of features, kept beside its cache file until the whole is written.

A part holds consecutive rows, cut between batches; it is written once a minute, so that a short extraction
has none. Its name says which rows, and in what batches and on what kind of device they were computed: what
was computed otherwise may differ in its last digits and is not taken. Its JSON says how long it took, as that
of the whole does. It begins with the name of the cache file, and goes with the dataset or run that this names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import torch

from ..files import private_folder, read_json, write_json, writing

PART_SECONDS = 60.0  # between two parts: about what a killed extraction loses
ROWS = re.compile(r"-(\d+)-(\d+)\.npy$")


@dataclasses.dataclass(frozen=True)
class FeatureParts:
    """The parts of the cache file `path` that are computed on `device` in batches of `batch` images."""

    path: Path
    device: str
    batch: int

    @property
    def _prefix(self) -> str:
        return f"{self.path.stem}.part-{self.device.split(':')[0]}{self.batch}"

    def keep(self, features_nd: torch.Tensor, begin: int, end: int, seconds: float) -> None:
        """Write rows `begin` to `end`, unless the disk would then lack room for the whole.

        Raises StorageError.
        """
        rows = features_nd[begin:end].cpu().numpy()
        private_folder(self.path.parent)
        if shutil.disk_usage(self.path.parent).free < features_nd.nbytes + rows.nbytes:
            return
        part = self.path.with_name(f"{self._prefix}-{begin:09d}-{end:09d}.npy")
        write_json(part.with_suffix(".json"), {"seconds": seconds})
        with writing(part) as file:
            np.save(file, rows, allow_pickle=False)

    def restore(self, features_nd: torch.Tensor) -> tuple[int, float]:
        """Fill the first rows of `features_nd` from the parts: how many, and the seconds that they took.

        One part after the other is read, up to the first rows that none has.
        """
        done, seconds = 0, 0.0
        for part in sorted(self.path.parent.glob(f"{self._prefix}-*.npy")):
            begin, end = map(int, ROWS.search(part.name).groups())  # type: ignore[union-attr]
            if not begin <= done < end <= len(features_nd):
                continue
            rows = read_features(part, end - begin)
            if rows is None or rows.shape[1] != features_nd.shape[1]:
                continue
            features_nd[done:end] = torch.from_numpy(rows[done - begin :])
            done = end
            with contextlib.suppress(OSError, ValueError, KeyError):
                seconds += float(read_json(part.with_suffix(".json"))["seconds"])
        return done, seconds


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
