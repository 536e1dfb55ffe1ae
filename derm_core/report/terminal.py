"""A finished study as text: what `compare` prints in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ..formatting import NBSP, THIN
from ..study.study_result import StudyResult
from . import sections
from .section import Section

WIDTH, TABLE_WIDTH = 100, 120  # characters


def text_report(result: StudyResult) -> str:
    """Conditions, verdict, test metrics with 95 % intervals, the paper's table, settings."""
    heading = textwrap.fill(f"{result.run_id}: {sections.conditions(result)}", WIDTH)
    parts = [heading, *map(section_text, sections.terminal_sections(result))]
    return "\n\n".join(part for part in parts if part)


def section_text(section: Section) -> str:
    """A section without its figure."""
    lines = [section.title] if section.title else []
    lines += [_wrapped(paragraph) for paragraph in (section.finding, *section.text) if paragraph]
    for bullet in section.bullets:
        stressed = " ".join(filter(None, (bullet.badge and f"{bullet.badge}:", bullet.stressed)))
        lines.append(_wrapped(f"{stressed} {bullet.text}".strip(), "  "))
    if section.table:
        lines.append(_table([section.columns, *section.cells()]))
        lines += [_wrapped(section.table_caption)] if section.table_caption else []
    return "\n".join(lines).replace(NBSP, " ").replace(THIN, " ")


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; those that do not fit beside the first follow in a table of their own."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    blocks: list[list[int]] = [[0]]
    for place in range(1, len(widths)):
        if sum(widths[i] + 2 for i in blocks[-1]) + widths[place] > TABLE_WIDTH:
            blocks.append([0])
        blocks[-1].append(place)
    return "\n\n".join(_aligned(rows, widths, block) for block in blocks)


def _aligned(rows: Sequence[Sequence[str]], widths: Sequence[int], columns: Sequence[int]) -> str:
    lines = ["  ".join(row[i].ljust(widths[i]) for i in columns).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
