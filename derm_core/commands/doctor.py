"""`doctor`: what this machine can do, and what is missing."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

from ..config import BackboneConfig
from ..errors import DermError
from ..files import disk_bytes
from ..workspace import Workspace, weights_folder
from .output import Answer, Screen, size

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pandas",
    "scikit-learn",
    "Pillow",
    "streamlit",
)
BACKBONES = (
    BackboneConfig(architecture="resnet18", stage=3),
    BackboneConfig(architecture="convnext_tiny", stage=3),
)


def add_commands(commands) -> None:
    doctor = commands.add_parser(
        "doctor", help="check the machine, the workspace, weights and models"
    )
    doctor.set_defaults(handler=run_doctor)


def run_doctor(args, screen: Screen) -> Answer:
    """JSON: {ok, device, torch, datasets, imagenet_weights, models, python, versions, workspace, problems}."""
    workspace, problems = screen.workspace, []
    versions = {name: _version(name) for name in PACKAGES}
    problems += _check_torch(versions)
    problems += _check_workspace(workspace)
    datasets = _listed(lambda: _datasets(workspace), problems)
    models = _listed(lambda: _models(workspace), problems)
    value = {
        "ok": not problems,
        "device": _device(problems),
        "torch": versions["torch"],
        "datasets": datasets,
        "imagenet_weights": {f"{b.architecture}": _status(b) for b in BACKBONES},
        "models": models,
        "python": platform.python_version(),
        "versions": versions,
        "workspace": {"path": str(workspace.root), "disk_bytes": disk_bytes(workspace.root)},
        "weights_folder": str(weights_folder().resolve()),
        "problems": problems,
    }
    return Answer(value, _text(value), " ".join(problems))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _check_torch(versions: dict[str, str | None]) -> list[str]:
    """torch and torchvision must come as a matched pair: a wrong pair fails at import, not at install."""
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
    from ..files import write_atomic
    from ..jobs.store import RunStore

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
        RunStore(workspace).list()
    except DermError as error:
        return [str(error)]
    return []


def _listed(read, problems: list[str]) -> list[Any]:
    try:
        return read()
    except DermError as error:
        problems.append(str(error))
        return []


def _datasets(workspace: Workspace) -> list[dict]:
    from ..data.manifest import list_datasets

    return list_datasets(workspace)


def _models(workspace: Workspace) -> list[dict]:
    from ..bundles.bundle import list_bundles

    return [
        {"name": card["name"], "ok": card["ok"], "error": card.get("error")}
        for card in list_bundles(workspace, None)
    ]


def _status(backbone: BackboneConfig) -> dict:
    from ..nets.weights import imagenet_status

    return imagenet_status(backbone)


def _device(problems: list[str]) -> str:
    if any(problem.startswith("torch") for problem in problems):
        return "none"
    from ..machine import pick_device

    return pick_device("auto")


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
    ]
    models = [f"  {row['name']}: {'ok' if row['ok'] else row['error']}" for row in value["models"]]
    lines = [
        "Ready." if value["ok"] else "Not ready.",
        f"Python {value['python']} ({sys.executable}), torch {value['torch']}, device {value['device']}",
        f"Workspace {value['workspace']['path']}: {size(value['workspace']['disk_bytes'])}",
        f"ImageNet weights (weights folder: {value['weights_folder']})",
        *weights,
        "Datasets",
        *(
            datasets
            or ["  none yet; `data synth` makes one, `data import PATH --name NAME` reads yours"]
        ),
        "Models",
        *(models or ["  none on the shelf"]),
    ]
    return "\n".join(lines)
