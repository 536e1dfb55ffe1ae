"""Where ImageNet weights come from: the weights folder, the local Hugging Face cache, then the hub.

A file in the weights folder is `NAME.safetensors` (a timm state dict) with `NAME.json` beside it:
architecture, last_stage, complete, model_args, mean, std, input_size, license, pretrained_on.
Nothing here imports torch or timm before a file is really loaded or fetched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import (
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import HfHubHTTPError

from ..config import BackboneConfig
from ..errors import WeightsUnavailable
from ..workspace import weights_folder
from .timm_models import timm_library

HUB = "https://huggingface.co"
CONNECT_SECONDS = 5
FILE_NAME = "model.safetensors"


@dataclass(frozen=True)
class WeightFile:
    """One safetensors file that serves a backbone, and what the JSON beside it or timm says of it.

    Attributes:
        source: "folder", "cache" or "hub".
        mean, std: three numbers each, for colours in 0 to 1.
        input_size: channels, height, width of the training.
        model_args: timm's arguments beside the default.
    """

    path: Path
    source: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: tuple[int, ...] = (3, 224, 224)
    license: str = "not stated"
    pretrained_on: str = "ImageNet-1k (ILSVRC 2012)"
    model_args: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def imagenet_status(config: BackboneConfig) -> dict[str, Any]:
    """Whether ImageNet weights are at hand: {available, source: folder|cache|hub|none, detail}.

    Looks at the disk only. "hub" means: not here, a first use would try to fetch them;
    "none" means that this process may not go online either (HF_HUB_OFFLINE).
    """
    try:
        file, reason = find_in_folder(config)
        if file:
            return {"available": True, "source": "folder", "detail": file.path.name}
        repositories = cached_repositories(config)
        if repositories:
            return {"available": True, "source": "cache", "detail": repositories[0]}
    except OSError as error:
        reason = str(error)
    where = f"{config.architecture} to stage {config.stage}: {reason}, nor in the local Hugging Face cache"
    if is_offline():
        return {"available": False, "source": "none", "detail": f"{where}; HF_HUB_OFFLINE is set."}
    return {
        "available": False,
        "source": "hub",
        "detail": f"{where}; fetched from the hub when first used online.",
    }


def find_weights(config: BackboneConfig) -> WeightFile:
    """The first source that has the weights. Raises WeightsUnavailable, which says what to do."""
    file, folder_reason = find_in_folder(config)
    if file:
        return file
    hub_reason = ""
    repository = _default_repository(config)
    for cached in cached_repositories(config, default=repository):
        if path := cached_file(cached):
            return _described(config, path, "cache", cached)
    if repository is None:
        hub_reason = "timm knows no weights of this name on the hub"
    else:
        path, hub_reason = fetch(repository)
        if path:
            return _described(config, path, "hub", repository)
    raise WeightsUnavailable(
        f"ImageNet weights for {config.architecture} to stage {config.stage} are not here: {folder_reason}, "
        f"none in the local Hugging Face cache, and {hub_reason}. Put a .safetensors file with its .json sidecar into "
        f"the weights folder (DERM_WEIGHTS, else ./weights), go online once so that {repository or 'they'} can be "
        "fetched, or choose another arm."
    )


def find_in_folder(config: BackboneConfig) -> tuple[WeightFile | None, str]:
    """The file of the weights folder that serves `config`, or None and the reason."""
    folder = weights_folder()
    plain = config.architecture.split(".")[0]
    reason = "no file for them in the weights folder"
    for sidecar in sorted(folder.glob("*.json")):
        path = sidecar.with_suffix(".safetensors")
        try:
            card = json.loads(sidecar.read_text(encoding="utf-8"))
            if not isinstance(card, dict) or str(card["architecture"]).split(".")[0] != plain:
                continue
            if "." in config.architecture and not sidecar.name.startswith(config.architecture):
                continue
            if not card.get("complete") and config.stage > int(card["last_stage"]):
                reason = f"{path.name} in the weights folder ends at stage {card['last_stage']}"
                continue
            if not path.is_file():
                reason = f"{sidecar.name} in the weights folder has no {path.name} beside it"
                continue
            return WeightFile(
                path=path,
                source="folder",
                mean=three_numbers(card["mean"]),
                std=three_numbers(card["std"]),
                input_size=tuple(int(v) for v in card.get("input_size", (3, 224, 224))),
                license=str(card.get("license", "not stated")),
                pretrained_on=str(card.get("pretrained_on", "ImageNet-1k (ILSVRC 2012)")),
                model_args=dict(card.get("model_args") or {}),
                note=str(card.get("note", "")),
            ), ""
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"{sidecar.name} in the weights folder cannot be used ({type(error).__name__}: {error})"
    return None, reason


def three_numbers(values: Iterable[Any]) -> tuple[float, ...]:
    """Mean or standard deviation of three colours. Raises ValueError for another number of them."""
    numbers = tuple(float(v) for v in values)
    if len(numbers) != 3:
        raise ValueError(f"three numbers expected, got {len(numbers)}")
    return numbers


# Plain ImageNet-1k weights where timm's own default was first trained on more (ImageNet-12k) or by
# another recipe.
PINNED = {"convnext_tiny": "timm/convnext_tiny.fb_in1k", "resnet18": "timm/resnet18.tv_in1k"}


def hub_cache() -> Path:
    """The Hugging Face cache folder, by the same variables as huggingface_hub, read now."""
    explicit = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    home = os.environ.get("HF_HOME")
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return (Path(home) if home else default).expanduser() / "hub"


def cached_repositories(config: BackboneConfig, default: str | None = None) -> list[str]:
    """Repositories timm/ARCHITECTURE.*in1k that lie complete in the local cache, `default` first."""
    tag = "" if "." in config.architecture else ".*in1k"
    names = [
        folder.name.removeprefix("models--").replace("--", "/", 1)
        for folder in hub_cache().glob(f"models--timm--{config.architecture}{tag}")
    ]
    names = [name for name in sorted(names) if cached_file(name) and not name.endswith("_ft_in1k")]
    return sorted(names, key=lambda name: name != default)


def cached_file(repository: str, file: str = FILE_NAME) -> Path | None:
    """A file of a repository in the local Hugging Face cache; None where it is not there."""
    path = try_to_load_from_cache(repository, file, cache_dir=hub_cache())
    return Path(path) if isinstance(path, str) else None


def _default_repository(config: BackboneConfig) -> str | None:
    """The hub repository of ImageNet weights for this architecture: the pinned one, else timm's default."""
    if config.architecture in PINNED:
        return PINNED[config.architecture]
    cfg = timm_library().get_pretrained_cfg(config.architecture, allow_unregistered=True)
    return getattr(cfg, "hf_hub_id", None) or None


def _described(config: BackboneConfig, path: Path, source: str, repository: str) -> WeightFile:
    timm = timm_library()
    cfg = timm.get_pretrained_cfg(repository.split("/", 1)[1], allow_unregistered=True)
    cfg = cfg or timm.get_pretrained_cfg(config.architecture)
    if cfg is None:
        raise WeightsUnavailable(f"timm does not know {config.architecture}; choose another arm.")
    return WeightFile(
        path=path,
        source=source,
        mean=three_numbers(cfg.mean),
        std=three_numbers(cfg.std),
        input_size=tuple(cfg.input_size),
        note=f"{HUB}/{repository}",
        license=cfg.license or f"see {HUB}/{repository}",
        pretrained_on=f"ImageNet ({cfg.tag})" if cfg.tag else "ImageNet-1k (ILSVRC 2012)",
    )


def is_offline() -> bool:
    """Whether the environment forbids to ask the hub."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in ("1", "ON", "YES", "TRUE")


def fetch(repository: str, file: str = FILE_NAME) -> tuple[Path | None, str]:
    """Download a file of a repository into the local cache; its path, or None and why.

    The file's metadata is asked for first, with a short timeout and once: a download retries for
    minutes where the hub is out of reach.
    """
    if is_offline():
        return None, "HF_HUB_OFFLINE is set"
    endpoint = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    try:
        url = hf_hub_url(repository, file, endpoint=endpoint)
        get_hf_file_metadata(url, timeout=CONNECT_SECONDS, endpoint=endpoint)
        path = hf_hub_download(
            repository,
            file,
            endpoint=endpoint,
            cache_dir=hub_cache(),
            etag_timeout=CONNECT_SECONDS,
        )
    except HfHubHTTPError as error:
        status, advice = error.response.status_code, ""
        if status in (401, 403):
            advice = f" (accept its terms at {HUB}/{repository}, then log in with `hf auth login`)"
        return None, f"the hub {endpoint} answers {status} for {repository}/{file}{advice}"
    except Exception as error:  # of the many kinds each means: not to be had now
        detail = next(iter(str(error).splitlines()), "no message")
        return None, f"the hub {endpoint} does not answer ({type(error).__name__}: {detail})"
    return Path(path), ""
