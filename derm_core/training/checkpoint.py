"""Checkpoints that cannot be torn: a folder per step, and one pointer file replaced atomically.

    checkpoints/latest                   name of the newest complete folder
    checkpoints/step-000123-0/model.safetensors, optimiser.pt (tensors only), state.json, and
                              average.safetensors where a moving average is kept

Until `latest` is replaced the previous checkpoint stands; folders it does not name are leftovers.
"""

from __future__ import annotations

import itertools
import os
import pickle
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from ..errors import RunError
from ..files import read_json, write_atomic, write_json, writing
from ..records import to_json

POINTER, OPTIMISER, STATE = "latest", "optimiser.pt", "state.json"


def save_checkpoint(
    folder: Path,
    task: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: dict[str, Any],
    average: nn.Module | None = None,
) -> Path:
    """Save weights, optimiser and `state` (JSON values; holds "step") as one unit below `folder`.

    average: a copy of `task` with averaged weights, where one is kept. Returns the checkpoint's own
    folder. Older ones are removed once this one is in force.
    """
    return _write(Path(folder), _copied(task, optimiser, state, average))


class CheckpointWriter:
    """Saves checkpoints beside the training: copied at once, written by a thread, one after another.

    What `save` got is in force after `wait`, or after the next `save`; both raise what went wrong in
    writing. A process that is killed meanwhile leaves the previous checkpoint in force.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self.writing: Future | None = None

    def save(
        self,
        task: nn.Module,
        optimiser: torch.optim.Optimizer,
        state: dict[str, Any],
        average: nn.Module | None = None,
    ) -> None:
        """`save_checkpoint` of what these hold now; later steps change nothing of it."""
        self.wait()
        self.writing = self.thread.submit(
            _write, self.folder, _copied(task, optimiser, state, average)
        )

    def wait(self) -> None:
        """Return when the last checkpoint is in force."""
        writing, self.writing = self.writing, None
        if writing is not None:
            writing.result()

    def busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self.writing is not None and not self.writing.done()

    def close(self) -> None:
        """`wait`, and end the thread."""
        try:
            self.wait()
        finally:
            self.thread.shutdown()


def _copied(
    task: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: dict[str, Any],
    average: nn.Module | None,
) -> dict[str, Any]:
    """Contents by file name, all copied into this machine's memory."""
    files: dict[str, Any] = {
        name: {key: _cpu_copy(tensor) for key, tensor in module.state_dict().items()}
        for name, module in _modules(task, average)
    }
    held = optimiser.state_dict()
    moments = {
        index: {
            key: _cpu_copy(value) if isinstance(value, torch.Tensor) else value
            for key, value in row.items()
        }
        for index, row in held["state"].items()
    }
    groups = [dict(group) for group in held["param_groups"]]
    return {**files, OPTIMISER: {"state": moments, "param_groups": groups}, STATE: to_json(state)}


def _cpu_copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to(
        "cpu", copy=True
    )  # keeps the layout: the optimiser's moments must have the weights'


def _write(folder: Path, files: dict[str, Any]) -> Path:
    names = (f"step-{files[STATE]['step']:06d}-{number}" for number in itertools.count())
    final = next(folder / name for name in names if not (folder / name).exists())
    partial = folder / f".{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for name, content in files.items():
            if name == STATE:
                write_json(partial / name, content)
            elif name == OPTIMISER:
                with writing(partial / name) as file:
                    torch.save(content, file)  # no second copy in memory
            else:
                write_atomic(
                    partial / name,
                    save({key: tensor.contiguous() for key, tensor in content.items()}),
                )
        os.replace(partial, final)
    except BaseException:  # such as a full disk, which wants the room
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _sync(folder)
    write_atomic(folder / POINTER, final.name)
    _prune(folder, keep=final.name)
    return final


def load_checkpoint(
    folder: Path,
    task: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: nn.Module | None = None,
) -> dict[str, Any] | None:
    """Load the newest checkpoint below `folder` into `task`, `optimiser` and `average`; None where there is none.

    Returns the saved state. Raises RunError where the checkpoint is damaged or of another model.
    """
    newest = newest_checkpoint(folder)
    if newest is None:
        return None
    try:
        weights = [
            (module, load((newest / name).read_bytes()))
            for name, module in _modules(task, average)
            if module is task or (newest / name).exists()
        ]
        saved = torch.load(newest / OPTIMISER, map_location="cpu", weights_only=True)
        saved["param_groups"] = [
            {**{key: value for key, value in mine.items() if key != "params"}, **theirs}  # an older
            for mine, theirs in zip(optimiser.param_groups, saved["param_groups"])
        ]  # program told less
        state = read_json(newest / STATE)
        for module, tensors in weights:
            module.load_state_dict(tensors)
        optimiser.load_state_dict(saved)
    except (
        OSError,
        SafetensorError,
        RuntimeError,
        ValueError,
        KeyError,
        EOFError,
        pickle.UnpicklingError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(
            f"The checkpoint {newest.name} cannot be used ({reason}); delete the run's "
            "checkpoints folder to train from the start."
        ) from error
    return state


def _modules(task: nn.Module, average: nn.Module | None) -> list[tuple[str, nn.Module]]:
    """File names of weights, and what holds them."""
    return [
        ("model.safetensors", task),
        *([("average.safetensors", average)] if average is not None else []),
    ]


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
