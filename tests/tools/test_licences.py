"""docs/licences.md names what is installed here."""

from __future__ import annotations

from tools.licences import LIST, listed


def rows(text: str) -> list[str]:
    return [
        line for line in text.splitlines() if not line.startswith("| setuptools |")
    ]  # venv puts its own there first


def test_the_list_of_licences_is_current():
    assert rows(LIST.read_text(encoding="utf-8")) == rows(listed()), "run: python -m tools.licences"
