"""Settings of every kind of run as frozen dataclasses, to and from JSON with a schema version.

Bounds and descriptions stand beside the fields; validation names the field, the value and what is
allowed. A run's folder holds its config with every value resolved, so that it can be repeated.
"""

from __future__ import annotations

from typing import Any, TypeVar, overload

from ..records import from_json, require, to_json
from .models import MAPPED_ARMS, EmbedConfig, EvaluateConfig, PublishConfig
from .pretrain import PretrainConfig, Recipe
from .shared import ARMS, AugmentConfig, BackboneConfig
from .study import CORRUPTIONS, FinetuneSchedule, StudyConfig

__all__ = [
    "ARMS",
    "CORRUPTIONS",
    "KINDS",
    "MAPPED_ARMS",
    "AugmentConfig",
    "BackboneConfig",
    "EmbedConfig",
    "EvaluateConfig",
    "FinetuneSchedule",
    "PretrainConfig",
    "PublishConfig",
    "Recipe",
    "RunConfig",
    "StudyConfig",
    "from_dict",
    "to_dict",
]

SCHEMA_VERSION = 1
RENAMED = {"EmbedConfig": {"pooling": "space"}}  # what files of earlier versions call a field
RunConfig = PretrainConfig | StudyConfig | EmbedConfig | EvaluateConfig | PublishConfig
KINDS: dict[str, type[RunConfig]] = {
    "pretrain": PretrainConfig,
    "study": StudyConfig,
    "embed": EmbedConfig,
    "evaluate": EvaluateConfig,
    "publish": PublishConfig,
}
Config = TypeVar("Config")


def to_dict(config: RunConfig) -> dict[str, Any]:
    """A config as plain JSON values, with `schema` and `kind`."""
    return {"schema": SCHEMA_VERSION, "kind": config.kind, **to_json(config)}


@overload
def from_dict(value: Any) -> RunConfig: ...
@overload
def from_dict(value: Any, cls: type[Config]) -> Config: ...
def from_dict(value: Any, cls: type[Any] | None = None) -> Any:
    """Rebuild a config from what `to_dict` gives.

    Args:
        value: a JSON object.
        cls: the class of the config; by default that of its `kind`.

    Raises:
        ConfigError: naming the field, its value and what is allowed.
    """
    require(isinstance(value, dict), "config", type(value).__name__, "a JSON object")
    body = dict(value)
    schema = body.pop("schema", SCHEMA_VERSION)
    require(
        type(schema) is int and 1 <= schema <= SCHEMA_VERSION,
        "schema",
        schema,
        f"1 to {SCHEMA_VERSION}; a newer file needs a newer version of this program",
    )
    kind = body.pop("kind", None)
    if cls is None:
        require(isinstance(kind, str) and kind in KINDS, "kind", kind, ", ".join(KINDS))
        cls = KINDS[kind]
    return from_json(cls, _with_former_draw(body), cls.__name__, renamed=RENAMED)


def _with_former_draw(body: dict[str, Any]) -> dict[str, Any]:
    """A config as files of earlier versions mean it: they drew `max_images` before they split them."""
    if body.get("max_images") is not None:
        body = {"draw": "before_split", **body}
    pretrain = body.get("pretrain")
    return {**body, "pretrain": _with_former_draw(pretrain)} if isinstance(pretrain, dict) else body
