"""Augmentation in batch: every image draws its own parameters, on the device that holds the batch.

(torchvision's v2 transforms draw one set of parameters per batch.) Shapes: b images, c = 3
channels, h = w pixels; values are colours in [0, 1].
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch.nn import functional

from ..config import AugmentConfig
from ..seeds import Share

Uniform = Callable[[int], torch.Tensor]  # count → (b, count) uniform numbers in [0, 1)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in torchvision's rgb_to_grayscale


def augment(
    images_bchw: torch.Tensor,
    config: AugmentConfig,
    generator: torch.Generator,
    share: Share | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(view, target) of a batch of square float images in [0, 1].

    The target is the image after flip, rotation and crop; the view is the target after changes of
    colour, with patches hidden. What a config switches off returns its input unchanged.

    Args:
        images_bchw: the batch.
        config: which changes are made, and how strong they are.
        generator: the only source of parameters, drawn on its device and used on the images'.
        share: which of a global batch these images are; they are augmented as they would be in it.
    """

    def uniform(count: int) -> torch.Tensor:
        """(b, count) uniform numbers in [0, 1) on the images' device."""
        total = len(images_bchw) if share is None else share.total
        draw = torch.rand(total, count, generator=generator, device=generator.device)
        return (draw if share is None else draw[share.of_batch]).to(images_bchw.device)

    target = geometric(images_bchw, config, uniform)
    return hide_patches(colour(target, config, uniform), config, uniform), target


def geometric(images_bchw: torch.Tensor, config: AugmentConfig, uniform: Uniform) -> torch.Tensor:
    """Flip, rotation and square crop as one affine resampling, reflected at the borders."""
    if not config.flip and config.rotate_degrees == 0 and config.scale_min == 1:
        return images_bchw
    theta = affine_maps(config, uniform)
    centres = _centres(images_bchw.shape[-1], theta.device).expand(len(theta), -1, -1)
    # affine_grid's result in a fraction of its time
    grid = torch.baddbmm(theta[:, :, 2:], theta[:, :, :2], centres)
    grid_bhw2 = grid.view(-1, 2, *images_bchw.shape[2:]).permute(0, 2, 3, 1).to(images_bchw.dtype)
    return functional.grid_sample(
        images_bchw, grid_bhw2, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def affine_maps(config: AugmentConfig, uniform: Uniform) -> torch.Tensor:
    """(b, 2, 3) maps from the view's coordinates to the image's, both in [-1, 1]."""
    draw = uniform(6)
    signs = 1 - 2 * (draw[:, :2] < 0.5).float() if config.flip else torch.ones_like(draw[:, :2])
    angle = (2 * draw[:, 2] - 1) * config.rotate_degrees * (torch.pi / 180)
    scale = config.scale_min + (1 - config.scale_min) * draw[:, 3]
    shift = (2 * draw[:, 4:6] - 1) * (1 - scale)[:, None]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rotation = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    return torch.cat([rotation * signs[:, None, :], shift[:, :, None]], 2)


def colour(images_bchw: torch.Tensor, config: AugmentConfig, uniform: Uniform) -> torch.Tensor:
    """Cast, brightness, contrast about the image's mean grey and saturation, then clamped to [0, 1].

    All four are linear in the pixel's colour: one 3 x 3 matrix and one shift an image.
    """
    if not (config.brightness or config.contrast or config.saturation or config.cast):
        return images_bchw
    draw = 2 * uniform(6).to(images_bchw.dtype) - 1
    gain = 1 + config.cast * draw[:, 3:6]
    gain = gain / gain.mean(1, keepdim=True) * (1 + config.brightness * draw[:, 0:1])
    contrast, saturation = 1 + config.contrast * draw[:, 1:2], 1 + config.saturation * draw[:, 2:3]
    luma, identity = _colour_constants(images_bchw.dtype, images_bchw.device)
    mean_grey_b1 = (gain * images_bchw.mean((2, 3))) @ luma[:, None]
    mix = saturation[:, :, None] * identity + (1 - saturation[:, :, None]) * luma  # rows: r, g, b
    mix, shift = mix * (contrast * gain)[:, None, :], ((1 - contrast) * mean_grey_b1)[:, :, None]
    return torch.baddbmm(shift, mix, images_bchw.flatten(2)).view(images_bchw.shape).clamp_(0, 1)


def hide_patches(
    images_bchw: torch.Tensor, config: AugmentConfig, uniform: Uniform
) -> torch.Tensor:
    """Fill `mask_ratio` of the square patches, other ones in every image, with the image's mean colour."""
    side = -(-images_bchw.shape[-1] // config.mask_patch)
    hidden = round(config.mask_ratio * side * side)
    if hidden == 0:
        return images_bchw
    rank = uniform(side * side).argsort(1).argsort(1)
    mask = (rank < hidden).view(-1, 1, side, side)
    for dimension in (2, 3):
        mask = mask.repeat_interleave(config.mask_patch, dimension)
    mask = mask[:, :, : images_bchw.shape[2], : images_bchw.shape[3]]
    return torch.where(mask, images_bchw.mean((2, 3), keepdim=True), images_bchw)


@functools.lru_cache(maxsize=8)
def _centres(size: int, device: torch.device) -> torch.Tensor:
    """(2, size²) pixel centres (x, y) in [-1, 1]; cached, since making a tensor on a GPU waits for it."""
    axis = (torch.arange(size) * 2 + 1) / size - 1
    return torch.stack([axis.repeat(size), axis.repeat_interleave(size)]).to(device)


@functools.lru_cache(maxsize=8)
def _colour_constants(
    dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Luma weights (3,) and the identity (3, 3)."""
    return torch.tensor(LUMA, dtype=dtype, device=device), torch.eye(3, dtype=dtype, device=device)
