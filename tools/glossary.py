"""docs/glossary.md, written from derm_core/glossary.toml.

python -m tools.glossary          rewrite it
"""

from __future__ import annotations

from pathlib import Path

from derm_core.glossary import TERMS, entry

PAGE = Path(__file__).resolve().parent.parent / "docs" / "glossary.md"
HEAD = """\
# Glossary

The terms of the pages, the reports and this documentation. On a page *What is this?* shows those of a
section. Written by `python -m tools.glossary` from `derm_core/glossary.toml`.
"""


def page() -> str:
    """The text of docs/glossary.md: the terms by part, in the order of the file."""
    parts: dict[str, list[str]] = {}
    for term in TERMS.values():
        parts.setdefault(term.part, []).append(f"| **{term.name}** | {entry(term)} |")
    tables = [
        "\n".join([f"\n## {part}\n", "| term | meaning |", "|---|---|", *rows])
        for part, rows in parts.items()
    ]
    return HEAD + "\n".join(tables) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
