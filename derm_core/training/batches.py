"""From uint8 images to normalised batches: gathered by row, kept on the device where they fit."""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ..seeds import stream_seed

RESIDENT_SHARE = 0.5  # of a GPU's free memory: what the images may take at most
RESIDENT_CHUNK = 1024


class ImageSource:
    """Rows of a uint8 array (N,S,S,3), as float images in [0, 1] (B,3,S,S) on a device.

    On a GPU the chosen rows are kept there as uint8 where they fit into half of its free memory;
    else, and on the CPU, each batch is gathered from the (memory-mapped) array, one batch ahead. Its
    rows are asked of the disk all at once: page faults alone would fetch them one after the other, with
    read-ahead of rows that nobody wants (measured, cold, 224 px: a quarter of the speed, four times the bytes).
    """

    def __init__(
        self,
        images: np.ndarray | Tensor,
        rows: Sequence[int] | np.ndarray,
        device: str | torch.device,
        layout: torch.memory_format = torch.contiguous_format,
    ):
        self.images, self.rows = images, np.asarray(rows, dtype=np.int64)
        self.device, self.layout = torch.device(device), layout
        self.file = getattr(images, "_mmap", None) if hasattr(mmap, "MADV_WILLNEED") else None
        self.resident = self._resident()

    def __len__(self) -> int:
        return len(self.rows)

    def _resident(self) -> Tensor | None:
        if self.device.type != "cuda":
            return None
        if not resident_bytes(self.images, len(self.rows), self.device):
            return None
        resident = torch.empty(
            (len(self.rows), *self.images.shape[1:]), dtype=torch.uint8, device=self.device
        )
        for begin in range(0, len(self.rows), RESIDENT_CHUNK):
            chunk = self.rows[begin : begin + RESIDENT_CHUNK]
            resident[begin : begin + len(chunk)].copy_(self.gather(chunk))
        return resident

    def gather(self, rows: np.ndarray) -> Tensor:
        if isinstance(self.images, Tensor):
            return self.images[torch.from_numpy(rows)]
        self._announce(rows)
        chosen = torch.from_numpy(np.ascontiguousarray(self.images[rows]))
        return chosen.pin_memory() if self.device.type == "cuda" else chosen

    def _announce(self, rows: np.ndarray) -> None:
        if self.file is None or isinstance(self.images, Tensor):
            return
        in_memory = np.frombuffer(self.file, np.uint8).__array_interface__["data"][0]
        begins = (
            self.images.__array_interface__["data"][0] - in_memory + rows * self.images.strides[0]
        )
        for begin in begins.tolist():
            page = begin - begin % mmap.PAGESIZE
            self.file.madvise(mmap.MADV_WILLNEED, page, begin - page + self.images[0].nbytes)

    def _float(self, images_bhwc: Tensor) -> Tensor:
        images_bchw = images_bhwc.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        return (
            images_bchw.contiguous(memory_format=self.layout).to(torch.float32).div_(255)
        )  # bytes are rearranged faster

    def batches(self, positions: Sequence[np.ndarray]) -> Iterator[tuple[Tensor, Tensor]]:
        """(positions on the device, images) for each array of positions into `rows`, in order."""
        if not len(positions):
            return
        if self.resident is not None:  # one upload for all batches: no wait in a step
            order = torch.from_numpy(np.concatenate(positions)).to(self.device)
            for chosen in order.split([len(p) for p in positions]):
                yield chosen, self._float(self.resident[chosen])
            return
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = reader.submit(self.gather, self.rows[positions[0]])
            for current, following in itertools.zip_longest(positions, positions[1:]):
                images = ahead.result()
                if following is not None:
                    ahead = reader.submit(self.gather, self.rows[following])
                yield torch.from_numpy(current).to(self.device), self._float(images)

    def in_order(self, batch_size: int) -> Iterator[Tensor]:
        """All images in the rows' order, for evaluation; the last batch may be smaller."""
        positions = np.split(np.arange(len(self)), range(batch_size, len(self), batch_size))
        for _, images_bchw in self.batches(positions):
            yield images_bchw


def resident_bytes(images: np.ndarray | Tensor, count: int, device: str | torch.device) -> int:
    """Bytes that an ImageSource of `count` rows of `images` keeps on the device.

    All of them on a GPU with room for twice as many, else none.
    """
    if torch.device(device).type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    size = count * int(np.prod(images.shape[1:]))
    return size if size <= RESIDENT_SHARE * free else 0


def normaliser(
    mean: Sequence[float], std: Sequence[float], device: str | torch.device
) -> Callable[[Tensor], Tensor]:
    """A function from [0, 1] images (B,3,S,S) to (x − mean) / std per channel: what a network reads."""
    mean_1c11 = torch.tensor(mean, dtype=torch.float32, device=device).view(1, 3, 1, 1)
    std_1c11 = torch.tensor(std, dtype=torch.float32, device=device).view(1, 3, 1, 1)
    return lambda images_bchw: (images_bchw - mean_1c11) / std_1c11


def epoch_order(count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Positions of each batch of `epoch`: a permutation from (seed, "order", epoch).

    The last partial batch is left out, unless there are fewer images than one batch holds.
    """
    order = np.random.default_rng(stream_seed(seed, "order", epoch)).permutation(count)
    steps = steps_per_epoch(count, batch_size)
    return [order[step * batch_size : (step + 1) * batch_size] for step in range(steps)]


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Whole batches in `count` images, at least one."""
    return max(1, count // batch_size)
