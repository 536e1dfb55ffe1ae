"""The table of runs made anew from their folders, where the database was lost: what each folder says of its run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..config import KINDS
from ..events import read_events
from ..files import read_json
from ..locks import is_held
from ..workspace import ID_PATTERN, RunFiles, Workspace

FINAL = ("done", "failed", "cancelled", "interrupted")
SAID = "Read from its folder, since the run database was lost; {path} says what happened."


def rows_of_folders(workspace: Workspace) -> Iterator[dict[str, Any]]:
    """One row (columns by name; `device` as in its config) a run folder with a readable config.json, oldest first.

    The state is the last one its events tell, running where its lock is held, else interrupted: such a
    run can be resumed. The summary is that of its result.
    """
    folders = [
        path
        for path in (workspace.root / "runs").glob("*/config.json")
        if ID_PATTERN.fullmatch(path.parent.name)
    ]
    for path in sorted(folders, key=lambda path: (path.stat().st_mtime, path.parent.name)):
        try:
            config = read_json(path)
            if isinstance(config, dict) and config.get("kind") in KINDS:
                yield _row(workspace, workspace.run(path.parent.name), config)
        except (OSError, ValueError):
            continue


def _row(workspace: Workspace, paths: RunFiles, config: dict[str, Any]) -> dict[str, Any]:
    events = list(read_events(paths.events))
    told = [event["value"] for event in events if event.get("kind") == "state"]
    results = [event["value"] for event in events if event.get("kind") == "result"]
    state = told[-1] if told and told[-1] in FINAL else "interrupted"
    state = "running" if is_held(paths.lock) else state
    created, ended = paths.config.stat().st_mtime, state in FINAL and bool(events)
    needed = config.get("vae_run")
    return {
        "id": paths.id,
        "kind": config["kind"],
        "state": state,
        "created": created,
        **_about(paths),
        "started": events[0]["time"] if events else None,
        "finished": events[-1]["time"] if ended else None,
        "error": None if state in ("done", "running") else SAID.format(path=paths.log),
        "depends_on": needed if needed and workspace.run(needed).config.exists() else None,
        "summary": json.dumps(results[-1]) if results and state == "done" else None,
        "device": config.get("device", "auto"),
    }


def _about(paths: RunFiles) -> dict[str, str]:
    """What the user said of the run: name, tags (JSON) and note; empty where nothing was kept."""
    try:
        about = read_json(paths.about)
        return {
            "name": str(about["name"]),
            "tags": json.dumps([str(tag) for tag in about["tags"]]),
            "note": str(about["note"]),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {"name": "", "tags": "[]", "note": ""}
