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
from .config.shared import ImageForm
from .errors import ConfigError
from .files import disk_bytes, storage_errors

ID_PATTERN = re.compile(r"^[a-z0-9][a-z0-9-]{0,39}$")
USERS = "users"  # folder of the users' workspaces on a shared server
USER_FOLDER = re.compile(r"^user-[0-9a-f]{32}$")
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


@dataclass(unsafe_hash=True)
class RunFiles:
    """Every path in the folder of one run: the portable record of what it did.

    The worker writes; readers find the same names whatever version wrote them.

    Attributes:
        root: the folder.
        id: the run's id, which is the name of its folder.
        config: its settings, every value resolved.
        protocol: what a study fixed before it read a test image.
        events: its events, one JSON object a line.
        about: name, tags and note that a user gave the run.
        log: what its worker prints.
        lock: held by its worker.
        checkpoints: folder of what a resumed run goes on from.
        artefacts: folder of its results.
        precision: number format, memory layout and batch size, chosen once and used again after a resume.
        summary: metrics and settings of a finished pretraining.
        vae: what rebuilds the VAE; its weights are `vae_weights`.
        vae_weights: tensors of the VAE.
        latents: KL divergence and spread of each latent dimension on validation images.
        study: every result of a study; in a published study packed as .gz, as its curves are.
        labels: the task (classes or priorities) that the labels of the study stand for.
        predictions: probabilities of every arm, seed and image of validation and test, each arm at its
            own best setting.
        shared_predictions: the same with one setting for all arms.
        decisions: the class that every arm decides for, by test image.
        marks: the marks of images that a study used.
        label_efficiency_predictions: test probabilities of a fold at each share of the labels.
        linear_head_predictions: test probabilities of a fold with linear heads.
        map_info: settings and quality of a map.
        map_points: the points of a map, one row an image.
        packed_map: points, neighbours and features of a published map, which has no `map_points`.
        neighbours: manifest rows of each image's nearest images.
        distances: distances to them in the feature space.
        data_issues: images whose label, split or look should be checked.
        factors: which latent dimension follows which known factor of synthetic data.
    """

    root: Path

    def __post_init__(self) -> None:
        self.id = self.root.name
        self.config = self.root / "config.json"
        self.protocol = self.root / "protocol.json"
        self.events = self.root / "events.jsonl"
        self.about = self.root / "about.json"
        self.log = self.root / "log.txt"
        self.lock = self.root / "lock"
        self.checkpoints = self.root / "checkpoints"
        self.artefacts = self.root / "artefacts"
        self.precision = self.checkpoints / "precision.json"
        self.summary = self.artefacts / "summary.json"
        self.vae = self.artefacts / "vae.json"
        self.vae_weights = self.artefacts / "vae.safetensors"
        self.latents = self.artefacts / "latents.json"
        self.study = _or_packed(self.artefacts / "study.json")
        self.labels = self.artefacts / "labels.json"
        self.predictions = self.artefacts / "predictions.parquet"
        self.shared_predictions = self.artefacts / "predictions-shared.parquet"
        self.decisions = self.artefacts / "decisions.parquet"
        self.marks = self.artefacts / "marks.csv"
        self.label_efficiency_predictions = self.artefacts / "extras" / "label_efficiency.npz"
        self.linear_head_predictions = self.artefacts / "extras" / "linear_head.npz"
        self.map_info = self.artefacts / "map.json"
        self.map_points = self.artefacts / "map.parquet"
        self.packed_map = self.artefacts / "map.npz"
        self.neighbours = self.artefacts / "neighbours.npy"
        self.distances = self.artefacts / "distances.npy"
        self.data_issues = self.artefacts / "trouble.parquet"
        self.factors = self.artefacts / "factors.parquet"

    def answer(self, question: str) -> Path:
        """The answer to a question that a study asks beyond its main table."""
        return self.artefacts / "extras" / f"{question}.json"

    def curves(self, arm: str, shared: bool = False) -> Path:
        """Learning curves of an arm, at its own setting or the shared one: one row a seed and reading."""
        folder = self.artefacts / ("curves-shared" if shared else "curves")
        return _or_packed(folder / f"{arm_file(arm)}.csv")

    def heads(self, arm: str) -> Path:
        """The trained heads of an arm of the regime `frozen`, tensors stacked over seeds."""
        return self.artefacts / "heads" / f"{arm_file(arm)}.safetensors"

    def model(self, arm: str, seed: int) -> Path:
        """The fine-tuned classifier of an arm and seed."""
        return self.artefacts / "models" / f"{arm_file(arm)}-seed{seed}.safetensors"

    def create(self) -> RunFiles:
        """Make the folder with its subfolders, readable by their owner only."""
        with storage_errors(self.root):
            for folder in (self.root, self.checkpoints, self.artefacts):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self


def _or_packed(path: Path) -> Path:
    """The path, or that of the same file packed with gzip where only this is there."""
    packed = path.with_name(f"{path.name}.gz")
    return packed if packed.exists() and not path.exists() else path


@dataclass(unsafe_hash=True)
class DatasetPaths:
    """The folder of one imported dataset; its images may lie elsewhere.

    Attributes:
        root: the folder.
        own: where this workspace writes what it adds to the dataset: `root`, but for a dataset of a
            shared server, which many users read and none of them changes.
        name: the dataset's name, which is the name of its folder.
        manifest: one row an image.
        info: classes, counts, source and fingerprint.
        stores: folder of the decoded images, by size.
        test_looks: which runs of this workspace have tested which images.
        images: folder of the images of a dataset that brings no files of its own.
        masks: folder of the lesion masks of a synthetic dataset.
        lesion_masks, mask_info: masks of the lesions of its images, and what is known of them.
        marks: what people marked of its images, one row an image.
        embeddings: folder of the vectors that were brought for its images.
    """

    root: Path
    own: Path | None = None

    def __post_init__(self) -> None:
        self.own = self.own or self.root
        self.name = self.root.name
        self.manifest = self.root / "manifest.parquet"
        self.info = self.root / "dataset.json"
        self.stores = self.own / "stores"
        self.test_looks = self.own / "test_looks.json"
        self.images = self.root / "images"
        self.masks = self.root / "masks"
        self.lesion_masks = self.own / "masks.parquet"
        self.mask_info = self.own / "masks.json"
        self.marks = self.own / "marks.csv"
        self.embeddings = self.own / "embeddings"

    @property
    def is_shared(self) -> bool:
        """Whether the dataset is a shared server's: read by this workspace, never changed."""
        return self.own != self.root

    def store(self, size: int, interpolation: str = "bicubic") -> Path:
        """Folder of the images decoded at `size` pixels: "64", or "224-bilinear"."""
        return self.stores / f"{ImageForm(size, interpolation)}"

    def used_marks(self, sha256: str) -> Path:
        """The marks that a run used, by their hash."""
        return self.marks.parent / "used-marks" / f"{sha256}.csv"

    def ready_stores(self, size: int, interpolation: str = "bicubic") -> list[Path]:
        """Folders in which the decoded images may be ready: `store`, and that of a shared dataset itself."""
        form = f"{ImageForm(size, interpolation)}"
        return [self.stores / form, *([self.root / "stores" / form] if self.is_shared else [])]

    def require_own(self) -> None:
        """Raises ConfigError for a dataset of the shared server."""
        if self.is_shared:
            raise ConfigError(
                f"{self.name} is a dataset of the shared server, which everyone reads: it cannot be changed "
                "or deleted here, and no other dataset can have its name."
            )


@dataclass(frozen=True)
class Workspace:
    """The folder of a user's runs, datasets, caches and bundles: $DERM_HOME, by default ./workspace.

    On a shared server each user has one of their own, `users/user-…` below the server's, and reads
    the server's datasets and models as well (`shared_root`).
    """

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

    def of_user(self, folder: str) -> Workspace:
        """The workspace of one user of a shared server, below this one; made where it is missing.

        Args:
            folder: its name, as `users.user_folder` makes it.

        Raises:
            ConfigError: it cannot be made, or the name is none of that kind.
        """
        if not USER_FOLDER.fullmatch(folder):
            raise ConfigError(f"{folder!r} is not the folder of a user.")
        return Workspace.open(self.root / USERS / folder)

    @property
    def shared_root(self) -> Path | None:
        """The shared server's workspace, where this one is a user's; None for every other."""
        is_users = self.root.parent.name == USERS and USER_FOLDER.fullmatch(self.root.name)
        return self.root.parent.parent if is_users else None

    def users(self) -> list[Workspace]:
        """The workspaces of a shared server's users, by name of their folder."""
        folders = sorted((self.root / USERS).glob("user-*"))
        return [Workspace(path) for path in folders if USER_FOLDER.fullmatch(path.name)]

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
        """The files of a run, or of a published result of this name. Raises ConfigError for what is not an id."""
        folder = self.root / "runs" / check_id(run_id, "run id")
        published = None if folder.exists() else published_folder(run_id)
        return RunFiles(published or folder)

    def dataset(self, name: str) -> DatasetPaths:
        """The files of a dataset, of this workspace first. Raises ConfigError for what is not a name."""
        own = DatasetPaths(self.root / "datasets" / check_id(name, "dataset name"))
        if self.shared_root is None or own.info.exists():
            return own
        shared = DatasetPaths(self.shared_root / "datasets" / name, self.root / "shared" / name)
        return shared if shared.info.exists() else own

    def dataset_names(self) -> list[str]:
        """Names of complete datasets, also of the shared server's, sorted."""
        roots = filter(None, (self.root, self.shared_root))
        paths = (path for root in roots for path in (root / "datasets").glob("*/dataset.json"))
        return sorted({p.parent.name for p in paths if ID_PATTERN.fullmatch(p.parent.name)})

    def shelves(self) -> list[Path]:
        """Folders that hold bundles: those that ship with the program, the shared server's, the user's."""
        shared = [self.shared_root / "models"] if self.shared_root else []
        return [models_folder(), *shared, self.models]

    def device_lock(self, device: str) -> Path:
        """The lock held by the run that uses a device; all users of a shared server have the same."""
        name = f"device-{check_id(device.replace(':', '-'), 'device')}.lock"
        return (self.shared_root or self.root) / name

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


def studies_folder() -> Path:
    """The folder of the published results that ship with the program."""
    return app_folder() / "studies"


def published_folder(name: str) -> Path | None:
    """The folder of a published study or map; None where none has this name.

    Raises:
        ConfigError: for what is not a name.
    """
    check_id(name)
    study = studies_folder() / name
    maps = (path.parent for path in studies_folder().glob(f"*/maps/{name}/config.json"))
    return study if (study / "about.json").exists() else next(maps, None)
