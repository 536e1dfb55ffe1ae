"""The documentation as a page: every file of docs/, with links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pages.ui import documents
from pages.ui.frame import HIDDEN, PAGES
from pages.ui.page_guides import GUIDES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_document_is_offered_under_its_title():
    assert set(documents.titles()) == {path.stem for path in DOCS.glob("*.md")}
    assert documents.titles()["glossary"] == "Glossary"


@pytest.mark.parametrize("name", documents.titles())
def test_links_lead_to_documents_or_to_the_web(name):
    text = documents.document(name)
    assert "<!--" not in text and not text.startswith("# ")
    for target in re.findall(r"\]\(([^)\s]+)", text):
        inside = re.fullmatch(r"docs\?document=([\w-]+)", target)
        assert inside[1] in documents.titles() if inside else "://" in target or target[0] == "#"


def test_every_page_of_the_menu_has_three_steps_and_a_document():
    assert set(GUIDES) == set(PAGES) - set(HIDDEN)
    for guide in GUIDES.values():
        assert len(set(guide.steps)) == 3 and guide.document in documents.titles()
        assert all(step.startswith("**") for step in guide.steps)
