"""Where a comparison in folds stands: which fold a run belongs to, how many are done, how long the rest takes."""

from __future__ import annotations

import time

from ..errors import NotFound
from ..jobs.dependencies import stored_config, waits_for
from ..jobs.store import Run, RunStore
from ..workspace import Workspace
from .output import duration

LOOK_SECONDS = 2.0  # between two looks at the table of runs


class Folds:
    """The folds that a run waits for; of a run without folds, nothing: `of` is empty.

    of: {run id: number of its fold} of every fold's study and pretraining.
    """

    def __init__(self, workspace: Workspace, run_id: str):
        self.store = RunStore(workspace)
        self.studies = list((stored_config(workspace, run_id) or {}).get("fold_runs") or [])
        self.of = {
            member: number
            for number, study in enumerate(self.studies, start=1)
            for member in (study, *waits_for(workspace, self.store.get(study)))
        }
        self.looked, self.left = float("-inf"), None

    def ends(self, run_id: str) -> bool:
        """Whether a run is the study of a fold, the last of its runs."""
        return run_id in self.studies

    def where(self, run_id: str) -> str:
        """`fold 2 of 5, 3 h 10 min left in all: `, empty for a run of no fold."""
        if run_id not in self.of:
            return ""
        if time.monotonic() - self.looked > LOOK_SECONDS:
            self.looked, self.left = time.monotonic(), self.seconds_left()
        left = self.left
        return (
            f"fold {self.of[run_id]} of {len(self.studies)}"
            + ("" if left is None else f", {duration(left)} left in all")
            + ": "
        )

    def standing(self) -> str:
        """One sentence: folds done, and the time the others take at the pace of these."""
        done, left = (
            sum(self._done(number) for number in range(1, len(self.studies) + 1)),
            self.seconds_left(),
        )
        if done == len(self.studies):
            return f"All {done} folds are done."
        return f"{done} of {len(self.studies)} folds done" + (
            "." if left is None else f"; the others take about {duration(left)} at this pace."
        )

    def seconds_left(self) -> float | None:
        """Seconds for the folds that are not done, from those that are; None before the first."""
        numbers = range(1, len(self.studies) + 1)
        taken = [self._seconds(number) for number in numbers if self._done(number)]
        if not taken:
            return None
        pace = sum(taken) / len(taken)
        return sum(
            max(pace - self._seconds(number), 0.0) for number in numbers if not self._done(number)
        )

    def _runs(self, number: int) -> list[Run]:
        found = []
        for member in (member for member, of in self.of.items() if of == number):
            try:
                found.append(self.store.get(member))
            except NotFound:
                continue
        return found

    def _done(self, number: int) -> bool:
        return all(run.state == "done" for run in self._runs(number))

    def _seconds(self, number: int) -> float:
        """Seconds that a fold's runs have taken so far; of a run that was resumed, since then."""
        return sum(
            (run.finished or time.time()) - run.started for run in self._runs(number) if run.started
        )
