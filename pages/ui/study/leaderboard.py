"""The tab Leaderboard of Compare: arms ranked, filters that are part of the address, and texts to copy."""

from __future__ import annotations

import streamlit as st

from derm_core.report.csv_tables import safe_table
from derm_core.report.publication_texts import bibtex, latex_table
from derm_core.report.section import Section
from derm_core.report.sections.leaderboard import leaderboard
from derm_core.report.sections.networks import SEEN
from derm_core.study.leaderboard import ArmFilter, filter_choices
from derm_core.study.study_result import StudyResult
from derm_core.workspace import Workspace
from pages.ui import frame, words
from pages.ui.section import draw

ANY = "any"


def leaderboard_tab(workspace: Workspace, result: StudyResult) -> None:
    """Filters, the ranking, and its CSV, LaTeX and citation to copy."""
    chosen = _choose_filter(result)
    sections = leaderboard(result, chosen)
    draw(*sections, file=result.run_id)
    if sections[0].table:
        _offer_texts(result, sections[0])


def _choose_filter(result: StudyResult) -> ArmFilter:
    """The arms to rank, as the address says; a filter that would leave all of them is not offered."""
    offered = filter_choices(result)
    filters = {
        "pixels": ("Input size", {str(n): f"At most {n:,} px" for n in offered.pixels}),
        "parameters": ("Parameters", {str(n): f"At most {n:,} million" for n in offered.millions}),
        "pretraining": ("Pretrained on", {text: text for text in offered.pretrained_on}),
        "seen": ("Saw these images", {answer: SEEN[answer] for answer in offered.seen}),
    }
    useful = {param: one for param, one in filters.items() if one[1]}
    chosen: dict[str, str] = {}
    if useful:
        with st.grid(len(useful), min_column_width=150, gap="small"):
            for param, (label, names) in useful.items():
                value = frame.linked(label, {ANY: "Any"} | names, param, always=False)
                chosen |= {} if value == ANY else {param: value}
    return ArmFilter(
        pixels=_number(chosen.get("pixels")),
        millions=_number(chosen.get("parameters")),
        pretrained_on=chosen.get("pretraining"),
        seen=chosen.get("seen"),
    )


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _offer_texts(result: StudyResult, section: Section) -> None:
    """The table as CSV and LaTeX, and how to cite it, each with a button that copies it."""
    popover = st.popover(
        "Copy table or citation",
        icon=":material/content_copy:",
        type="tertiary",
        key="leaderboard-copy",
        on_change="rerun",
    )
    if not popover.open:
        return
    with popover:
        csv, latex, cite = st.tabs(["CSV", "LaTeX", "Citation"])
        numbers = section.numbers
        if numbers:
            csv.code(safe_table(numbers()).to_csv(index=False), language=None, height=240)
        latex.code(latex_table(section), language="latex", height=240)
        latex.caption("Needs the package booktabs.")
        cite.code(bibtex(result), language="bibtex", wrap_lines=True)
        if result.dataset.license:
            cite.caption(words.plain(f"Terms of the data set: {result.dataset.license}."))
