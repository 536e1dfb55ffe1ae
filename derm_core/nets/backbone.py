"""Backbones: any timm architecture up to a stage, and extractors (backbone + weights + normalisation).

timm is imported where it is needed: a ResNet-18 and 34 are built without it (`resnet`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..config import BackboneConfig
from ..config.shared import ImageForm
from ..errors import ConfigError, WeightsUnavailable
from ..files import sha256_file
from .resnet import BLOCKS, WIDTHS, ResNet
from .timm_models import timm_library
from .weights import find_weights

# Families whose default is one fixed image size, and the argument that frees them of it.
ANY_SIZE: dict[str, dict[str, Any]] = {
    "vision_transformer": {"dynamic_img_size": True},
    "deit": {"dynamic_img_size": True},
    "swin_transformer": {"strict_img_size": False},
    "eva": {"dynamic_img_size": True},
}


class FeatureNetwork(nn.Module):
    """What an extractor computes features with: a backbone, or what stands in its place.

    width: how many features an image has. model_args: timm arguments beside the default. tokens:
    which tokens are pooled where that was chosen, one of `arms.POOLINGS`.
    """

    architecture: str
    stage: int
    width: int
    model_args: dict[str, Any]
    tokens: str = ""

    def forward(self, x_bchw: Tensor) -> Tensor:
        return self.pooled(x_bchw)

    def pooled(self, x_bchw: Tensor) -> Tensor:
        """Features (B, width), float32, of images (B, 3, H, W)."""
        raise NotImplementedError

    def layers(self) -> dict[str, int]:
        """Layer of each parameter, from 0 (the stem) upwards; what is not there learns like the head."""
        return {}


class Backbone(FeatureNetwork):
    """A timm architecture up to one stage: images (B, 3, H, W) -> map (B, D, h, w).

    width: D. reduction: H / h. last: timm's name of the last module. model_args: timm arguments
    beside the default (kept, so that a stored backbone is rebuilt alike). Layers behind the stage
    are not kept. Raises ConfigError for an architecture that timm does not know, or whose
    feature_info does not list the stage.
    """

    def __init__(self, config: BackboneConfig, model_args: Mapping[str, Any] | None = None):
        super().__init__()
        self.architecture, self.stage = config.architecture, config.stage
        self.model_args = dict(model_args or {})
        if is_own(config, self.model_args):
            self.body: Any = ResNet(config.architecture, config.stage)
            stage: dict[str, Any] = self.body.feature_info[-1]
            self.width, self.reduction = stage["num_chs"], stage["reduction"]
            self.last, self.channels_last = stage["module"], False
            return
        self.body = _timm_body(config, self.model_args)
        info = self.body.feature_info
        self.width, self.reduction = info.channels()[-1], info.reduction()[-1]
        self.last = info.module_name()[-1]
        self._trim()
        self.channels_last = getattr(self.body, "output_fmt", "NCHW") == "NHWC"

    def _trim(self) -> None:
        """EfficientNet-like families keep every block; those behind the stage are dropped here."""
        if self.last.startswith("blocks.") and keeps_all_blocks(self.body):
            blocks = list(self.body.blocks)[: int(self.last.split(".")[1]) + 1]
            self.body.blocks = nn.Sequential(*blocks)

    @property
    def config(self) -> BackboneConfig:
        """The architecture and stage, as a run's settings name them."""
        return BackboneConfig(architecture=self.architecture, stage=self.stage)

    def layers(self) -> dict[str, int]:
        """Layer of each parameter, from 0 (the stem) upwards: stages or blocks, as timm groups the architecture."""
        timm = timm_library()
        with torch.device("meta"):
            full = cast(
                Any, timm.create_model(self.architecture, pretrained=False, **self.model_args)
            )
        known = {
            _canonical(name): layer
            for name, layer in timm.models.group_parameters(
                full, full.group_matcher(coarse=True), reverse=True
            ).items()
        }
        layers = {
            name: known[_canonical(name.removeprefix("body."))]
            for name, parameter in self.named_parameters()
            if parameter.requires_grad and "parametrizations" not in name  # LoRA's updates
        }
        order = sorted(set(layers.values()))
        return {name: order.index(layer) for name, layer in layers.items()}

    def forward(self, x_bchw: Tensor) -> Tensor:
        map_bdhw = self.body(x_bchw)[-1]
        return map_bdhw.permute(0, 3, 1, 2) if self.channels_last else map_bdhw

    def pooled(self, x_bchw: Tensor) -> Tensor:
        """Global average of the map in float32: (B, D)."""
        return self(x_bchw).float().mean(dim=(2, 3))


def is_own(config: BackboneConfig, model_args: Mapping[str, Any]) -> bool:
    """Whether a backbone is built without timm."""
    return config.architecture in BLOCKS and 1 <= config.stage <= len(WIDTHS) and not model_args


def _timm_body(config: BackboneConfig, model_args: Mapping[str, Any]) -> Any:
    """`feature_list` of one stage. Raises ConfigError as `Backbone` does."""
    timm = timm_library()
    if not timm.models.is_model(config.architecture):
        near = ", ".join(timm.list_models(f"*{config.architecture.split('.')[0][:6]}*")[:5])
        raise ConfigError(
            f"architecture is {config.architecture!r}; allowed: a timm model name"
            + (f", such as {near}." if near else ".")
        )
    try:
        return feature_list(config.architecture, (config.stage,), model_args)
    except (IndexError, AssertionError) as error:
        raise ConfigError(
            f"stage is {config.stage}; {config.architecture} does not have that many: "
            "choose a lower one."
        ) from error
    except (TypeError, RuntimeError, NotImplementedError, AttributeError) as error:
        raise ConfigError(
            f"architecture {config.architecture!r} cannot give features of a stage "
            f"({error}); choose another, such as resnet18 or convnext_tiny."
        ) from error


def keeps_all_blocks(body: nn.Module) -> bool:
    """Whether a feature network of timm holds the blocks behind its last stage as well."""
    models = timm_library().models
    families = (models.efficientnet.EfficientNetFeatures, models.mobilenetv3.MobileNetV3Features)
    return isinstance(body, families)


def feature_list(architecture: str, stages: tuple[int, ...], model_args: Mapping[str, Any]) -> Any:
    """timm's network of an architecture that gives the maps of some stages, for any image size."""
    return timm_library().create_model(
        architecture,
        pretrained=False,
        features_only=True,
        out_indices=stages,
        **ANY_SIZE.get(family_of(architecture), {}),
        **model_args,
    )


def family_of(architecture: str) -> str:
    """timm's module that defines an architecture."""
    entry = timm_library().models.model_entrypoint(architecture)
    return str(entry.__module__).rsplit(".", 1)[-1]


def build_backbone(
    config: BackboneConfig, seed: int, model_args: Mapping[str, Any] | None = None
) -> Backbone:
    """A randomly initialised backbone (timm's own initialisation), the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Backbone(config, model_args)


def load_imagenet(config: BackboneConfig) -> tuple[Backbone, dict[str, Any]]:
    """A backbone with ImageNet weights, and where they come from.

    info: mean, std, source (folder, cache or hub), file, license, sha256, pretrained_on,
    input_size, model_args, note. Raises WeightsUnavailable with what to do.
    """
    build_backbone(config, 0)  # a wrong architecture or stage is said before anything is fetched
    weights = find_weights(config)
    backbone = build_backbone(config, 0, weights.model_args)
    try:
        load_timm_state(backbone, load_file(weights.path))
    except Exception as error:
        raise WeightsUnavailable(
            f"The ImageNet weights in {weights.path.name} ({weights.source}) cannot be used for {config.architecture} "
            f"to stage {config.stage}: {error}. Replace or remove that file, or choose another arm."
        ) from error
    name = weights.path.name if weights.source == "folder" else weights.note
    return backbone.eval(), {
        "mean": list(weights.mean),
        "std": list(weights.std),
        "source": weights.source,
        "file": name,
        "license": weights.license,
        "sha256": sha256_file(weights.path),
        "pretrained_on": weights.pretrained_on,
        "input_size": list(weights.input_size),
        "model_args": weights.model_args,
        "note": weights.note,
    }


def load_timm_state(backbone: Backbone, state: Mapping[str, Tensor]) -> None:
    """Load a timm classifier's or feature network's state dict into `backbone`, as float32.

    timm's feature networks rename modules ("stages.0" -> "stages_0", "model." in front), so keys
    are matched up to that; older layouts go through the family's own checkpoint filter. Every
    tensor of the backbone must be found with its shape (ValueError otherwise); what lies behind the
    stage is ignored.
    """
    wanted = backbone.body.state_dict()
    missing = _missing(wanted, state)
    if missing:
        timm = timm_library()
        module = timm.models.model_entrypoint(backbone.architecture).__module__
        convert = getattr(__import__(module, fromlist=["_"]), "checkpoint_filter_fn", None)
        if convert:
            full = timm.create_model(backbone.architecture, pretrained=False, **backbone.model_args)
            state = convert(dict(state), full)
            missing = _missing(wanted, state)
    if missing:
        raise ValueError(f"{len(missing)} tensors are missing, {missing[0]} first")
    given = {_canonical(key): value for key, value in state.items()}
    fresh = {}
    for key, own in wanted.items():
        value = given.get(_canonical(key), own)
        if value.shape != own.shape:
            raise ValueError(f"{key} has shape {tuple(value.shape)}, {tuple(own.shape)} is needed")
        fresh[key] = value.to(own.dtype)
    backbone.body.load_state_dict(fresh, strict=True)


def _canonical(key: str) -> str:
    return key.removeprefix("model.").replace(".", "_")


def _missing(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    given = {_canonical(key) for key in state}
    return [
        key
        for key in wanted
        if _canonical(key) not in given and not key.endswith("num_batches_tracked")
    ]


@dataclass
class Extractor:
    """A backbone with weights and normalisation: uint8 images -> pooled features.

    identity: SHA-256 over architecture, stage, normalisation and all tensors: the key of caches.
    input_size: side of the images that it reads, in pixels; None: that of the study.
    interpolation: filter that resizes them, see `ImageForm`.
    """

    name: str
    backbone: FeatureNetwork
    mean: tuple[float, ...]
    std: tuple[float, ...]
    identity: str
    info: dict[str, Any]
    input_size: int | None = None
    interpolation: str = "bicubic"

    @property
    def form(self) -> ImageForm | None:
        """How its images are decoded; None: as the study's."""
        return ImageForm(self.input_size, self.interpolation) if self.input_size else None

    def normalise(self, images_bhwc: Tensor) -> Tensor:
        """uint8 (B, S, S, 3) -> float32 (B, 3, S, S), (x / 255 - mean) / std."""
        return normalise(images_bhwc, self.mean, self.std)

    @torch.no_grad()
    def features(self, images_bhwc: Tensor) -> Tensor:
        """Pooled features (B, D), float32, in eval mode, on the images' device."""
        return self.backbone.eval().pooled(self.normalise(images_bhwc)).float()


def normalise(images_bhwc: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 (B, S, S, 3) -> float32 (B, 3, S, S), (x / 255 - mean) / std."""
    x = images_bhwc.permute(0, 3, 1, 2).float().div_(255)
    return x.sub_(_by_channel(tuple(mean), x.device)).div_(_by_channel(tuple(std), x.device))


@lru_cache(maxsize=64)
def _by_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(1, 3, 1, 1), made once: for one image that costs as much as the arithmetic."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)


def make_extractor(
    name: str,
    backbone: FeatureNetwork,
    mean: Sequence[float],
    std: Sequence[float],
    info: Mapping[str, Any] | None = None,
) -> Extractor:
    """An extractor in eval mode with its identity computed from what it holds."""
    digest = hashlib.sha256(
        json.dumps(
            [
                backbone.architecture,
                backbone.stage,
                getattr(backbone, "model_args", {}),
                list(mean),
                list(std),
                type(backbone).__name__,
                *([backbone.tokens] if backbone.tokens else []),
            ],
            sort_keys=True,
        ).encode()
    )
    for key, tensor in sorted(backbone.state_dict().items()):
        if key.endswith("num_batches_tracked"):
            continue
        digest.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return Extractor(
        name=name,
        backbone=backbone.eval(),
        mean=tuple(mean),
        std=tuple(std),
        identity=digest.hexdigest(),
        info=dict(info or {}),
    )
