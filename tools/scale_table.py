"""The part of docs/results.md on growth with the number of images, from the committed `benchmarks scale`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def scale_part(path: Path) -> str:
    """A table of seconds, memory and disk by stage and size, and what the limits say of it."""
    if not path.exists():
        return "No result is committed yet."
    result = json.loads(path.read_text(encoding="utf-8"))
    sizes, limits, machine = result["sizes"], result["limits"], result["machine"]
    columns = " | ".join(f"s at {size:,}" for size in sizes)
    parts = [
        f"`{result['command']}` on {machine['cores']} cores ({machine['processor']}), {result['date']}:",
        "",
        f"| stage | {columns} | exponent | memory, MB | disk, MB |",
        "|---" * (len(sizes) + 4) + "|",
        *(_row(stage, of) for stage, of in result["stages"].items()),
        f"| all | {' | '.join(map(seconds, result['totals_s']))} | | | |",
        "",
        f"Memory (anonymous, at its peak, beyond the libraries of the process) and disk are those at {sizes[-1]:,} "
        "images. The exponent is the power of the number of images with which the seconds grow; of the heads "
        f"({_settings(result)} settings, three arms, five seeds), those for one setting. The import takes "
        f"{_listed(result['import_ratio'])} times a bare loop that decodes and resizes the same files."
        + (_recall(result["neighbours"]) if result["neighbours"] else ""),
        "",
        f"Limits: exponents {limits['exponent']} (map {limits['exponent_map']}), memory {limits['peak_mb']:,.0f} MB "
        f"and {limits['total_s']:,.0f} s for all at 160,000 images, import {limits['import_ratio']} times, recall "
        f"{limits['recall']}. "
        + (f"Missed: {', '.join(result['missed'])}." if result["missed"] else "None is missed."),
    ]
    return "\n".join(parts)


def _row(stage: str, of: Mapping[str, Any]) -> str:
    exponent = "" if of["exponent"] is None else f"{of['exponent']:.2f}"
    sides = [*map(seconds, of["seconds"]), exponent, f"{of['peak_mb'][-1]:,.0f}"]
    return f"| {stage.replace('_', ' ')} | {' | '.join(sides)} | {of['disk_mb'][-1]:,.0f} |"


def seconds(value: float) -> str:
    """Whole seconds from ten on, else one decimal."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _settings(result: Mapping[str, Any]) -> str:
    return ", ".join(map(str, result["stages"]["heads"]["settings"]))


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _recall(neighbours: Mapping[str, Any]) -> str:
    """What the approximate index finds, beside the exact search."""
    found = " and ".join(
        f"{share:.1%} of the nearest {count}" for count, share in neighbours["recall"].items()
    )
    return (
        f" The approximate index of neighbours finds {found} among {neighbours['images']:,} rows of "
        f"{neighbours['columns']} features, in {seconds(neighbours['approximate_s'])} s; the exact search takes "
        f"{seconds(neighbours['exact_s'])} s."
    )
