"""Networks of their own for arms: any timm architecture as a whole, pooled as its pretrained configuration says.

The classifier is left out; what remains is what timm gives as an embedding of the image: pooled
maps of a CNN, the class token, the mean of the patches or an attention pooling of a transformer. A
file that ends before the last stage gives the pooled maps of its last stage instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..arms import POOLINGS, OwnArchitecture
from ..config import BackboneConfig
from ..errors import ConfigError, WeightsUnavailable
from ..files import sha256_file
from .backbone import (
    ANY_SIZE,
    Backbone,
    Extractor,
    FeatureNetwork,
    family_of,
    load_timm_state,
    make_extractor,
)
from .pretrained_sources import PretrainedSource, find_pretrained
from .timm_models import timm_library

BEHIND_ALL_STAGES = -1


class PretrainedNetwork(FeatureNetwork):
    """A whole timm network without its classifier: images (B, 3, H, W) -> features (B, D).

    Args:
        architecture: timm's name.
        body: the network.
        size: side of the images that it reads, in pixels.
        tokens: one of `POOLINGS`; empty: timm's own pooling.
        model_args: timm arguments beside the default.

    Raises:
        ConfigError: it has no class token, or its features are no map and no tokens.
    """

    stage = BEHIND_ALL_STAGES

    def __init__(
        self, architecture: str, body: Any, size: int, tokens: str, model_args: Mapping[str, Any]
    ):
        super().__init__()
        self.architecture, self.body, self.tokens = architecture, body.eval(), tokens
        self.model_args = dict(model_args)
        with torch.no_grad():
            self.width = self.pooled(torch.zeros(1, 3, size, size)).shape[1]

    def pooled(self, x_bchw: Tensor) -> Tensor:
        """Features (B, D), float32."""
        if not self.tokens:
            pooled: Tensor = self.body(x_bchw)
            return pooled.flatten(1).float()
        features = self.body.forward_features(x_bchw)
        pool = {"token": (self._token,), "mean": (self._mean,), "both": (self._token, self._mean)}
        norm = getattr(self.body, "fc_norm", None) or nn.Identity()
        parts = [norm(part(features)).float() for part in pool[self.tokens]]
        return torch.cat(parts, dim=1)

    def layers(self) -> dict[str, int]:
        """Layer of each parameter below the classifier: stages or blocks, as timm groups the architecture."""
        timm = timm_library()
        with torch.device("meta"):
            full: Any = timm.create_model(
                self.architecture, pretrained=False, num_classes=1, **self.model_args
            )
        layers = timm.models.group_parameters(full, full.group_matcher(coarse=True), reverse=True)
        top = max(layers.values())  # the classifier, and what is pooled for it
        return {
            f"body.{name}": layers[name]
            for name, parameter in self.body.named_parameters()
            if parameter.requires_grad and layers.get(name, top) < top
        }

    def _token(self, features: Tensor | list[Tensor]) -> Tensor:
        is_there = getattr(self.body, "cls_token", None) is not None
        if not isinstance(features, Tensor) or features.ndim != 3 or not is_there:
            raise ConfigError(
                f"pooling is {POOLINGS[self.tokens]}; {self.architecture} has no class token: leave it out, or "
                "take @mean."
            )
        return features[:, 0]

    def _mean(self, features: Tensor | list[Tensor]) -> Tensor:
        """The mean of all patches, or of all positions of a map."""
        if isinstance(features, Tensor) and features.ndim == 4:
            channels_last = getattr(self.body, "output_fmt", "NCHW") == "NHWC"
            return features.mean((1, 2) if channels_last else (2, 3))
        has_token = getattr(self.body, "cls_token", None) is not None
        prefix = getattr(self.body, "num_prefix_tokens", None if has_token else 0)
        if isinstance(features, Tensor) and features.ndim == 3 and prefix is not None:
            patches = features[:, int(prefix) :]
            if patches.shape[1]:
                return patches.mean(1)
        raise ConfigError(
            f"pooling is {POOLINGS[self.tokens]}; {self.architecture} gives no patches, or none that are known apart "
            "from its class token: leave it out."
        )


def build_pretrained(
    architecture: str,
    size: int,
    tokens: str = "",
    model_args: Mapping[str, Any] | None = None,
    state: Mapping[str, Tensor] | None = None,
) -> PretrainedNetwork:
    """A timm network for images of `size` pixels, with the weights of `state` or random ones.

    Families of one fixed image size are freed of it, or built for this one.

    Raises:
        ConfigError: the architecture cannot read this size, or has no such pooling.
        ValueError: the weights do not fit.
    """
    problem = "no reason was given"
    for arguments in _size_arguments(architecture, size):
        given = {**arguments, **(model_args or {})}
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                body = _create(architecture, given, state)
            return PretrainedNetwork(architecture, body, size, tokens, given)
        except ConfigError:
            raise
        except (AssertionError, TypeError, RuntimeError, ValueError, AttributeError) as error:
            text = next(iter(str(error).splitlines()), type(error).__name__)
            if "state_dict" in text:  # torch: these weights are of another network
                raise ValueError(str(error)) from error
            problem = text
    raise ConfigError(
        f"input size is {size}; {architecture} cannot read {size} × {size} pixels ({problem}): choose another size, "
        "such as that of its pretraining."
    )


def _size_arguments(architecture: str, size: int) -> Iterator[dict[str, Any]]:
    """Arguments with which an architecture may read images of any, or of this size; the first that works is taken."""
    family = ANY_SIZE.get(family_of(architecture), {})
    yield from (family, {}, {"dynamic_img_size": True}, {"img_size": size})


def _create(
    architecture: str, arguments: Mapping[str, Any], state: Mapping[str, Tensor] | None
) -> Any:
    timm = timm_library()
    if state is None:
        return timm.create_model(architecture, pretrained=False, num_classes=0, **arguments)
    overlay = {"state_dict": dict(state), "custom_load": False}
    return timm.create_model(
        architecture, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, **arguments
    )


def load_pretrained(arm: str, own: OwnArchitecture) -> Extractor:
    """The extractor of an arm with its own network.

    info: weights, label, source, file, license, sha256, pretrained_on, input_size (pixels),
    interpolation, pooling, note.

    Raises:
        ConfigError: an unknown architecture, or a size or pooling that it does not have.
        WeightsUnavailable: which file to put where.
    """
    source = find_pretrained(own)
    size, weights = own.size or source.input_size, source.weights
    network, label = _network(own, source, size)
    about = {
        "weights": weights.note,
        "label": label,
        "source": weights.source,
        "file": weights.path.name if weights.source == "folder" else weights.note,
        "license": weights.license,
        "sha256": sha256_file(weights.path),
        "pretrained_on": weights.pretrained_on,
        "input_size": size,
        "interpolation": source.interpolation,
        "pooling": pooling_name(network),
        "tokens": network.tokens,
        "model_args": network.model_args,
    }
    extractor = make_extractor(arm, network, weights.mean, weights.std, about)
    extractor.input_size, extractor.interpolation = size, source.interpolation
    return extractor


def _network(
    own: OwnArchitecture, source: PretrainedSource, size: int
) -> tuple[FeatureNetwork, str]:
    """The network with its weights, and what the arm is called."""
    weights = source.weights
    try:
        state = load_file(weights.path)
        if source.last_stage is None:
            network: FeatureNetwork = build_pretrained(
                source.architecture, size, own.tokens, weights.model_args, state
            )
            return network, own.label
        if own.tokens in ("token", "both"):
            raise ConfigError(
                f"pooling is {POOLINGS[own.tokens]}; {weights.path.name} ends before the last stage: leave it out."
            )
        config = BackboneConfig(architecture=source.architecture, stage=source.last_stage)
        backbone = Backbone(config, weights.model_args)
        load_timm_state(backbone, state)
    except ConfigError:
        raise
    except Exception as error:
        detail = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsUnavailable(
            f"The weights in {weights.path.name} ({weights.source}) cannot be used for {source.architecture}: {detail} "
            "Replace or remove that file, or choose another arm."
        ) from error
    return backbone.eval(), own.label.replace(own.name, f"{own.name} to {backbone.last}", 1)


def pooling_name(network: FeatureNetwork) -> str:
    """How the features of an image are pooled, in words."""
    if network.tokens:
        return POOLINGS[network.tokens]
    if isinstance(network, Backbone):
        return "mean of the last map"
    pool = getattr(network.body, "global_pool", "") or ""
    kind = str(getattr(pool, "pool_type", pool))
    tokens = getattr(network.body, "num_prefix_tokens", None) is not None
    return {
        "token": POOLINGS["token"],
        "avg": POOLINGS["mean"] if tokens else "mean of the last map",
        "map": "attention pooling",
    }.get(kind, "as timm pools it")
