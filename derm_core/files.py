"""Files: written as a whole or not at all, readable by their owner only; JSON; errors of storage."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import json
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .errors import StorageError
from .processes import alive

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
# This machine, in the names of files being written: several machines may share a workspace.
HERE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
# A file being written, and the process that writes it.
UNFINISHED = re.compile(rf"\..+\.{HERE}-(\d+)-[a-z0-9_]{{8}}")


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a refusal, met while writing at `path`, into a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StorageError) or error.errno not in FULL + REFUSED:
            raise
        raise StorageError(error.errno, storage_sentence(error, path)) from error


def storage_sentence(error: OSError, path: Path | str) -> str:
    """What a full disk or a refusal means for `path`, and what to do."""
    if error.errno in FULL:
        return (
            f"The disk is full: {path} could not be written. Make room and go on; what was written before it is "
            "whole."
        )
    return (
        f"{path} may not be written ({error.strerror}); check its permissions, or set DERM_HOME to a folder "
        "you may write to."
    )


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write to, which appears at `path` as a whole or not at all.

        with writing(path) as file:
            np.save(file, array)

    A temporary file beside it (mode 0600), fsync and `os.replace`.

    Raises:
        StorageError: the disk is full, or the folder may not be written to.
    """
    path = Path(path)
    with storage_errors(path):
        private_folder(path.parent)
        descriptor, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.{HERE}-{os.getpid()}-"
        )
        try:
            # Not "wb": into such a file NumPy writes by itself, and a full disk has no error
            # number.
            with os.fdopen(descriptor, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def write_atomic(path: Path, data: bytes | memoryview | str) -> None:
    """Write `data` to `path` as `writing` does. Raises StorageError."""
    with writing(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def remove_unfinished(folder: Path) -> None:
    """Delete the unfinished files of killed writers below `folder`.

    Those of living processes and of other machines stay.
    """
    for path in folder.rglob(".*"):
        match = UNFINISHED.fullmatch(path.name)
        if match and not alive(int(match[1])):
            with contextlib.suppress(OSError):
                path.unlink()


def private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone (0700)."""
    # One by one: with `parents=True` mkdir gives those above the usual mode.
    for path in reversed([folder, *folder.parents]):
        if not path.exists():
            path.mkdir(mode=0o700, exist_ok=True)


def private_file(path: Path) -> Path:
    """Make an empty file for its owner alone (0600) where it is missing; returns `path`."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    return path


def keep_private() -> None:
    """Make every file that this process creates its owner's alone, also where a library writes it."""
    os.umask(0o077)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON; NaN and infinity are refused, since they are not JSON."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked where its name ends in .gz. Raises OSError."""
    data = Path(path).read_bytes()
    return gzip.decompress(data) if Path(path).suffix == ".gz" else data


def read_json(path: Path) -> Any:
    """Read a JSON file, or one packed as .gz.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: as `parse_json` does.
    """
    return parse_json(read_bytes(path))


def parse_json(data: bytes | str) -> Any:
    """JSON as Python values.

    Raises:
        ValueError: it is not JSON, has NaN or infinity, is nested beyond Python's stack, or holds
            text that no file can hold.
    """
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if "\\u" in text:
        # Raises for half a character, which only an escape can spell.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not a JSON value")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:20]} is too large a number")
    return value


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def disk_bytes(path: Path) -> int:
    """Bytes on disk below `path` (0 where it does not exist); links are not followed."""
    total = 0
    for root, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue
    return total
