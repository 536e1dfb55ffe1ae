"""What this machine is: processor, memory, GPUs, compiler, versions. Torch is loaded only where a GPU may be."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .errors import ConfigError

CPUINFO = Path("/proc/cpuinfo")
POWERCAP = Path("/sys/class/powercap")
CORE_WATTS = 12.0


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch can use."""

    name: str
    memory_bytes: int
    bfloat16: bool


@dataclass(frozen=True)
class Machine:
    """This machine, for people.

    Attributes:
        gpu: name of the first GPU that this process may see.
        cores: CPU cores this process may use.
        memory_bytes: None where it is not known.
        cpu: the processor as the system calls it.
        python, torch: versions; None where torch is missing.
    """

    gpu: str | None
    cpu: str
    cores: int
    memory_bytes: int | None
    python: str
    torch: str | None


def describe() -> Machine:
    """This machine, without loading torch."""
    return Machine(
        gpu=_gpu_name(),
        cpu=_cpuinfo("model name") or platform.processor() or platform.machine(),
        cores=cpu_cores(),
        memory_bytes=_memory_bytes(),
        python=platform.python_version(),
        torch=version("torch"),
    )


@dataclass(frozen=True)
class Power:
    """The power of a processor under load, an estimate: watts, and where the number is from."""

    watts: float
    source: str


@functools.cache
def power(device: str = "cpu") -> Power:
    """What a device draws under load: a GPU's power limit, the processor's stated limit, else an assumption.

    device: "cpu" or "cuda:N".
    """
    if device.startswith("cuda"):
        limit = _nvidia("power.limit", "csv,noheader,nounits")
        return _power_of(limit, "power limit of the GPU") or Power(300.0, "300 W assumed for a GPU")
    packages = sorted(POWERCAP.glob("intel-rapl:?/constraint_0_power_limit_uw"))
    try:
        watts = sum(int(path.read_text()) for path in packages) / 1e6
    except (OSError, ValueError):
        watts = 0.0
    if watts:
        return Power(watts, "power limit of the processor, all its cores")
    return Power(CORE_WATTS * cpu_cores(), f"{CORE_WATTS:g} W assumed for each core")


def _power_of(text: str | None, source: str) -> Power | None:
    try:
        return Power(float(text or ""), source)
    except ValueError:
        return None


def version(package: str) -> str | None:
    """The installed version of a package, None where it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def driver_present() -> bool:
    """Whether a CUDA driver's device files exist: known without torch, which takes seconds to load."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()


@functools.cache
def gpus() -> tuple[Gpu, ...]:
    """The usable GPUs; none without a driver."""
    if not driver_present():
        return ()
    import torch

    if not torch.cuda.is_available():
        return ()
    all_properties = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return tuple(Gpu(p.name, p.total_memory, p.major >= 8) for p in all_properties)


def pick_device(device: str = "auto") -> str:
    """The device a run will use, "cpu" or "cuda:N"; "auto" takes the first GPU, else the CPU.

    Raises:
        ConfigError: where a GPU is asked for by name and is not there.
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
    """The processor's feature flags as Linux lists them ("avx512_bf16"); empty on other systems."""
    return frozenset(_cpuinfo("flags").split())


def cpu_cores() -> int:
    """Cores this process may use (its affinity, which containers and taskset restrict)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compiler_missing(device: str) -> str | None:
    """Why torch.compile cannot work here, or None. On a GPU too, a C compiler binds the kernels."""
    variable, names = "CXX", ("g++", "clang++", "c++")
    if device.startswith("cuda"):
        variable, names = "CC", ("gcc", "clang", "cc")
    if not any(shutil.which(name) for name in (os.environ.get(variable, ""), *names) if name):
        return "no C compiler"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "Python's header files are not installed"
    return None


def _cpuinfo(field: str) -> str:
    """A field of the first processor as Linux describes it; empty on other systems."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def _gpu_name() -> str | None:
    """The first GPU that this process may see."""
    return _nvidia("name")


def _nvidia(field: str, form: str = "csv,noheader") -> str | None:
    """A field of the first GPU that this process may see; asks the driver, not torch."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return None
    command = ["nvidia-smi", f"--query-gpu={field}", f"--format={form}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(answer.stdout.strip().splitlines()), None)


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
