"""The newest runs, of which a page offers a choice, and a search that reaches the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import streamlit as st

from derm_core.jobs.queries import RunFilter
from derm_core.jobs.store import Run, RunStore
from derm_core.workspace import Workspace
from pages.ui import words

OFFERED = 50  # of a kind, without a search
PLURALS = {
    "pretrain": "pretrainings",
    "study": "studies",
    "embed": "maps",
    "evaluate": "evaluations",
    "publish": "publications",
}


def offered_runs(
    workspace: Workspace,
    kinds: tuple[str, ...],
    key: str,
    states: tuple[str, ...] = ("done",),
    also: Iterable[str | None] = (),
) -> list[Run]:
    """The newest OFFERED runs of each kind, newest first, and below a search box those that it finds.

    The box, with a line that says how many there are, is drawn where a kind has more than OFFERED runs. Archived
    runs are not offered.

    Args:
        workspace: with the runs.
        kinds, states: of the runs.
        key: of the search box.
        also: ids of runs that are offered in any case, archived ones too: that of the address, or what was chosen.
    """
    store = RunStore(workspace)
    every = {
        kind: RunFilter(kinds=(kind,), states=states, archived=False)
        for kind in dict.fromkeys(kinds)
    }
    totals = {kind: store.count(which) for kind, which in every.items()}
    text = _search(store, every, totals, key) if max(totals.values()) > OFFERED else ""
    runs = [
        run
        for which in every.values()
        for run in store.select(dataclasses.replace(which, text=text), OFFERED)
    ]
    ids = tuple(run_id for run_id in also if run_id and run_id not in {run.id for run in runs})
    if ids:
        runs += store.select(RunFilter(kinds=kinds, states=states, ids=ids))
    return sorted(runs, key=lambda run: -run.seq)


def _search(store: RunStore, every: dict[str, RunFilter], totals: dict[str, int], key: str) -> str:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        text = st.text_input(
            "Search the runs",
            key=f"{key}-search",
            icon=":material/search:",
            placeholder="Name, tag, note, dataset, preset or id",
            label_visibility="collapsed",
            width=320,
        )
        parts = []
        for kind, total in totals.items():
            which = dataclasses.replace(every[kind], text=text)
            parts.append(_extent(store.count(which) if text else total, total, kind, bool(text)))
        limits = words.listed(list(filter(None, parts)))
        hint = "" if text else "; the search reaches the others"
        st.caption(f"Offered: {limits}{hint}.", width="content")
    return text


def _extent(matching: int, total: int, kind: str, is_search: bool) -> str:
    """'the newest 50 of 3,271 studies'; empty where all are offered."""
    if matching > OFFERED:
        more = " that match" if is_search else ""
        return f"the newest {OFFERED} of {matching:,} {PLURALS[kind]}{more}"
    return f"{matching:,} of {total:,} {PLURALS[kind]}" if is_search else ""
