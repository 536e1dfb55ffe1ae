"""Where a network's maps of the image are, and how they and their gradients for a class are read.

A network with stages has a map at the end of each, as timm names them. Of a transformer the patches
are read that its first attention block gets, where they stand in the order of the image: later tokens know of every
patch, wherever they stand. Shape suffixes: b images, n tokens, d channels, hw the cells of a map.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from .backbone import Backbone, FeatureNetwork

FINE_CELLS = 8  # a side of the map that LayerCAM reads has at least so many, where a stage has them
PATH_STEPS = 16  # of integrated gradients
PLACE_MARGIN = 1.25  # of the change at the place of a changed quarter of the image


class Explained(Protocol):
    """A classifier as its maps are read: images (b, 3, S, S) -> logits (b, classes), by way of its backbone."""

    @property
    def backbone(self) -> FeatureNetwork:
        """The network whose maps are read."""

    def __call__(self, x_bchw: Tensor) -> Tensor:
        """Normalised images -> logits."""


@dataclass(frozen=True)
class Stage:
    """A module that gives a map of the image.

    Attributes:
        module: whose output is the map.
        cell: pixels a side of a cell; 1 where it is not needed.
        stride: cells by which the stage behind it moves; 1 for the last stage.
        channels_last: whether its output is (b, h, w, d).
    """

    module: nn.Module
    cell: int = 1
    stride: int = 1
    channels_last: bool = False


def fine_stage(backbone: FeatureNetwork, size: int) -> Stage:
    """The deepest stage with FINE_CELLS cells a side at this image size, else `last_stage`."""
    stages = _stages(backbone)
    fine = [stage for stage in stages if size // stage["reduction"] >= FINE_CELLS]
    if not fine or len(fine) == len(stages):
        return last_stage(backbone)
    module = _module(backbone, fine[-1]["module"])
    if module is None:
        return last_stage(backbone)
    cell = fine[-1]["reduction"]
    stride = stages[len(fine)]["reduction"] // cell
    return Stage(module, cell, stride, _is_channels_last(backbone))


def last_stage(backbone: FeatureNetwork) -> Stage:
    """The stage whose map is pooled: of a backbone up to a stage, itself.

    Raises:
        ConfigError: the network has no map of the image that timm names.
    """
    if not hasattr(backbone, "body") or isinstance(backbone, Backbone):
        return Stage(backbone)
    stages = _stages(backbone)
    module = _module(backbone, stages[-1]["module"]) if stages else None
    if module is None:
        raise _no_maps(backbone)
    return Stage(module, channels_last=_is_channels_last(backbone))


def _stages(backbone: FeatureNetwork) -> list[dict[str, Any]]:
    """timm's description of the stages up to the one that the features come from."""
    info = getattr(getattr(backbone, "body", None), "feature_info", None)
    if not info:
        return []
    if isinstance(info, list):  # of a whole network
        return info
    stages: list[dict[str, Any]] = info.info[: backbone.stage + 1]
    return stages


def _module(backbone: FeatureNetwork, name: str) -> nn.Module | None:
    """A module of timm's network by its name; feature networks name a module stages_0 for stages.0."""
    body: Any = backbone.body
    modules: dict[str, nn.Module] = dict(body.named_modules())
    return modules.get(name, modules.get(name.replace(".", "_")))


def _is_channels_last(backbone: FeatureNetwork) -> bool:
    return str(getattr(backbone.body, "output_fmt", "NCHW")).endswith("NHWC")


def _no_maps(backbone: FeatureNetwork) -> ConfigError:
    return ConfigError(
        f"architecture is {backbone.architecture!r}, in which no map of the image is known; allowed for Grad-CAM and "
        "LayerCAM: networks with feature maps or patches in the order of the image. Occlusion works with any."
    )


def stage_gradients(
    classifier: Explained, stage: Stage, x_bchw: Tensor, targets_b: Tensor
) -> tuple[Tensor, Tensor]:
    """A stage's map (b, d, h, w) and the gradient of the targets' logits there, float32.

    Raises:
        ConfigError: what the stage gives is no map.
    """
    maps: list[Tensor] = []

    def start_graph(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise _no_maps(classifier.backbone)
        maps.append(output.detach().requires_grad_())  # what lies before it needs no gradient
        return maps[-1]

    hook = stage.module.register_forward_hook(start_graph)
    try:
        gradient = _gradient(classifier, x_bchw, targets_b, maps)
    finally:
        hook.remove()
    map_ = maps[-1].detach()
    if stage.channels_last:
        map_, gradient = (tensor.permute(0, 3, 1, 2) for tensor in (map_, gradient))
    return map_.float(), gradient.float()


def _gradient(
    classifier: Explained, x_bchw: Tensor, targets_b: Tensor, read: list[Tensor]
) -> Tensor:
    """Gradient of the targets' logits at the last of the tensors that the hooks of a forward pass put into `read`."""
    with torch.enable_grad():
        scores = classifier(x_bchw).gather(1, targets_b[:, None]).sum()
        if not read:  # features of no map, such as a colour histogram's, or timm names a module that is not run
            raise _no_maps(classifier.backbone)
        (gradient,) = torch.autograd.grad(scores, read[-1])
    return gradient


# ---- transformers ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Patches:
    """The patches of the image as a transformer's first attention block gets them.

    Attributes:
        block: it gets tokens (b, n, d), or (b, h, w, d).
        first: of n tokens how many class and register tokens stand before the patches.
    """

    block: nn.Module
    first: int

    def grid(self, tokens: Tensor) -> Tensor:
        """The patches (b, d, h, w) of the block's tokens."""
        if tokens.ndim == 3:
            patches = tokens[:, self.first :]
            side = math.isqrt(patches.shape[1])
            tokens = patches.reshape(len(patches), side, side, -1)
        return tokens.permute(0, 3, 1, 2)


class _ReadError(Exception):
    """Ends a forward pass that has come as far as is needed."""


def first_patches(backbone: nn.Module, size: int) -> Patches | None:
    """What the first block with a norm before attention gets of images of `size` pixels.

    None of other networks, and where it gets no square of patches in the order of the image. The
    order is tried, not read off shapes, which mislead: of noise with one quarter replaced, that
    quarter of the grid has to change PLACE_MARGIN times as much as any other.
    """
    for module in backbone.modules():
        parts = (getattr(module, "norm1", None), getattr(module, "attn", None))
        if all(isinstance(part, nn.Module) for part in parts):
            return _patches_of(backbone, module, size)
    return None


def _patches_of(backbone: nn.Module, block: nn.Module, size: int) -> Patches | None:
    images_bchw = _with_quarters_replaced(backbone, size)
    tokens = _tokens_read(backbone, block, images_bchw)
    first = _first_patch(tokens, _prefix(backbone))
    if first is None or len(tokens) != len(images_bchw):
        return None
    patches = Patches(block, first)
    grid_bdhw = patches.grid(tokens).float()
    changes_4hw = (grid_bdhw[1:] - grid_bdhw[0]).square().sum(1)
    by_quarter = F.adaptive_avg_pool2d(changes_4hw, 2).flatten(1)
    own = by_quarter.diagonal()
    others = (by_quarter - torch.diag(own)).amax(1)
    return patches if bool((own > PLACE_MARGIN * others).all()) else None


def _with_quarters_replaced(backbone: nn.Module, size: int) -> Tensor:
    """(5, 3, size, size) noise: an image, and that image with one of its quarters replaced."""
    generator = torch.Generator().manual_seed(0)
    image, other = torch.randn(2, 3, size, size, generator=generator)
    images, half = [image], size // 2
    for rows in (slice(half), slice(half, None)):
        for columns in (slice(half), slice(half, None)):
            images.append(image.clone())
            images[-1][:, rows, columns] = other[:, rows, columns]
    return torch.stack(images).to(next(backbone.parameters()).device)


def patch_contributions(
    classifier: Explained, patches: Patches, x_bchw: Tensor, targets_b: Tensor
) -> Tensor:
    """(b, h, w) integrated gradients of the patches, summed over channels.

    From patches of zeros to those of the image in PATH_STEPS steps (midpoints); class and register
    tokens stay. The cells sum to what the patches add to the logit as far as the steps resolve the
    path: near zeros a layer norm changes fast. Source: Sundararajan et al. 2017, arXiv 1703.01365.
    """
    tokens = _tokens_read(classifier.backbone, patches.block, x_bchw)
    baseline = torch.zeros_like(tokens)
    if tokens.ndim == 3:
        baseline[:, : patches.first] = tokens[:, : patches.first]
    mean = torch.zeros_like(tokens)
    for step in range(PATH_STEPS):
        at = baseline + (step + 0.5) / PATH_STEPS * (tokens - baseline)
        mean += _gradient_at(classifier, patches.block, at, x_bchw, targets_b) / PATH_STEPS
    return patches.grid(mean * (tokens - baseline)).sum(1).float()


def _tokens_read(backbone: nn.Module, block: nn.Module, x_bchw: Tensor) -> Tensor:
    """What a block gets; nothing behind it is computed."""
    read: list[Tensor] = []

    def stop(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        read.append(inputs[0].detach())
        raise _ReadError

    hook = block.register_forward_pre_hook(stop)
    try:
        with torch.no_grad(), contextlib.suppress(_ReadError):
            backbone(x_bchw)
    finally:
        hook.remove()
    return read[0]


def _gradient_at(
    classifier: Explained, block: nn.Module, tokens: Tensor, x_bchw: Tensor, targets_b: Tensor
) -> Tensor:
    """Gradient of the targets' logits where the block gets these tokens in place of the images'."""
    read: list[Tensor] = []

    def put(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        read.append(tokens.clone().requires_grad_())
        return (read[-1], *inputs[1:])

    hook = block.register_forward_pre_hook(put)
    try:
        return _gradient(classifier, x_bchw, targets_b, read)
    finally:
        hook.remove()


def _prefix(backbone: nn.Module) -> int:
    """How many class and register tokens a network puts before its patches."""
    stated = [getattr(module, "num_prefix_tokens", 0) for module in backbone.modules()]
    return max((count for count in stated if isinstance(count, int)), default=0)


def _first_patch(tokens: Tensor, prefix: int) -> int | None:
    """How many tokens stand before the patches, `prefix` or none; None where the others are no square."""
    if tokens.ndim == 4:  # (b, h, w, d), as windowed attention has them
        return 0 if tokens.shape[1] == tokens.shape[2] else None
    for before in (prefix, 0):
        count = tokens.shape[1] - before
        if tokens.ndim == 3 and count > 0 and math.isqrt(count) ** 2 == count:
            return before
    return None
