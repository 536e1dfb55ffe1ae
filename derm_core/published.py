"""Published results: a study and maps that ship with the program, read as finished runs and never written.

    studies/NAME/
      about.json                       an About: title, licence, attribution, source, how it was made
      config.json, protocol.json       of the study, as its run wrote them
      artefacts/study.json.gz          its result; curves/ARM.csv.gz, decisions.parquet
      maps/images.parquet, …           what all its maps share (insight.published_map)
      maps/MAP/config.json, artefacts  of each map

`Workspace.run` finds both by their names; `python -m tools.studies` writes such a folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .errors import RunError
from .files import read_json
from .records import from_json, optional
from .workspace import ID_PATTERN, RunFiles, studies_folder

ABOUT = "about.json"
TAG = "published result"


@dataclass(frozen=True, kw_only=True)
class SourceDataset:
    """The dataset that a published result was made from.

    Attributes:
        name: as its authors call it, else as it was imported.
        known_as: what the import recognised it as; None where it was no known one.
        fingerprint: of the imported dataset.
        license, attribution: its terms.
    """

    name: str
    known_as: str | None = optional()
    fingerprint: str
    images: int
    classes: tuple[str, ...]
    class_descriptions: dict[str, str]
    license: str
    attribution: str


@dataclass(frozen=True, kw_only=True)
class StoredVae:
    """The VAE whose posterior means are stored with the maps.

    Attributes:
        source: the library's model whose decoder draws them.
        sha256: of the tensors of the VAE whose encoder gave them.
        dimensions: of a latent.
        rms_error: what storing them in 8 bits changes, in standard deviations of a dimension.
    """

    source: str
    sha256: str
    dimensions: int
    rms_error: float


@dataclass(frozen=True, kw_only=True)
class About:
    """about.json of a published result.

    Attributes:
        name: its title; name, tags and note are read as those of a run.
        note: terms, attribution and what was changed, in a few sentences.
        licence: of the folder, as an SPDX name or in words.
        created: date, YYYY-MM-DD.
        runs: original run id by published name; maps in the order in which they are offered.
        commands: what made it.
        vae: None where no latents are stored.
    """

    name: str
    tags: tuple[str, ...] = (TAG,)
    note: str
    licence: str
    dataset: SourceDataset
    created: str
    runs: dict[str, str]
    commands: tuple[str, ...]
    vae: StoredVae | None = optional()


@dataclass(frozen=True)
class PublishedStudy:
    """A folder of studies/.

    Attributes:
        root: the folder.
        about: what it says of itself.
        maps: its maps, by name.
    """

    root: Path
    about: About
    maps: tuple[RunFiles, ...]

    @property
    def files(self) -> RunFiles | None:
        """The study's own files; None where the folder has maps alone."""
        files = RunFiles(self.root)
        return files if files.study.exists() else None


def published_studies() -> list[PublishedStudy]:
    """All published results, by name.

    Raises:
        RunError: one cannot be read.
    """
    folders = [path.parent for path in sorted(studies_folder().glob(f"*/{ABOUT}"))]
    return [read_published(folder) for folder in folders if ID_PATTERN.fullmatch(folder.name)]


def read_published(folder: Path) -> PublishedStudy:
    """One published result. Raises RunError."""
    try:
        about = from_json(About, read_json(folder / ABOUT), unknown="ignore", error=RunError)
    except (OSError, ValueError, RunError) as error:
        raise RunError(
            f"The published result {folder.name} cannot be read ({error}); get the program again."
        ) from error
    order = list(about.runs)
    maps = [RunFiles(path.parent) for path in sorted(folder.glob("maps/*/config.json"))]
    maps.sort(key=lambda files: order.index(files.id) if files.id in order else len(order))
    return PublishedStudy(folder, about, tuple(maps))


def publication_of(files: RunFiles) -> PublishedStudy | None:
    """The published result that a study's or a map's files belong to; None for a run's own."""
    for folder in (files.root, files.root.parent.parent):
        if folder.parent == studies_folder() and (folder / ABOUT).exists():
            return read_published(folder)
    return None
