"""Paths in a workspace; made from checked ids here, and nowhere else."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from .arms import arm_file
from .errors import ConfigError
from .files import disk_bytes, storage_errors

ID_PATTERN = re.compile(r"^[a-z0-9][a-z0-9-]{0,39}$")
REPOSITORY = Path(__file__).resolve().parent.parent  # the folder that holds the package derm_core


def check_id(text: str, what: str = "name") -> str:
    """`text` if it may be part of a path: user text never becomes one. Raises ConfigError."""
    if not isinstance(text, str) or not ID_PATTERN.fullmatch(text):
        raise ConfigError(
            f"{what} {text!r} is not allowed: use 1 to 40 lower-case letters, digits and hyphens, "
            "starting with a letter or digit."
        )
    return text


def new_run_id(kind: str) -> str:
    """A run id such as `study-20260102-030405-a1b2`."""
    return check_id(f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}", "run id")


@dataclass(frozen=True)
class RunFiles:
    """Every path in the folder of one run: the portable record of what it did.

    The worker writes; readers find the same names whatever version wrote them.
    """

    root: Path

    @property
    def id(self) -> str:
        """The run's id, which is the name of its folder."""
        return self.root.name

    @property
    def config(self) -> Path:
        """Its settings, every value resolved."""
        return self.root / "config.json"

    @property
    def events(self) -> Path:
        """Its events, one JSON object a line."""
        return self.root / "events.jsonl"

    @property
    def about(self) -> Path:
        """Name, tags and note that a user gave the run."""
        return self.root / "about.json"

    @property
    def log(self) -> Path:
        """What its worker prints."""
        return self.root / "log.txt"

    @property
    def lock(self) -> Path:
        """Held by its worker."""
        return self.root / "lock"

    @property
    def checkpoints(self) -> Path:
        """Folder of what a resumed run goes on from."""
        return self.root / "checkpoints"

    @property
    def artefacts(self) -> Path:
        """Folder of its results."""
        return self.root / "artefacts"

    @property
    def precision(self) -> Path:
        """Number format, memory layout and batch size, chosen once and used again after a resume."""
        return self.checkpoints / "precision.json"

    # Pretraining

    @property
    def summary(self) -> Path:
        """Metrics and settings of a finished pretraining."""
        return self.artefacts / "summary.json"

    @property
    def vae(self) -> Path:
        """What rebuilds the VAE; its weights are `vae_weights`."""
        return self.artefacts / "vae.json"

    @property
    def vae_weights(self) -> Path:
        """Tensors of the VAE."""
        return self.artefacts / "vae.safetensors"

    @property
    def latents(self) -> Path:
        """KL divergence and spread of each latent dimension on validation images."""
        return self.artefacts / "latents.json"

    # Study

    @property
    def study(self) -> Path:
        """Every result of a study."""
        return self.artefacts / "study.json"

    @property
    def labels(self) -> Path:
        """The task (classes or priorities) that the labels of the study stand for."""
        return self.artefacts / "labels.json"

    @property
    def predictions(self) -> Path:
        """Probabilities of every arm, seed and image of validation and test."""
        return self.artefacts / "predictions.parquet"

    @property
    def decisions(self) -> Path:
        """The class that every arm decides for, by test image."""
        return self.artefacts / "decisions.parquet"

    @property
    def label_efficiency_predictions(self) -> Path:
        """Test probabilities of a fold at each share of the labels."""
        return self.artefacts / "extras" / "label_efficiency.npz"

    def answer(self, question: str) -> Path:
        """The answer to a question that a study asks beyond its main table."""
        return self.artefacts / "extras" / f"{question}.json"

    def curves(self, arm: str) -> Path:
        """Learning curves of an arm: one row a seed and reading."""
        return self.artefacts / "curves" / f"{arm_file(arm)}.csv"

    def heads(self, arm: str) -> Path:
        """The trained heads of an arm of the regime `frozen`, tensors stacked over seeds."""
        return self.artefacts / "heads" / f"{arm_file(arm)}.safetensors"

    def model(self, arm: str, seed: int) -> Path:
        """The fine-tuned classifier of an arm and seed."""
        return self.artefacts / "models" / f"{arm_file(arm)}-seed{seed}.safetensors"

    # Map

    @property
    def map_info(self) -> Path:
        """Settings and quality of a map."""
        return self.artefacts / "map.json"

    @property
    def map_points(self) -> Path:
        """The points of a map, one row an image."""
        return self.artefacts / "map.parquet"

    @property
    def neighbours(self) -> Path:
        """Manifest rows of each image's nearest images."""
        return self.artefacts / "neighbours.npy"

    @property
    def distances(self) -> Path:
        """Distances to them in the feature space."""
        return self.artefacts / "distances.npy"

    @property
    def data_issues(self) -> Path:
        """Images whose label, split or look should be checked."""
        return self.artefacts / "trouble.parquet"

    @property
    def factors(self) -> Path:
        """Which latent dimension follows which known factor of synthetic data."""
        return self.artefacts / "factors.parquet"

    def create(self) -> RunFiles:
        """Make the folder with its subfolders, readable by their owner only."""
        with storage_errors(self.root):
            for folder in (self.root, self.checkpoints, self.artefacts):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self


@dataclass(frozen=True)
class DatasetPaths:
    """The folder of one imported dataset; its images may lie elsewhere."""

    root: Path

    @property
    def name(self) -> str:
        """The dataset's name, which is the name of its folder."""
        return self.root.name

    @property
    def manifest(self) -> Path:
        """One row an image."""
        return self.root / "manifest.parquet"

    @property
    def info(self) -> Path:
        """Classes, counts, source and fingerprint."""
        return self.root / "dataset.json"

    @property
    def stores(self) -> Path:
        """Folder of the decoded images, by size."""
        return self.root / "stores"

    @property
    def images(self) -> Path:
        """Folder of the images of a dataset that brings no files of its own."""
        return self.root / "images"

    @property
    def masks(self) -> Path:
        """Folder of the lesion masks of a synthetic dataset."""
        return self.root / "masks"

    def store(self, size: int) -> Path:
        """Folder of the images decoded at `size` pixels."""
        return self.stores / f"{int(size)}"


@dataclass(frozen=True)
class Workspace:
    """The folder of a user's runs, datasets, caches and bundles: $DERM_HOME, by default ./workspace."""

    root: Path

    @classmethod
    def open(cls, root: str | Path | None = None) -> Workspace:
        """The workspace at `root`, else at $DERM_HOME, else ./workspace; made where it is missing (0700).

        Raises:
            ConfigError: it cannot be made.
        """
        path = Path(root or os.environ.get("DERM_HOME") or "workspace").expanduser().resolve()
        try:
            for folder in (path, path / "runs", path / "datasets", path / "cache", path / "models"):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(
                f"The workspace {path} cannot be made ({error.strerror}); set DERM_HOME to a folder "
                "you may write to."
            ) from error
        return cls(path)

    @property
    def database(self) -> Path:
        """The table of runs."""
        return self.root / "runs.db"

    @property
    def cache(self) -> Path:
        """Folder of what can be computed again."""
        return self.root / "cache"

    @property
    def models(self) -> Path:
        """Folder of the bundles that a user publishes or imports."""
        return self.root / "models"

    def run(self, run_id: str) -> RunFiles:
        """The files of a run. Raises ConfigError for what is not an id."""
        return RunFiles(self.root / "runs" / check_id(run_id, "run id"))

    def dataset(self, name: str) -> DatasetPaths:
        """The files of a dataset. Raises ConfigError for what is not a name."""
        return DatasetPaths(self.root / "datasets" / check_id(name, "dataset name"))

    def dataset_names(self) -> list[str]:
        """Names of complete datasets, sorted."""
        return sorted(
            p.parent.name
            for p in (self.root / "datasets").glob("*/dataset.json")
            if ID_PATTERN.fullmatch(p.parent.name)
        )

    def shelves(self) -> list[Path]:
        """Folders that hold bundles: those that ship with the program first, then the user's."""
        return [models_folder(), self.models]

    def device_lock(self, device: str) -> Path:
        """The lock held by the run that uses a device."""
        return self.root / f"device-{check_id(device.replace(':', '-'), 'device')}.lock"

    def remove(self, folder: Path) -> int:
        """Delete a folder of this workspace; returns the bytes freed. Raises ConfigError for one outside it."""
        folder = Path(folder)
        if self.root not in folder.resolve().parents:
            raise ConfigError(
                f"{folder} is not inside the workspace {self.root}; nothing was deleted."
            )
        freed = disk_bytes(folder)
        shutil.rmtree(folder, ignore_errors=False)
        return freed


def weights_folder() -> Path:
    """Where a user keeps ImageNet weights: $DERM_WEIGHTS, else ./weights."""
    return Path(os.environ.get("DERM_WEIGHTS") or "weights").expanduser()


def app_folder() -> Path:
    """The folder of app.py, pages/, models/ and studies/.

    `derm_core/_app` in an installed package, the top of the tree in a checkout.
    """
    installed = Path(__file__).resolve().parent / "_app"
    return installed if installed.is_dir() else REPOSITORY


def models_folder() -> Path:
    """The folder of the models that ship with the program."""
    return app_folder() / "models"
