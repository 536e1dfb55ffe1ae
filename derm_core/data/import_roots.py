"""The folders that the app may import from: $DERM_IMPORT_ROOTS, else home and working folder.

The command line is not limited: who can run it can read the files anyway.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigError

VARIABLE = "DERM_IMPORT_ROOTS"


def import_roots() -> list[Path]:
    """The allowed folders, links resolved; $DERM_IMPORT_ROOTS is separated as $PATH is."""
    given = [part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part.strip()]
    return [
        Path(os.path.realpath(os.path.expanduser(part)))
        for part in given or (Path.home(), Path.cwd())
    ]


def check_root(text: str) -> Path:
    """The folder or file that a user of the app typed, links resolved.

    Raises:
        ConfigError: it does not lie in one of `import_roots`, which the message names. Whether
            there is a file outside them remains unknown.
    """
    if not text.strip() or not text.isprintable():
        raise ConfigError(
            "The path is empty or holds control characters; give the folder or file of a data set."
        )
    try:
        path = Path(os.path.realpath(os.path.expanduser(text.strip())))
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"The path cannot be followed ({error}).") from error
    roots = import_roots()
    if not any(path.is_relative_to(root) for root in roots):
        raise ConfigError(
            f"The app imports from {', '.join(map(str, roots))} only; set {VARIABLE} to allow other folders, or "
            "use the command line (python -m derm_core data import)."
        )
    return path
