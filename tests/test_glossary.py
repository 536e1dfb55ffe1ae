"""The glossary: every term is plain, named once and linked; docs/glossary.md and the pages take it from one file."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from derm_core.glossary import TERMS, Term, markdown, source_link
from derm_core.report.templating import WORDS
from tools import glossary

ROOT = Path(__file__).resolve().parents[1]


def test_the_documentation_is_current():
    text = glossary.PAGE.read_text(encoding="utf-8")
    assert text == glossary.page(), "run python -m tools.glossary"
    assert text.count("| **") == len(TERMS) > 60


def test_terms_are_named_once_and_explained_in_few_sentences():
    assert len({term.name for term in TERMS.values()}) == len(TERMS)
    for term in TERMS.values():
        assert re.fullmatch(r"[a-z-]+", term.key) and term.part, term.key
        sentences = re.findall(r"[.!?](?= |$)", term.text)
        assert 1 <= len(sentences) <= 3 and term.text.endswith("."), term.key
        assert 40 < len(term.text) <= 350 and "|" not in term.text, term.key


def test_terms_of_one_part_stand_together():
    parts = [term.part for term in TERMS.values()]
    changes = 1 + sum(a != b for a, b in itertools.pairwise(parts))
    assert changes == len(set(parts))


def test_sources_with_a_number_are_links():
    described = Term(
        key="x", part="y", name="z", text="t", source="Ours 2020, doi:10.1016/0377(87)9"
    )
    assert source_link(described) == "[Ours 2020](https://doi.org/10.1016/0377%2887%299)"
    for term in TERMS.values():
        if "arXiv:" in term.source or "doi:" in term.source:
            assert "](https://" in source_link(term), term.key


def test_a_page_s_terms_are_paragraphs_and_an_unknown_one_is_refused():
    text = markdown(["gap", "elbo"])
    assert text.startswith("**Gap.** ") and "\n\n**ELBO.** " in text
    with pytest.raises(KeyError):
        markdown(["no-such-term"])


def test_every_term_that_a_page_or_section_names_exists():
    named = {key for section in WORDS.values() for key in section.get("terms", ())}
    for path in (ROOT / "pages").rglob("*.py"):
        for call in re.findall(r"terms=\(([^)]*)\)", path.read_text(encoding="utf-8")):
            named |= set(re.findall(r'"([a-z-]+)"', call))
    assert named <= set(TERMS), named - set(TERMS)
