"""The uint8 store: rows as in the manifest, never stale, and resumable after any kind of end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from derm_core.data import decode_all
from derm_core.data.decode import prepare, read_image
from derm_core.data.decode_all import DecodedFile, decode_images, source_key
from derm_core.data.manifest import load_dataset, save_dataset
from derm_core.data.store import open_store
from derm_core.errors import DataError
from derm_core.workspace import REPOSITORY
from tests.builders import write_noise


def write_images(folder: Path, count: int, side: int = 24) -> list[str]:
    return [str(path) for path in write_noise(folder, count, side, side + 4)]


@pytest.mark.parametrize("processes", [1, 2])
def test_rows_are_the_prepared_images_in_the_manifests_order(workspace, dataset, processes):
    store = open_store(workspace, dataset, 16, processes=processes)
    assert store.images.shape == (150, 16, 16, 3) and store.images.dtype == np.uint8
    for row in (0, 63, 64, 149):
        assert np.array_equal(store.images[row], read_image(Path(dataset.frame["path"][row]), 16))
    assert not store.images.flags.writeable


def test_a_process_with_other_threads_gets_the_same_store(workspace, dataset):
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    calls = []
    try:
        store = open_store(
            workspace, dataset, 16, processes=2, progress=lambda *call: calls.append(call)
        )
    finally:
        stop.set()
        thread.join()
    assert np.array_equal(store.images[149], read_image(Path(dataset.frame["path"][149]), 16))
    done = [images for images, _ in calls]  # the chunks of 64, 64 and 22 end in any order
    assert (
        done == sorted(done)
        and done[0] == 0
        and done[-1] == 150
        and {total for _, total in calls} == {150}
    )
    assert any(0 < images < 150 for images in done)


def test_an_open_store_is_not_built_again(workspace, dataset, monkeypatch):
    first = open_store(workspace, dataset, 16, processes=1)
    monkeypatch.setattr(decode_all, "read_chunk", None)
    assert open_store(workspace, dataset, 16).fingerprint == first.fingerprint


def test_another_filter_has_a_store_of_its_own(workspace, dataset):
    usual = open_store(workspace, dataset, 12)
    for processes in (1, 2):
        other = open_store(workspace, dataset, 12, "bilinear", processes=processes)
        path = dataset.frame["path"][0]
        with Image.open(path) as image:
            expected = prepare(image.convert("RGB"), 12, "bilinear")
        np.testing.assert_array_equal(other.images[0], expected)
        assert other.fingerprint != usual.fingerprint and (other.images != usual.images).any()
        shutil.rmtree(dataset.paths.store(12, "bilinear"))
    np.testing.assert_array_equal(open_store(workspace, dataset, 12).images, usual.images)


def test_a_store_of_an_older_manifest_is_rebuilt(workspace, dataset):
    open_store(workspace, dataset, 16, processes=1)
    save_dataset(workspace, "set", dataset.frame.iloc[::-1], dataset.info)
    turned = load_dataset(workspace, "set")
    store = open_store(workspace, turned, 16, processes=1)
    assert np.array_equal(store.images[0], read_image(Path(dataset.frame["path"][149]), 16))


def test_an_image_changed_since_the_import_is_noticed(workspace, dataset):
    write_images(Path(dataset.frame["path"][3]).parent, 1, side=20)
    with pytest.raises(DataError, match=r"0000\.png"):
        open_store(workspace, dataset, 16, processes=1)


def test_an_interrupted_pass_goes_on_where_it_stopped(tmp_path, monkeypatch):
    paths = write_images(tmp_path / "images", 200)
    key = source_key(paths, [8])

    def stop(done: int, _: int) -> None:
        if done >= 128:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode_images(tmp_path / "work", paths, [8], key=key, processes=1, progress=stop)
    with open(tmp_path / "work" / "progress.jsonl", "a") as record:
        record.write('{"start": 128, "ro')  # torn by the interruption
    starts, real = [], decode_all.read_chunk
    monkeypatch.setattr(
        decode_all,
        "read_chunk",
        lambda start, *a, **how: starts.append(start) or real(start, *a, **how),
    )
    decoded = decode_images(tmp_path / "work", paths, [8], key=key, processes=1)
    assert starts == [128, 192] and decoded.readable.all()
    images = np.load(decoded.arrays[8])
    assert all(np.array_equal(images[i], read_image(Path(paths[i]), 8)) for i in range(200))


def test_other_files_start_anew(tmp_path):
    paths = write_images(tmp_path / "images", 70)
    decode_images(tmp_path / "work", paths, [8], key=source_key(paths, [8]), processes=1)
    os.utime(paths[0], (1, 1))
    calls = []
    decode_images(
        tmp_path / "work",
        paths,
        [8],
        key=source_key(paths, [8]),
        processes=1,
        progress=lambda *call: calls.append(call),
    )
    assert calls[0] == (0, 70)


def test_pixels_lost_with_the_machine_are_read_again(tmp_path):
    paths = write_images(tmp_path / "images", 130)
    key = source_key(paths, [8])
    decoded = decode_images(tmp_path / "work", paths, [8], key=key, processes=1)
    np.load(decoded.arrays[8], mmap_mode="r+")[70] = 0
    again = decode_images(tmp_path / "work", paths, [8], key=key, processes=1)
    assert np.array_equal(np.load(again.arrays[8])[70], read_image(Path(paths[70]), 8))


@pytest.mark.slow
def test_a_killed_import_leaves_no_process_and_keeps_its_work(tmp_path):
    first = Path(write_images(tmp_path / "images", 1, side=300)[0])
    paths = [str(first)] * 320  # one file read often: slow enough to be killed on the way
    key = source_key(paths, [8])
    code = (
        "import sys; from pathlib import Path; from derm_core.data.decode_all import decode_images\n"
        "decode_images(Path(sys.argv[1]), sys.argv[3:], [8], key=sys.argv[2], processes=2)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "work"), key, *paths],
        cwd=REPOSITORY,
        start_new_session=True,
    )
    record = tmp_path / "work" / "progress.jsonl"
    deadline = time.monotonic() + 60
    while (
        not (record.exists() and record.read_text().count("\n") >= 1)
        and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    calls = []
    decoded = decode_images(
        tmp_path / "work",
        paths,
        [8],
        key=key,
        processes=1,
        progress=lambda *call: calls.append(call),
    )
    assert calls[0][0] >= 64 and decoded.readable.all()
    deadline = time.monotonic() + 60
    while _group_alive(child.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _group_alive(child.pid)


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_unreadable_files_carry_their_reason(tmp_path):
    paths = write_images(tmp_path / "images", 3)
    Path(paths[1]).write_text("no picture")
    decoded = decode_images(tmp_path / "work", paths, [8, 12], key="k", processes=1)
    assert decoded.readable.tolist() == [True, False, True]
    assert decoded.files[1] == DecodedFile(reason="not a JPEG, PNG, WebP or BMP image.")
    assert np.load(decoded.arrays[12]).shape == (3, 12, 12, 3)


def test_too_little_room_is_said_before_work_begins(tmp_path, monkeypatch):
    paths = write_images(tmp_path / "images", 2)
    monkeypatch.setattr(decode_all.shutil, "disk_usage", lambda _: type("", (), {"free": 100})())
    with pytest.raises(DataError, match=r"need .* GB; only 0.0 GB are free"):
        decode_images(tmp_path / "work", paths, [64], key="k", processes=1)
