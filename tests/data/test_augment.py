"""Augmentation: off means untouched, on means other parameters for every image of a batch."""

import numpy as np
import pytest
import torch

from derm_core.config import AugmentConfig
from derm_core.data.augment import affine_maps, augment

OFF = AugmentConfig(flip=False, rotate_degrees=0, scale_min=1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 8, size: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=generator(seed))


def smooth(count: int = 1, size: int = 33) -> torch.Tensor:
    """The same image `count` times: smooth ramps that make geometry readable."""
    axis = torch.linspace(0.1, 0.9, size)
    image = torch.stack(
        [axis.expand(size, size), axis[:, None].expand(size, size), torch.full((size, size), 0.5)]
    )
    return image.expand(count, -1, -1, -1).contiguous()


def off(**changes) -> AugmentConfig:
    return AugmentConfig(**{"flip": False, "rotate_degrees": 0.0, "scale_min": 1.0, **changes})


EVERYTHING = AugmentConfig(
    rotate_degrees=180,
    scale_min=0.6,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    cast=0.1,
    mask_ratio=0.3,
    mask_patch=4,
)


def test_everything_off_is_the_identity():
    images = batch()
    view, target = augment(images, OFF, generator())
    assert torch.equal(view, images) and torch.equal(target, images)


@pytest.mark.parametrize(
    "config",
    [
        off(flip=True),
        off(rotate_degrees=180),
        off(scale_min=0.5),
        off(brightness=0.3),
        off(contrast=0.3),
        off(saturation=0.3),
        off(cast=0.2),
        off(mask_ratio=0.4, mask_patch=4),
    ],
    ids=["flip", "rotate", "crop", "brightness", "contrast", "saturation", "cast", "mask"],
)
def test_images_of_a_batch_draw_their_own_parameters(config):
    images = batch(1).expand(16, -1, -1, -1)
    view, _ = augment(images, config, generator())
    different = {tuple(image.flatten()[:400].tolist()) for image in view}
    assert len(different) >= (4 if config.flip else 16)


def test_the_generator_decides():
    images = batch()
    for first, second in zip(
        augment(images, EVERYTHING, generator(3)), augment(images, EVERYTHING, generator(3))
    ):
        assert torch.equal(first, second)
    assert not torch.equal(
        augment(images, EVERYTHING, generator(3))[0], augment(images, EVERYTHING, generator(4))[0]
    )


def test_the_input_is_not_changed():
    images = batch()
    before = images.clone()
    augment(images, EVERYTHING, generator())
    assert torch.equal(images, before)


def test_the_target_is_the_view_without_colour_changes_and_mask():
    config = off(flip=True, rotate_degrees=90, scale_min=0.7, mask_ratio=0.5, mask_patch=8)
    images = batch()
    view, target = augment(images, config, generator())
    visible = (view == target).all(1, keepdim=True)
    assert visible.float().mean().item() == pytest.approx(0.5, abs=0.02)
    geometry_only = augment(images, off(flip=True, rotate_degrees=90, scale_min=0.7), generator())[
        1
    ]
    assert torch.equal(target, geometry_only)


def test_flips_match_torch_flip():
    images = batch(32)
    _, target = augment(images, off(flip=True), generator())
    choices = [images, images.flip(2), images.flip(3), images.flip(2, 3)]
    matches = [[torch.allclose(t, c[i], atol=1e-5) for c in choices] for i, t in enumerate(target)]
    assert all(sum(row) == 1 for row in matches)
    assert all(3 <= count <= 16 for count in np.sum(matches, 0))


def test_rotation_matches_scipy():
    """Inside the inscribed circle the resampling is that of scipy.ndimage.rotate by some angle."""
    from scipy.ndimage import rotate

    image = smooth()
    _, target = augment(image, off(rotate_degrees=60), generator(1))
    inside = (
        (torch.linspace(-1, 1, 33)[None] ** 2 + torch.linspace(-1, 1, 33)[:, None] ** 2) < 0.8
    ).numpy()
    errors = [
        np.abs(rotate(image[0, 0].numpy(), angle, reshape=False, order=1) - target[0, 0].numpy())[
            inside
        ].max()
        for angle in np.arange(-60, 60.5, 0.5)
    ]
    assert min(errors) < 5e-3


def test_rotation_and_flip_keep_the_centre_and_area():
    """At scale 1 the ramps' slopes keep their length: no zoom hides in the rotation."""
    _, target = augment(smooth(16), off(flip=True, rotate_degrees=180), generator())
    assert torch.allclose(target[:, :2, 16, 16], torch.full((16, 2), 0.5), atol=1e-4)
    slope = (target[:, 0, 16, 18] - target[:, 0, 16, 14]) ** 2 + (
        target[:, 0, 18, 16] - target[:, 0, 14, 16]
    ) ** 2
    assert torch.allclose(slope.sqrt(), torch.full((16,), 4 * 0.8 / 32), atol=1e-4)


def test_crops_zoom_in_and_stay_inside():
    _, target = augment(smooth(64), off(scale_min=0.5), generator())
    slope = (target[:, 0, 16, 18] - target[:, 0, 16, 14]) / (4 * 0.8 / 32)
    assert slope.min() >= 0.5 - 1e-3 and slope.max() <= 1 + 1e-3 and slope.max() - slope.min() > 0.3
    assert target.min() >= 0.1 - 1e-3 and target.max() <= 0.9 + 1e-3
    assert target[:, 0].mean((1, 2)).std() > 0.02, "crops sit in different places"


def test_a_constant_image_keeps_its_colour_under_geometry():
    colour = torch.tensor([0.2, 0.5, 0.8])[None, :, None, None]
    _, target = augment(
        colour.expand(8, 3, 32, 32).contiguous(),
        off(flip=True, rotate_degrees=180, scale_min=0.6),
        generator(),
    )
    assert torch.allclose(target, colour.expand_as(target), atol=1e-5)


def test_brightness_scales_within_its_range():
    image = torch.full((64, 3, 8, 8), 0.4)
    factor = augment(image, off(brightness=0.25), generator())[0].mean((1, 2, 3)) / 0.4
    assert factor.min() >= 0.75 - 1e-4 and factor.max() <= 1.25 + 1e-4 and factor.std() > 0.1


def test_contrast_keeps_the_mean_and_scales_the_deviation():
    image = 0.4 + 0.1 * batch(64, 8)
    view, target = augment(image, off(contrast=0.25), generator())

    def grey(x):
        return (x * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)

    assert torch.allclose(grey(view).mean((1, 2)), grey(target).mean((1, 2)), atol=1e-4)
    factor = grey(view).std((1, 2)) / grey(target).std((1, 2))
    assert factor.min() >= 0.75 - 1e-3 and factor.max() <= 1.25 + 1e-3 and factor.std() > 0.1


def test_saturation_leaves_grey_alone():
    grey = batch(8)[:, :1].expand(-1, 3, -1, -1)
    assert torch.allclose(augment(grey, off(saturation=0.5), generator())[0], grey, atol=1e-5)


def test_a_cast_tints_without_brightening():
    image = torch.full((64, 3, 8, 8), 0.5)
    view = augment(image, off(cast=0.2), generator())[0]
    assert torch.allclose(view.mean((1, 2, 3)), torch.full((64,), 0.5), atol=1e-4)
    assert view.mean((2, 3)).std(1).max() > 0.03


def test_hidden_patches_hold_the_mean_colour():
    images = batch(8)
    view, target = augment(images, off(mask_ratio=0.25, mask_patch=8), generator())
    mean = target.mean((2, 3), keepdim=True).expand_as(target)
    hidden = (view != target).any(1, keepdim=True).expand_as(view)
    assert torch.equal(view[hidden], mean[hidden])
    blocks = hidden[:, 0].reshape(8, 4, 8, 4, 8).float().mean((2, 4))
    assert set(blocks.flatten().tolist()) == {0.0, 1.0} and (blocks.sum((1, 2)) == 4).all()


def test_patches_that_do_not_divide_the_image():
    view, _ = augment(batch(2, 30), off(mask_ratio=0.5, mask_patch=8), generator())
    assert view.shape == (2, 3, 30, 30)


def test_values_stay_colours_and_gradients_are_not_needed():
    view, target = augment(batch(), EVERYTHING, generator())
    assert (
        view.min() >= 0
        and view.max() <= 1
        and view.dtype == torch.float32
        and view.shape == target.shape
    )


def test_geometry_is_that_of_affine_grid():
    images, config = batch(4, 20), off(flip=True, rotate_degrees=180, scale_min=0.6)
    numbers = generator(2)
    theta = affine_maps(config, lambda count: torch.rand(4, count, generator=numbers))
    grid = torch.nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    expected = torch.nn.functional.grid_sample(
        images, grid, padding_mode="reflection", align_corners=False
    )
    assert torch.allclose(augment(images, config, generator(2))[1], expected, atol=1e-4)


def test_colour_against_a_slow_loop():
    """Each change by itself, one after another, in double precision and image by image."""
    images, config, luma = (
        batch(6, 9),
        off(brightness=0.3, contrast=0.4, saturation=0.5, cast=0.2),
        [0.299, 0.587, 0.114],
    )
    draws = 2 * torch.rand(6, 6, generator=generator(5)).double().numpy() - 1
    views = augment(images, config, generator(5))[0].numpy()
    for image, (bright, contrast, saturation, *cast), view in zip(
        images.double().numpy(), draws, views
    ):
        gain = 1 + 0.2 * np.array(cast)
        image = image * (gain / gain.mean())[:, None, None] * (1 + 0.3 * bright)
        mean_grey = np.tensordot(luma, image, 1).mean()
        image = mean_grey + (image - mean_grey) * (1 + 0.4 * contrast)
        grey = np.tensordot(luma, image, 1)
        image = grey + (image - grey) * (1 + 0.5 * saturation)
        np.testing.assert_allclose(view, image.clip(0, 1), atol=1e-5)


@pytest.mark.gpu
def test_augmentation_never_waits_for_the_gpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    images, draws = batch().cuda(), torch.Generator(device="cuda").manual_seed(0)
    augment(images, EVERYTHING, draws)  # constants are made once
    torch.cuda.set_sync_debug_mode("error")
    try:
        augment(images, EVERYTHING, draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_a_cpu_generator_gives_the_same_views_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    cpu = augment(batch(), EVERYTHING, generator())[0]
    gpu = augment(batch().cuda(), EVERYTHING, generator())[0]
    assert torch.allclose(cpu, gpu.cpu(), atol=1e-3)
