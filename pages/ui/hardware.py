"""What this machine is, found without loading torch; `cached.machine` keeps it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """{gpu: name or None, cpu: name, threads, memory_gb, python, torch, versions}."""
    versions = {
        name: version(name)
        for name in ("torch", "torchvision", "timm", "numpy", "streamlit", "plotly")
    }
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "gpu": gpu_name(),
        "cpu": cpu_name(),
        "threads": threads,
        "memory_gb": memory_gb(),
        "python": platform.python_version(),
        "torch": versions["torch"],
        "versions": versions,
    }


def version(package: str) -> str | None:
    """The installed version of a package, None where it is missing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def gpu_name() -> str | None:
    """The first GPU that this process may see, None without one; asks the driver, not torch."""
    if (
        os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
        or shutil.which("nvidia-smi") is None
    ):
        return None
    try:
        found = (
            subprocess.run(
                ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
                capture_output=True,
                text=True,
                timeout=5,
                check=True,
            )
            .stdout.strip()
            .splitlines()
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found[0] if found else None


def cpu_name() -> str:
    """The processor as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def memory_gb() -> float | None:
    """The machine's memory in GB, None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):
        return None
