"""The table of the run database, its versions, and how an older one is brought up to date."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

SCHEMA_VERSION = 3
SCHEMA = """
CREATE TABLE runs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    device TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    pid INTEGER,
    spawned REAL,
    spawns INTEGER NOT NULL DEFAULT 0,
    depends_on TEXT,
    error TEXT,
    progress TEXT,
    summary TEXT,
    cancel_time REAL,
    tags TEXT NOT NULL DEFAULT '[]',
    note TEXT NOT NULL DEFAULT '',
    archived REAL,
    dataset TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT ''
)
"""
INDEX = "CREATE INDEX runs_by_state ON runs (state, kind, archived)"
MIGRATIONS = {
    1: (
        # from this version to the next
        "ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT ''",
    ),
    2: (
        "ALTER TABLE runs ADD COLUMN archived REAL",
        "ALTER TABLE runs ADD COLUMN dataset TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN detail TEXT NOT NULL DEFAULT ''",
        INDEX,
    ),
}


def upgrade(
    connection: sqlite3.Connection,
    patience: float,
    refill: Callable[[sqlite3.Connection], None],
    describe: Callable[[sqlite3.Connection], None],
) -> None:
    """Make the table, or bring an older one up to date; of several processes one does it.

    Args:
        connection: to the database.
        patience: seconds to wait for other processes that use the database.
        refill: called with the connection to fill a new table.
        describe: called with it to fill the columns `dataset` and `detail` of an older table.
    """
    _switch_to_wal(connection, patience)
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.execute(SCHEMA)
        connection.execute(INDEX)
        refill(connection)
    for older in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
        for statement in MIGRATIONS[older]:
            connection.execute(statement)
    if 0 < version < 3:
        describe(connection)
    connection.execute(f"PRAGMA user_version={max(version, SCHEMA_VERSION)}")
    connection.execute("COMMIT")


def _switch_to_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Write-ahead logging; SQLite's own busy timeout does not apply to this statement."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
