"""Checkpoints that cannot be torn: a folder per step, and one pointer file replaced atomically.

    checkpoints/latest                   name of the newest complete folder
    checkpoints/step-000123-0/model.safetensors, optimiser.pt (tensors only), state.json, and
                              average.safetensors where a moving average is kept

Until `latest` is replaced the previous checkpoint stands; folders it does not name are leftovers.
"""

from __future__ import annotations

import io
import itertools
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from ..errors import RunError
from ..events import jsonable
from ..files import read_json, write_atomic, write_json

POINTER = "latest"


def save_checkpoint(folder: Path, task: nn.Module, optimiser: torch.optim.Optimizer, state: dict[str, Any],
                    average: nn.Module | None = None) -> Path:
    """Save weights, optimiser and `state` (JSON values; holds "step") as one unit below `folder`.

    average: a copy of `task` with averaged weights, where one is kept. Returns the checkpoint's own folder. Older ones are removed once this one is in force.
    """
    folder = Path(folder)
    names = (f"step-{state['step']:06d}-{number}" for number in itertools.count())
    final = next(folder / name for name in names if not (folder / name).exists())
    partial = folder / f".{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for name, module in _modules(task, average):
        weights = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in module.state_dict().items()}
        write_atomic(partial / name, save(weights))
    buffer = io.BytesIO()
    torch.save(optimiser.state_dict(), buffer)
    write_atomic(partial / "optimiser.pt", buffer.getvalue())
    write_json(partial / "state.json", jsonable(state))
    os.replace(partial, final)
    _sync(folder)
    write_atomic(folder / POINTER, final.name)
    _prune(folder, keep=final.name)
    return final


def load_checkpoint(folder: Path, task: nn.Module, optimiser: torch.optim.Optimizer,
                    average: nn.Module | None = None) -> dict[str, Any] | None:
    """Load the newest checkpoint below `folder` into `task`, `optimiser` and `average`; None where there is none.

    Returns the saved state. Raises RunError where the checkpoint is damaged or of another model.
    """
    newest = newest_checkpoint(folder)
    if newest is None:
        return None
    try:
        weights = [(module, load((newest / name).read_bytes())) for name, module in _modules(task, average)
                   if module is task or (newest / name).exists()]
        saved = torch.load(newest / "optimiser.pt", map_location="cpu", weights_only=True)
        state = read_json(newest / "state.json")
        for module, tensors in weights:
            module.load_state_dict(tensors)
        optimiser.load_state_dict(saved)
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, EOFError,
            pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"The checkpoint {newest.name} cannot be used ({reason}); delete the run's "
                       "checkpoints folder to train from the start.") from error
    return state


def _modules(task: nn.Module, average: nn.Module | None) -> list[tuple[str, nn.Module]]:
    """File names of weights, and what holds them."""
    return [("model.safetensors", task), *([("average.safetensors", average)] if average is not None else [])]


def newest_checkpoint(folder: Path) -> Path | None:
    """The folder that the pointer names, or None where no checkpoint is complete."""
    try:
        name = (Path(folder) / POINTER).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    newest = Path(folder) / name
    return newest if newest.is_dir() else None


def clear_checkpoints(folder: Path) -> None:
    """Remove every checkpoint below `folder`: the run is over and its artefacts are saved."""
    (Path(folder) / POINTER).unlink(missing_ok=True)
    _prune(Path(folder), keep="")


def _prune(folder: Path, keep: str) -> None:
    for old in [*folder.glob("step-*"), *folder.glob(".step-*")]:
        if old.name != keep:
            shutil.rmtree(old, ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
