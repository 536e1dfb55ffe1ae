"""Where the weights of an arm with its own network come from, and what its pretrained configuration says.

In order: the weights folder (NAME.safetensors, or NAME.TAG.safetensors, with a JSON sidecar as in
`weights`), the local Hugging Face cache, the hub. Of hf-hub:OWNER/NAME the file of the folder is
called OWNER--NAME.safetensors; of file:FILE+ARCHITECTURE, as it says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..arms import OwnArchitecture
from ..errors import ConfigError, WeightsUnavailable
from ..workspace import weights_folder
from .corpora import pretraining_of
from .timm_models import timm_library
from .weights import (
    FILE_NAME,
    HUB,
    WeightFile,
    cached_file,
    fetch,
    hub_cache,
    is_offline,
    three_numbers,
)

FILTERS = ("bicubic", "bilinear", "lanczos")
CONFIG = "config.json"
NOT_STATED = "not stated"
ADDED = "and what its owner may have added"


@dataclass(frozen=True)
class PretrainedSource:
    """Weights of an arm with its own network.

    Args:
        architecture: timm's name without a tag.
        weights: the file and what is said of it.
        interpolation: filter with which images of its pretraining were resized.
        last_stage: where the file ends, an index into timm's feature_info; None: it is complete.
    """

    architecture: str
    weights: WeightFile
    interpolation: str = "bicubic"
    last_stage: int | None = None

    @property
    def input_size(self) -> int:
        """Side of the images of its pretraining, in pixels."""
        return self.weights.input_size[-1]


def find_pretrained(own: OwnArchitecture) -> PretrainedSource:
    """The first source that has the weights of an arm.

    Raises:
        ConfigError: timm does not know the architecture.
        WeightsUnavailable: which file to put where.
    """
    if own.kind != "hf-hub":
        require_architecture(own.name.split(".")[0])
    if source := _in_folder(own):
        return source
    if own.kind == "timm":
        require_architecture(own.name)
    if own.kind == "file":
        raise WeightsUnavailable(
            f"{own.file} is not in the weights folder (DERM_WEIGHTS, else ./weights): put it there."
        )
    repositories = _repositories(own)
    for repository in repositories:
        if path := cached_file(repository):
            return _of_repository(repository, path, "cache", cached_file(repository, CONFIG))
    if not repositories:
        raise WeightsUnavailable(_missing(own, "timm knows no weights of this name on the hub"))
    path, reason = fetch(repositories[0])
    if path is None:
        raise WeightsUnavailable(_missing(own, reason))
    config: Path | None = None
    if not repositories[0].startswith("timm/"):
        config, reason = fetch(repositories[0], CONFIG)
        if config is None:
            raise WeightsUnavailable(_missing(own, reason))
    return _of_repository(repositories[0], path, "hub", config)


def pretrained_status(own: OwnArchitecture) -> str:
    """Whether the weights of an arm are at hand: "folder", "cache", "hub" (not here, may be fetched) or "none".

    Looks at the disk only.
    """
    if any(path.is_file() for path in _folder_files(own)):
        return "folder"
    if own.kind == "file":
        return "none"
    if any(cached_file(repository) for repository in _repositories(own)):
        return "cache"
    return "none" if is_offline() else "hub"


def require_obtainable(own: OwnArchitecture) -> None:
    """Raise before a run begins what it could only fail of; looks at the disk only.

    Raises:
        ConfigError: timm does not know the architecture.
        WeightsUnavailable: the weights are not here and nobody may be asked for them.
    """
    at_hand = any(path.is_file() for path in _folder_files(own))
    if own.kind != "hf-hub":
        require_architecture(own.name.split(".")[0] if at_hand else own.name)
    if pretrained_status(own) == "none":
        find_pretrained(own)


def require_architecture(name: str) -> None:
    """Raise ConfigError unless timm knows a model of this name, with or without a tag."""
    timm = timm_library()
    known = timm.models.is_model(name)
    if known and "." in name:
        try:
            timm.get_pretrained_cfg(name)
        except RuntimeError:
            known = False
    if not known:
        near = ", ".join(timm.list_models(f"*{name.split('.')[0][:6]}*", pretrained=True)[:5])
        raise ConfigError(
            f"architecture is {name!r}; allowed: a timm model name"
            + (f", such as {near}." if near else ".")
        )


def _missing(own: OwnArchitecture, reason: str) -> str:
    file = _folder_files(own)[0].name
    return (
        f"The weights of {own.kind}:{own.name} are not here (none in the weights folder or the local Hugging Face "
        f"cache, and {reason}): put {file} with its .json sidecar into the weights folder (DERM_WEIGHTS, else "
        "./weights)."
    )


def _folder_files(own: OwnArchitecture) -> list[Path]:
    """The files of the weights folder that may hold the weights of an arm, best first; the first need not exist."""
    folder = weights_folder()
    if own.kind == "file":
        return [folder / own.file]
    exact = folder / f"{own.name.replace('/', '--')}.safetensors"
    tagged = (
        [] if "." in own.name or own.kind == "hf-hub" else folder.glob(f"{own.name}.*.safetensors")
    )
    return [
        exact,
        *sorted(tagged, key=lambda path: (not read_sidecar(path).get("complete", True), path.name)),
    ]


def _in_folder(own: OwnArchitecture) -> PretrainedSource | None:
    for path in _folder_files(own):
        if path.is_file():
            return _described(own, path)
    return None


def read_sidecar(path: Path) -> dict[str, Any]:
    """The JSON beside a file of the weights folder; empty where there is none.

    Raises:
        WeightsUnavailable: it cannot be read.
    """
    sidecar = path.with_suffix(".json")
    try:
        card = json.loads(sidecar.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _unusable(sidecar, error) from error
    return card if isinstance(card, dict) else {}


def _unusable(sidecar: Path, error: Exception) -> WeightsUnavailable:
    return WeightsUnavailable(
        f"{sidecar.name} in the weights folder cannot be used ({type(error).__name__}: {error}): correct it."
    )


def _described(own: OwnArchitecture, path: Path) -> PretrainedSource:
    """A file of the weights folder, after the JSON beside it, else after what timm knows of its name."""
    card, architecture = read_sidecar(path), own.name.split(".")[0]
    stated = str(card.get("architecture", "" if own.kind == "hf-hub" else architecture)).split(".")[
        0
    ]
    if not stated or (own.kind != "hf-hub" and stated != architecture):
        raise WeightsUnavailable(
            f"{path.name} in the weights folder is of the architecture {stated or 'that its .json sidecar has to name'}"
            f", not {architecture}: " + ("add the sidecar." if not stated else "give that one.")
        )
    usual = _usual_config(path.stem if own.kind == "timm" else stated)
    try:
        given = (
            usual
            | ({"pretrained_on": NOT_STATED, "license": None} if own.kind != "timm" else {})
            | card
        )
        return _source(stated, path, "folder", given, path.name)
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(path.with_suffix(".json"), error) from error


def _source(
    architecture: str, path: Path, origin: str, given: Mapping[str, Any], note: str
) -> PretrainedSource:
    """From the fields of a sidecar or of timm's pretrained configuration."""
    license_, filter_ = given.get("license"), str(given.get("interpolation", "bicubic"))
    weights = WeightFile(
        path=path,
        source=origin,
        mean=three_numbers(given["mean"]),
        std=three_numbers(given["std"]),
        input_size=tuple(int(v) for v in given.get("input_size", (3, 224, 224))),
        license=str(license_ or NOT_STATED),
        pretrained_on=str(
            given.get("pretrained_on") or pretraining_of(str(given.get("tag") or ""), architecture)
        ),
        model_args=dict(given.get("model_args") or {}),
        note=note,
    )
    last = None if given.get("complete", True) else int(given["last_stage"])
    return PretrainedSource(
        architecture, weights, filter_ if filter_ in FILTERS else "bicubic", last
    )


def _usual_config(name: str) -> dict[str, Any]:
    """timm's pretrained configuration of a model name; ImageNet's normalisation where it has none."""
    timm = timm_library()
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # no such tag
        config = timm.get_pretrained_cfg(name.split(".")[0])
        if config is not None:
            return {**config.to_dict(), "tag": name.partition(".")[2], "license": None}
    usual = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    return usual | (config.to_dict() if config else {})


def _repositories(own: OwnArchitecture) -> list[str]:
    """Repositories of the hub that may hold the weights: timm's own choice first, then other tags that are cached."""
    if own.kind == "hf-hub":
        return [own.name]
    config = timm_library().get_pretrained_cfg(own.name)
    default = getattr(config, "hf_hub_id", None)
    cached = [] if "." in own.name else hub_cache().glob(f"models--timm--{own.name}.*")
    others = [
        folder.name.removeprefix("models--").replace("--", "/", 1) for folder in sorted(cached)
    ]
    return list(dict.fromkeys([*([default] if default else []), *others]))


def _of_repository(
    repository: str, path: Path, origin: str, config: Path | None
) -> PretrainedSource:
    """A repository of the hub, after timm's registry where it is timm's own, else after its config.json."""
    owner, _, name = repository.partition("/")
    note = f"{HUB}/{repository}"
    if owner == "timm":
        return _source(name.split(".")[0], path, origin, _usual_config(name), note)
    try:
        body = json.loads(config.read_text(encoding="utf-8")) if config else {}
        architecture = str(body["architecture"]).split(".")[0]
        require_architecture(architecture)
        given = {
            **_usual_config(architecture),
            "tag": "",
            "license": None,
            **(body.get("pretrained_cfg") or {}),
        }
        given["model_args"] = body.get("model_args")
        if tag := given["tag"]:  # timm copies that of the weights from which its owner started
            stated = f"{pretraining_of(str(tag), architecture)} {ADDED}"
            given["pretrained_on"] = given.get("pretrained_on") or stated
        return _source(architecture, path, origin, given, note)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise WeightsUnavailable(
            f"{repository} has no {CONFIG} that names an architecture of timm ({error}): put its "
            f"{FILE_NAME} into the weights folder under a name of its own and give file:NAME.safetensors+ARCHITECTURE."
        ) from error
