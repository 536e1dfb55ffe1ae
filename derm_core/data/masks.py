"""Masks of the lesions of a dataset's images, kept with the dataset: where in its image each lesion lies.

`masks.parquet` beside the manifest has a row for each image with a mask: image_id, sha256 (of the image), share (of
the image's pixels, 0 to 1) and mask, a PNG of one bit a pixel of the whole image, its shorter side at most
STORED_SIDE. A mask goes through the same crop and resize as its image, so that both lie on one another. `masks.json`
says where they came from. Neither changes the dataset's fingerprint: no result of a classifier depends on them.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ..config.shared import ImageForm
from ..errors import DataError, ImageError, NotFound
from ..files import private_folder, read_json, write_atomic, write_json
from ..formatting import count
from ..machine import cpu_cores
from ..records import from_json, to_json
from ..workspace import DatasetPaths
from .decode import open_picture, prepare
from .decode_all import Progress, source_key
from .image_ids import ImageIds
from .manifest import Dataset
from .mask_files import (
    MaskFile,
    MaskReader,
    MaskSource,
    MatchedMasks,
    about_files,
    match_masks,
    open_sources,
)

STORED_SIDE = 512  # pixels
ASPECT = 0.01  # by which the ratio of a mask's sides may differ from its image's, beyond a pixel of rounding
GREY = 0.05  # share of a mask's pixels that may lie between black and white: smoothed edges
INVERTED = 0.5  # share of masks that are marked at the corners and not in the middle
CHUNK = 256  # masks between two reports of progress


@dataclass(frozen=True, kw_only=True)
class MasksInfo:
    """What is known of a dataset's masks.

    Attributes:
        images: of the dataset when they were read.
        masks: how many of these have one.
        source: the folder or archive that was read, of several the first.
        called: where they came from, in words.
        notes: what was left out, and cautions.
        key: hash of the files and of the dataset they were read for.
        created: seconds since 1970.
    """

    images: int
    masks: int
    source: str = ""
    called: str = ""
    notes: tuple[str, ...] = ()
    key: str = ""
    created: float = 0.0

    def __str__(self) -> str:
        """A sentence: 9,958 of 10,015 images have a lesion mask, from segmentations.zip."""
        return describe_count(self.masks, self.images, self.called)


def describe_count(masks: int, images: int, called: str) -> str:
    """How many images have a mask, in words."""
    origin = f", from {called}" if called else ""
    return f"{masks:,} of {count(images, 'image')} {'has' if masks == 1 else 'have'} a lesion mask{origin}."


def as_seen(mask: Image.Image, form: ImageForm) -> np.ndarray:
    """(S, S) bool of a mask of a whole image: the part that a model sees, resized as an image of this form is."""
    inside: np.ndarray = prepare(mask, form.size, form.interpolation) > 127
    return inside


@dataclass(frozen=True)
class Masks:
    """The masks of a dataset.

    Attributes:
        info: where they came from.
        table: columns image_id, sha256, share and mask, of images that the dataset has as they were.
    """

    info: MasksInfo
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def _of_id(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.table["image_id"])}

    @cached_property
    def _of_content(self) -> dict[str, int]:
        return {sha256: row for row, sha256 in enumerate(self.table["sha256"])}

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._of_id

    def of_image(self, image_id: str) -> Image.Image | None:
        """The mask of an image, mode "L", 255 inside the lesion and 0 outside; None where it has none."""
        return self._mask(self._of_id.get(image_id))

    def of_content(self, sha256: str) -> Image.Image | None:
        """As `of_image`, of the image file with this hash."""
        return self._mask(self._of_content.get(sha256))

    def _mask(self, row: int | None) -> Image.Image | None:
        if row is None:
            return None
        with Image.open(io.BytesIO(self.table["mask"].iloc[row]), formats=("PNG",)) as picture:
            return picture.convert("L")


# ---- reading -----------------------------------------------------------------------------------


def read_masks(dataset: Dataset) -> Masks | None:
    """The masks of a dataset's images; None where it has none. Raises DataError where they cannot be read."""
    files = mask_paths(dataset.paths)
    if files is None:
        return None
    try:
        info = from_json(MasksInfo, read_json(files.mask_info), "masks.json", unknown="ignore")
        table = pd.read_parquet(files.lesion_masks)
        known = dict(zip(dataset.frame["image_id"], dataset.frame["sha256"], strict=True))
        same = [
            known.get(image_id) == sha256
            for image_id, sha256 in zip(table["image_id"], table["sha256"], strict=True)
        ]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"The lesion masks of {dataset.name} cannot be read ({error}): add them again with "
            f"`data masks {dataset.name} PATH`."
        ) from error
    return Masks(info, table[same].reset_index(drop=True))


def mask_paths(paths: DatasetPaths) -> DatasetPaths | None:
    """The paths below which a dataset's masks are: a user's own before those of a shared dataset; None without."""
    for here in (paths, DatasetPaths(paths.root)):
        if here.mask_info.exists() and here.lesion_masks.exists():
            return here
    return None


def mask_info(paths: DatasetPaths) -> MasksInfo | None:
    """What is known of a dataset's masks; None where it has none."""
    files = mask_paths(paths)
    if files is None:
        return None
    return from_json(MasksInfo, read_json(files.mask_info), "masks.json", unknown="ignore")


# ---- adding ------------------------------------------------------------------------------------


def add_masks(
    dataset: Dataset, sources: Sequence[MaskSource], progress: Progress | None = None
) -> MasksInfo:
    """Read masks and keep them with the dataset, in the place of those it had.

    Read from unchanged files before, nothing is done.

    Args:
        dataset: whose images they are of.
        sources: folders and archives with the masks.
        progress: called with (done, total) masks.

    Raises:
        DataError: no file is the mask of an image.
    """
    key = _key(dataset, sources)
    known = mask_info(dataset.paths)
    if known and known.key == key:
        return known
    matched = match_masks(sources, ImageIds(dataset.frame), len(dataset))
    table, notes = _read_all(dataset, matched, sources, progress)
    if not len(table):
        raise DataError(
            f"None of the mask files is the mask of an image of {dataset.name}: "
            f"{' '.join([*matched.notes(), *notes])} Masks are called as their images, which are called such as "
            f"{dataset.frame['image_id'].iloc[0]}."
        )
    info = MasksInfo(
        images=len(dataset),
        masks=len(table),
        source=str(sources[0].path),
        called=matched.called,
        notes=(*matched.notes(), *notes, *_cautions(table)),
        key=key,
        created=time.time(),
    )
    private_folder(dataset.paths.lesion_masks.parent)
    columns = table[["image_id", "sha256", "share", "mask"]]
    write_atomic(dataset.paths.lesion_masks, columns.to_parquet(index=False))
    write_json(dataset.paths.mask_info, to_json(info))
    return info


def remove_masks(paths: DatasetPaths) -> None:
    """Delete the masks of a dataset; of a shared server's, those that its user added. The files they came from stay.

    Raises:
        NotFound: there are none to remove.
    """
    if not (paths.lesion_masks.exists() or paths.mask_info.exists()):
        raise NotFound(f"{paths.name} has no lesion masks of its own; nothing was removed.")
    for path in (paths.mask_info, paths.lesion_masks):
        path.unlink(missing_ok=True)


def _key(dataset: Dataset, sources: Sequence[MaskSource]) -> str:
    """Hash of the files of masks, by size and time of change, and of the dataset."""
    paths = [
        str(path)
        for source in sources
        for path in (
            [source.path]
            if source.path.is_file()
            else [source.path / name for name in source.names]
        )
    ]
    return hashlib.sha256(f"{source_key(paths, ())} {dataset.fingerprint}".encode()).hexdigest()


def _read_all(
    dataset: Dataset,
    matched: MatchedMasks,
    sources: Sequence[MaskSource],
    progress: Progress | None,
) -> tuple[pd.DataFrame, list[str]]:
    """The table of masks that can be used, and a sentence for each reason why others cannot."""
    rows = sorted(matched.masks)
    columns = ("image_id", "sha256", "width", "height")
    ids, hashes, *sides = (dataset.frame[column].iloc[rows].tolist() for column in columns)
    sizes = list(zip(*sides, strict=True))
    made: list[dict[str, object]] = []
    refused: dict[str, list[str]] = defaultdict(list)
    with open_sources(sources) as reader, ThreadPoolExecutor(cpu_cores()) as pool:
        for start in range(0, len(rows), CHUNK):
            part = range(start, min(start + CHUNK, len(rows)))
            read = partial(_read_one, reader)
            files = [matched.masks[rows[i]] for i in part]
            results = pool.map(read, files, [sizes[i] for i in part])
            for i, file, result in zip(part, files, results, strict=True):
                if isinstance(result, str):
                    refused[result].append(file.name)
                else:
                    made.append({"image_id": ids[i], "sha256": hashes[i], **result})
            if progress:
                progress(part.stop, len(rows))
    notes = [about_files(names, reason) for reason, names in refused.items()]
    return pd.DataFrame(made), notes


def _read_one(
    reader: MaskReader, file: MaskFile, size: tuple[int, int]
) -> Mapping[str, object] | str:
    """Share, PNG and whether it may be inverted of one mask; or why it cannot be used.

    size: (width, height) of its image.
    """
    try:
        picture = open_picture(reader.read(file), Path(file.name).name)
    except ImageError:
        return "cannot be read and was left out"
    ratio = (picture.width / picture.height) / (size[0] / size[1])
    if abs(ratio - 1) > ASPECT + 1 / min(*picture.size, *size):
        return "has not the shape of its image and was left out"
    values = np.asarray(picture.convert("L"))
    top = int(values.max())
    if not top:
        return "marks no pixel and was left out"
    levels = values / top
    if ((levels > 0.1) & (levels < 0.9)).mean() > GREY:
        return "is no mask, which has two values, and was left out"
    inside = values > top / 2
    corners, middle = inside[[0, 0, -1, -1], [0, -1, 0, -1]], inside[len(inside) // 2]
    inverted = bool(corners.all() and not middle[len(middle) // 2])
    return {"share": float(inside.mean()), "mask": _packed(inside), "inverted": inverted}


def _packed(inside: np.ndarray) -> bytes:
    """A mask as PNG of one bit a pixel."""
    picture = Image.fromarray(inside)
    shorter = min(picture.size)
    if shorter > STORED_SIDE:
        scale = STORED_SIDE / shorter
        size = round(picture.width * scale), round(picture.height * scale)
        grey = picture.convert("L").resize(size, Image.Resampling.BOX)
        picture = Image.fromarray(np.asarray(grey) > 127)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _cautions(table: pd.DataFrame) -> list[str]:
    """What makes one doubt that the masks mark lesions."""
    inverted = float(table["inverted"].mean())
    if inverted <= INVERTED:
        return []
    return [
        f"Caution: {count(int(table['inverted'].sum()), 'mask')} of {len(table):,} mark all corners of the image and "
        "not its middle. Are they inverted? White has to be the lesion."
    ]
