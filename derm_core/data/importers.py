"""Import: a folder or file in a known layout becomes a manifest and a store, resumably."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import DataError, NotFound
from ..locks import hold
from ..workspace import DatasetPaths, Workspace
from . import medmnist
from .decode_all import Progress, Staged, source_key, stage_images
from .groups import KINDS, find_groups
from .known_datasets import describe, terms
from .layouts import Found, Listing, find_layout, read_listing
from .manifest import Dataset, load_dataset, save_dataset
from .store import keep_store, open_store

MAX_CLASSES = 1000
PATIENCE_SECONDS = 3.0  # for the workers of a killed import to end
ATTRIBUTES = ("age", "sex", "site", "skin_type", "source", "confirmation", "official_split")


@dataclass(frozen=True)
class ImportResult:
    """What an import made. classes: their number; skipped: [{path, reason}]; seconds: of this call."""

    name: str
    images: int
    classes: int
    groups: int
    skipped: list[dict]
    seconds: float
    class_names: tuple[str, ...] = ()
    layout: str = ""
    notes: tuple[str, ...] = ()


def recognise(path: str | Path) -> str:
    """The layout of `path`: isic, isic-one-hot, pad-ufes-20, csv, folders or medmnist. Raises DataError."""
    return find_layout(Path(path)).layout


def import_dataset(
    workspace: Workspace,
    path: str | Path,
    name: str,
    *,
    sizes: Sequence[int] = (64,),
    processes: int | None = None,
    progress: Progress | None = None,
    resume: bool = True,
) -> ImportResult:
    """Import `path` as dataset `name`, with a store for each of `sizes` (pixels).

    Files are read once. Interrupted, a repeated call goes on where it stopped (`resume=False`
    starts anew); repeated on unchanged files it only reports. progress: called with (done, total).
    Raises DataError: unknown layout, no readable image, or `name` stands for another source.
    """
    started = time.monotonic()
    paths = workspace.dataset(name)
    found = find_layout(Path(path))
    _refuse_other_source(paths, found)
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with hold(paths.root / "import.lock", patience=PATIENCE_SECONDS) as held:
        if not held:
            raise DataError(f"Dataset {name} is being imported already; wait for that import.")
        try:
            dataset = _import(workspace, paths, found, tuple(sizes), processes, progress, resume)
        finally:
            if os.listdir(paths.root) == ["import.lock"]:  # nothing to go on from
                shutil.rmtree(paths.root)
    return ImportResult(
        name,
        len(dataset),
        len(dataset.classes),
        dataset.info["groups"],
        dataset.info["skipped"],
        time.monotonic() - started,
        dataset.classes,
        found.layout,
        tuple(dataset.info["notes"]),
    )


def _refuse_other_source(paths: DatasetPaths, found: Found) -> None:
    if not paths.info.exists():
        return
    try:
        source = json.loads(paths.info.read_text(encoding="utf-8")).get("source")
    except (OSError, ValueError, AttributeError):
        return  # damaged: importing again repairs it
    if source != str(found.source):
        raise DataError(
            f"Dataset {paths.name} exists already and comes from {source}; choose another name, "
            "or delete it first."
        )


def _import(
    workspace: Workspace,
    paths: DatasetPaths,
    found: Found,
    sizes: tuple[int, ...],
    processes: int | None,
    progress: Progress | None,
    resume: bool,
) -> Dataset:
    started, staging = time.monotonic(), paths.root / "import-staging"
    if not resume:
        shutil.rmtree(staging, ignore_errors=True)
    if found.layout == "medmnist":
        listing, progress = medmnist.unpack(found.array, paths.images, progress)
    else:
        listing = read_listing(found)
    _check_listing(found, listing)
    files = [row["path"] for row in listing.rows]
    key = _listing_key(listing, source_key(files, ()))
    existing = _unchanged(workspace, paths, key)
    if existing is not None:
        for size in sizes:
            open_store(workspace, existing, size, processes=processes, progress=progress)
        return existing
    staged = stage_images(
        staging,
        files,
        sizes,
        key=key + "/" + ",".join(map(str, sorted(sizes))),
        processes=processes,
        progress=progress,
    )
    frame, skipped, notes = _manifest(found, listing, staged)
    info = {
        "layout": found.layout,
        "source": str(found.source),
        "classes": listing.classes,
        "skipped": skipped,
        "notes": notes,
        "created": time.time(),
        "source_key": key,
        "seconds": time.monotonic() - started,
        **_counts(listing, frame),
        **terms(found, listing),
        "class_descriptions": describe(listing.classes),
    }
    present = set(frame["label"].dropna())
    info["classes"] = [label for label in listing.classes if label in present]
    dataset = save_dataset(workspace, paths.name, frame, info)
    for size in sizes:
        keep_store(dataset, size, staged)
    staged.discard()
    return dataset


def _check_listing(found: Found, listing: Listing) -> None:
    if not listing.rows:
        first = listing.skipped[0] if listing.skipped else {"path": "", "reason": "it lists none"}
        raise DataError(
            f"No image of {found.source.name} was found (first: {first['path']} — {first['reason']}). "
            "Images must lie below the folder of the table; linked folders are not followed."
        )
    if len(listing.classes) > MAX_CLASSES:
        raise DataError(
            f"{found.source.name} has {len(listing.classes)} different labels; at most {MAX_CLASSES} "
            "classes are allowed. Is the label column the right one?"
        )


def _listing_key(listing: Listing, files_key: str) -> str:
    text = json.dumps(
        [listing.rows, listing.pairs, listing.skipped], ensure_ascii=True, sort_keys=True
    )
    return hashlib.sha256((files_key + text).encode()).hexdigest()


def _unchanged(workspace: Workspace, paths: DatasetPaths, key: str) -> Dataset | None:
    """The dataset as it stands, where it was made from these very files and words."""
    try:
        dataset = load_dataset(workspace, paths.name)
    except (DataError, NotFound):
        return None
    return dataset if dataset.info.get("source_key") == key else None


def _manifest(
    found: Found, listing: Listing, staged: Staged
) -> tuple[pd.DataFrame, list[dict], list[str]]:
    """The manifest's rows for the readable images; all that was skipped; notes for the user."""
    skipped, rows = list(listing.skipped), []
    for row, seen in zip(listing.rows, staged.rows, strict=True):
        if "sha256" in seen:
            rows.append({**row, **seen})
        else:
            skipped.append({"path": row["path"], "reason": seen["reason"]})
    if not rows:
        staged.discard()
        raise DataError(
            f"None of the {len(skipped)} images of {found.source.name} can be read; the first: "
            f"{skipped[0]['path']}: {skipped[0]['reason']}"
        )
    groups, kinds = find_groups(rows, listing.pairs)
    for row, group, kind in zip(rows, groups, kinds, strict=True):
        row |= {"group": group, "group_kind": kind}
    frame = pd.DataFrame(rows)
    known = [name for name in ATTRIBUTES if name in frame and frame[name].notna().any()]
    notes = list(listing.notes)
    copies = len(frame) - frame["sha256"].nunique()
    if copies:
        notes.append(
            f"{copies} images are exact copies of others; each shares its original's group."
        )
    if set(kinds) == {"image"}:
        notes.append(
            "Neither patients nor lesions are known: each image is its own group, and intervals "
            "computed from this dataset are optimistic."
        )
    core = ["image_id", "path", "label", "group", "sha256", "width", "height"]
    return frame[core + known], skipped, notes


def _counts(listing: Listing, frame: pd.DataFrame) -> dict:
    """Numbers of distinct lesions and patients among the images that were kept, and what groups stand for."""
    kept = set(frame["image_id"])
    rows = [row for row in listing.rows if row["image_id"] in kept]
    kinds = Counter(next((kind for kind in KINDS[:2] if row.get(kind)), "image") for row in rows)
    counts = {f"{kind}s": len({row[kind] for row in rows if row.get(kind)}) for kind in KINDS[:2]}
    return {**counts, "group_kinds": dict(kinds), "known_pairs": len(listing.pairs)}
