"""One pass over image files: read, hash, decode, resize; in several processes, and resumable.

Rows of pixels are written straight into one array file per size; after each chunk of files one
line is appended to `progress.jsonl`. A repeated call with the same files skips the lines it finds.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError, ImageError, StorageError
from ..files import private_file, private_folder, read_json, storage_errors, write_json
from ..processes import end_with
from ..workspace import REPOSITORY
from .decode import PREPROCESSING_VERSION, decode, prepare, read_bytes

CHUNK = 64
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Staged:
    """What a pass found: per file {sha256, width, height} or {reason}, and an array file per size."""

    folder: Path
    rows: list[dict]
    arrays: dict[int, Path]

    @property
    def good(self) -> np.ndarray:
        """(N,) bool: which files could be read."""
        return np.array(["sha256" in row for row in self.rows], bool)

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def default_processes() -> int:
    """As many processes as this process may use cores."""
    return max(
        1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def source_key(paths: Sequence[str], sizes: Sequence[int]) -> str:
    """Hash over paths, byte sizes and modification times: unchanged files give the same key."""
    digest = hashlib.sha256(f"{PREPROCESSING_VERSION} {sorted(sizes)}".encode())
    for path in paths:
        try:
            status = os.stat(path)
            digest.update(
                f"\n{path}\x1f{status.st_size}\x1f{status.st_mtime_ns}".encode(
                    errors="surrogateescape"
                )
            )
        except OSError:
            digest.update(f"\n{path}\x1fmissing".encode(errors="surrogateescape"))
    return digest.hexdigest()


def stage_images(
    folder: Path,
    paths: Sequence[str],
    sizes: Sequence[int],
    *,
    key: str,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Staged:
    """Read every file of `paths` once into `folder`: arrays (N, S, S, 3) uint8, one per size.

    key: from `source_key`; another key starts anew. processes: default one per core. Unreadable
    files are reported in their row, with black pixels. Raises DataError or StorageError where the disk
    is full or a worker process is killed; what was done by then is kept.
    """
    folder, sizes, count = Path(folder), tuple(sizes), processes or default_processes()
    if count > 1 and len(paths) > CHUNK and threading.active_count() > 1:
        # Forking is safe only without other threads: an app's share of the work is done by an
        # interpreter of its own, and what it left is picked up here.
        _stage_apart(folder, paths, sizes, key, count, progress)
    return _stage(folder, paths, sizes, key, count, progress)


def _stage(
    folder: Path,
    paths: Sequence[str],
    sizes: Sequence[int],
    key: str,
    processes: int,
    progress: Progress | None,
) -> Staged:
    arrays = {size: folder / f"images-{size}.npy" for size in sizes}
    rows = _resume(folder, arrays, key, len(paths))
    if rows is None:
        rows = _start(folder, arrays, key, len(paths))
    todo = [
        (start, list(paths[start : start + CHUNK]))
        for start in range(0, len(paths), CHUNK)
        if rows[start] is None
    ]
    done = sum(row is not None for row in rows)
    if progress:
        progress(done, len(paths))
    record_path = folder / "progress.jsonl"
    with (
        storage_errors(record_path),
        open(private_file(record_path), "a", encoding="utf-8") as record,
    ):
        for start, found in _work(todo, {s: str(p) for s, p in arrays.items()}, processes):
            rows[start : start + len(found)] = found
            record.write(json.dumps({"start": start, "rows": found}) + "\n")
            record.flush()
            done += len(found)
            if progress:
                progress(done, len(paths))
    return Staged(folder, rows, arrays)


def _start(folder: Path, arrays: dict[int, Path], key: str, count: int) -> list[None]:
    shutil.rmtree(folder, ignore_errors=True)
    with storage_errors(folder):
        private_folder(folder)
    needed = sum(count * size * size * 3 for size in arrays)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{count} images at {', '.join(map(str, arrays))} px need {needed / 2**30:.1f} GB; "
            f"only {free / 2**30:.1f} GB are free below {folder.parent}."
        )
    for size, path in arrays.items():
        with storage_errors(path):
            np.lib.format.open_memmap(
                private_file(path), mode="w+", dtype=np.uint8, shape=(count, size, size, 3)
            )
    write_json(folder / "job.json", {"key": key})
    return [None] * count


def _resume(
    folder: Path, arrays: dict[int, Path], key: str, count: int
) -> list[dict | None] | None:
    """Rows found so far, None for those to do; None altogether where there is nothing to go on from."""
    try:
        if read_json(folder / "job.json")["key"] != key:
            return None
        stored = {size: np.load(path, mmap_mode="r") for size, path in arrays.items()}
        lines = (folder / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, KeyError):
        return None
    if any(array.shape != (count, size, size, 3) for size, array in stored.items()):
        return None
    rows: list[dict | None] = [None] * count
    for line in lines:
        try:
            chunk = json.loads(line)
        except ValueError:
            continue  # the line that was being written when the import was interrupted
        start, found = chunk["start"], chunk["rows"]
        good = [start + i for i, row in enumerate(found) if "sha256" in row]
        # Pixels lost with the machine read as zeros: those chunks are done again.
        if all(array[good].any(axis=(1, 2, 3)).all() for array in stored.values()):
            rows[start : start + len(found)] = found
    return rows


def _stage_apart(
    folder: Path,
    paths: Sequence[str],
    sizes: Sequence[int],
    key: str,
    processes: int,
    progress: Progress | None,
) -> None:
    """`_stage` in a fresh interpreter, which says "done total" line by line."""
    task = {
        "folder": str(folder),
        "paths": list(paths),
        "sizes": list(sizes),
        "key": key,
        "processes": processes,
        "parent": os.getpid(),
    }
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    with subprocess.Popen(
        [sys.executable, "-m", "derm_core.data.decode_all"],
        stdin=subprocess.PIPE,
        text=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    ) as child:
        try:
            with child.stdin as pipe:
                json.dump(task, pipe)
            for line in child.stdout:
                if line.startswith("error "):
                    raise DataError(line.removeprefix("error ").strip())
                if progress:
                    progress(*map(int, line.split()))
        except BaseException:
            child.terminate()
            raise
    if child.returncode:
        raise DataError(
            "The process that reads images ended early; repeat the command to go on from here."
        )


def _main() -> None:
    task = json.load(sys.stdin)
    end_with(task["parent"])
    try:
        _stage(
            Path(task["folder"]),
            task["paths"],
            task["sizes"],
            task["key"],
            task["processes"],
            lambda done, total: print(done, total, flush=True),
        )
    except (DataError, StorageError) as error:
        print("error", error, flush=True)


def _work(todo: list, arrays: dict[int, str], processes: int) -> Iterator[tuple[int, list[dict]]]:
    """Results of all chunks as they finish, with a bounded number of chunks in flight."""
    processes = min(processes, len(todo))
    if processes <= 1:
        for start, paths in todo:
            yield read_chunk(start, paths, arrays)
        return
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(
        processes,
        multiprocessing.get_context(method),
        initializer=_begin_worker,
        initargs=(os.getpid(),),
    )
    try:
        waiting, queue = set(), iter(todo)
        while True:
            while len(waiting) < 4 * processes and (item := next(queue, None)) is not None:
                waiting.add(pool.submit(read_chunk, *item, arrays))
            if not waiting:
                break
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "A process that reads images was killed, perhaps for want of memory; repeat the "
            "command to go on from here, with fewer processes."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the parent, which stops its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with(parent)  # a pool alone would not notice its parent's death


def read_chunk(start: int, paths: list[str], arrays: dict[int, str]) -> tuple[int, list[dict]]:
    """Read files, store their pixels from row `start` on; returns `start` and a row for each file."""
    rows = []
    pixels = {size: np.zeros((len(paths), size, size, 3), np.uint8) for size in arrays}
    for i, path in enumerate(paths):
        name = os.path.basename(path)
        try:
            data = read_bytes(path, name)
            image = decode(data, name)
        except ImageError as error:
            rows.append({"reason": str(error).removeprefix(f"{name}: ")})
            continue
        for size in arrays:
            pixels[size][i] = prepare(image, size)
        rows.append(
            {
                "sha256": hashlib.sha256(data).hexdigest(),
                "width": image.width,
                "height": image.height,
            }
        )
    try:
        for size, path in arrays.items():
            with open(path, "r+b") as handle:
                handle.seek(-_bytes_from(path, start, size), os.SEEK_END)
                handle.write(pixels[size].data)
    except OSError as error:
        raise DataError(
            f"Pixels could not be stored ({error.strerror or error}); make room and repeat "
            "the command to go on from here."
        ) from error
    return start, rows


def _bytes_from(path: str, start: int, size: int) -> int:
    """Bytes between row `start` and the end of an array file, whose header has any length."""
    with open(path, "rb") as handle:
        np.lib.format.read_magic(handle)
        shape, _, _ = np.lib.format.read_array_header_1_0(handle)
    return (shape[0] - start) * size * size * 3


if __name__ == "__main__":
    _main()
