"""Bundles as one zip file, to hand to a colleague: NAME/card.json and NAME/model.safetensors, nothing else."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path

from ..errors import BundleError, NotFound
from ..files import parse_json, write_atomic
from ..workspace import Workspace
from .bundle import CARD, MAX_CARD_BYTES, MAX_TENSOR_BYTES, TENSORS, find_bundle, load_bundle, verify_bundle
from .card import check_card

LIMITS = {CARD: MAX_CARD_BYTES, TENSORS: MAX_TENSOR_BYTES}
FIXED_TIME = (2020, 1, 1, 0, 0, 0)   # the same bundle gives the same bytes


def export_bundle(workspace: Workspace, name: str, target: Path | None = None) -> bytes | Path:
    """The verified bundle `name` as zip: written to `target` (its path returned), else as bytes."""
    folder = find_bundle(workspace, name)
    verify_bundle(folder)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for part in (CARD, TENSORS):
            archive.writestr(zipfile.ZipInfo(f"{name}/{part}", FIXED_TIME), (folder / part).read_bytes())
    if target is None:
        return buffer.getvalue()
    write_atomic(Path(target), buffer.getvalue())
    return Path(target)


def import_bundle(workspace: Workspace, source: bytes | Path) -> Path:
    """Put a zipped bundle on the workspace's shelf, after every check; returns its folder.

    Only the two files of one bundle are read, under the name on the card: names in the archive never
    become paths. Raises BundleError for anything else in it (links, other files, too large, tampered).
    """
    parts = _read(source)
    try:
        card = check_card(parse_json(parts[CARD]))
    except ValueError as error:
        raise BundleError(f"The archive's card.json cannot be read ({error}).") from error
    name = card["name"]
    try:
        find_bundle(workspace, name)
    except NotFound:
        pass
    else:
        raise BundleError(f"A model {name} is already on the shelf; remove it first, or keep that one.")
    staging = Path(tempfile.mkdtemp(prefix=".import-", dir=workspace.models))
    try:
        folder = staging / name
        for part, data in parts.items():
            write_atomic(folder / part, data)
        load_bundle(folder)
        os.rename(folder, workspace.models / name)
    except OSError as error:
        raise BundleError(f"The bundle {name} cannot be put on the shelf ({error.strerror}).") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return workspace.models / name


def _read(source: bytes | Path) -> dict[str, bytes]:
    """The bytes of card and tensors in an archive that holds these two files and no others."""
    parts: dict[str, bytes] = {}
    try:
        size = len(source) if isinstance(source, bytes) else os.path.getsize(source)
        if size > 2 * sum(LIMITS.values()):
            raise BundleError(f"The archive has {size} bytes; no bundle is that large.")
        handle = io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")
        with handle, zipfile.ZipFile(handle) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            if len(members) != 2:
                raise BundleError(f"The archive holds {len(members)} files; a bundle is {CARD} and {TENSORS} alone.")
            for member in members:
                name = member.filename.rsplit("/", 1)[-1]
                if name not in LIMITS or name in parts or stat.S_ISLNK(member.external_attr >> 16):
                    raise BundleError(f"The archive holds {member.filename[:80]!r}; a bundle is {CARD} and {TENSORS} alone.")
                parts[name] = _read_member(archive, member, LIMITS[name])
            if len({m.filename.rpartition("/")[0] for m in members}) != 1:
                raise BundleError(f"{CARD} and {TENSORS} must lie in one folder of the archive.")
    except BundleError:
        raise
    except Exception as error:      # zipfile and zlib raise almost anything over a damaged or encrypted archive
        raise BundleError(f"The file is not a readable bundle archive ({str(error)[:200]}).") from error
    return parts


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """A member's bytes; never more than `limit`, whatever the archive's directory says."""
    with archive.open(member) as handle:
        data = handle.read(limit + 1)
    if len(data) > limit:
        raise BundleError(f"{member.filename[:80]!r} unpacks to more than {limit} bytes; this is not a bundle.")
    return data
