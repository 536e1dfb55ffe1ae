"""The templates of the HTML report and of its longer texts (derm_core/report/templates)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def rendered(name: str, **values: Any) -> str:
    """The text of a template; in *.html every value is escaped."""
    return TEMPLATES.get_template(name).render(values)


def rendered_lines(name: str, **values: Any) -> tuple[str, ...]:
    """The lines of a template of plain text, empty ones left out."""
    return tuple(line for line in rendered(name, **values).splitlines() if line.strip())
