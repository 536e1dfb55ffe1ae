"""One pass over image files: read, hash, decode, resize; in several processes, and resumable.

Pixels are written straight into one array file per size; after each chunk of files one line is
appended to `progress.jsonl`. A repeated call with the same files skips the chunks recorded there.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from ..errors import DataError, ImageError, StorageError
from ..files import private_file, private_folder, read_json, storage_errors, write_json
from ..machine import cpu_cores
from ..processes import begin_pool_worker, end_with, start_module
from ..records import optional, to_json
from .decode import PREPROCESSING_VERSION, open_picture, prepare, read_bytes

CHUNK = 64
Progress = Callable[[int, int], None]
Chunk = tuple[int, Sequence[str]]  # number of its first file, paths


@dataclass(frozen=True)
class DecodedFile:
    """What is known of a file after its pass: hash and size in pixels, or why it cannot be read."""

    sha256: str | None = optional()
    width: int | None = optional()
    height: int | None = optional()
    reason: str | None = optional()


def _row(file: DecodedFile) -> dict[str, str | int]:
    """What is known of a file, for the record of a pass: many thousands, so without `to_json`."""
    return {name: value for name, value in vars(file).items() if value is not None}


@dataclass(frozen=True)
class DecodedImages:
    """The images of a pass; arrays: side S in pixels → file of an array (N, S, S, 3) uint8."""

    folder: Path
    files: list[DecodedFile]
    arrays: dict[int, Path]

    @property
    def readable(self) -> np.ndarray:
        """(N,) bool: which files could be read."""
        return np.array([file.sha256 is not None for file in self.files], bool)

    def discard(self) -> None:
        """Delete the folder with its arrays."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class _Pass:
    """Which files are decoded, and to where; also what a fresh interpreter is given, as JSON."""

    folder: Path
    paths: tuple[str, ...]
    sizes: tuple[int, ...]
    key: str
    processes: int
    interpolation: str = "bicubic"

    @property
    def arrays(self) -> dict[int, Path]:
        return {size: self.folder / f"images-{size}.npy" for size in self.sizes}

    @property
    def record(self) -> Path:
        return self.folder / "progress.jsonl"

    @property
    def job(self) -> Path:
        return self.folder / "job.json"


def source_key(paths: Sequence[str], sizes: Sequence[int]) -> str:
    """Hash over paths, byte sizes and modification times: unchanged files give the same key."""
    digest = hashlib.sha256(f"{PREPROCESSING_VERSION} {sorted(sizes)}".encode())
    for path in paths:
        try:
            status = os.stat(path)
            state = f"{status.st_size}\x1f{status.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(f"\n{path}\x1f{state}".encode(errors="surrogateescape"))
    return digest.hexdigest()


def decode_images(
    folder: Path,
    paths: Sequence[str],
    sizes: Sequence[int],
    *,
    key: str,
    processes: int | None = None,
    progress: Progress | None = None,
    interpolation: str = "bicubic",
) -> DecodedImages:
    """Read every file of `paths` once; the pixels are written below `folder`.

    Unreadable files have black pixels and a reason. Interrupted, a repeated call goes on.

    Args:
        folder: where arrays and the record of the pass are written.
        paths: the N files.
        sizes: sides of the square images in pixels; one array of (N, S, S, 3) uint8 each.
        key: from `source_key`; with another key the work begins anew.
        processes: by default one per core.
        progress: called with (done, total) files.
        interpolation: the filter of `decode.prepare`.

    Raises:
        DataError, StorageError: the disk is full, or a worker process was killed; what was done
            until then is there for the next call.
    """
    processes = processes or cpu_cores()
    work = _Pass(Path(folder), tuple(paths), tuple(sizes), key, processes, interpolation)
    if work.processes > 1 and len(paths) > CHUNK and threading.active_count() > 1:
        # Forking is safe only without other threads: in an app another interpreter does the work,
        # and the pass below only reads its record.
        _decode_in_new_interpreter(work, progress)
    return _decode(work, progress)


def _decode(work: _Pass, progress: Progress | None) -> DecodedImages:
    files = _resume(work)
    if files is None:
        _prepare_folder(work)
        files = [None] * len(work.paths)
    chunks = [
        (start, work.paths[start : start + CHUNK])
        for start in range(0, len(files), CHUNK)
        if files[start] is None
    ]
    done = sum(file is not None for file in files)
    if progress:
        progress(done, len(files))
    with (
        storage_errors(work.record),
        open(private_file(work.record), "a", encoding="utf-8") as record,
    ):
        for start, decoded in _decode_chunks(chunks, work):
            files[start : start + len(decoded)] = decoded
            record.write(
                json.dumps({"start": start, "rows": [_row(file) for file in decoded]}) + "\n"
            )
            record.flush()
            done += len(decoded)
            if progress:
                progress(done, len(files))
    return DecodedImages(work.folder, [file for file in files if file], work.arrays)


def _prepare_folder(work: _Pass) -> None:
    """Empty array files, one per size. Raises DataError where the disk has no room for them."""
    shutil.rmtree(work.folder, ignore_errors=True)
    with storage_errors(work.folder):
        private_folder(work.folder)
    count = len(work.paths)
    needed = sum(count * size * size * 3 for size in work.sizes)
    free = shutil.disk_usage(work.folder).free
    if needed > free:
        raise DataError(
            f"{count} images at {', '.join(map(str, work.sizes))} px need {needed / 2**30:.1f} GB; "
            f"only {free / 2**30:.1f} GB are free below {work.folder.parent}."
        )
    for size, path in work.arrays.items():
        with storage_errors(path):
            np.lib.format.open_memmap(
                private_file(path), mode="w+", dtype=np.uint8, shape=(count, size, size, 3)
            )
    write_json(work.job, {"key": work.key})


def _resume(work: _Pass) -> list[DecodedFile | None] | None:
    """The files that an earlier call decoded, None for the others; None if there is nothing to go on from."""
    try:
        if read_json(work.job)["key"] != work.key:
            return None
        stored = {size: np.load(path, mmap_mode="r") for size, path in work.arrays.items()}
        lines = work.record.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, KeyError):
        return None
    count = len(work.paths)
    if any(array.shape != (count, size, size, 3) for size, array in stored.items()):
        return None
    files: list[DecodedFile | None] = [None] * count
    for line in lines:
        try:
            chunk = json.loads(line)
        except ValueError:
            continue  # the line that was being written when the import was interrupted
        start, decoded = chunk["start"], [DecodedFile(**row) for row in chunk["rows"]]
        rows = [start + i for i, file in enumerate(decoded) if file.sha256]
        # Pixels lost with the machine read as zeros: those chunks are done again.
        if all(array[rows].any(axis=(1, 2, 3)).all() for array in stored.values()):
            files[start : start + len(decoded)] = decoded
    return files


def _decode_in_new_interpreter(work: _Pass, progress: Progress | None) -> None:
    """`_decode` in a fresh interpreter, which prints "DONE TOTAL" line by line."""
    with start_module("derm_core.data.decode_all", str(os.getpid())) as child:
        assert child.stdin is not None and child.stdout is not None
        try:
            with child.stdin as pipe:
                json.dump(to_json(work), pipe)
            for line in child.stdout:
                if line.startswith("error "):
                    raise DataError(line.removeprefix("error ").strip())
                if progress:
                    done, total = line.split()
                    progress(int(done), int(total))
        except BaseException:
            child.terminate()
            raise
    if child.returncode:
        raise DataError(
            "The process that reads images ended early; repeat the command to go on from here."
        )


def _main() -> None:
    end_with(int(sys.argv[1]))
    given = json.load(sys.stdin)
    work = _Pass(**{**given, "folder": Path(given["folder"])})
    try:
        _decode(work, lambda done, total: print(done, total, flush=True))
    except (DataError, StorageError) as error:
        print("error", error, flush=True)


def _decode_chunks(chunks: Sequence[Chunk], work: _Pass) -> Iterator[tuple[int, list[DecodedFile]]]:
    """Results of all chunks as they finish, with a bounded number of chunks in flight."""
    processes = min(work.processes, len(chunks))
    read = partial(
        read_chunk, arrays=work.arrays, count=len(work.paths), interpolation=work.interpolation
    )
    if processes <= 1:
        for chunk in chunks:
            yield read(*chunk)
        return
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context, parent = multiprocessing.get_context(method), os.getpid()
    pool = ProcessPoolExecutor(processes, context, begin_pool_worker, (parent,))
    try:
        remaining = iter(chunks)
        first = islice(remaining, 4 * processes)
        pending = {pool.submit(read, *chunk) for chunk in first}
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for chunk in islice(remaining, len(finished)):
                pending.add(pool.submit(read, *chunk))
            for future in finished:
                yield future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "A process that reads images was killed, perhaps for want of memory; repeat the "
            "command to go on from here, with fewer processes."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_chunk(
    start: int,
    paths: Sequence[str],
    arrays: Mapping[int, Path],
    count: int,
    interpolation: str = "bicubic",
) -> tuple[int, list[DecodedFile]]:
    """Decode some files and store their pixels from row `start` of `count` on; returns `start` and the files."""
    files = []
    pixels = {size: np.zeros((len(paths), size, size, 3), np.uint8) for size in arrays}
    for i, path in enumerate(paths):
        name = os.path.basename(path)
        try:
            data = read_bytes(path, name)
            image = open_picture(data, name)  # its pixels are read at once
        except ImageError as error:
            files.append(DecodedFile(reason=str(error).removeprefix(f"{name}: ")))
            continue
        for size in arrays:
            pixels[size][i] = prepare(image, size, interpolation)
        files.append(DecodedFile(hashlib.sha256(data).hexdigest(), image.width, image.height))
    try:
        for size, array in arrays.items():
            with open(array, "r+b") as handle:
                handle.seek(-(count - start) * size * size * 3, os.SEEK_END)
                handle.write(pixels[size].data)
    except OSError as error:
        raise DataError(
            f"Pixels could not be stored ({error.strerror or error}); make room and repeat "
            "the command to go on from here."
        ) from error
    return start, files


if __name__ == "__main__":
    _main()
