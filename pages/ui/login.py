"""The login of a shared server, before every page and before every fragment that runs by itself."""

from __future__ import annotations

import importlib.util

import streamlit as st

from derm_core.data.marks import current_user
from pages.ui import words

NEEDED = ("authlib", "httpx")  # what streamlit[auth] brings


def require_login() -> None:
    """Where secrets.toml has an [auth] section (OpenID Connect, st.login), show nothing to those not logged in."""
    if not login_configured() or st.user.get("is_logged_in", False):
        return
    st.title("Lesion study", anchor=False)
    st.markdown(f"{words.NOTICE} This server asks who you are.")
    if not all(map(importlib.util.find_spec, NEEDED)):
        st.error(
            "The login needs Authlib and httpx: whoever runs this server installs them by "
            "`pip install -r requirements-extras.txt` and starts the app again.",
            icon=":material/error:",
        )
        st.stop()
    st.button("Log in", type="primary", on_click=st.login)
    st.stop()


def offer_logout() -> None:
    """A way out, in the sidebar, for those who logged in."""
    if login_configured() and st.user.get("is_logged_in", False):
        st.sidebar.button("Log out", type="tertiary", icon=":material/logout:", on_click=st.logout)


def login_configured() -> bool:
    """Whether secrets.toml sets a login up."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:  # no secrets.toml: the app of one person
        return False


def user_name() -> str:
    """Who uses the app, to stand beside what they note: of those who logged in, else of the account it runs in."""
    if login_configured() and st.user.get("is_logged_in", False):
        return str(st.user.get("email") or st.user.get("name") or st.user.get("sub") or "")
    return current_user()
