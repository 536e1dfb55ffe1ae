"""The glossary: what the terms of pages, reports and documentation mean, with sources (glossary.toml).

TERMS["balanced-accuracy"].text       one or two plain sentences
markdown(["gap", "overfitting"])      a list for a page
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

PREFIXES = {"arXiv:": "https://arxiv.org/abs/", "doi:": "https://doi.org/"}


@dataclass(frozen=True, kw_only=True)
class Term:
    """A term of the field or of this program.

    Attributes:
        key: its name in code: lower-case letters and hyphens.
        part: the heading of the documentation that it stands under.
        name: as it is shown.
        text: one to three sentences of markdown without links.
        source: a publication, with its arXiv number or DOI at the end where it has one.
    """

    key: str
    part: str
    name: str
    text: str
    source: str = ""


def _read() -> dict[str, Term]:
    listed = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {key: Term(key=key, **fields) for key, fields in listed.items()}


TERMS = _read()


def source_link(term: Term) -> str:
    """The term's source in markdown, as a link where it names an arXiv number or a DOI."""
    match = re.search(r", (arXiv:|doi:)(\S+)$", term.source)
    if match is None:
        return term.source
    address = PREFIXES[match[1]] + quote(match[2], safe="/.:-_")
    return f"[{term.source[: match.start()]}]({address})"


def entry(term: Term) -> str:
    """Text and source of a term in one line of markdown."""
    return f"{term.text} ({source_link(term)})" if term.source else term.text


def markdown(keys: Iterable[str]) -> str:
    """The terms as paragraphs of markdown, each with its name in bold. Raises KeyError for one that is unknown."""
    return "\n\n".join(f"**{term.name}.** {entry(term)}" for term in map(TERMS.__getitem__, keys))
