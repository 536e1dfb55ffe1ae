"""Putting a bundle on a shelf: whole and under a free name, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ..bundles.model_library import find_bundle, verify_bundle
from ..errors import BundleError, NotFound
from ..workspace import Workspace


def published_hash(
    workspace: Workspace, name: str, target: Path, replace: bool = False
) -> str | None:
    """SHA-256 of the tensors published under this name; None where the name is free.

    Raises:
        BundleError: the name is taken, and the model is not to be replaced.
    """
    try:
        folder = target if target.exists() else find_bundle(workspace, name)
    except NotFound:
        return None
    if not replace:
        raise BundleError(
            f"A model {name} is already in the library ({folder.parent.name}/{name}); choose another name, "
            "or delete that one first."
        )
    return verify_bundle(folder).sha256


def place(target: Path, make: Callable[[Path], object]) -> None:
    """Have `make` write a bundle's folder beside `target`, then move it there: a kill leaves none, or a whole one.

    Raises:
        BundleError: it cannot be written or moved.
    """
    partial = target.parent / f".{target.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        make(partial / target.name)
        if target.exists():
            os.rename(target, partial / "former")
        os.rename(partial / target.name, target)
    except OSError as error:
        raise BundleError(
            f"The model {target.name} cannot be put in the library ({error.strerror}); nothing was published. "
            "Check permissions and free disk space."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
