"""The files of docs/ as text for a page."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from derm_core.workspace import app_folder

FOLDER = app_folder() / "docs"


@cache
def titles() -> dict[str, str]:
    """{file name without suffix: first heading}, by title."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    headings = {name: text.splitlines()[0].lstrip("# ") for name, text in texts.items()}
    return dict(sorted(headings.items(), key=lambda pair: pair[1]))


@cache
def document(name: str) -> str:
    """A document in markdown without its first heading.

    Links to other documents lead to this page's, links to files of the repository are text.

    Args:
        name: one of `titles()`.
    """
    text = Path(FOLDER / f"{name}.md").read_text(encoding="utf-8").partition("\n")[2]
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    text = re.sub(r"\]\(([\w-]+)\.md(?:#[\w-]*)?\)", r"](docs?document=\1)", text)
    return re.sub(r"\[([^\]]+)\]\((?!docs\?|https?://|#)[^)]*\)", r"\1", text)
