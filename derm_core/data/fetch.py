"""Download of one large public file: resumed where it stopped, through a proxy, checked by its checksum.

While a file arrives it is NAME.part, with NAME.part.json beside it: the version (ETag or date) that
its place gave it, by which a repeated call asks for the rest of that version and of no other.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from .. import __version__
from ..background import Report
from ..errors import DataError
from ..files import read_json, storage_errors, write_json

# Harvard Dataverse and Zenodo answer the name that requests gives itself with 403.
AGENT = f"derm-core/{__version__}"
TIMEOUT_SECONDS = (15.0, 60.0)  # to connect, and between two parts of an answer
ATTEMPTS = 6  # that bring nothing new, one after another
ATTEMPTS_OFFLINE = 2  # where no server has answered yet
LONGEST_PAUSE_SECONDS = 60.0
TICK_SECONDS = 0.2  # between two reports of progress while it waits
CHUNK_BYTES = 2**14  # what is lost at most when a connection breaks
REPORT_BYTES = 2**16
BUSY = (408, 425, 429, 500, 502, 503, 504)  # statuses that may pass


class DownloadError(DataError):
    """A file cannot be had from its place now: the message is the reason, without an advice."""


class _Interrupted(Exception):
    """An answer that is worth another attempt."""

    def __init__(self, reason: str, after_seconds: float = 0.0):
        super().__init__(reason)
        self.after_seconds = after_seconds


@dataclass(frozen=True)
class RemoteFile:
    """A file that a public place offers.

    Attributes:
        name: of the file in the folder that it is downloaded to.
        url: its address.
        size: in bytes.
        checksum: "md5:…" or "sha256:…", as its place publishes it; empty where it publishes none.
        exact: whether its size is known to the byte; else it may be off by half.
    """

    name: str
    url: str
    size: int
    checksum: str = ""
    exact: bool = True


@dataclass(frozen=True)
class Checked:
    """What a downloaded file was checked for; checksum: of the file as it is, "sha256:…" or as published."""

    size: int
    checksum: str
    verified: tuple[str, ...]


def fetch_file(
    remote: RemoteFile, folder: Path, *, progress: Report | None = None, pause_seconds: float = 1.0
) -> Checked:
    """Have the file `remote` in `folder`: downloaded, or as it lies there already, and checked.

    Connections that break and servers that are busy are tried again, after a pause that doubles.
    Called again after it was stopped, it goes on from the part that is there.

    Args:
        remote: the file.
        folder: where it is put; must exist.
        progress: called with (done, total) bytes; what it raises ends the download.
        pause_seconds: before the second attempt.

    Raises:
        DownloadError: it cannot be had.
        DataError: it is not the file that its place publishes; it is put aside as NAME.bad.
        StorageError: the disk is full, or the folder may not be written to.
    """
    target, part = folder / remote.name, folder / f"{remote.name}.part"
    report = progress or (lambda done, total: None)
    if target.exists():
        return _check(remote, target)
    with requests.Session() as session:
        session.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity"})
        _download(session, remote, part, report, pause_seconds)
    checked = _check(remote, part)
    os.replace(part, target)
    _version_file(part).unlink(missing_ok=True)
    return checked


def put_aside(path: Path) -> Path:
    """Rename a file that is not what it should be to NAME.bad; returns its new path."""
    bad = path.with_name(f"{path.name.removesuffix('.part')}.bad")
    os.replace(path, bad)
    _version_file(path).unlink(missing_ok=True)
    return bad


def _download(
    session: requests.Session, remote: RemoteFile, part: Path, report: Report, pause_seconds: float
) -> None:
    """Bring `part` to its full length, in as many attempts as it takes while each brings something."""
    failures, answered = 0, False
    while not (remote.exact and _size(part) == remote.size):
        before = _size(part)
        try:
            with _request_rest(session, remote, part) as response:
                answered = True
                _receive(response, remote, part, report)
            return
        except (requests.ConnectionError, requests.Timeout, _Interrupted) as error:
            interrupted: Exception = error
        except requests.exceptions.ChunkedEncodingError as error:  # the connection broke
            interrupted = error
        except requests.RequestException as error:
            raise DownloadError(_reason(remote, error)) from error
        answered = answered or isinstance(interrupted, _Interrupted)
        failures = 1 if _size(part) > before else failures + 1
        if failures >= (ATTEMPTS if answered else ATTEMPTS_OFFLINE):
            raise DownloadError(_reason(remote, interrupted)) from interrupted
        asked = interrupted.after_seconds if isinstance(interrupted, _Interrupted) else 0.0
        pause = max(asked, pause_seconds * 2 ** (failures - 1))
        _wait(min(pause, LONGEST_PAUSE_SECONDS), lambda: report(_size(part), remote.size))


def _request_rest(session: requests.Session, remote: RemoteFile, part: Path) -> requests.Response:
    """Ask for what `part` lacks of the version that the server has now.

    A server that names no version is asked too, where a checksum will tell whether the two ends fit.
    """
    offset, version = _size(part), _version(part, remote.url)
    headers = {"Range": f"bytes={offset}-"} if offset and (version or remote.checksum) else {}
    if headers and version:
        headers["If-Range"] = version
    return session.get(remote.url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS)


def _receive(response: requests.Response, remote: RemoteFile, part: Path, report: Report) -> None:
    """Write an answer to `part`: behind what is there, or from the start where the server sends all."""
    if response.status_code == 416 and _size(part) == _whole_length(response):
        return  # there is nothing left to send
    _check_status(response, remote)
    if response.status_code in (206, 416) and _start(response) != _size(part):
        _forget(part)
        raise _Interrupted("the server does not have the part that was asked for")
    offset, total = _start(response) or 0, _whole_length(response)
    if total is not None:
        _check_length(remote, total)
    _remember(part, remote.url, response)
    with storage_errors(part), open(part, "ab" if offset else "wb") as file:
        for chunk in response.iter_content(CHUNK_BYTES):
            file.write(chunk)
            offset += len(chunk)
            if offset > remote.size:
                _check_length(remote, offset)
            if offset % REPORT_BYTES < len(chunk):
                report(offset, total or remote.size)
    report(offset, total or remote.size)
    if total is not None and offset < total:
        raise _Interrupted("the connection ended before the file did")


def _check_status(response: requests.Response, remote: RemoteFile) -> None:
    """Raise over an answer that brings no file: one that may pass, or one that will not."""
    status = f"{_host(remote)} answers with status {response.status_code} ({response.reason})"
    if response.status_code in BUSY:
        after = response.headers.get("Retry-After", "")
        raise _Interrupted(status, float(after) if after.isdecimal() else 0.0)
    if response.status_code not in (200, 206, 416):
        raise DownloadError(status)


def _start(response: requests.Response) -> int | None:
    """Where in the file an answer starts; None where it has all of it, or nothing."""
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _whole_length(response: requests.Response) -> int | None:
    """The length of the whole file; None where an answer does not say."""
    headers = response.headers
    if headers.get("Content-Encoding", "identity") != "identity":
        return None  # lengths are of what is sent, not of the file
    length = headers.get("Content-Range", "").rpartition("/")[2] or headers.get(
        "Content-Length", ""
    )
    return int(length) if length.isdecimal() else None


def _check_length(remote: RemoteFile, length: int) -> None:
    """Refuse a file that cannot be the published one before all of it has arrived."""
    possible = length == remote.size if remote.exact else length <= 2 * remote.size
    if not possible:
        raise DownloadError(
            f"{_host(remote)} offers {length:,} bytes as {remote.name}, which has {remote.size:,}"
        )


def _check(remote: RemoteFile, path: Path) -> Checked:
    """Compare a whole file with what its place publishes of it."""
    size = path.stat().st_size
    kind, _, published = (remote.checksum or "sha256:").partition(":")
    digest = _digest(path, kind)
    problem = ""
    if remote.exact and size != remote.size:
        problem = f"it has {size:,} bytes, the published file {remote.size:,}"
    elif published and digest != published:
        problem = f"its {kind} checksum is {digest}, that of the published file {published}"
    if problem:
        bad = put_aside(path)
        raise DataError(
            f"{remote.name} is not the published file: {problem}. It was put aside as {bad.name}; "
            f"repeat to download it again, or fetch {remote.url} by hand into {path.parent}."
        )
    verified = (*(["size"] if remote.exact else []), *([kind] if published else []))
    return Checked(size, f"{kind}:{digest}", verified)


def _digest(path: Path, kind: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(kind, usedforsecurity=False)
        ).hexdigest()


def _wait(seconds: float, report: Callable[[], None]) -> None:
    """Sleep, with reports, so that who receives them can end the wait."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        report()
        time.sleep(min(TICK_SECONDS, left))


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _version(part: Path, url: str) -> str | None:
    """The version of which `part` is the beginning; None where it is not known."""
    try:
        value = read_json(_version_file(part))
        return str(value["version"]) if value["url"] == url and value["version"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _remember(part: Path, url: str, response: requests.Response) -> None:
    """Note the version that a server sends; a weak ETag does not vouch for equal bytes."""
    tag = response.headers.get("ETag", "")
    version = response.headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag
    write_json(_version_file(part), {"url": url, "version": version})


def _forget(part: Path) -> None:
    for path in (part, _version_file(part)):
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _host(remote: RemoteFile) -> str:
    return urlsplit(remote.url).netloc


def _reason(remote: RemoteFile, error: Exception) -> str:
    """Why a download ended, in a few words; the messages of requests name objects of Python."""
    if isinstance(error, _Interrupted):
        return str(error)
    kinds = {
        requests.exceptions.ProxyError: "the proxy refuses or cannot be reached",
        requests.exceptions.SSLError: "its certificate is not accepted",
        requests.exceptions.ConnectTimeout: "it does not answer",
        requests.exceptions.ReadTimeout: "it stopped sending",
        requests.exceptions.ChunkedEncodingError: "the connection broke",
        requests.ConnectionError: "there is no connection",
    }
    reason = next((text for kind, text in kinds.items() if isinstance(error, kind)), str(error))
    return f"{_host(remote)} cannot be reached: {reason}"
