"""The login of a shared server, before every page and before every fragment that runs by itself.

Whoever is logged in works in a workspace of their own; without a login there is one workspace.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import streamlit as st

from derm_core.data.marks import current_user
from derm_core.errors import ConfigError
from derm_core.users import user_workspace
from derm_core.workspace import Workspace
from pages.ui import uploads, words

NEEDED = ("authlib", "httpx")  # what streamlit[auth] brings
# Logins that were ended by a log out. Streamlit ends the session of one tab; others of the same
# browser, and a copy of its cookie, would stay logged in.
_ended: set[str] = set()


def require_login() -> None:
    """Where secrets.toml has an [auth] section (OpenID Connect, st.login), show nothing to those not logged in."""
    try:
        if not login_configured() or (_logged_in() and not has_ended(_this_login())):
            return
    except ConfigError as error:
        st.error(words.plain(error), icon=":material/error:")
        st.stop()
    uploads.drop()
    st.session_state.clear()
    st.title("Lesion study", anchor=False)
    st.markdown(
        f"{words.NOTICE} This server asks who you are. Your runs, datasets and images are seen by nobody else who "
        "logs in here."
    )
    if not all(map(importlib.util.find_spec, NEEDED)):
        st.error(
            "The login needs Authlib and httpx: whoever runs this server installs them by "
            "`pip install -r requirements-extras.txt` and starts the app again.",
            icon=":material/error:",
        )
        st.stop()
    st.button("Log in", type="primary", on_click=st.login)
    st.stop()


def open_workspace() -> Workspace:
    """The workspace of whoever is logged in, below the server's; where no login is set up, the one there is.

    Raises:
        ConfigError: it cannot be made, or the login does not say who it is.
    """
    server = Workspace.open()
    return user_workspace(server, st.user) if login_configured() else server


def offer_logout() -> None:
    """Who is logged in and a way out, in the sidebar."""
    if login_configured() and _logged_in():
        st.sidebar.caption(words.plain(user_name()))
        st.sidebar.button("Log out", type="tertiary", icon=":material/logout:", on_click=_log_out)


def _log_out() -> None:
    """End this login in all tabs, and drop what this session holds."""
    _ended.add(_this_login())
    uploads.drop()
    st.session_state.clear()
    st.logout()


def login_configured() -> bool:
    """Whether secrets.toml sets a login up.

    Raises:
        ConfigError: there is such a file, and it cannot be read. It may set a login up, so that the
            app must stay closed.
    """
    try:
        return "auth" in st.secrets
    except FileNotFoundError as error:  # Streamlit's, also for a file that is no TOML
        if any(Path(path).exists() for path in st.get_option("secrets.files")):
            raise ConfigError(
                "secrets.toml cannot be read, so that it is not known who may come in: whoever runs this server "
                "mends the file and starts the app again; its log names the line."
            ) from error
        return False  # the app of one person


def user_name() -> str:
    """Who uses the app, to stand beside what they note: of those who logged in, else of the account it runs in."""
    if login_configured() and _logged_in():
        return str(st.user.get("email") or st.user.get("name") or st.user.get("sub") or "")
    return current_user()


def _logged_in() -> bool:
    return bool(st.user.get("is_logged_in", False))


def current_login() -> str | None:
    """What `has_ended` tells a login by; None where none is set up."""
    return _this_login() if login_configured() else None


def has_ended(login: str | None) -> bool:
    """Whether somebody logged out of it."""
    return login in _ended


def _this_login() -> str:
    """A hash of what the provider said at the login: another at each."""
    claims = {key: value for key, value in st.user.items() if key != "tokens"}
    return hashlib.sha256(json.dumps(claims, sort_keys=True, default=str).encode()).hexdigest()
