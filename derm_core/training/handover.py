"""A training as bytes, from one process of a team to the others, without letting the bytes name what code is run.

The networks of a task are objects of many classes, timm's among them, so that a format of tensors alone
does not do. torch's restricted reader (`weights_only`) builds objects of named classes only; here these
are networks, enumerations and data classes of torch.nn, timm and this program. Whoever reaches the
connection between two processes can disturb a training, but make neither of them run a command.
"""

from __future__ import annotations

import dataclasses
import enum
import io
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import torch
from timm.models._features import FeatureInfo
from torch import nn
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from ..errors import RunError
from ..workspace import REPOSITORY

LIBRARIES = ("torch.nn.", "timm.")
CLASSES = (nn.Module, enum.Enum, FeatureInfo)
LOSSES = "derm_core.training.tasks"  # functions that a task may hold


def packed(value: dict[str, Any]) -> bytes:
    """`value` (numbers, text, tensors, lists, dicts, networks) as bytes for `unpacked`.

    Raises RunError where it holds an object that `unpacked` would refuse.
    """
    buffer = io.BytesIO()
    torch.save(value, buffer)
    _named(buffer)
    return buffer.getvalue()


def unpacked(data: bytes) -> dict[str, Any]:
    """What `packed` made bytes of, on the CPU. Raises RunError for bytes that name anything but known classes."""
    buffer = io.BytesIO(data)
    with safe_globals(_named(buffer)):
        buffer.seek(0)
        return torch.load(buffer, map_location="cpu", weights_only=True)


def _named(buffer: io.BytesIO) -> list[tuple[Any, str]]:
    """The classes that a saved value needs beyond torch's own list, each with the name it has there."""
    buffer.seek(0)
    return [(_known(name), name) for name in sorted(get_unsafe_globals_in_checkpoint(buffer))]


def _known(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    found = getattr(import_module(module), attribute, None) if _is_program(module) else None
    fitting = isinstance(found, type) and (
        issubclass(found, CLASSES) or dataclasses.is_dataclass(found)
    )
    if not (fitting or (module == LOSSES and callable(found))) or found.__module__ != module:
        raise RunError(
            f"A training that holds a {name} cannot be shared by several processes; choose another architecture, "
            "or devices = 1."
        )
    return found


def _is_program(module: str) -> bool:
    """Whether a module is of torch.nn, timm or this repository; nothing is imported to find out."""
    if module.startswith(LIBRARIES):
        return True
    spec = PathFinder.find_spec(module.partition(".")[0])
    places = list(spec.submodule_search_locations or ()) if spec else []
    return bool(places) and all(Path(place).resolve().parent == REPOSITORY for place in places)
