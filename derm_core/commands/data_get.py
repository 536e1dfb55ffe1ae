"""`data get`: a public data set from its official place, and its import."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..data.downloads import PUBLIC_SETS, DownloadRecord, PublicSet, download_set, public_set
from ..data.importers import ImportResult, import_dataset
from ..data.manifest import read_info
from ..errors import ConfigError, DataError, NotFound
from ..records import to_json
from ..workspace import Workspace
from .output import Answer, Screen, size, table

MEGABYTE = 10**6


def get_data(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, folder, page, license, citation, files: [...], imported}; without a name {sets}."""
    if args.name is None:
        return _list_sets()
    chosen = public_set(args.name)
    folder = (args.to or Path("data") / chosen.name).expanduser().resolve()
    check_target(screen.workspace, chosen, folder, args.do_import)
    agreed = _agree(chosen, folder, args.accept_licence, screen)
    megabytes, files = screen.counter("downloading", "MB"), screen.counter("unpacking", "files")
    record = download_set(
        chosen,
        folder,
        accept_licence=agreed,
        progress=lambda done, total: megabytes(done // MEGABYTE, total // MEGABYTE),
        unpacking=files,
    )
    result = None
    if args.do_import:
        result = import_dataset(
            screen.workspace,
            chosen.to_import(folder),
            chosen.name,
            progress=screen.counter("importing", "images"),
        )
    value = {**to_json(record), "folder": str(folder), "imported": to_json(result)}
    return Answer(value, _text(chosen, folder, record, result))


def _list_sets() -> Answer:
    rows = [
        (one.name, describe_size(one), one.terms.license, one.title) for one in PUBLIC_SETS.values()
    ]
    sets = [
        {
            "name": one.name,
            "title": one.title,
            "page": one.page,
            "bytes": one.size,
            "license": one.terms.license,
            "citation": one.terms.citation,
        }
        for one in PUBLIC_SETS.values()
    ]
    return Answer({"sets": sets}, table(("name", "download", "licence", ""), rows))


def describe_size(chosen: PublicSet) -> str:
    """How much is downloaded: "2.8 GB", or "about 100 MB"."""
    if chosen.size_is_exact:
        return size(chosen.size)
    return f"about {round(chosen.size / MEGABYTE, -1):.0f} MB"


def check_target(
    workspace: Workspace, chosen: PublicSet, folder: Path, do_import: bool = True
) -> None:
    """Refuse what would fail after a download of gigabytes.

    Raises:
        ConfigError: the folder is in the workspace.
        DataError: the dataset that an import would make is there, and from elsewhere.
    """
    if folder.is_relative_to(workspace.root.resolve()):
        raise ConfigError(
            f"{folder} is in the workspace, where datasets are deleted with all that lies in them; "
            "choose another folder (--to)."
        )
    if not do_import:
        return
    try:
        source = read_info(workspace.dataset(chosen.name)).source
    except (DataError, NotFound):
        return
    if source != str(chosen.to_import(folder)):
        raise DataError(
            f"Dataset {chosen.name} exists already and comes from {source}; delete it first, or "
            "download only (--no-import) and import under another name."
        )


def _agree(chosen: PublicSet, folder: Path, accepted: bool, screen: Screen) -> bool:
    """Show size, licence and attribution; ask for agreement unless it is `accepted` already."""
    terms = chosen.terms
    if not accepted and not sys.stdin.isatty():
        raise ConfigError(
            f"{chosen.name} ({describe_size(chosen)}) is under {terms.license} ({chosen.licence_page}), and "
            "there is no terminal to ask at: add --accept-licence if you agree to it."
        )
    screen.note(f"{chosen.title}\nfrom {chosen.page}, {describe_size(chosen)}, to {folder}")
    screen.note(f"licence: {terms.license}, {chosen.licence_page}\ncite as: {terms.citation}")
    if accepted:
        return True
    screen.note("Do you agree to this licence, and download? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("Nothing was downloaded: the licence was not agreed to.")
    return True


def _text(
    chosen: PublicSet, folder: Path, record: DownloadRecord, result: ImportResult | None
) -> str:
    lines = [f"{record.name} is in {folder} ({record.license}). Cite: {record.citation}."]
    unpublished = [file.name for file in record.files if not {"md5", "sha256"} & {*file.verified}]
    if unpublished:
        lines.append(
            f"No checksum is published of {', '.join(unpublished)}: length and the archive's own "
            "sums were compared; the SHA-256 is in download.json."
        )
    if result is None:
        lines.append(f"Not imported; `data import {chosen.to_import(folder)} --name NAME` does it.")
    else:
        lines.append(
            f"Imported as {result.name}: {result.images} images, {result.classes} classes, "
            f"{result.groups} groups, {len(result.skipped)} skipped."
        )
        lines += result.notes
    return "\n".join(lines)
