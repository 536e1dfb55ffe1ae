"""The tables of a folder and their columns, for whoever has to say which column is which."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from .image_files import TABLE_SUFFIXES, scan
from .image_names import ImageNames
from .label_tables import with_header
from .tables import JSON_SUFFIXES, read_table


@dataclass(frozen=True)
class TableColumns:
    """The tables of a folder, by path below it, and the columns of those that can be read."""

    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


def columns_of_tables(path: str | Path, tables: Sequence[str] = ()) -> TableColumns:
    """The tables below a folder, or the one that is given, and their columns as they spell them.

    Args:
        path: folder or file of a data set.
        tables: paths below the folder to read columns from; empty for all.

    Raises:
        DataError: the folder cannot be read.
    """
    source = Path(os.path.realpath(Path(path).expanduser()))
    if source.is_file() and source.suffix.lower() not in (*TABLE_SUFFIXES, *JSON_SUFFIXES, ".txt"):
        return TableColumns()
    files = scan(source if source.is_dir() else source.parent)
    names = ImageNames(files)
    every = [source] if source.is_file() else files.tables
    columns: dict[str, None] = {}
    for table in every:
        if tables and files.relative(table) not in tables:
            continue
        try:
            read = with_header(read_table(table), names)
        except DataError:
            continue  # the import says what is wrong with it
        columns |= dict.fromkeys(map(read.spell, read.columns))
    return TableColumns(tuple(map(files.relative, every)), tuple(columns))
