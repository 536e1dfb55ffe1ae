"""Run one benchmark and print its result; with --json, exactly one JSON object on standard output."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import keyword
import os
import pkgutil
import platform
import shlex
import sys
import time
from pathlib import Path
from types import ModuleType

import benchmarks
from derm_core.errors import DermError

PACKAGES = (
    "numpy",
    "pandas",
    "pillow",
    "torch",
    "torchvision",
    "timm",
    "scikit-learn",
    "scipy",
    "streamlit",
)


def names(package: ModuleType = benchmarks) -> list[str]:
    """All benchmarks: the public modules of the package, with hyphens."""
    return sorted(
        module.name.rstrip("_").replace("_", "-")
        for module in pkgutil.iter_modules(package.__path__)
        if not module.name.startswith("_")
    )


def load(name: str, package: ModuleType = benchmarks) -> ModuleType:
    """The module of one benchmark."""
    module = name.replace("-", "_")
    if keyword.iskeyword(module):
        module += "_"
    return importlib.import_module(f"{package.__name__}.{module}")


def machine() -> dict:
    """Processor, usable cores, memory in GB, system, and the GPU where torch is loaded and sees one."""
    result = {
        "system": platform.system(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        result["gpu"] = torch.cuda.get_device_name(0)
    return result


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def versions() -> dict:
    """Python and the installed packages that matter here."""
    packages = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            packages[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return packages


def spoken(arguments: list[str], package: ModuleType = benchmarks) -> str:
    """The command as anyone can repeat it: paths of this machine as PATH."""
    pairs = [word.rpartition("=") for word in arguments]
    words = [
        option + equals + ("PATH" if os.sep in value else value) for option, equals, value in pairs
    ]
    return shlex.join(["python", "-m", package.__name__, *words])


def main(arguments: list[str] | None = None, package: ModuleType = benchmarks) -> int:
    """Run one benchmark of the package and print its result; returns the exit status."""
    program = f"python -m {package.__name__}"
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name in names(package):
        module = load(name, package)
        aliases = [name.replace("-", "_")] if "-" in name else []
        command = commands.add_parser(name, aliases=aliases, help=module.__doc__.splitlines()[0])
        command.add_argument(
            "--json", action="store_true", help="one JSON object on standard output"
        )
        repeats = getattr(module, "REPEATS", 5)
        command.add_argument(
            "--repeats",
            type=int,
            default=repeats,
            help=f"alternating runs of each side (default {repeats})",
        )
        if hasattr(module, "add_arguments"):
            module.add_arguments(command)
    args = parser.parse_args(arguments)
    try:
        result = load(args.name, package).run(args)
    except DermError as error:
        print(f"{package.__name__} {args.name}: {error}", file=sys.stderr)
        return 1
    given = sys.argv[1:] if arguments is None else arguments
    result = {
        "name": args.name.replace("_", "-"),
        "command": spoken(given, package),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        **result,
        "machine": machine(),
        "versions": versions(),
    }
    if args.json:
        print(json.dumps(result, allow_nan=False))
    elif "ratio" not in result:  # counts, not a comparison
        print(json.dumps(result, allow_nan=False, indent=1))
    else:
        print(
            f"{args.name}: ratio {result['ratio']:.2f} (ours {result['ours']:.4g}, against "
            f"{result['against']:.4g} {result['unit']}: {result['peer']})"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
