"""Import: a folder or file in a known layout becomes a manifest and a store; it can be resumed."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ..errors import DataError, NotFound
from ..locks import hold
from ..records import to_json
from ..workspace import DatasetPaths, Workspace
from . import medmnist
from .cautions import cautions, groups_known
from .columns import ATTRIBUTES, GROUPS
from .decode_all import DecodedFile, DecodedImages, Progress, decode_images, source_key
from .facts import ListedImage
from .groups import find_groups
from .import_options import ImportOptions, ImportSource
from .import_preview import check_listing, class_counts, complete_listing
from .layouts import Layout, find_layout
from .listing import Listing
from .manifest import (
    CORE,
    IDS,
    Dataset,
    DatasetInfo,
    Skipped,
    load_dataset,
    read_info,
    save_dataset,
)
from .mask_files import masks_beside
from .masks import add_masks, mask_info
from .recognition import describe_classes, terms_of_use
from .store import open_store, write_store

PATIENCE_SECONDS = 3.0  # which the workers of an import that was killed need to end


@dataclass(frozen=True)
class ImportResult:
    """The outcome of an import.

    Attributes:
        classes: their number.
        class_counts: images by class; unlabelled: those without one.
        source: what was taken for what.
        groups_known: whether a patient or a lesion of any image is known.
        masks: images with a mask of their lesion.
        seconds: of this call.
    """

    name: str
    images: int
    classes: int
    groups: int
    skipped: tuple[Skipped, ...]
    seconds: float
    class_names: tuple[str, ...] = ()
    layout: str = ""
    notes: tuple[str, ...] = ()
    class_counts: dict[str, int] = field(default_factory=dict)
    unlabelled: int = 0
    source: ImportSource = field(default_factory=ImportSource)
    groups_known: bool = True
    masks: int = 0


def import_dataset(
    workspace: Workspace,
    path: str | Path,
    name: str,
    *,
    options: ImportOptions | None = None,
    sizes: Sequence[int] = (64,),
    processes: int | None = None,
    progress: Progress | None = None,
) -> ImportResult:
    """Import the data set at `path` as dataset `name`, with a store for each of `sizes`.

    Files are read once. Interrupted, a repeated call goes on where it stopped; repeated on
    unchanged files it only reports.

    Args:
        workspace: where the dataset is written.
        path: folder or file of the data set.
        name: of the dataset.
        options: what the user has decided; what is left open is found out.
        sizes: sides of the stores' square images in pixels.
        processes: by default one per core.
        progress: called with (done, total) images.

    Raises:
        DataError: unknown layout, no readable image, or `name` stands for another source.
        ConfigError: `name` is that of a dataset of the shared server.
    """
    started = time.monotonic()
    paths = workspace.dataset(name)
    paths.require_own()
    layout = _find_layout(Path(path), options, paths)
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with hold(paths.root / "import.lock", PATIENCE_SECONDS) as alone:
        if not alone:
            raise DataError(f"Dataset {name} is being imported already; wait for that import.")
        try:
            dataset = _import(workspace, paths, layout, tuple(sizes), processes, progress)
            masks, mask_notes = _import_masks(dataset, layout, progress)
        finally:
            if os.listdir(paths.root) == ["import.lock"]:  # nothing to go on from
                shutil.rmtree(paths.root)
    info, labels = dataset.info, dataset.frame["label"].tolist()
    return ImportResult(
        name,
        images=len(dataset),
        classes=len(dataset.classes),
        groups=info.groups,
        skipped=info.skipped,
        seconds=time.monotonic() - started,
        class_names=dataset.classes,
        layout=info.layout,
        notes=(*info.notes, *mask_notes),
        class_counts=class_counts(labels, dataset.classes),
        unlabelled=labels.count(None),
        source=info.imported or ImportSource(layout=info.layout),
        groups_known=groups_known(info.group_kinds or {}),
        masks=masks,
    )


def _import_masks(
    dataset: Dataset, layout: Layout, progress: Progress | None
) -> tuple[int, tuple[str, ...]]:
    """Keep the masks that lie beside the images: how many images have one, and what has to be said of them.

    Where there are none, those that were added before stay.
    """
    sources = masks_beside(layout.files) if layout.files else []
    if not sources:
        known = mask_info(dataset.paths)
        return (known.masks, ()) if known else (0, ())
    try:
        info = add_masks(dataset, sources, progress)
    except DataError as error:
        return 0, (str(error),)
    return info.masks, (str(info), *info.notes)


def _find_layout(path: Path, options: ImportOptions | None, paths: DatasetPaths) -> Layout:
    """The layout of a data set. Raises DataError where the dataset at `paths` is another one's."""
    with _garbage_collection_off():
        layout = find_layout(path, options)
    try:
        source = read_info(paths).source
    except (DataError, NotFound):
        return layout  # new, or damaged: importing again repairs it
    if source != str(layout.source):
        raise DataError(
            f"Dataset {paths.name} exists already and comes from {source}; choose another name, "
            "or delete it first."
        )
    return layout


def _import(
    workspace: Workspace,
    paths: DatasetPaths,
    layout: Layout,
    sizes: tuple[int, ...],
    processes: int | None,
    progress: Progress | None,
) -> Dataset:
    started = time.monotonic()
    with _garbage_collection_off():
        if layout.array is not None:
            listing, progress = medmnist.unpack(layout.array, paths.images, progress)
        else:
            listing = complete_listing(layout)
        check_listing(layout, listing)
        files = [image.path for image in listing.images]
        key = _listing_key(listing, source_key(files, ()))
    existing = _unchanged(workspace, paths, key)
    if existing is not None:
        for size in sizes:
            open_store(workspace, existing, size, processes=processes, progress=progress)
        return existing
    decoded = decode_images(
        paths.root / "import-staging",
        files,
        sizes,
        key=key + "/" + ",".join(map(str, sorted(sizes))),
        processes=processes,
        progress=progress,
    )
    with _garbage_collection_off():
        frame, info = _manifest(layout, listing, decoded, key, started)
    dataset = save_dataset(workspace, paths.name, frame, info)
    for size in sizes:
        write_store(dataset, size, decoded)
    decoded.discard()
    return dataset


@contextlib.contextmanager
def _garbage_collection_off() -> Iterator[None]:
    """While millions of objects that stay are made: each search for garbage would look at all of them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _listing_key(listing: Listing, files_key: str) -> str:
    rows = [image.row() for image in listing.images]
    words = [rows, listing.same_lesion, to_json(listing.skipped), to_json(listing.source)]
    text = json.dumps([*words, listing.notes], sort_keys=True)
    return hashlib.sha256((files_key + text).encode()).hexdigest()


def _unchanged(workspace: Workspace, paths: DatasetPaths, key: str) -> Dataset | None:
    """The dataset as it stands, if it was made from these very files and words."""
    try:
        dataset = load_dataset(workspace, paths.name)
    except (DataError, NotFound):
        return None
    return dataset if dataset.info.source_key == key else None


def _manifest(
    layout: Layout, listing: Listing, decoded: DecodedImages, source_key: str, started: float
) -> tuple[pd.DataFrame, DatasetInfo]:
    """The manifest of the readable images, and the description of the dataset."""
    skipped = list(listing.skipped)
    images: list[ListedImage] = []
    read: list[DecodedFile] = []
    for image, file in zip(listing.images, decoded.files, strict=True):
        if file.sha256 is None:
            path = image.path.removeprefix(f"{layout.files.root}/" if layout.files else "")
            skipped.append(Skipped(path, file.reason or ""))
        else:
            images.append(image)
            read.append(file)
    if not images:
        decoded.discard()
        raise DataError(
            f"None of the {len(skipped)} images of {layout.source.name} can be read; the first: "
            f"{skipped[0].path}: {skipped[0].reason}"
        )
    frame = pd.DataFrame([image.row() for image in images])
    for name in ("sha256", "width", "height"):
        frame[name] = [getattr(file, name) for file in read]
    frame["group"], kinds = find_groups(images, frame["sha256"].tolist(), listing.same_lesion)
    patients, lesions = (frame[kind].nunique() if kind in frame else 0 for kind in GROUPS)
    known = [name for name in (*IDS, *ATTRIBUTES) if name in frame and frame[name].notna().any()]
    present = set(frame["label"].dropna())
    license, citation = terms_of_use(layout, listing)
    info = DatasetInfo(
        layout=layout.name,
        source=str(layout.source),
        imported=listing.source,
        classes=tuple(label for label in listing.classes if label in present),
        skipped=tuple(skipped),
        notes=(*listing.notes, *_notes(frame, kinds)),
        created=time.time(),
        source_key=source_key,
        seconds=time.monotonic() - started,
        lesions=lesions,
        patients=patients,
        group_kinds=kinds,
        known_pairs=len(listing.same_lesion),
        license=license,
        citation=citation,
        class_descriptions=describe_classes(listing.classes),
    )
    return frame[[*CORE, *known]], info


def _notes(frame: pd.DataFrame, kinds: Mapping[str, int]) -> list[str]:
    notes = []
    copies = len(frame) - frame["sha256"].nunique()
    if copies:
        notes.append(
            f"{copies} images are exact copies of others; each shares its original's group."
        )
    labels, groups, contents = (frame[name].tolist() for name in ("label", "group", "sha256"))
    return notes + [f"Caution: {text}" for text in cautions(labels, groups, contents, kinds)]
