"""Progress of a comparison in folds: the fold of a run, how many are done, how long the rest takes."""

from __future__ import annotations

import contextlib
import time

from ..errors import NotFound
from ..jobs.dependencies import stored_config, waits_for
from ..jobs.store import Run, RunStore
from ..workspace import Workspace
from .output import duration

READ_SECONDS = 2.0  # between two reads of the table of runs


class FoldProgress:
    """The folds that a run waits for; without folds everything is empty.

    Attributes:
        studies: ids of the folds' studies, in the order of the folds.
        fold_of: the number of the fold, from 1, of every fold's study and pretraining.
    """

    def __init__(self, workspace: Workspace, run_id: str):
        self.store = RunStore(workspace)
        self.studies = list((stored_config(workspace, run_id) or {}).get("fold_runs") or [])
        self.fold_of = {
            member: number
            for number, study in enumerate(self.studies, start=1)
            for member in (study, *waits_for(workspace, self.store.get(study)))
        }
        self._read_at = float("-inf")
        self._left: float | None = None

    def prefix(self, run_id: str) -> str:
        """`fold 2 of 5, 3 h 10 min left in all: `, empty for a run of no fold."""
        if run_id not in self.fold_of:
            return ""
        if time.monotonic() - self._read_at > READ_SECONDS:
            self._read_at, self._left = time.monotonic(), self.seconds_left()
        left = "" if self._left is None else f", {duration(self._left)} left in all"
        return f"fold {self.fold_of[run_id]} of {len(self.studies)}{left}: "

    def summary(self) -> str:
        """One sentence: how many folds are done, and how long the others take at the same pace."""
        done, left = sum(map(self._is_done, self._numbers)), self.seconds_left()
        if done == len(self.studies):
            return f"All {done} folds are done."
        rest = "" if left is None else f"; the others take about {duration(left)} at this pace"
        return f"{done} of {len(self.studies)} folds done{rest}."

    def seconds_left(self) -> float | None:
        """Seconds for the folds that are not done, from those that are; None before the first."""
        taken = [self._seconds(number) for number in self._numbers if self._is_done(number)]
        if not taken:
            return None
        pace = sum(taken) / len(taken)
        unfinished = [number for number in self._numbers if not self._is_done(number)]
        return sum(max(pace - self._seconds(number), 0.0) for number in unfinished)

    @property
    def _numbers(self) -> range:
        return range(1, len(self.studies) + 1)

    def _runs(self, number: int) -> list[Run]:
        runs = []
        for member in (member for member, fold in self.fold_of.items() if fold == number):
            with contextlib.suppress(NotFound):
                runs.append(self.store.get(member))
        return runs

    def _is_done(self, number: int) -> bool:
        return all(run.state == "done" for run in self._runs(number))

    def _seconds(self, number: int) -> float:
        """Seconds that a fold's runs have taken so far; for a resumed run, since it was resumed."""
        return sum(
            (run.finished or time.time()) - run.started for run in self._runs(number) if run.started
        )
