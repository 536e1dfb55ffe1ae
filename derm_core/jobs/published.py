"""Published results among the runs: read like finished ones, never changed, deleted or resumed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..published import About, published_studies
from ..workspace import Workspace, published_folder
from .store import Run, RunStore


@dataclass(frozen=True, kw_only=True)
class PublishedRun(Run):
    """A published study or map as a finished run.

    Attributes:
        about: the folder's about.json.
        study: name of that folder, which a study and its maps share.
    """

    about: About
    study: str


def published_runs(kind: str | None = None) -> list[PublishedRun]:
    """The published studies ("study") and maps ("embed"), or those of one kind.

    Raises:
        RunError: one cannot be read.
    """
    runs = []
    for one in published_studies():
        if one.files is not None:
            runs.append(_run(one.root.name, "study", one.about, one.root.name, one.about.name))
        runs += [_run(files.id, "embed", one.about, one.root.name) for files in one.maps]
    return [run for run in runs if kind in (None, run.kind)]


def find_run(workspace: Workspace, run_id: str) -> Run:
    """A run of the workspace, or a published result of this name. Raises NotFound."""
    if published_folder(run_id) is not None:
        for run in published_runs():
            if run.id == run_id:
                return run
    return RunStore(workspace).get(run_id)


def _run(name: str, kind: str, about: About, study: str, title: str = "") -> PublishedRun:
    created = time.mktime(time.strptime(about.created, "%Y-%m-%d"))
    return PublishedRun(
        seq=0,
        id=name,
        kind=kind,
        name=title,
        state="done",
        device="",
        created=created,
        started=None,
        finished=created,
        pid=None,
        spawned=None,
        spawns=0,
        depends_on=None,
        error=None,
        progress=None,
        summary=None,
        cancel_time=None,
        tags=about.tags,
        note=about.note,
        about=about,
        study=study,
    )
