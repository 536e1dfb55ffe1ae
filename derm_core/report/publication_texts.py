"""Texts to paste into a publication: the table of a section as LaTeX, a result and its data set as BibTeX."""

from __future__ import annotations

import re
import time

import pandas as pd

from ..formatting import NBSP, THIN
from ..study.study_result import StudyResult
from .section import Section

TYPOGRAPHY = {NBSP: "~", THIN: r"\,", "–": "--", "−": "$-$", "×": r"$\times$", "’": "'"}
SPECIAL = {char: f"\\{char}" for char in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def latex_table(section: Section) -> str:
    """The table of a section for the package booktabs; its caption is how to read it."""
    table = pd.DataFrame(section.cells(), columns=section.columns).map(latex)
    table.columns = [latex(column) for column in table.columns]
    text: str = table.style.hide(axis="index").to_latex(
        hrules=True,
        column_format="l" * len(table.columns),
        caption=latex(f"{section.table_title}. {section.table_caption}"),
        label=f"tab:{section.key}",
        position_float="centering",
    )
    return text


def bibtex(result: StudyResult) -> str:
    """A result as a BibTeX entry that says what it was made of; another for the data set where it has a citation."""
    data, split = result.dataset, result.split
    made = f"derm\\_core {latex(result.versions.get('derm_core', ''))}".strip()
    parts = [f"run {result.run_id}", f"data set fingerprint {data.fingerprint}"]
    parts += [f"split {split.fingerprint}"] if split.fingerprint else []
    parts += [f"protocol SHA-256 {result.protocol.sha256}"] if result.protocol else []
    fields = {
        "title": f"{{Comparison of feature extractors on {latex(data.known_as or data.name)}}}",
        "howpublished": made,
        "note": latex(", ".join(parts)),
    }
    if result.protocol:
        fields["year"] = time.strftime("%Y", time.gmtime(result.protocol.created))
    entries = [_entry(_key(result.run_id), fields)]
    if data.citation:
        about = {"title": f"{{{latex(data.known_as or data.name)}}}", "note": latex(data.citation)}
        entries.append(_entry(_key(data.known_as or data.name), about))
    return "\n\n".join(entries)


def latex(text: str) -> str:
    r"""Text with what LaTeX would read as commands escaped, and this program's spaces and dashes as its own.

    >>> print(latex("65.8 % (63.5–68.0) a_b"))
    65.8 \% (63.5--68.0) a\_b
    """
    escaped = "".join(SPECIAL.get(char, char) for char in text)
    for char, command in TYPOGRAPHY.items():
        escaped = escaped.replace(char, command)
    return escaped


def _entry(key: str, fields: dict[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def _key(name: str) -> str:
    """A name as a key of BibTeX."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")
