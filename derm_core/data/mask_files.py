"""Files of lesion masks, in folders and zip archives, and which image each is of: names alone, no pixel is read.

sources = masks_beside(files)                 of a folder that is imported: what is no photo there
sources = masks_at(path)                      of a folder or archive that somebody names
matched = match_masks(sources, ids)
matched.masks[7].read()                       the mask of the image in row 7
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError, ImageError
from ..formatting import count, listed
from .decode import MAX_BYTES, read_bytes
from .image_files import (
    BEGINNING,
    ENDING,
    IMAGE_SUFFIXES,
    MASK_ARCHIVE,
    FolderFiles,
    images_in_zip,
    scan,
    stem,
)
from .image_ids import ImageIds
from .unpack import DAMAGE

NAMED = 3  # files that one sentence names
# Files beside a photo that show something else than where the whole lesion is.
NO_OUTLINE = re.compile(
    r"attribute_|superpixel|thumb|overlay|heatmap|grad-?cam|[ _-]cam(?![a-z])|saliency|annotated|contour",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class MaskSource:
    """A folder or zip archive with masks.

    Attributes:
        path: of the folder or archive.
        names: of the files in it.
        called: what notes call it.
    """

    path: Path
    names: tuple[str, ...]
    called: str


@dataclass(frozen=True)
class MaskFile:
    """One file of a source."""

    source: MaskSource
    name: str


@dataclass(frozen=True)
class MatchedMasks:
    """Which file is the mask of which image.

    Attributes:
        images: how many there are.
        masks: row of the manifest → its mask.
        unmatched: names of files that fit no image, or several.
        rivals: names of files of which several fit one image.
        others: names of files that show no whole lesion.
    """

    images: int
    masks: dict[int, MaskFile] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """Where the masks come from, in words."""
        return listed(list(dict.fromkeys(one.source.called for one in self.masks.values())))

    def notes(self) -> list[str]:
        """What was not taken, one sentence for each reason."""
        reasons = (
            (self.unmatched, "fits no image, or several, and was left out"),
            (self.rivals, "is one of several of one image and was left out"),
            (self.others, "shows no whole lesion by its name and was left out"),
        )
        return [about_files(names, reason) for names, reason in reasons if names]


def about_files(names: Sequence[str], reason: str) -> str:
    """A sentence such as '3 mask files: each fits no image (a.png, b.png, …).'."""
    few = ", ".join(posixpath.basename(name) for name in names[:NAMED])
    more = ", …" if len(names) > NAMED else ""
    each = "each " if len(names) > 1 else ""
    return f"{count(len(names), 'mask file')}: {each}{reason} ({few}{more})."


def masks_beside(files: FolderFiles) -> list[MaskSource]:
    """The masks among the files of an imported folder: those left out of its images, and archives of masks."""
    by_top: dict[str, list[str]] = defaultdict(list)
    for name in files.left_out.get("masks", ()):
        by_top[name.split("/")[0] if "/" in name else ""].append(name)
    few = len(by_top) <= NAMED  # else masks stand in the folders of the classes
    groups = by_top if few else {"": [name for names in by_top.values() for name in names]}
    sources = [
        MaskSource(files.root, tuple(names), top or files.root.name)
        for top, names in groups.items()
    ]
    for archive in files.mask_archives:
        path = files.root / archive
        sources.append(MaskSource(path, _masks_among(images_in_zip(path)), archive))
    return sources


def masks_at(path: Path) -> list[MaskSource]:
    """The masks in a folder or zip archive that somebody names: files called masks, or where none is, all images.

    Raises:
        DataError: it is neither, or holds no image.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; give the folder or zip archive of the masks.")
    if path.is_dir():
        files = scan(path)
        sources = masks_beside(files)
        if not sources and files.images:
            sources = [MaskSource(files.root, tuple(files.images), path.name)]
    else:
        if path.suffix.lower() != ".zip":
            raise DataError(f"{path.name} is no folder and no zip archive; give one of masks.")
        try:
            names = _masks_among(images_in_zip(path))
        except (*DAMAGE, OSError) as error:
            raise DataError(f"{path.name} cannot be read ({error}); copy it again.") from error
        sources = [MaskSource(path, names, path.name)] if names else []
    if not sources:
        raise DataError(
            f"{path.name} holds no image; masks are {', '.join(IMAGE_SUFFIXES[:5])} … files called as their images, "
            "such as ISIC_0024306_segmentation.png or masks/ISIC_0024306.png."
        )
    return sources


def _masks_among(names: Sequence[str]) -> tuple[str, ...]:
    """Those that are called masks; all where none is."""
    telling = tuple(name for name in names if _cells(name)[1:] or MASK_ARCHIVE.search(name))
    return telling or tuple(names)


def match_masks(sources: Sequence[MaskSource], ids: ImageIds, images: int) -> MatchedMasks:
    """Which file is the mask of which image, by name.

    Args:
        sources: of the masks.
        ids: names of the images.
        images: their number.
    """
    files = [MaskFile(source, name) for source in sources for name in source.names]
    others = [one.name for one in files if NO_OUTLINE.search(one.name)]
    files = [one for one in files if not NO_OUTLINE.search(one.name)]
    joined = ids.join(cell for one in files for cell in _cells(one.name))
    of_row: dict[int, list[MaskFile]] = defaultdict(list)
    unmatched = []
    for one in files:
        rows = [joined.rows[cell] for cell in _cells(one.name) if cell in joined.rows]
        if rows:
            of_row[rows[0]].append(one)
        else:
            unmatched.append(one.name)
    rivals = [one.name for several in of_row.values() if len(several) > 1 for one in several]
    masks = {row: several[0] for row, several in of_row.items() if len(several) == 1}
    return MatchedMasks(images, masks, tuple(unmatched), tuple(rivals), tuple(others))


def _cells(name: str) -> list[str]:
    """The names of the image that a file may be the mask of: its own, and that without "_segmentation" and the like."""
    folder, base = posixpath.split(name)
    base = stem(base)
    names = (base, ENDING.sub("", base), BEGINNING.sub("", base))
    return [posixpath.join(folder, one) for one in dict.fromkeys(names) if one]


class MaskReader:
    """Reads files of masks, from archives that stay open meanwhile; from several threads at once."""

    def __init__(self, archives: dict[Path, zipfile.ZipFile]):
        self.archives = archives

    def read(self, one: MaskFile) -> bytes:
        """The content of a file. Raises ImageError where it cannot be read or is too large."""
        archive = self.archives.get(one.source.path)
        if archive is None:
            return read_bytes(one.source.path / one.name, posixpath.basename(one.name))
        try:
            if archive.getinfo(one.name).file_size > MAX_BYTES:
                raise ImageError(f"{one.name}: the file is larger than {MAX_BYTES // 2**20} MB.")
            return archive.read(one.name)
        except (*DAMAGE, KeyError, OSError) as error:
            raise ImageError(f"{one.name} cannot be read from its archive ({error}).") from error


@contextmanager
def open_sources(sources: Sequence[MaskSource]) -> Iterator[MaskReader]:
    """A reader of the files of some sources. Raises DataError where an archive cannot be opened."""
    archives: dict[Path, zipfile.ZipFile] = {}
    with ExitStack() as stack:
        for path in dict.fromkeys(source.path for source in sources if source.path.is_file()):
            try:
                archives[path] = stack.enter_context(zipfile.ZipFile(path))
            except (*DAMAGE, OSError) as error:
                raise DataError(f"{path.name} cannot be read ({error}); copy it again.") from error
        yield MaskReader(archives)
