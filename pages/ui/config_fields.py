"""Widgets for fields of configurations: their bounds and their help come from the configuration itself."""

from __future__ import annotations

from typing import Any

import streamlit as st

from derm_core.records import Range, bounds, description


def number_field(
    config: type, field: str, label: str, value: int, *, help: str | None = None, **settings: Any
) -> int:
    """A whole number within the field's bounds.

    Args:
        config: the class of the configuration.
        field: its name in that class.
        label: of the widget.
        value: shown at first.
        help: in place of the field's description.
        settings: of st.number_input.
    """
    limits = bounds(config, field) or Range()
    low, high = (None if end is None else int(end) for end in (limits.low, limits.high))
    text = help or field_help(config, field)
    return int(st.number_input(label, low, high, value, help=text, **settings))


def slider_field(config: type, field: str, label: str, value: float, **settings: Any) -> float:
    """A number on a slider from the field's lower to its upper bound; of `value`'s type. See `number_field`."""
    limits = bounds(config, field)
    if limits is None or limits.low is None or limits.high is None:
        raise ValueError(f"{config.__name__}.{field} has no bounds for a slider")
    low, high = (type(value)(end) for end in (limits.low, limits.high))
    return st.slider(label, low, high, value, help=field_help(config, field), **settings)


def field_help(config: type, field: str) -> str:
    """The field's description as a sentence."""
    text = description(config, field)
    return f"{text[:1].upper()}{text[1:]}." if text else ""
