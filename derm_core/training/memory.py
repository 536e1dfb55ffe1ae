"""A batch size that fits the device's memory, found before a run starts and not by crashing in it."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from torch import nn

from .precision import Precision
from .tasks import Batch, Task

SHARE = 0.85  # of the free memory: what a step may take
SMALL = 8  # images of the smaller trial batch on a GPU
CPU_TRIAL = 4  # images of the trial batch on a CPU
CPU_FACTOR = 2.0  # gradients and working copies beside what is kept for the backward pass
SMALLEST = 2


def fitting_batch_size(
    task: Task,
    make_batch: Callable[[int], Batch],
    wanted: int,
    device: str,
    precision: Precision,
    reserved: int = 0,
) -> tuple[int, str]:
    """(`wanted`, halved until a step fits into the memory that is free now, a few words with the numbers).

    make_batch(n): n images as the task reads them, on `device`. reserved: bytes that the run will
    take besides. `task` stays as it is. At least SMALLEST, whatever the memory.
    """
    on_gpu = device.startswith("cuda")
    fixed, each = (measure if on_gpu else estimate)(task, make_batch, wanted, device, precision)
    free = (free_gpu_memory(device) if on_gpu else available_memory()) - reserved
    count = wanted
    while count > SMALLEST and fixed + each * count > SHARE * free:
        count = max(SMALLEST, count // 2)
    return count, (
        f"a step on {count} images takes about {(fixed + each * count) / 2**30:.1f} GB of "
        f"{max(0, free) / 2**30:.1f} GB free"
    )


def measure(
    task: Task, make_batch: Callable[[int], Batch], wanted: int, device: str, precision: Precision
) -> tuple[float, float]:
    """Bytes of a step whatever the batch, and bytes an image, from the allocator's peaks with two small batches."""
    small, large = max(1, min(SMALL, wanted) // 2), max(2, min(SMALL, wanted))
    peaks = [
        peak_bytes(task, make_batch(count), device, precision) for count in (small, small, large)
    ][1:]  # first: warm up
    each = max(0.0, (peaks[1] - peaks[0]) / (large - small))
    return peaks[0] - each * small + 2 * _weights(task), each  # the optimiser's two moments


def peak_bytes(task: Task, batch: Batch, device: str, precision: Precision) -> int:
    """Bytes that one step of a copy of `task` on `batch` takes on a GPU at its peak."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    network = precision.prepare(copy.deepcopy(task), device).train()
    with precision.autocast(device):
        loss = network(batch.to(memory_format=precision.memory_format))["loss"]
    (loss / task.loss_scale).backward()
    return torch.cuda.max_memory_allocated(device) - before


def estimate(
    task: Task, make_batch: Callable[[int], Batch], wanted: int, device: str, precision: Precision
) -> tuple[float, float]:
    """The same for a CPU: what a forward pass keeps for the backward pass, counted once a storage, times CPU_FACTOR."""
    network, count = precision.prepare(copy.deepcopy(task), device).train(), min(CPU_TRIAL, wanted)
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    saved_bytes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved_bytes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        precision.autocast(device),
    ):
        output = network(make_batch(count).to(memory_format=precision.memory_format))
    each = CPU_FACTOR * sum(saved_bytes.values()) / count
    del output
    return 4.0 * _weights(task), each  # weights, gradients, two moments


def _weights(task: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in task.parameters())


def free_gpu_memory(device: str) -> int:
    """Bytes a process can still take on a GPU, what torch holds in reserve included."""
    gc.collect()
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def available_memory(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes this process can still take: the machine's, or its container's where that is less."""
    available = psutil.virtual_memory().available
    try:
        limit, used = (
            (cgroup / name).read_text().strip() for name in ("memory.max", "memory.current")
        )
        return available if limit == "max" else min(available, max(0, int(limit) - int(used)))
    except (OSError, ValueError):
        return available
