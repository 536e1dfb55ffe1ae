"""`doctor`: what this machine can do, and what is missing."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .. import formatting
from ..bundles.model_library import list_bundles
from ..config import BackboneConfig
from ..data.manifest import list_datasets
from ..errors import DermError
from ..files import disk_bytes, write_atomic
from ..jobs.queries import RunFilter
from ..jobs.store import RunStore
from ..machine import pick_device, version
from ..nets.weights import imagenet_status
from ..records import to_json
from ..space import SpaceUse, cache_limit, clean_features, decoded_limit, describe_use, space_used
from ..workspace import Workspace, weights_folder
from .output import Answer, Screen, size

PACKAGES = "torch torchvision timm numpy pandas scikit-learn Pillow streamlit".split()
NAMED_RUNS = 20  # the largest, each in a line of its own
ARCHITECTURES = ("resnet18", "convnext_tiny")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What takes room is asked for by itself."""
    parser.add_argument(
        "--space",
        action="store_true",
        help="say what takes room in the workspace, and check nothing",
    )
    parser.add_argument(
        "--empty-cache",
        action="store_true",
        help="remove cached features that were not used within the last hour; they are computed again when needed",
    )
    parser.set_defaults(handler=run_doctor)


def run_doctor(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {ok, device, torch, datasets, imagenet_weights, models, python, versions, workspace, problems}.

    With --space or --empty-cache: {workspace, disk_bytes, cache_limit_bytes, images_limit_bytes, freed_bytes,
    archived_runs, archived_bytes, space: [{what, name, bytes, again, used}]}.
    """
    workspace = screen.workspace
    if args.space or args.empty_cache:
        return _space(workspace, args.empty_cache)
    versions = {name: version(name) for name in PACKAGES}
    problems = _check_torch(versions)
    device = "none" if problems else pick_device("auto")
    problems += _check_workspace(workspace)
    datasets = _listed(lambda: to_json(list_datasets(workspace)), problems)
    weights, models = ({}, []) if device == "none" else _weights_and_models(workspace, problems)
    value = {
        "ok": not problems,
        "device": device,
        "torch": versions["torch"],
        "datasets": datasets,
        "imagenet_weights": weights,
        "models": models,
        "python": platform.python_version(),
        "versions": versions,
        "workspace": {"path": str(workspace.root), "disk_bytes": disk_bytes(workspace.root)},
        "weights_folder": str(weights_folder().resolve()),
        "problems": problems,
    }
    return Answer(value, _text(value), " ".join(problems))


def _space(workspace: Workspace, empty_cache: bool) -> Answer:
    limit = cache_limit()
    freed = clean_features(workspace, 0) if empty_cache else 0
    uses = space_used(workspace)
    total = sum(use.bytes for use in uses)
    archived = {run.id for run in RunStore(workspace).select(RunFilter(archived=True))}
    archived_bytes = sum(use.bytes for use in uses if use.what == "run" and use.name in archived)
    value = {
        "workspace": str(workspace.root),
        "disk_bytes": total,
        "cache_limit_bytes": limit,
        "images_limit_bytes": decoded_limit(),
        "freed_bytes": freed,
        "archived_runs": len(archived),
        "archived_bytes": archived_bytes,
        "space": to_json(uses),
    }
    lines = [f"Removed {size(freed)} of cached features."] if empty_cache else []
    lines.append(f"Workspace {workspace.root}: {size(total)}")
    lines += _space_lines(uses)
    if archived:
        runs = formatting.count(len(archived), "archived run")
        lines.append(
            f"Of these {runs} {'takes' if len(archived) == 1 else 'take'} {size(archived_bytes)}."
        )
    lines.append(
        f"Runs remove what was not used for the longest: cached features above {size(limit)} (DERM_CACHE_GB), "
        f"decoded images above {size(decoded_limit())} (DERM_IMAGES_GB)."
    )
    return Answer(value, "\n".join(lines))


def _space_lines(uses: Sequence[SpaceUse]) -> list[str]:
    """A line for everything but the smallest runs, which have one together."""
    small = [use for use in uses if use.what == "run"][NAMED_RUNS:]
    left, lines = {id(use) for use in small}, []
    for use in uses:
        if id(use) not in left:
            again = ", made again when needed" if use.again else ""
            lines.append(f"  {size(use.bytes):>9}  {describe_use(use)}{again}")
    if small:
        together = size(sum(use.bytes for use in small))
        runs = formatting.count(len(small), "smaller run")
        lines.append(f"  {together:>9}  {runs} (--json names all)")
    return lines


def _check_torch(versions: dict[str, str | None]) -> list[str]:
    """Torch and torchvision must come as a matched pair: a wrong pair fails at import, not at install."""
    try:
        import torch  # noqa: F401
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        detail = next(iter(str(error).splitlines()), "no message")
        return [
            f"torch {versions['torch']} and torchvision {versions['torchvision']} do not work together here "
            f"({detail}): install the pair that requirements.txt names."
        ]
    return []


def _check_workspace(workspace: Workspace) -> list[str]:
    try:
        probe = workspace.root / ".doctor"
        write_atomic(probe, "written by doctor\n")
        probe.unlink()
    except OSError as error:
        return [
            f"The workspace {workspace.root} cannot be written to ({error.strerror}): free disk space or set "
            "DERM_HOME to another folder."
        ]
    try:
        RunStore(workspace).active()
    except DermError as error:
        return [str(error)]
    return []


def _listed(read: Callable[[], list[Any]], problems: list[str]) -> list[Any]:
    try:
        return read()
    except DermError as error:
        problems.append(str(error))
        return []


def _weights_and_models(
    workspace: Workspace, problems: list[str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    weights = {
        name: imagenet_status(BackboneConfig(architecture=name, stage=3)) for name in ARCHITECTURES
    }
    bundles = _listed(lambda: list_bundles(workspace, None), problems)
    models = [{"name": b.name, "ok": b.card is not None, "error": b.error} for b in bundles]
    return weights, models


def _text(value: dict[str, Any]) -> str:
    weights = [
        f"  {name} is available: {status['detail']}"
        if status["available"]
        else f"  {status['detail']}"
        for name, status in value["imagenet_weights"].items()
    ]
    datasets = [
        f"  {row['name']}: {row['images']} images, {size(row['disk_bytes'])}"
        for row in value["datasets"]
    ] or ["  none yet; `data synth` makes one, `data import PATH --name NAME` reads yours"]
    models = [f"  {row['name']}: {'ok' if row['ok'] else row['error']}" for row in value["models"]]
    lines = [
        "Ready." if value["ok"] else "Not ready.",
        f"Python {value['python']} ({sys.executable}), torch {value['torch']}, device {value['device']}",
        f"Workspace {value['workspace']['path']}: {size(value['workspace']['disk_bytes'])}",
        f"ImageNet weights (weights folder: {value['weights_folder']})",
        *weights,
        "Datasets",
        *datasets,
        "Models",
        *(models or ["  none in the library"]),
    ]
    return "\n".join(lines)
