"""The templates of the HTML report, and the words of the sections (derm_core/report/templates)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jinja2

FOLDER = Path(__file__).with_name("templates")
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
WORDS = tomllib.loads((FOLDER / "sections.toml").read_text(encoding="utf-8"))


def rendered(name: str, **values: Any) -> str:
    """The text of a template; in *.html every value is escaped."""
    return TEMPLATES.get_template(name).render(values)


def rendered_lines(name: str, **values: Any) -> tuple[str, ...]:
    """The lines of a template of plain text, empty ones left out."""
    return tuple(line for line in rendered(name, **values).splitlines() if line.strip())


def words(section: str, /, **values: Any) -> dict[str, Any]:
    """The fields of a Section that sections.toml holds: key, title, caption and others.

    Args:
        section: its name there.
        values: what stands in place of {…} in its texts.
    """
    fields = {"key": section} | {
        field: text.format(**values).strip() if isinstance(text, str) else text
        for field, text in WORDS[section].items()
    }
    if "terms" in fields:
        fields["terms"] = tuple(fields["terms"])
    if "text" in fields:
        fields["text"] = (fields["text"],) if fields["text"] else ()
    return fields
