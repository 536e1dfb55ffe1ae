"""How a run computes: number format, memory layout, compilation. Chosen once, recorded, reused when it resumes.

On CPUs with AVX512-BF16, bfloat16 autocast with channels_last nearly doubles ResNet training, makes
ConvNeXt's 1.1 (atto) to 1.5 (tiny) times as fast and harms MobileNetV2: hence a rule by architecture
family in reproducible mode, and a measurement in fast mode.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from ..machine import compiler_missing, cpu_flags, gpus
from ..nets.vae import UpsampledConv
from ..records import require

# Measured to gain from bfloat16 with channels_last on a CPU with AVX512-BF16.
BFLOAT16_FAMILIES = ("resnet", "wide_resnet", "vgg", "convnext")


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How a run computes. threads: CPU threads (0: leave as they are); they change rounding.

    joined: a VAE's decoder computes each doubling and its convolution as one (`UpsampledConv`), which
    changes rounding. deterministic: on a GPU, only algorithms that repeat bit for bit, where there are
    such. compiled: the task's networks run through `torch.compile`. batch_size: images a step where the
    configured number does not fit the device's memory (0: as configured). reason: why, for people.
    """

    compute: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    threads: int = 0
    joined: bool = False
    deterministic: bool = False
    compiled: bool = False
    batch_size: int = 0
    reason: str = "default"

    def __post_init__(self) -> None:
        require(
            self.compute in ("float32", "bfloat16"),
            "compute",
            self.compute,
            "'float32' or 'bfloat16'",
        )

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self, device: str | torch.device) -> contextlib.AbstractContextManager:
        """The context in which a forward pass runs on `device`."""
        if self.compute == "float32":
            return contextlib.nullcontext()
        return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)

    def prepare(self, module: nn.Module, device: str | torch.device) -> nn.Module:
        """Set threads and algorithms, and move `module` to `device` and layout; compiles it in place. Returns it.

        In place (`Module.compile`), so that names in checkpoints stay; nothing is compiled where the
        machine has no compiler (any more).
        """
        if self.threads:
            torch.set_num_threads(self.threads)
        if torch.device(device).type == "cuda":
            self._set_algorithms()
        for layer in module.modules():
            if isinstance(layer, UpsampledConv):
                layer.joined = self.joined
        if self.compiled and compiler_missing(str(device)) is None:
            for network in module.networks():  # type: ignore[operator]  # of a task
                network.compile()
        return module.to(device=device, memory_format=self.memory_format)  # type: ignore[call-overload]

    def _set_algorithms(self) -> None:
        """For this process. Operations that cannot repeat exactly only warn: max pooling, by some versions."""
        if self.deterministic:
            os.environ.setdefault(
                "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
            )  # read when cuBLAS is first used
            # No step reads memory that it has not written.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.use_deterministic_algorithms(self.deterministic, warn_only=True)
        torch.backends.cudnn.benchmark = not self.deterministic

    def eager(self) -> contextlib.AbstractContextManager:
        """A context in which compiled networks run uncompiled: for other batch sizes than the training's."""
        return (
            torch.compiler.set_stance("force_eager") if self.compiled else contextlib.nullcontext()
        )

    def describe(self) -> str:
        parts = [
            self.compute,
            "channels_last" if self.channels_last else "contiguous",
            f"{self.threads or 'default'} CPU threads",
        ]
        parts += [
            word
            for word, on in (("deterministic", self.deterministic), ("compiled", self.compiled))
            if on
        ]
        parts += [f"batches of {self.batch_size}"] if self.batch_size else []
        return f"{', '.join(parts)} ({self.reason})"

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def default_precision(architecture: str, device: str) -> Precision:
    """The choice of reproducible mode: by device, CPU flag and architecture family, never by timing."""
    threads = torch.get_num_threads()
    if device.startswith("cuda"):
        index = int(device.partition(":")[2] or 0)
        if gpus()[index].bfloat16:
            return Precision(
                compute="bfloat16",
                channels_last=True,
                threads=threads,
                deterministic=True,
                reason="GPU with bfloat16",
            )
        return Precision(
            channels_last=True, threads=threads, deterministic=True, reason="GPU without bfloat16"
        )
    gains = architecture.startswith(BFLOAT16_FAMILIES)
    if gains and "avx512_bf16" in cpu_flags():
        return Precision(
            compute="bfloat16",
            channels_last=True,
            threads=threads,
            joined=True,
            reason="a family that gains on a CPU with AVX512-BF16",
        )
    return Precision(
        threads=threads,
        joined=True,
        reason="CPU without AVX512-BF16"
        if gains
        else "a family that is not known to gain from bfloat16 on a CPU",
    )
