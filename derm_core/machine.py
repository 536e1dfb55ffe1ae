"""Which device a run uses, and what machine this is. Torch is loaded only where a GPU may be present."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .errors import ConfigError


def _driver_present() -> bool:
    """Whether a CUDA driver's device files exist: decides without torch, which takes seconds to load."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()


@functools.cache
def gpus() -> tuple[dict, ...]:
    """One dict per usable GPU: {"name", "memory_bytes", "bfloat16"}; empty without a driver."""
    if not _driver_present():
        return ()
    import torch

    if not torch.cuda.is_available():
        return ()
    cards = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        cards.append(
            {
                "name": properties.name,
                "memory_bytes": properties.total_memory,
                "bfloat16": properties.major >= 8,
            }
        )
    return tuple(cards)


def pick_device(device: str = "auto") -> str:
    """The device a run will use: "cpu" or "cuda:N". "auto" takes the first GPU, else the CPU.

    Raises ConfigError where a GPU is asked for by name and is not there.
    """
    if device == "cpu":
        return "cpu"
    count = len(gpus())
    if device == "auto":
        return "cuda:0" if count else "cpu"
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number or "0").isdigit():
        raise ConfigError(f"device is {device!r}; allowed: 'auto', 'cpu', 'cuda' or 'cuda:N'.")
    index = int(number or 0)
    if index >= count:
        raise ConfigError(
            f"device is {device!r}, but this machine has {count} usable GPU(s); "
            "choose 'auto' or 'cpu'."
        )
    return f"cuda:{index}"


def cpu_flags() -> frozenset[str]:
    """The CPU's feature flags as Linux lists them (e.g. "avx512_bf16"); empty on other systems."""
    try:
        for line in (
            Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        ):
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()


def cpu_cores() -> int:
    """Cores this process may use (its affinity, which containers and taskset restrict)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict:
    """What a run's record says of the machine: CPU, cores, memory (bytes), GPUs and versions."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cpu": _cpu_name(),
        "cores": cpu_cores(),
        "memory_bytes": _memory_bytes(),
        "gpus": [dict(gpu) for gpu in gpus()],
        "device": pick_device("auto"),
        "torch": _version("torch"),
        "torchvision": _version("torchvision"),
        "timm": _version("timm"),
    }


@dataclass(frozen=True)
class MachineFacts:
    """What the machine is, as the pages show it.

    Attributes:
        gpu: name of the first GPU that this process may use, None without one.
        cpu: the processor as the system calls it.
        cores: CPU cores this process may use.
        memory_bytes: None where the system does not say.
        python, torch: versions; None where torch is missing.
    """

    gpu: str | None
    cpu: str
    cores: int
    memory_bytes: int | None
    python: str
    torch: str | None


def machine_facts() -> MachineFacts:
    """The facts without loading torch: the GPU's name comes from its driver."""
    return MachineFacts(
        gpu=_gpu_name(),
        cpu=_cpu_name(),
        cores=cpu_cores(),
        memory_bytes=_memory_bytes(),
        python=platform.python_version(),
        torch=_version("torch"),
    )


def _gpu_name() -> str | None:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
    if hidden or shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.strip().splitlines()), None)


def _cpu_name() -> str:
    try:
        for line in (
            Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        ):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
