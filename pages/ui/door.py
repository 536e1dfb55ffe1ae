"""The login of a shared server: asked for before every page, and before every part of a page that runs by itself."""

from __future__ import annotations

import streamlit as st

from . import words


def require_login() -> None:
    """Where secrets.toml has an [auth] section (OpenID Connect, st.login), show nothing to those not logged in."""
    if not login_configured() or st.user.get("is_logged_in", False):
        return
    st.title("Lesion study", anchor=False)
    st.markdown(f"{words.NOTICE} This server asks who you are.")
    st.button("Log in", type="primary", on_click=st.login)
    st.stop()


def login_configured() -> bool:
    try:
        return "auth" in st.secrets
    except FileNotFoundError:                      # no secrets.toml: the app of one person
        return False
