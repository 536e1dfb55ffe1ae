"""The table of runs rebuilt from the run folders, where the database was lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..config import KINDS
from ..events import read_events
from ..files import read_json
from ..locks import is_held
from ..workspace import ID_PATTERN, RunFiles, Workspace
from .queries import describe

FINAL = ("done", "failed", "cancelled", "interrupted")
ERROR = "Read from its folder, since the run database was lost; {path} says what happened."


def rows_of_folders(workspace: Workspace) -> Iterator[dict[str, Any]]:
    """One row for each run folder with a readable config.json, oldest first.

    The state is the last one of its events; running where its lock is held, else interrupted, so
    that the run can be resumed. The summary is that of its result.

    Yields:
        The row's columns by name; `device` as in the config.
    """
    configs = [
        path
        for path in (workspace.root / "runs").glob("*/config.json")
        if ID_PATTERN.fullmatch(path.parent.name)
    ]
    for path in sorted(configs, key=lambda path: (path.stat().st_mtime, path.parent.name)):
        try:
            config = read_json(path)
            if isinstance(config, dict) and config.get("kind") in KINDS:
                yield _row(workspace, workspace.run(path.parent.name), config)
        except (OSError, ValueError):
            continue


def _row(workspace: Workspace, files: RunFiles, config: dict[str, Any]) -> dict[str, Any]:
    events = read_events(files.events)
    states = [event["value"] for event in events if event.get("kind") == "state"]
    results = [event["value"] for event in events if event.get("kind") == "result"]
    state = states[-1] if states and states[-1] in FINAL else "interrupted"
    state = "running" if is_held(files.lock) else state
    needed = config.get("vae_run")
    return {
        "id": files.id,
        "kind": config["kind"],
        "state": state,
        "created": files.config.stat().st_mtime,
        **_annotations(files),
        "archived": _archived(files) if state in FINAL else None,
        **describe(config),
        "started": events[0]["time"] if events else None,
        "finished": events[-1]["time"] if events and state in FINAL else None,
        "error": None if state in ("done", "running") else ERROR.format(path=files.log),
        "depends_on": needed if needed and workspace.run(needed).config.exists() else None,
        "summary": json.dumps(results[-1]) if results and state == "done" else None,
        "device": config.get("device", "auto"),
    }


def _annotations(files: RunFiles) -> dict[str, str]:
    """The columns name, tags (JSON) and note."""
    try:
        about = read_json(files.about)
        return {
            "name": str(about["name"]),
            "tags": json.dumps([str(tag) for tag in about["tags"]]),
            "note": str(about["note"]),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {"name": "", "tags": "[]", "note": ""}


def _archived(files: RunFiles) -> float | None:
    try:
        return float(read_json(files.about)["archived"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
