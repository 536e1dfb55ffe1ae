"""Bundles as one zip file to hand on: NAME/card.json, model.safetensors, reference.safetensors, nothing else."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

from ..errors import BundleError, NotFound
from ..files import parse_json, write_atomic
from ..workspace import Workspace
from .bundle import load_bundle
from .card import Card, card_json, read_card
from .model_library import CARD, LIMITS, find_bundle, read_bundle
from .reference_file import pack, unpack, without_points
from .tensors import MODEL, REFERENCE

PARTS = f"{CARD}, {MODEL} and, where the card lists it, {REFERENCE}"
FIXED_TIME = (2020, 1, 1, 0, 0, 0)  # the same bundle gives the same bytes


def export_bundle(
    workspace: Workspace, name: str, target: Path | None = None, *, private: bool = False
) -> bytes | Path:
    """The verified bundle `name` as a zip file.

    Args:
        workspace: where it is looked up.
        name: of the bundle.
        target: where it is written; None: its bytes are returned.
        private: whether features, labels and ids of training images that are not public may go with it; otherwise they
            are left out, and the statistics stay.
    """
    folder = find_bundle(workspace, name)
    files = read_bundle(folder)
    parts = {CARD: (folder / CARD).read_bytes(), MODEL: files.model}
    if files.reference is not None:
        parts[REFERENCE] = files.reference
        if files.card.holds_private_images and not private:
            parts |= _without_images(files.card, files.reference)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for part, data in parts.items():
            archive.writestr(zipfile.ZipInfo(f"{name}/{part}", FIXED_TIME), data)
    if target is None:
        return buffer.getvalue()
    write_atomic(Path(target), buffer.getvalue())
    return Path(target)


def _without_images(card: Card, data: bytes) -> dict[str, bytes]:
    """Card and reference with the statistics of training alone."""
    stripped, listing = pack(without_points(unpack(data, card)), card.reference)
    left_out = "features, labels and ids of training images"
    value = card_json(replace(card, reference=replace(listing, duplicate=None, left_out=left_out)))
    return {
        CARD: (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode(),
        REFERENCE: stripped,
    }


def import_bundle(workspace: Workspace, source: bytes | Path) -> Path:
    """Put a zipped bundle in the workspace's library, after every check; returns its folder.

    Only the files of one bundle are read, under the name on the card: names in the archive never
    become paths. Raises BundleError for anything else in it (links, other files, too large, tampered).
    """
    parts = read_parts(source)
    try:
        card = read_card(parse_json(parts[CARD]))
    except ValueError as error:
        raise BundleError(f"The archive's card.json cannot be read ({error}).") from error
    name = card.name
    if (REFERENCE in parts) != bool(card.reference):
        raise BundleError(
            f"The archive's card and {REFERENCE} do not belong together; get the bundle again."
        )
    try:
        find_bundle(workspace, name)
    except NotFound:
        pass
    else:
        raise BundleError(
            f"A model {name} is already in the library; remove it first, or keep that one."
        )
    partial = Path(tempfile.mkdtemp(prefix=".import-", dir=workspace.models))
    try:
        folder = partial / name
        for part, data in parts.items():
            write_atomic(folder / part, data)
        load_bundle(folder)
        os.rename(folder, workspace.models / name)
    except OSError as error:
        raise BundleError(
            f"The bundle {name} cannot be put in the library ({error.strerror})."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return workspace.models / name


def read_parts(source: bytes | Path) -> dict[str, bytes]:
    """The bytes of a bundle's files by name, of an archive that holds these and no others. Raises BundleError."""
    parts: dict[str, bytes] = {}
    try:
        size = len(source) if isinstance(source, bytes) else os.path.getsize(source)
        if size > 2 * sum(LIMITS.values()):
            raise BundleError(f"The archive has {size} bytes; no bundle is that large.")
        readable = io.BytesIO(source) if isinstance(source, bytes) else source
        with zipfile.ZipFile(readable) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            if len(members) not in (2, 3):
                raise BundleError(
                    f"The archive holds {len(members)} files; a bundle is {PARTS} alone."
                )
            for member in members:
                name = member.filename.rsplit("/", 1)[-1]
                if name not in LIMITS or name in parts or stat.S_ISLNK(member.external_attr >> 16):
                    raise BundleError(
                        f"The archive holds {member.filename[:80]!r}; a bundle is {PARTS} alone."
                    )
                parts[name] = _read_member(archive, member, LIMITS[name])
            if len({m.filename.rpartition("/")[0] for m in members}) != 1:
                raise BundleError("The files must lie in one folder of the archive.")
            if CARD not in parts or MODEL not in parts:
                raise BundleError(f"The archive lacks {CARD} or {MODEL}; a bundle is {PARTS}.")
    except BundleError:
        raise
    except (
        Exception
    ) as error:  # zipfile and zlib raise almost anything over a damaged or encrypted archive
        raise BundleError(
            f"The file is not a readable bundle archive ({str(error)[:200]})."
        ) from error
    return parts


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """A member's bytes; never more than `limit`, whatever the archive's directory says."""
    with archive.open(member) as handle:
        data = handle.read(limit + 1)
    if len(data) > limit:
        raise BundleError(
            f"{member.filename[:80]!r} unpacks to more than {limit} bytes; this is not a bundle."
        )
    return data
