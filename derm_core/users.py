"""Users of a shared server: who logged in, and the workspace that is theirs alone.

A user's folder is `users/user-HASH` below the server's workspace. The hash is of what the identity
provider says of them, so that no text of a user becomes a path; `user.json` in it says whose it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .errors import ConfigError
from .files import write_json
from .workspace import Workspace

WHO = "user.json"


def user_folder(claims: Mapping[str, Any]) -> str:
    """The name of a user's folder: `user-` and 32 hexadecimal digits.

    It is made of issuer and subject (`iss` and `sub` of OpenID Connect, which together stay the
    same and are given to nobody else), or of issuer and verified e-mail address where there is no
    subject.

    Args:
        claims: what the identity provider says of the user.

    Raises:
        ConfigError: the issuer is missing, or both subject and an address that is said to be verified.
    """
    issuer = _text(claims, "iss")
    if not issuer:
        raise _unknown()
    identity = [issuer, *_subject(claims)]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return f"user-{digest[:32]}"


def user_workspace(server: Workspace, claims: Mapping[str, Any]) -> Workspace:
    """The workspace of whoever logged in, below the server's; made at the first visit.

    Raises:
        ConfigError: as `user_folder` does, or the folder cannot be made.
    """
    workspace = server.of_user(user_folder(claims))
    if not (workspace.root / WHO).exists():
        write_json(
            workspace.root / WHO, {key: _text(claims, key) for key in ("iss", "sub", "email")}
        )
    return workspace


def _subject(claims: Mapping[str, Any]) -> tuple[str, str]:
    if subject := _text(claims, "sub"):
        return "sub", subject
    address = _text(claims, "email")
    if not address or claims.get("email_verified") is not True:
        raise _unknown()
    return "email", address


def _unknown() -> ConfigError:
    return ConfigError(
        "The login does not say who you are: it needs the issuer, and a subject or an e-mail address that is "
        "said to be verified. Whoever runs this server asks the identity provider for them (docs/server.md)."
    )


def _text(claims: Mapping[str, Any], key: str) -> str:
    value = claims.get(key)
    return value if isinstance(value, str) else ""
