"""Downloads of public data sets, from a stand-in: whole, resumed, checked, and unpacked safely."""

from __future__ import annotations

import errno
import hashlib
import shutil
import stat
import zipfile
from collections import namedtuple
from dataclasses import replace

import pytest

from derm_core.background import Cancelled
from derm_core.data import known_datasets, unpack
from derm_core.data.downloads import PUBLIC_SETS, download_set, public_set
from derm_core.data.fetch import DownloadError, fetch_file
from derm_core.data.importers import import_dataset
from derm_core.data.manifest import read_info
from derm_core.data.unpack import ArchiveError, unpack_zip
from derm_core.errors import ConfigError, DataError, StorageError
from derm_core.files import read_json
from tests.builders import noise
from tests.data.public_place import (
    Place,
    offer,
    small_dermamnist,
    small_ham10000,
    small_isic2018,
    small_pad_ufes_20,
    start,
    zipped,
)

pytestmark = pytest.mark.slow

BODY = noise(300).tobytes()


@pytest.fixture
def place(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    place = Place()
    server = start(place)
    yield place
    server.shutdown()
    server.server_close()


def get(chosen, folder, **options):
    return download_set(chosen, folder, **{"accept_licence": True, "pause_seconds": 0, **options})


# ---- one file


def test_a_file_arrives_whole_with_its_progress(place, tmp_path):
    reports = []
    checked = fetch_file(
        offer(place, "a.bin", BODY), tmp_path, progress=lambda *pair: reports.append(pair)
    )
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert reports[-1] == (len(BODY), len(BODY)) and checked.verified == ("size", "md5")


def test_requests_do_not_bear_the_name_that_places_refuse(place, tmp_path):
    fetch_file(offer(place, "a.bin", BODY), tmp_path)
    assert len(place.agents) == 1 and not place.agents.pop().startswith("python-requests")


def test_a_connection_that_breaks_goes_on_where_it_broke(place, tmp_path):
    place.cut_after = [6 * 2**14, 3 * 2**14]
    fetch_file(offer(place, "a.bin", BODY), tmp_path, pause_seconds=0)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert place.requests == ["/a.bin", "/a.bin bytes=98304-", "/a.bin bytes=147456-"]


@pytest.mark.parametrize("versions", [True, False])
def test_a_stopped_download_goes_on_in_a_later_call(place, tmp_path, versions):
    place.versions = versions

    def stop(done: int, total: int) -> None:
        if done > 100_000:
            raise Cancelled

    remote = offer(place, "a.bin", BODY)
    with pytest.raises(Cancelled):
        fetch_file(remote, tmp_path, progress=stop)
    there = (tmp_path / "a.bin.part").stat().st_size
    assert not (tmp_path / "a.bin").exists() and 100_000 < there < len(BODY)
    fetch_file(remote, tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert place.requests[-1] == f"/a.bin bytes={there}-"


def test_a_file_that_changed_meanwhile_starts_anew(place, tmp_path):
    place.cut_after = [100_000]
    other = noise(300, seed=1).tobytes()
    remote = offer(place, "a.bin", BODY, checksum="")

    def change(done: int, total: int) -> None:
        place.files["/a.bin"] = other

    fetch_file(remote, tmp_path, progress=change, pause_seconds=0)
    assert (tmp_path / "a.bin").read_bytes() == other


def test_a_server_without_ranges_sends_all_again(place, tmp_path):
    place.ranges, place.cut_after = False, [100_000]
    fetch_file(offer(place, "a.bin", BODY), tmp_path, pause_seconds=0)
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_part_that_is_whole_already_is_not_asked_for_again(place, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    fetch_file(offer(place, "a.bin", BODY), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == BODY and place.requests == []


def test_a_part_of_a_file_of_unknown_length_may_be_whole(place, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    fetch_file(offer(place, "a.bin", BODY, size=len(BODY) - 9, exact=False), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == BODY and len(place.requests) == 1


def test_a_busy_server_is_asked_again(place, tmp_path):
    place.statuses = [503, 429, 500]
    fetch_file(offer(place, "a.bin", BODY), tmp_path, pause_seconds=0)
    assert (tmp_path / "a.bin").read_bytes() == BODY and len(place.requests) == 4


def test_a_server_that_stays_busy_is_given_up(place, tmp_path):
    place.statuses = [503] * 100
    with pytest.raises(DownloadError, match="503"):
        fetch_file(offer(place, "a.bin", BODY), tmp_path, pause_seconds=0)
    assert len(place.requests) < 10


def test_a_wait_before_another_attempt_can_be_stopped(place, tmp_path):
    place.statuses = [503] * 100

    def stop(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fetch_file(offer(place, "a.bin", BODY), tmp_path, progress=stop, pause_seconds=60)


def test_a_missing_file_is_asked_for_once(place, tmp_path):
    remote = offer(place, "a.bin", BODY)
    place.files.clear()
    with pytest.raises(DownloadError, match="404"):
        fetch_file(remote, tmp_path)
    assert len(place.requests) == 1 and list(tmp_path.iterdir()) == []


def test_a_wrong_checksum_is_refused_and_the_file_put_aside(place, tmp_path):
    remote = offer(place, "a.bin", BODY, checksum="md5:" + "0" * 32)
    with pytest.raises(DataError, match=hashlib.md5(BODY).hexdigest()):
        fetch_file(remote, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin.bad"]


@pytest.mark.parametrize("size", [len(BODY) - 1, len(BODY) + 1])
def test_a_wrong_size_is_refused_before_it_is_downloaded(place, tmp_path, size):
    with pytest.raises(DownloadError):
        fetch_file(offer(place, "a.bin", BODY, size=size), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_is_known_roughly_is_a_limit_too(place, tmp_path):
    with pytest.raises(DownloadError):
        fetch_file(offer(place, "a.bin", BODY, size=1000, exact=False), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_proxy_is_used_for_http(place, tmp_path, monkeypatch):
    remote = replace(offer(place, "a.bin", BODY), url="http://data.example/a.bin")
    monkeypatch.setenv("http_proxy", place.address)
    fetch_file(remote, tmp_path)
    assert place.requests == ["http://data.example/a.bin"]


def test_a_proxy_is_used_for_https(place, tmp_path, monkeypatch):
    remote = replace(offer(place, "a.bin", BODY), url="https://data.example/a.bin")
    monkeypatch.setenv("https_proxy", place.address)
    with pytest.raises(DownloadError, match="proxy"):
        fetch_file(remote, tmp_path, pause_seconds=0)
    assert place.requests[0] == "CONNECT data.example:443"


def test_a_full_disk_is_said_and_the_part_stays(place, tmp_path, disk):
    room = disk("size=200k")
    with pytest.raises(StorageError) as failure:
        fetch_file(offer(place, "a.bin", BODY), room)
    assert failure.value.errno == errno.ENOSPC and (room / "a.bin.part").exists()


# ---- a whole set


def test_a_set_is_downloaded_and_unpacked(place, tmp_path):
    chosen = small_ham10000(place)
    folder, unpacked = tmp_path / "data", []
    record = get(chosen, folder, unpacking=lambda *pair: unpacked.append(pair))
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "HAM10000_images_part_1",
        "HAM10000_images_part_2",
        "HAM10000_metadata.csv",
        "download.json",
    ]
    assert len(list((folder / "HAM10000_images_part_1").iterdir())) == 6 and unpacked
    assert [one.verified for one in record.files][1] == ("size", "md5", "crc32")
    written = read_json(folder / "download.json")
    assert written["license"] == "CC BY-NC 4.0" and "DBW86T" in written["citation"]
    assert [one["url"] for one in written["files"]] == [one.url for one in chosen.files]


@pytest.mark.parametrize(
    ("build", "counts", "terms"),
    [
        (small_ham10000, (12, 2, 6), known_datasets.HAM10000),
        (small_isic2018, (6, 2, 6), known_datasets.ISIC_2018),
        (small_pad_ufes_20, (6, 2, 3), known_datasets.PAD_UFES_20),
        (small_dermamnist, (12, 3, 12), known_datasets.DERMAMNIST),
    ],
)
def test_what_is_downloaded_is_recognised_by_the_import(
    place, tmp_path, workspace, build, counts, terms
):
    chosen = build(place)
    get(chosen, tmp_path / "data")
    path = chosen.to_import(tmp_path / "data")
    result = import_dataset(workspace, path, chosen.name, processes=1)
    assert (result.images, result.classes, result.groups, result.skipped) == (*counts, ())
    info = read_info(workspace.dataset(chosen.name))
    assert (info.license, info.citation) == (terms.license, terms.citation)
    assert chosen.terms == terms


def test_a_second_call_changes_nothing_and_asks_nobody(place, tmp_path):
    chosen = small_ham10000(place)
    first = get(chosen, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    place.requests.clear()
    assert get(chosen, tmp_path) == first and place.requests == []
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_lost_folder_comes_back(place, tmp_path):
    chosen = small_ham10000(place)
    get(chosen, tmp_path)
    shutil.rmtree(tmp_path / "HAM10000_images_part_2")
    place.requests.clear()
    get(chosen, tmp_path)
    assert len(list((tmp_path / "HAM10000_images_part_2").iterdir())) == 6
    assert place.requests == ["/HAM10000_images_part_2.zip"]


def test_a_lost_image_is_said(place, tmp_path):
    chosen = small_ham10000(place)
    get(chosen, tmp_path)
    next((tmp_path / "HAM10000_images_part_2").iterdir()).unlink()
    with pytest.raises(DataError, match="HAM10000_images_part_2"):
        get(chosen, tmp_path)


def test_without_agreement_to_the_licence_nothing_is_written(place, tmp_path):
    with pytest.raises(ConfigError, match="CC BY-NC"):
        get(small_ham10000(place), tmp_path / "data", accept_licence=False)
    assert not (tmp_path / "data").exists() and place.requests == []


def test_offline_the_message_names_what_to_fetch_by_hand_and_where_to_put_it(place, tmp_path):
    chosen = small_ham10000(place)
    unreachable = [replace(one, url=f"http://127.0.0.1:9/{one.name}") for one in chosen.files]
    with pytest.raises(DataError) as failure:
        get(replace(chosen, files=tuple(unreachable)), tmp_path)
    message = str(failure.value)
    assert all(one.url in message for one in unreachable)
    assert str(tmp_path) in message and chosen.page in message and "\n" not in message


def test_files_that_were_fetched_by_hand_are_taken(place, tmp_path):
    chosen = small_ham10000(place)
    for one in chosen.files:
        (tmp_path / one.name).write_bytes(place.files[f"/{one.name}"])
    get(chosen, tmp_path)
    assert place.requests == [] and (tmp_path / "HAM10000_images_part_1").is_dir()


def test_an_archive_without_a_published_checksum_is_checked_by_its_own(place, tmp_path):
    body = bytearray(zipped({"image.jpg": BODY}))
    body[1000] ^= 1
    broken = offer(place, "images.zip", bytes(body), checksum="", exact=False)
    with pytest.raises(DataError, match=r"images\.zip\.bad"):
        get(replace(public_set("isic2018-test"), files=(broken,)), tmp_path)
    assert (tmp_path / "images.zip.bad").exists() and not (tmp_path / "images").exists()
    body[1000] ^= 1
    place.files["/images.zip"] = bytes(body)
    record = get(replace(public_set("isic2018-test"), files=(broken,)), tmp_path)
    assert record.files[0].verified == ("crc32",)
    assert record.files[0].checksum == f"sha256:{hashlib.sha256(body).hexdigest()}"


def test_room_is_looked_at_first(place, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    with pytest.raises(StorageError) as failure:
        get(small_ham10000(place), tmp_path)
    assert failure.value.errno == errno.ENOSPC and place.requests == []


# ---- archives


def test_the_folder_of_an_archive_that_bears_its_name_is_not_doubled(tmp_path):
    (tmp_path / "part.zip").write_bytes(zipped({"part/a.png": b"a", "__MACOSX/._a.png": b"b"}))
    assert unpack_zip(tmp_path / "part.zip", tmp_path / "part").files == 1
    assert (tmp_path / "part" / "a.png").read_bytes() == b"a"


@pytest.mark.parametrize(
    "name", ["../a.png", "x/../../a.png", "/a.png", "..\\a.png", "C:\\a.png", "a\n.png", "é" * 200]
)
def test_a_path_outside_the_folder_is_refused(tmp_path, name):
    (tmp_path / "part.zip").write_bytes(zipped({"good.png": b"a", name: b"b"}))
    with pytest.raises(ArchiveError):
        unpack_zip(tmp_path / "part.zip", tmp_path / "inner" / "part")
    assert [path.name for path in tmp_path.rglob("*")] == ["part.zip"]


def test_a_link_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "part.zip", "w") as archive:
        member = zipfile.ZipInfo("a.png")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(ArchiveError):
        unpack_zip(tmp_path / "part.zip", tmp_path / "part")


def test_more_than_images_can_give_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "FREE_BYTES", 2**10)
    with zipfile.ZipFile(tmp_path / "part.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.png", bytes(2**20))
    with pytest.raises(ArchiveError):
        unpack_zip(tmp_path / "part.zip", tmp_path / "part")
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize("body", [b"", b"no archive", zipped({"a": BODY})[:-30]])
def test_a_damaged_archive_is_refused(tmp_path, body):
    (tmp_path / "part.zip").write_bytes(body)
    with pytest.raises(ArchiveError):
        unpack_zip(tmp_path / "part.zip", tmp_path / "part")


def test_what_is_unpacked_already_stays(tmp_path):
    (tmp_path / "part.zip").write_bytes(zipped({"a.png": b"a"}))
    unpack_zip(tmp_path / "part.zip", tmp_path / "part")
    made = (tmp_path / "part" / "a.png").stat()
    assert unpack_zip(tmp_path / "part.zip", tmp_path / "part").files == 1
    assert (tmp_path / "part" / "a.png").stat().st_mtime_ns == made.st_mtime_ns


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "part.zip").write_bytes(zipped({"a.png": b"a"}))
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "mine.png").write_bytes(b"mine")
    with pytest.raises(DataError):
        unpack_zip(tmp_path / "part.zip", tmp_path / "part")
    assert [path.name for path in (tmp_path / "part").iterdir()] == ["mine.png"]


def test_an_unpacking_that_is_stopped_leaves_nothing(tmp_path):
    def stop(done: int, total: int) -> None:
        raise Cancelled

    (tmp_path / "part.zip").write_bytes(zipped({"a.png": b"a"}))
    with pytest.raises(Cancelled):
        unpack_zip(tmp_path / "part.zip", tmp_path / "part", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["part.zip"]


# ---- the list of sets


@pytest.mark.parametrize("chosen", PUBLIC_SETS.values(), ids=lambda one: one.name)
def test_every_set_has_secure_addresses_a_licence_and_checksums_where_they_are_published(chosen):
    assert chosen.files and chosen.page.startswith("https://") and chosen.terms.citation
    assert chosen.licence_page.startswith("https://creativecommons.org/")
    for file in chosen.files:
        kind, _, digest = file.checksum.partition(":")
        assert file.url.startswith("https://") and file.size > 0
        published = (kind, len(digest)) in (("md5", 32), ("sha256", 64))
        assert published or chosen.name == "isic2018-test"


def test_an_unknown_set_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"pad-ufes-20.*dermamnist-224"):
        public_set("isic2099")
