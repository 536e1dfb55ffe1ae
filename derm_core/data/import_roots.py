"""The folders that the app may import from: $DERM_IMPORT_ROOTS, else home and working folder.

On a shared server those of $DERM_IMPORT_ROOTS alone, and never the server's workspace, where other
users' folders lie. The command line is not limited: who can run it can read the files anyway.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigError
from ..workspace import Workspace

VARIABLE = "DERM_IMPORT_ROOTS"
USER = "{user}"


def import_roots(workspace: Workspace) -> list[Path]:
    """The allowed folders, links resolved; $DERM_IMPORT_ROOTS is separated as $PATH is.

    `{user}` in a folder stands for the name of the user's workspace: /srv/images/{user} is a folder
    for each user. Empty on a shared server that sets no such folders.
    """
    given = [part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part.strip()]
    usual = [str(Path.home()), str(Path.cwd())]
    if workspace.shared_root:
        given, usual = [part.replace(USER, workspace.root.name) for part in given], []
    return [Path(os.path.realpath(os.path.expanduser(part))) for part in given or usual]


def check_root(text: str, workspace: Workspace) -> Path:
    """The folder or file that a user of the app typed, links resolved.

    Args:
        text: what was typed.
        workspace: that of the user.

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
    roots = import_roots(workspace)
    if not roots:
        raise ConfigError(
            f"This shared server imports from no folder of its own: whoever runs it allows folders by {VARIABLE}."
        )
    if not any(path.is_relative_to(root) for root in roots):
        raise ConfigError(
            f"The app imports from {', '.join(map(str, roots))} only; set {VARIABLE} to allow other folders, or "
            "use the command line (python -m derm_core data import)."
        )
    server = workspace.shared_root
    if server and (path.is_relative_to(server) or server.is_relative_to(path)):
        raise ConfigError("The workspaces of this server's users lie there; choose another folder.")
    return path
