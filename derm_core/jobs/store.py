"""The table of runs: one SQLite file in WAL mode, states changed by compare-and-set only.

Every call opens its own short connection, so that pages, commands and workers share the file
without sharing an object. The run's folder holds the portable record; here stand state and
summaries.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import NotFound, RunError, StorageError
from ..events import Progress
from ..files import read_json, write_json
from ..records import to_json
from ..workspace import Workspace, check_id, new_run_id, published_folder
from .annotations import Annotations, checked_annotations
from .queries import RunFilter, describe
from .recover import rows_of_folders
from .schema import SCHEMA_VERSION, upgrade

STATES = ("queued", "running", "done", "failed", "cancelled", "interrupted")
ACTIVE = ("queued", "running")
FINAL = ("done", "failed", "cancelled", "interrupted")
BUSY_SECONDS = 10.0
SHORT_SLOT = "cpu-short"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One row of the table.

    Attributes:
        seq: order of submission.
        id, kind, name: name is the user's text, as are tags and note: escape it wherever it is
            shown.
        state: one of STATES.
        device: name of the queue the run waits in.
        created, started, finished: seconds since 1970.
        pid: the worker's process.
        spawned, spawns: when a worker was last started, and how often without success.
        depends_on: id of the run that must be done before this one starts.
        error: one sentence, of a run that did not finish.
        progress: of a running run.
        summary: of a finished run, as its job returned it.
        cancel_time: when its end was requested.
        tags, note: of the user.
        archived: when it was taken out of the lists; None where it was not.
        dataset, detail: of its config, for searches (`queries.describe`).
    """

    seq: int
    id: str
    kind: str
    name: str
    state: str
    device: str
    created: float
    started: float | None
    finished: float | None
    pid: int | None
    spawned: float | None
    spawns: int
    depends_on: str | None
    error: str | None
    progress: Progress | None
    summary: dict[str, Any] | None
    cancel_time: float | None
    tags: tuple[str, ...] = ()
    note: str = ""
    archived: float | None = None
    dataset: str = ""
    detail: str = ""

    @property
    def cancel_requested(self) -> bool:
        """Whether the end of this run was requested."""
        return self.cancel_time is not None

    @property
    def final(self) -> bool:
        """Whether the run has ended."""
        return self.state in FINAL


Runs = list[Run]  # in RunStore `list` is a method
FIELDS = tuple(Run.__dataclass_fields__)
SETTABLE = "started finished pid spawned spawns error progress summary cancel_time archived".split()


def device_slot(kind: str, device: str) -> str:
    """The queue a run waits in: short jobs have their own, "auto" is the first GPU where there is one.

    Without torch: the device file of an NVIDIA driver is taken as the sign of a GPU.
    """
    if kind in ("embed", "evaluate", "publish"):
        return SHORT_SLOT
    if device == "auto":
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
        return "cuda-0" if Path("/dev/nvidia0").exists() and not hidden else "cpu"
    return "cuda-0" if device == "cuda" else device.replace(":", "-")


class RunStore:
    """The runs of one workspace. Every method may raise RunError where the database cannot be used."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.path = workspace.database

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            with closing(
                sqlite3.connect(
                    self._address(), timeout=BUSY_SECONDS, isolation_level=None, uri=True
                )
            ) as connection:
                connection.row_factory = sqlite3.Row
                self._check_schema(connection)
                yield connection
        except StorageError:
            raise
        except (sqlite3.DatabaseError, OSError) as error:
            raise RunError(self._explain(error)) from error

    def _address(self) -> str:
        """The database as SQLite's URI; in a read-only workspace such that SQLite makes no files beside it."""
        settings = ""
        if not os.access(self.workspace.root, os.W_OK):
            unfinished = self.path.with_name(f"{self.path.name}-wal").exists()
            settings = "?mode=ro" if unfinished else "?mode=ro&immutable=1"
        return self.path.as_uri() + settings

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == SCHEMA_VERSION:
            return
        if version > SCHEMA_VERSION:
            raise RunError(
                f"The run database {self.path} was written by a newer version of this program "
                f"(schema {version}, this one knows {SCHEMA_VERSION}); update the program."
            )
        upgrade(connection, BUSY_SECONDS, self._refill, self._describe)

    def _refill(self, connection: sqlite3.Connection) -> None:
        """Fill a new table from the run folders."""
        for row in rows_of_folders(self.workspace):
            row["device"] = device_slot(row["kind"], row["device"])
            _insert(connection, row)

    def _describe(self, connection: sqlite3.Connection) -> None:
        """Fill `dataset` and `detail` from the configs; empty where one cannot be read."""
        for (run_id,) in connection.execute("SELECT id FROM runs").fetchall():
            with suppress(OSError, ValueError, AttributeError):
                about = describe(read_json(self.workspace.run(run_id).config))
                change = "UPDATE runs SET dataset=?, detail=? WHERE id=?"
                connection.execute(change, (about["dataset"], about["detail"], run_id))

    def _explain(self, error: Exception) -> str:
        text = str(error)
        if "locked" in text or "busy" in text:
            return f"The run database {self.path} has been busy for {BUSY_SECONDS:.0f} s; try again in a moment."
        if isinstance(error, (sqlite3.OperationalError, OSError)) and "malformed" not in text:
            return f"The run database {self.path} cannot be used ({text}); check permissions and free disk space."
        return (
            f"The run database {self.path} is damaged ({text}); move the file away and start again: "
            "the table is then rebuilt from the folders under runs/, which hold the results."
        )

    def create(
        self, kind: str, config: dict[str, Any], name: str = "", depends_on: str | None = None
    ) -> str:
        """Make a queued run with its folder and config.json; returns its id."""
        about, run_id = checked_annotations(name), new_run_id(kind)
        while (files := self.workspace.run(run_id)).root.exists():
            run_id = new_run_id(kind)
        # Connected before the folder is there: a new table is filled from folders.
        with self._connect() as connection:
            try:
                write_json(files.create().config, config)
                if about.name:
                    write_json(files.about, to_json(about))
                row = {
                    "id": run_id,
                    "kind": kind,
                    "name": about.name,
                    "state": "queued",
                    "device": device_slot(kind, config.get("device", "auto")),
                    "created": time.time(),
                    "depends_on": depends_on,
                    **describe(config),
                }
                _insert(connection, row)
            except BaseException:
                shutil.rmtree(files.root, ignore_errors=True)
                raise
        return run_id

    def get(self, run_id: str) -> Run:
        """The run. Raises NotFound; RunError for a published result, which is no run of the workspace."""
        check_id(run_id, "run id")
        with self._connect() as connection:
            row = connection.execute("SELECT * FROM runs WHERE id=?", (run_id,)).fetchone()
        if row is None and published_folder(run_id):
            raise RunError(
                f"{run_id} is a published result that ships with the program: it can be read, not "
                "changed, and has no run to show."
            )
        if row is None:
            raise NotFound(
                f"There is no run {run_id} in this workspace; `runs list` shows those there are."
            )
        return _run(row)

    def list(
        self, kind: str | None = None, state: str | None = None, tag: str | None = None
    ) -> list[Run]:
        """Runs of a kind, a state and with a tag (all by default, archived ones too), newest first."""
        kinds, states = (kind,) if kind else (), (state,) if state else ()
        return self.select(RunFilter(kinds=kinds, states=states, tag=tag))

    def select(self, which: RunFilter, limit: int | None = None, offset: int = 0) -> Runs:
        """The newest `limit` of the runs (all without), newest first, after the first `offset` of them."""
        condition, values = which.condition()
        query = f"SELECT * FROM runs WHERE {condition} ORDER BY seq DESC LIMIT ? OFFSET ?"
        with self._connect() as connection:
            rows = connection.execute(query, (*values, -1 if limit is None else limit, offset))
            return [_run(row) for row in rows]

    def count(self, which: RunFilter) -> int:
        """How many runs these are."""
        condition, values = which.condition()
        with self._connect() as connection:
            query = f"SELECT COUNT(*) FROM runs WHERE {condition}"
            return int(connection.execute(query, values).fetchone()[0])

    def active(self) -> Runs:
        """Queued and running runs, newest first."""
        return self.select(RunFilter(states=ACTIVE))

    def set_archived(self, run_ids: Iterable[str], archived: bool) -> Runs:
        """Archive those of the runs that have ended and are not archived, or bring archived ones back.

        Returns:
            The runs that changed, newest first.
        """
        states = FINAL if archived else STATES
        where, values = RunFilter(
            states=states, ids=tuple(run_ids), archived=not archived
        ).condition()
        now = time.time() if archived else None
        with self._connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            rows = connection.execute(
                f"SELECT * FROM runs WHERE {where} ORDER BY seq DESC", values
            ).fetchall()
            connection.execute(f"UPDATE runs SET archived=? WHERE {where}", (now, *values))
            connection.execute("COMMIT")
        changed = [dataclasses.replace(_run(row), archived=now) for row in rows]
        for run in changed:
            self._write_about(run)
        return changed

    def annotate(
        self,
        run_id: str,
        *,
        name: str | None = None,
        tags: Iterable[str] | None = None,
        note: str | None = None,
    ) -> Run:
        """Change name, tags or note of a run, in any state; None leaves one as it is.

        The run's folder has a copy (about.json), so that the report of a moved folder has them too.

        Returns:
            The changed run.

        Raises:
            NotFound: no such run.
            ConfigError: a text is too long.
        """
        run = self.get(run_id)
        about = checked_annotations(
            run.name if name is None else name,
            run.tags if tags is None else tags,
            run.note if note is None else note,
        )
        texts = (about.name, json.dumps(about.tags), about.note)
        self._change("name=?, tags=?, note=? WHERE id=?", *texts, run_id)
        run = self.get(run_id)
        self._write_about(run)
        return run

    def _write_about(self, run: Run) -> None:
        """The copy in the run's folder, from which a lost table is rebuilt."""
        if (files := self.workspace.run(run.id)).root.exists():
            about = to_json(Annotations(run.name, run.tags, run.note))
            archived = {} if run.archived is None else {"archived": run.archived}
            write_json(files.about, about | archived)

    def transition(
        self, run_id: str, from_states: str | tuple[str, ...], to_state: str, **fields: Any
    ) -> bool:
        """Compare-and-set: move to `to_state` if the run is in one of `from_states`; False if it was not."""
        if to_state not in STATES:
            raise ValueError(f"unknown state {to_state!r}")
        states = (from_states,) if isinstance(from_states, str) else from_states
        return self._update(run_id, {"state": to_state, **_columns(fields)}, states)

    def set_progress(self, run_id: str, progress: Progress) -> None:
        """Note how far a running run is."""
        self._update(run_id, _columns({"progress": progress}), ("running",))

    def claim(self, run_id: str, pid: int) -> None:
        """Note the worker that holds this run's lock; the number of failed starts goes back to 0."""
        self._update(run_id, {"pid": pid, "spawns": 0}, ("queued",))

    def claim_spawn(self, run: Run) -> bool:
        """Whether the caller may start a worker: one caller may for a row as it was read."""
        where = "id=? AND state='queued' AND spawned IS ?"
        changes = "spawned=?, spawns=spawns+1, pid=NULL"
        return self._change(f"{changes} WHERE {where}", time.time(), run.id, run.spawned)

    def note_spawned(self, run_id: str, pid: int) -> None:
        """Note the process of a worker that was started and has not claimed its run yet."""
        self._change("pid=? WHERE id=? AND state='queued' AND spawns>0", pid, run_id)

    def request_cancel(self, run_id: str) -> bool:
        """Request the end of a queued or running run; the first request's time stays. False if it has ended."""
        first = "cancel_time=COALESCE(cancel_time, ?)"
        where = "id=? AND state IN ('queued','running')"
        return self._change(f"{first} WHERE {where}", time.time(), run_id)

    def delete(self, run_id: str) -> None:
        """Remove the row of a run."""
        with self._connect() as connection:
            connection.execute("DELETE FROM runs WHERE id=?", (run_id,))

    def _update(self, run_id: str, columns: dict[str, Any], states: tuple[str, ...]) -> bool:
        assignments = ", ".join(f"{name}=?" for name in columns)
        where = f"id=? AND state IN ({','.join('?' * len(states))})"
        return self._change(f"{assignments} WHERE {where}", *columns.values(), run_id, *states)

    def _change(self, change: str, *values: Any) -> bool:
        """UPDATE the table; whether one row was changed."""
        with self._connect() as connection:
            return connection.execute(f"UPDATE runs SET {change}", values).rowcount == 1


def _insert(connection: sqlite3.Connection, row: dict[str, Any]) -> None:
    marks = ",".join("?" * len(row))
    columns = ", ".join(row)
    connection.execute(f"INSERT INTO runs ({columns}) VALUES ({marks})", tuple(row.values()))


def _columns(fields: dict[str, Any]) -> dict[str, Any]:
    unknown = set(fields) - set(SETTABLE)
    if unknown:
        raise ValueError(f"not a settable column: {sorted(unknown)}")
    return {
        name: json.dumps(to_json(value)) if isinstance(value, dict | Progress) else value
        for name, value in fields.items()
    }


def _run(row: sqlite3.Row) -> Run:
    values = {name: row[name] for name in FIELDS}
    for name in ("progress", "summary", "tags"):
        values[name] = json.loads(values[name]) if values[name] else None
    progress = values["progress"] and Progress.from_json(values["progress"])
    return Run(**values | {"progress": progress, "tags": tuple(values["tags"])})
