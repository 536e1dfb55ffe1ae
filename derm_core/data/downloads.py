"""Public data sets that can be downloaded from their official places: addresses, sizes, checksums, licences.

The checksums are those that the places publish, looked up on 2026-11-29: MD5 at Harvard Dataverse
(version 4.0 of the data set) and Zenodo (record 10519652, as medmnist 3.0.2 lists them), SHA-256 at
Mendeley Data. The ISIC challenge publishes none: there the archives' own CRC-32 sums are compared.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..background import Report
from ..errors import ConfigError, DataError
from ..files import private_folder, read_json, write_json
from ..locks import hold
from ..records import from_json, optional, to_json
from .fetch import DownloadError, RemoteFile, fetch_file, put_aside
from .known_datasets import DERMAMNIST, HAM10000, ISIC_2018, PAD_UFES_20, KnownDataset
from .unpack import ArchiveError, require_room, unpack_zip

RECORD = "download.json"
LICENCES = {
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC BY-NC 4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
}
DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile"
ISIC = "https://isic-challenge-data.s3.amazonaws.com/2018"
MENDELEY = "https://data.mendeley.com/public-files/datasets/zr7vgbcyr2/files"
ZENODO = "https://zenodo.org/records/10519652/files"


@dataclass(frozen=True)
class PublicSet:
    """A public data set.

    Attributes:
        name: by which it is asked for, and of the dataset that an import makes of it.
        title: what it is, in a few words.
        page: where it is described and offered.
        terms: licence and attribution.
        files: what is downloaded; zip archives are unpacked.
    """

    name: str
    title: str
    page: str
    terms: KnownDataset
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(file.size for file in self.files)

    @property
    def size_is_exact(self) -> bool:
        """Whether its place's sizes are known to the byte."""
        return all(file.exact for file in self.files)

    @property
    def licence_page(self) -> str:
        """Where the text of its licence is."""
        return LICENCES.get(self.terms.license, self.page)

    def to_import(self, folder: Path) -> Path:
        """What to import of the folder that it was downloaded to."""
        arrays = [file.name for file in self.files if file.name.endswith(".npz")]
        return folder / arrays[0] if arrays else folder


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """A downloaded file, as download.json has it.

    Attributes:
        verified: what was compared with the published file: size, md5, sha256, crc32 (of the
            members of an archive).
        checksum: of the file, also where its place publishes none.
        unpacked_files: how many came out of an archive, which is deleted then.
    """

    name: str
    url: str
    size: int
    checksum: str
    verified: tuple[str, ...]
    unpacked_files: int | None = optional()


@dataclass(frozen=True, kw_only=True)
class DownloadRecord:
    """The file download.json: what lies beside it, from where, and under which licence."""

    name: str = ""
    page: str = ""
    license: str = ""
    citation: str = ""
    files: tuple[FileRecord, ...] = ()


def _medmnist(pixels: int, size: int, md5: str) -> PublicSet:
    suffix = "" if pixels == 28 else f"_{pixels}"
    file = f"dermamnist{suffix}.npz"
    url = f"{ZENODO}/{file}?download=1"
    return PublicSet(
        f"dermamnist{suffix.replace('_', '-')}",
        f"DermaMNIST: HAM10000 at {pixels} × {pixels} pixels",
        "https://zenodo.org/records/10519652",
        DERMAMNIST,
        (RemoteFile(file, url, size, f"md5:{md5}", exact=False),),
    )


def _mendeley(name: str, file_id: str, size: int, sha256: str) -> RemoteFile:
    return RemoteFile(name, f"{MENDELEY}/{file_id}/file_downloaded", size, f"sha256:{sha256}")


SETS = (
    PublicSet(
        "ham10000",
        "HAM10000: 10,015 dermoscopic images of 7 diagnoses",
        "https://doi.org/10.7910/DVN/DBW86T",
        HAM10000,
        (
            # Without format=original Dataverse converts the table, and its MD5 is another.
            RemoteFile(
                "HAM10000_metadata.csv",
                f"{DATAVERSE}/4338392?format=original",
                690_218,
                "md5:8f85fb1aa29d80a2797247e434deb79d",
            ),
            RemoteFile(
                "HAM10000_images_part_1.zip",
                f"{DATAVERSE}/3172585",
                1_366_522_108,
                "md5:4639bfa73ab251610530a97c898e6e46",
            ),
            RemoteFile(
                "HAM10000_images_part_2.zip",
                f"{DATAVERSE}/3172584",
                1_403_566_547,
                "md5:da43d6cc50f6613013be07e8986b384b",
            ),
        ),
    ),
    PublicSet(
        "isic2018-test",
        "ISIC 2018, task 3: the 1,512 test images of the challenge with their diagnoses",
        "https://challenge.isic-archive.com/data/#2018",
        ISIC_2018,
        tuple(
            RemoteFile(
                f"ISIC2018_Task3_Test_{part}.zip",
                f"{ISIC}/ISIC2018_Task3_Test_{part}.zip",
                size,
                exact=False,
            )
            for part, size in (("GroundTruth", 50_000), ("Input", 400_000_000))
        ),
    ),
    PublicSet(
        "pad-ufes-20",
        "PAD-UFES-20: 2,298 smartphone photos of 6 diagnoses",
        "https://data.mendeley.com/datasets/zr7vgbcyr2/1",
        PAD_UFES_20,
        (
            _mendeley(
                "metadata.csv",
                "fa850265-57da-48f0-ba3e-998b3e44b1f6",
                316_209,
                "14d145235cedb022548257acb0d84dcd949e2c916f65d2baa7c38ed5339e9527",
            ),
            _mendeley(
                "imgs_part_1.zip",
                "1cc2f71f-20a2-412d-b746-a9b9bc20c966",
                1_245_184_680,
                "0ab44f60938bf57445e12f518a8878954cc734e6b0aec6d01194e2d26b4b2dca",
            ),
            _mendeley(
                "imgs_part_2.zip",
                "559a60ed-5504-475d-996c-6a8bc253b5e7",
                1_126_646_990,
                "e2d9a3cbd58e823f5ae33163c48643e7d1b54ae3f9e145f01f8e9f16a363a60b",
            ),
            _mendeley(
                "imgs_part_3.zip",
                "34dcdf8e-e5f1-4b35-aa0b-5135051ff852",
                1_220_565_093,
                "ecc4ef10143a43e1d01cb736773148607a78b530417eb76f2c38ad24bf5d0d2c",
            ),
        ),
    ),
    _medmnist(28, 19_700_000, "0744692d530f8e62ec473284d019b0c7"),
    _medmnist(64, 100_100_000, "b70a2f5635c6199aeaa28c31d7202e1f"),
    _medmnist(128, 370_000_000, "2defd784463fa5243564e855ed717de1"),
    _medmnist(224, 1_050_000_000, "8974907d8e169bef5f5b96bc506ae45d"),
)
PUBLIC_SETS = {one.name: one for one in SETS}


def public_set(name: str) -> PublicSet:
    """The public data set of that name. Raises ConfigError, which names those there are."""
    if name not in PUBLIC_SETS:
        raise ConfigError(f"{name!r} cannot be downloaded; these can: {', '.join(PUBLIC_SETS)}.")
    return PUBLIC_SETS[name]


def download_set(
    chosen: PublicSet,
    folder: Path,
    *,
    accept_licence: bool,
    progress: Report | None = None,
    unpacking: Report | None = None,
    pause_seconds: float = 1.0,
) -> DownloadRecord:
    """Download a public data set to `folder` and unpack it; what is there already stays.

    Interrupted, a repeated call goes on where it stopped. Files that were fetched by hand into the
    folder are taken in place of a download, after the same checks.

    Args:
        chosen: the data set.
        folder: where it is put; made where it is missing.
        accept_licence: whether the user has seen its licence and agrees.
        progress: called with (done, total) bytes; what it raises ends the call.
        unpacking: called with (done, total) files of an archive; likewise.
        pause_seconds: before the second attempt after a connection broke.

    Returns:
        What the folder's download.json says.

    Raises:
        ConfigError: the licence is not agreed to; nothing is written then.
        DataError: a file cannot be had or is not the published one; the message says what to do.
        StorageError: there is no room, or the folder may not be written to.
    """
    if not accept_licence:
        raise ConfigError(
            f"{chosen.name} is under {chosen.terms.license} ({chosen.licence_page}) and is "
            "downloaded after you agree to that licence."
        )
    folder = Path(folder).expanduser().resolve()
    private_folder(folder)
    with hold(folder / ".download.lock") as alone:
        if not alone:
            raise DataError(f"{folder} is being downloaded to already; wait for that download.")
        records = _read_records(folder)
        missing = [file for file in chosen.files if not _is_here(folder, file, records)]
        _require_room(folder, missing)
        total = sum(file.size for file in missing)
        before = 0
        for i, file in enumerate(missing):

            def report(done: int, _: int, before: int = before) -> None:
                if progress:
                    progress(min(before + done, total), total)

            try:
                records[file.name] = _have(folder, file, report, unpacking, pause_seconds)
            except DownloadError as error:
                raise DataError(_by_hand(chosen, folder, missing[i:], str(error))) from error
            before += file.size
            write_json(folder / RECORD, to_json(_record(chosen, records)))
            if records[file.name].unpacked_files is not None:
                (folder / file.name).unlink()
    return _record(chosen, records)


def _have(
    folder: Path,
    file: RemoteFile,
    progress: Report,
    unpacking: Report | None,
    pause_seconds: float,
) -> FileRecord:
    """Download a file, and unpack it where it is an archive."""
    checked = fetch_file(file, folder, progress=progress, pause_seconds=pause_seconds)
    path, unpacked_files, verified = folder / file.name, None, checked.verified
    if path.suffix == ".zip":
        try:
            unpacked = unpack_zip(path, path.with_suffix(""), progress=unpacking)
        except ArchiveError as error:
            bad = put_aside(path)
            raise DataError(
                f"{error} It was put aside as {bad.name}; repeat to download it again."
            ) from error
        unpacked_files, verified = unpacked.files, (*verified, "crc32")
    return FileRecord(
        name=file.name,
        url=file.url,
        size=checked.size,
        checksum=checked.checksum,
        verified=verified,
        unpacked_files=unpacked_files,
    )


def _is_here(folder: Path, file: RemoteFile, records: dict[str, FileRecord]) -> bool:
    """Whether a file was downloaded, checked and unpacked before.

    Raises DataError where some, not all, of what was unpacked is lost since.
    """
    record, path = records.get(file.name), folder / file.name
    if record is None or record.url != file.url or file.checksum not in ("", record.checksum):
        return False
    if record.unpacked_files is None:
        return path.exists() and path.stat().st_size == record.size
    unpacked = path.with_suffix("")
    count = sum(len(names) for _, _, names in os.walk(unpacked))
    if unpacked.exists() and count < record.unpacked_files:
        raise DataError(
            f"{unpacked} has {count:,} files where {record.unpacked_files:,} were unpacked; move that "
            "folder away and repeat."
        )
    return unpacked.exists()


def _require_room(folder: Path, missing: list[RemoteFile]) -> None:
    """Room for what is left to download and, since each archive goes once it is unpacked, one archive."""
    left = sum(file.size for file in missing)
    for file in missing:
        for path in (folder / file.name, folder / f"{file.name}.part"):
            left -= path.stat().st_size if path.exists() else 0
    archives = [file.size for file in missing if file.name.endswith(".zip")]
    require_room(folder, left + max(archives, default=0), "download and unpack the data set")


def _by_hand(chosen: PublicSet, folder: Path, missing: list[RemoteFile], reason: str) -> str:
    """Why a download failed, and how to have the files without it."""
    files = ", ".join(f"{file.name} from {file.url}" for file in missing)
    return (
        f"{reason}. Try again later, or fetch by hand into {folder}: {files}; then repeat this. "
        f"The data set's page is {chosen.page}."
    )


def _record(chosen: PublicSet, records: dict[str, FileRecord]) -> DownloadRecord:
    return DownloadRecord(
        name=chosen.name,
        page=chosen.page,
        license=chosen.terms.license,
        citation=chosen.terms.citation,
        files=tuple(records[file.name] for file in chosen.files if file.name in records),
    )


def _read_records(folder: Path) -> dict[str, FileRecord]:
    """What earlier calls downloaded, by name; nothing where their record cannot be read."""
    try:
        record = from_json(DownloadRecord, read_json(folder / RECORD), unknown="ignore")
    except (OSError, ValueError, ConfigError):
        return {}
    return {file.name: file for file in record.files}
