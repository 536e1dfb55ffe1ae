"""Old runs leave the lists and can be brought back; nothing of them is deleted."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from .. import formatting
from ..errors import ConfigError, RunError
from ..workspace import Workspace
from .queries import RunFilter
from .store import FINAL, Run, RunStore

DAYS = {"d": 1, "w": 7, "y": 365}
DAY_SECONDS = 86_400.0


def age_in_days(text: str) -> int:
    """Days of "90d", "12w" or "1y". Raises ConfigError."""
    match = re.fullmatch(r"(\d{1,5})([dwy])", text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is no age: give days (90d), weeks (12w) or years (1y).")
    return int(match[1]) * DAYS[match[2]]


def ended_filter(days: float, archived: bool = False) -> RunFilter:
    """Runs that ended more than so many days ago: not archived ones, or archived ones alone."""
    before = time.time() - days * DAY_SECONDS
    return RunFilter(states=FINAL, archived=archived, ended_before=before)


def named_runs(workspace: Workspace, run_ids: Sequence[str], archived: bool) -> list[Run]:
    """Of the runs of these ids those that are archived, or those that are not.

    Raises:
        NotFound: one is not there.
        RunError: one is a published result, or is to be archived and has not ended.
    """
    runs = [RunStore(workspace).get(run_id) for run_id in dict.fromkeys(run_ids)]
    active = [f"{run.id} is {run.state}" for run in runs if not run.final]
    if active and not archived:
        raise RunError(
            f"Nothing was archived: {formatting.listed(active)}, and only runs that have ended are."
        )
    return [run for run in runs if (run.archived is not None) == archived]
