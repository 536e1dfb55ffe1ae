"""Writes derm_core/nets/timm_models.csv: what the list of arms says of timm's pretrained models, without loading timm.

    python -m tools.timm_table

From the registry of the installed timm: a line for each of `timm.list_pretrained()`, with the pixels
and the licence of its pretrained configuration. Parameters (without a classifier) and the memory of a
forward pass are those of the network as an arm has it, built on torch's meta device: no weights are
read or fetched. A network that cannot be built so is left out, and named on screen.
"""

from __future__ import annotations

import csv
import functools
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import timm
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from derm_core.errors import DermError
from derm_core.nets.pretrained import build_pretrained

TABLE = Path(__file__).parents[1] / "derm_core" / "nets" / "timm_models.csv"
COLUMNS = ("name", "parameters", "pixels", "forward_mb", "license")
UNSTATED = ("unknown", None)


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive at the same time, each storage once.

    peak: the most so far. Working memory inside one operation is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tensors: Counter[int] = Counter()  # alive, of each storage
        self.alive = self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        output = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor)
        return output

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        self.alive += 0 if self.tensors[key] else size
        self.peak = max(self.peak, self.alive)
        self.tensors[key] += 1
        weakref.finalize(tensor, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self.tensors[key] -= 1
        if not self.tensors[key]:
            del self.tensors[key]
            self.alive -= size


@functools.cache
def measure(architecture: str, pixels: int) -> tuple[int, float]:
    """Parameters of a network without its classifier, and megabytes (10⁶) of a forward pass of one image.

    Raises:
        DermError: it cannot be built for this size.
    """
    with torch.device("meta"):
        network = build_pretrained(architecture, pixels)
        image_bchw = torch.zeros(1, 3, pixels, pixels)
    with torch.no_grad(), PeakMemory() as memory:
        network.pooled(image_bchw)
    return sum(p.numel() for p in network.parameters()), memory.peak / 1e6


def rows() -> Iterator[tuple[object, ...]]:
    """The lines of the table; a network that cannot be built is named on screen."""
    for name in timm.list_pretrained():
        config: Any = timm.get_pretrained_cfg(name)
        pixels = config.input_size[-1]
        try:
            parameters, megabytes = measure(config.architecture, pixels)
        except (DermError, NotImplementedError) as error:
            print(f"left out: {name}: {error}")
            continue
        license_ = "" if config.license in UNSTATED else config.license
        yield name, parameters, pixels, f"{megabytes:.1f}", license_


def main() -> None:
    """Write the table."""
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows())


if __name__ == "__main__":
    main()
