"""Unpacking of zip archives from elsewhere: plain files only, none outside the folder, within limits."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..background import Report
from ..errors import DataError, StorageError
from ..files import private_folder, storage_errors

MAX_FILES, MAX_NAME_BYTES = 200_000, 255
# More than twenty times an archive's size, beyond a quarter of a gigabyte, holds no photographs.
FREE_BYTES, MAX_RATIO = 2**28, 20
# What zipfile raises over a damaged archive.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, struct.error)
NOT_DATA = ("__MACOSX", ".DS_Store")
REPORT_EVERY = 100


class ArchiveError(DataError):
    """An archive is damaged, or holds what is not unpacked."""


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive: the number of files, and their bytes."""

    files: int
    size: int


def unpack_zip(archive: Path, target: Path, *, progress: Report | None = None) -> Unpacked:
    """Unpack `archive` as the folder `target`, which appears as a whole or not at all.

    Where all files of the archive lie in one folder of the target's name, that folder becomes the
    target. A target that is there already stays as it is, provided that it holds what the archive does.

    Args:
        archive: a zip file.
        target: the folder to make.
        progress: called with (done, total) files; what it raises ends the work.

    Raises:
        ArchiveError: the archive is damaged, holds a path outside it, a link, an encrypted file or
            too much.
        DataError: the target is there and holds something else.
        StorageError: there is no room, or the folder may not be written to.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = archive_members(archive, opened, target.name)
            result = Unpacked(len(members), sum(one.file_size for one in members.values()))
            if target.exists():
                _check_same(target, members)
            else:
                require_room(target.parent, result.size, f"unpack {archive.name}")
                _unpack(opened, members, target, progress)
    except DAMAGE as error:
        raise ArchiveError(
            f"{archive.name} cannot be unpacked ({str(error)[:200]}); it is damaged."
        ) from error
    return result


def require_room(folder: Path, size: int, what: str) -> None:
    """Raise StorageError where the disk of `folder` has less than `size` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise StorageError(
            errno.ENOSPC,
            f"There is no room to {what}: it takes {size / 1e9:.1f} GB, and the disk of {folder} has "
            f"{free / 1e9:.1f} GB left; make room or choose another folder.",
        )


def archive_members(
    archive: Path, opened: zipfile.ZipFile, folder: str = ""
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The files of an archive by their path; where all lie in one folder of the name `folder`, by that below it.

    Raises:
        ArchiveError: over what is not a file, leads outside, or is too much.
    """
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for member in opened.infolist():
        path = PurePosixPath(member.filename)
        if member.is_dir() or any(part in NOT_DATA for part in path.parts):
            continue
        kind = stat.S_IFMT(member.external_attr >> 16)
        outside = path.is_absolute() or ".." in path.parts or not path.parts
        odd = set("\\:") & set(member.filename) or not member.filename.isprintable()
        if outside or odd or any(len(part.encode()) > MAX_NAME_BYTES for part in path.parts):
            problem = "leads outside the folder or is no file name"
        elif kind not in (0, stat.S_IFREG):
            problem = "is a link or a device"
        elif member.flag_bits & 1:
            problem = "is encrypted"
        elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            problem = "is compressed in an uncommon way"
        elif path in members:
            problem = "is there twice"
        else:
            members[path] = member
            continue
        raise ArchiveError(f"{archive.name} is not unpacked: {member.filename[:80]!r} {problem}.")
    size = sum(member.file_size for member in members.values())
    if len(members) > MAX_FILES or size > FREE_BYTES + MAX_RATIO * archive.stat().st_size:
        raise ArchiveError(
            f"{archive.name} is not unpacked: it holds {len(members):,} files of {size / 1e9:.1f} GB, "
            "more than images of that size can give."
        )
    if {path.parts[0] for path in members if len(path.parts) > 1} == {folder} and all(
        len(path.parts) > 1 for path in members
    ):
        return {path.relative_to(folder): member for path, member in members.items()}
    return members


def _check_same(target: Path, members: dict[PurePosixPath, zipfile.ZipInfo]) -> None:
    for path, member in members.items():
        try:
            same = os.path.getsize(target / path) == member.file_size
        except OSError:
            same = False
        if not same:
            raise DataError(
                f"{target} is there already and lacks {path} as it is in the archive; move that "
                "folder away and repeat."
            )


def _unpack(
    opened: zipfile.ZipFile,
    members: dict[PurePosixPath, zipfile.ZipInfo],
    target: Path,
    progress: Report | None,
) -> None:
    temporary = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with storage_errors(target):
            private_folder(temporary)
            for done, (path, member) in enumerate(members.items()):
                if progress and done % REPORT_EVERY == 0:
                    progress(done, len(members))
                (temporary / path).parent.mkdir(parents=True, exist_ok=True)
                # Reading to the end compares the member's CRC-32 and never gives more than its size.
                with opened.open(member) as source, open(temporary / path, "xb") as file:
                    shutil.copyfileobj(source, file, 2**20)
            os.replace(temporary, target)
    except (FileExistsError, NotADirectoryError) as error:
        raise ArchiveError(f"{target.name}.zip holds a file and a folder of one name.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
