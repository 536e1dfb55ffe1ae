"""Number format and memory layout of a run: chosen once, recorded, and reused when it resumes.

On CPUs with AVX512-BF16, bfloat16 autocast with channels_last nearly doubles ResNet training and
does nothing for, or harms, depthwise networks (MobileNetV2, ConvNeXt): hence a rule by architecture
family in reproducible mode, and a measurement in fast mode.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from ..config import require
from .devices import cpu_flags, gpus

DENSE_FAMILIES = ("resnet", "wide_resnet", "vgg")     # plain dense convolutions: measured to gain
TRIAL_STEPS = 3


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How a run computes. threads: CPU threads (0: leave as they are); they change rounding."""

    compute: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    threads: int = 0
    reason: str = "default"

    def __post_init__(self) -> None:
        require(self.compute in ("float32", "bfloat16"), "compute", self.compute, "'float32' or 'bfloat16'")

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self, device: str | torch.device) -> contextlib.AbstractContextManager:
        """The context in which a forward pass runs on `device`."""
        if self.compute == "float32":
            return contextlib.nullcontext()
        return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)

    def prepare(self, module: nn.Module, device: str | torch.device) -> nn.Module:
        """Set the thread count and move `module` to `device` and layout; returns it."""
        if self.threads:
            torch.set_num_threads(self.threads)
        return module.to(device=device, memory_format=self.memory_format)

    def describe(self) -> str:
        layout = "channels_last" if self.channels_last else "contiguous"
        return f"{self.compute}, {layout}, {self.threads or 'default'} CPU threads ({self.reason})"

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def default_precision(architecture: str, device: str) -> Precision:
    """The choice of reproducible mode: by device, CPU flag and architecture family, never by timing."""
    threads = torch.get_num_threads()
    if device.startswith("cuda"):
        index = int(device.partition(":")[2] or 0)
        if gpus()[index]["bfloat16"]:
            return Precision(compute="bfloat16", channels_last=True, threads=threads, reason="GPU with bfloat16")
        return Precision(channels_last=True, threads=threads, reason="GPU without bfloat16")
    dense = architecture.startswith(DENSE_FAMILIES)
    if dense and "avx512_bf16" in cpu_flags():
        return Precision(compute="bfloat16", channels_last=True, threads=threads,
                         reason="dense convolutions on a CPU with AVX512-BF16")
    return Precision(threads=threads, reason="depthwise or unknown family" if not dense
                     else "CPU without AVX512-BF16")


def measured_precision(task: nn.Module, batch: Any, device: str,
                       clock: Callable[[], float] = time.perf_counter) -> Precision:
    """The fastest of four choices on a CPU, by TRIAL_STEPS steps of a copy of `task` on `batch`.

    `task` itself stays as it is. On a GPU: `default_precision`'s choice.
    """
    if device.startswith("cuda"):
        return default_precision("", device)
    seconds = {}
    for compute in ("float32", "bfloat16"):
        for channels_last in (False, True):
            choice = Precision(compute=compute, channels_last=channels_last,
                               threads=torch.get_num_threads(), reason="")
            seconds[choice] = _trial(copy.deepcopy(task), batch, device, choice, clock)
    best = min(seconds, key=seconds.__getitem__)
    table = ", ".join(f"{c.compute}/{'channels_last' if c.channels_last else 'contiguous'} {1000 * s:.0f} ms"
                      for c, s in seconds.items())
    return dataclasses.replace(best, reason=f"fastest measured: {table}")


def _trial(task: nn.Module, batch: Any, device: str, choice: Precision, clock: Callable[[], float]) -> float:
    """Seconds of the fastest of TRIAL_STEPS forward and backward passes, after one to warm up."""
    choice.prepare(task, device).train()
    best = float("inf")
    for trial in range(TRIAL_STEPS + 1):
        start = clock()
        with choice.autocast(device):
            loss = task(batch.to(memory_format=choice.memory_format))["loss"]
        (loss / task.loss_scale).backward()
        if trial:
            best = min(best, clock() - start)
    return best
