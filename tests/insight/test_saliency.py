"""Grad-CAM and LayerCAM agree with their papers; they and occlusion find a lesion that alone counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation, Occlusion
from torch import nn

from derm_core.bundles.bundle import Bundle
from derm_core.bundles.predictor import Predictor
from derm_core.config import BackboneConfig
from derm_core.insight.saliency import grad_cam, layer_cam, occlusion
from derm_core.nets.backbone import build_backbone, normalise
from derm_core.nets.head import Classifier, make_head
from derm_core.stats.inside_share import inside_share
from tests.builders import render_lesion
from tests.bundles.cards import make_card

SIZE = 64


class DarkSpots(nn.Module):
    """A network that sees only how dark each 4 x 4 cell is: feature 0 dark pigment, feature 1 light skin."""

    width = 2

    def forward(self, x_bchw):
        grey = nn.functional.avg_pool2d(x_bchw.mean(dim=1, keepdim=True), 4)
        return torch.cat([(-grey).relu(), grey.relu()], dim=1)

    def pooled(self, x_bchw):
        return self(x_bchw).mean(dim=(2, 3))


def predictor_of(
    backbone: nn.Module, head: nn.Module, classes: int, mean: float = 0.5, size: int = SIZE
) -> Predictor:
    card = make_card(
        classes=[str(i) for i in range(classes)],
        input_size=size,
        features=backbone.width,
        mean=[mean] * 3,
        std=[0.25] * 3,
    )
    return Predictor(
        Bundle(
            "own", Path("own"), card, Classifier(backbone, head).eval().requires_grad_(False), None
        )
    )


@pytest.fixture
def dark() -> Predictor:
    """Class 1 is the more probable, the more dark pigment an image shows; class 0 lives on light skin."""
    head = nn.Sequential(nn.Linear(2, 2), nn.Identity(), nn.Linear(2, 2))
    with torch.no_grad():
        for layer, weight in (
            (head[0], [[1.0, 0.0], [0.0, 1.0]]),
            (head[2], [[0.0, 1.0], [4.0, 0.0]]),
        ):
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.zero_()
    return predictor_of(DarkSpots(), head, 2, mean=0.5)


@pytest.fixture
def resnet() -> Predictor:
    return predictor_of(
        build_backbone(BackboneConfig(architecture="resnet18", stage=2), 1),
        make_head(128, 16, 5, 2),
        5,
    )


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def lesions() -> tuple[np.ndarray, np.ndarray]:
    """(n, S, S, 3) clean synthetic lesions on light skin, away from the middle, and (n, S, S) their masks."""
    rendered = [
        render_lesion(SIZE, seed, pigment=1.8, size=0.4, shift_x=shift, shift_y=-shift)
        for seed, shift in enumerate((0.0, 0.2, -0.2))
    ]
    images, masks = zip(*rendered, strict=True)
    return (np.stack(images) * 255).round().astype(np.uint8), np.stack(masks)


@pytest.mark.parametrize("cam", [grad_cam, layer_cam])
def test_saliency_lies_on_the_lesion_where_only_the_lesion_counts(cam, dark, lesions):
    images, masks = lesions
    inside = inside_share(cam(dark, images, [1] * len(images)).density_nss, masks)
    outside = inside_share(cam(dark, images, [0] * len(images)).density_nss, masks)
    area = masks.mean(axis=(1, 2))
    assert (inside > 0.8).all() and (inside > 2 * area).all()
    assert (outside < area).all(), "the class that lives on skin has its evidence outside"


def test_hiding_the_lesion_costs_what_only_the_lesion_gives(dark, lesions):
    images, masks = lesions
    drops = np.stack([occlusion(dark, image, 1) for image in images])
    assert drops.shape == images.shape[:3] and (drops.max(axis=(1, 2)) > 0).all()
    assert (inside_share(drops.clip(0), masks) > 1.5 * masks.mean(axis=(1, 2))).all()


def test_a_patch_is_worth_what_the_network_says_without_it(dark):
    """A dark square in the corner of a light image: hiding it, by hand, costs what the map says there."""
    image = np.full((SIZE, SIZE, 3), 200, np.uint8)
    image[:16, :16] = 10
    hidden = image.copy()
    hidden[:16, :16] = image.reshape(-1, 3).mean(axis=0).round()
    expected = dark.predict(image[None])[0, 1] - dark.predict(hidden[None])[0, 1]
    drops = occlusion(dark, image, 1)
    assert expected > 0 and 0.25 * expected < drops[7, 7] <= expected + 1e-6
    assert abs(drops[40:, 40:]).max() < 0.1 * expected


def test_occlusion_is_captums():
    """At 16 pixels the patches of 4 move by 1 from 2 pixels outside; captum sees the image with that border."""
    size, patch, border = 16, 4, 2
    image = np.random.default_rng(1).integers(0, 256, (size, size, 3), dtype=np.uint8)
    backbone = build_backbone(BackboneConfig(architecture="resnet18", stage=1), 1)
    predictor = predictor_of(backbone, make_head(64, 8, 3, 2), 3, size=size)
    inner = slice(border, border + size)

    def probability(x_bchw: torch.Tensor) -> torch.Tensor:
        images = x_bchw[:, :, inner, inner].permute(0, 2, 3, 1).to(torch.uint8).numpy()
        return torch.from_numpy(predictor.predict(images)[:, 2])

    wide = np.pad(image, ((border, 1), (border, 1), (0, 0)))
    x_bchw = torch.from_numpy(wide).permute(2, 0, 1)[None].double()
    grey = torch.from_numpy(image.reshape(-1, 3).mean(axis=0).round()).view(1, 3, 1, 1)
    drops = Occlusion(probability).attribute(
        x_bchw,
        sliding_window_shapes=(3, patch, patch),
        strides=(3, 1, 1),
        baselines=grey.expand_as(x_bchw),
    )
    expected = drops[0, 0, inner, inner].numpy()
    assert occlusion(predictor, image, 2) == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_the_cells_sum_to_the_derivative_along_the_features(resnet, noise):
    """Completeness: the contributions of a map's cells sum to d logit(t f) / dt at t = 1 (central differences)."""
    cam = grad_cam(resnet, noise, [0, 3, 4])
    classifier = resnet.bundle.classifier.double()
    features = classifier.backbone.body(
        normalise(torch.from_numpy(noise), [0.5] * 3, [0.25] * 3).double()
    )[-1].mean(dim=(2, 3))
    step = 1e-5
    slope = (
        classifier.classify((1 + step) * features) - classifier.classify((1 - step) * features)
    ) / (2 * step)
    expected = slope.gather(1, torch.tensor([[0], [3], [4]]))[:, 0].detach().numpy()
    assert cam.cells_nhw.shape == (3, 8, 8)
    assert cam.cells_nhw.sum(axis=(1, 2)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_grad_cam_is_the_papers(resnet, noise):
    """Equations 1 and 2, cell by cell, with gradients taken through a hook on the whole network."""
    classifier, hooked = resnet.bundle.classifier, {}

    def hook_map(_, __, output):
        hooked["map"] = output.requires_grad_()
        output.retain_grad()

    hook = classifier.backbone.register_forward_hook(hook_map)
    with torch.enable_grad():
        map_bdhw = classifier.backbone(
            normalise(torch.from_numpy(noise[:1]), [0.5] * 3, [0.25] * 3)
        )
        classifier.classify(map_bdhw.mean(dim=(2, 3)))[0, 2].backward()
    hook.remove()
    alpha = hooked["map"].grad[0].mean(dim=(1, 2))
    expected = sum(
        weight * plane for weight, plane in zip(alpha, hooked["map"][0].detach(), strict=True)
    ).numpy()
    assert grad_cam(resnet, noise[:1], [2]).cells_nhw[0] == pytest.approx(
        expected, rel=1e-4, abs=1e-7
    )


def test_grad_cam_is_captums(resnet, noise):
    classifier = resnet.bundle.classifier
    x_bchw = normalise(torch.from_numpy(noise), [0.5] * 3, [0.25] * 3)
    cam = LayerGradCam(classifier, classifier.backbone)
    expected = cam.attribute(x_bchw, target=torch.tensor([0, 3, 4]))[:, 0].detach().numpy()
    assert grad_cam(resnet, noise, [0, 3, 4]).cells_nhw == pytest.approx(
        expected, rel=1e-4, abs=1e-7
    )


def test_maps_are_shares_of_the_evidence_and_fit_one_scale(resnet, noise):
    cam = grad_cam(resnet, noise)
    assert cam.targets.tolist() == resnet.logits(noise).argmax(axis=1).tolist()
    alive = cam.peaks > 0
    assert cam.density_nss[alive].mean(axis=(1, 2)) == pytest.approx(1, rel=1e-3)
    assert cam.density_nss.dtype == np.float32 and cam.density_nss.min() >= 0
    assert cam.peaks == pytest.approx([density.max() for density in cam.density_nss])


def resnet_to_stage_3() -> Predictor:
    return predictor_of(
        build_backbone(BackboneConfig(architecture="resnet18", stage=3), 1),
        make_head(256, 16, 5, 2),
        5,
    )


def paper_cells(predictor: Predictor, image_ssc: np.ndarray, target: int) -> np.ndarray:
    """(8, 8) equations 6 to 8, pixel by pixel, on layer2, the network cut there by hand."""
    body, classifier = predictor.bundle.classifier.backbone.body, predictor.bundle.classifier
    x_bchw = normalise(torch.from_numpy(image_ssc[None]), [0.5] * 3, [0.25] * 3)
    for name in ("conv1", "bn1", "act1", "maxpool", "layer1", "layer2"):
        x_bchw = getattr(body, name)(x_bchw)
    with torch.enable_grad():
        map_bdhw = x_bchw.clone().requires_grad_()
        classifier.classify(body.layer3(map_bdhw).mean(dim=(2, 3)))[0, target].backward()
    gradient, plane = map_bdhw.grad[0].numpy(), map_bdhw.detach()[0].numpy()
    expected = np.zeros((8, 8))
    for d in range(len(plane)):
        for i in range(8):
            for j in range(8):
                expected[i, j] += max(gradient[d, i, j], 0) * plane[d, i, j]
    return np.maximum(expected, 0)


def test_layer_cam_is_the_papers_at_the_four_places_of_the_image_on_the_next_grid(noise):
    """A cell of layer2 is 8 pixels; what lies behind the lower and the right edge after a move is its last cell."""
    predictor = resnet_to_stage_3()
    expected = np.zeros((8, 8))
    for down in (0, 1):
        for right in (0, 1):
            wide = np.pad(noise[0], ((8 * down, 0), (8 * right, 0), (0, 0)), mode="edge")
            cells = paper_cells(predictor, wide[:SIZE, :SIZE], 2)
            expected += np.pad(cells[down:, right:], ((0, down), (0, right)), mode="edge") / 4
    assert layer_cam(predictor, noise[:1], [2]).cells_nhw[0] == pytest.approx(
        expected, rel=1e-4, abs=1e-7
    )


def test_layer_cam_is_captums_rectified_gradient_times_activation(noise):
    """layer2 ends in a ReLU: where its map is not negative, both are the same."""
    predictor = resnet_to_stage_3()
    classifier = predictor.bundle.classifier
    method = LayerGradientXActivation(classifier, classifier.backbone.body.layer2)
    expected = np.zeros((8, 8))
    for down in (0, 1):
        for right in (0, 1):
            wide = np.pad(noise[0], ((8 * down, 0), (8 * right, 0), (0, 0)), mode="edge")
            moved = torch.from_numpy(wide[None, :SIZE, :SIZE])
            x_bchw = normalise(moved, [0.5] * 3, [0.25] * 3)
            cells = method.attribute(x_bchw, target=2).clamp_min(0).sum(1)[0].detach().numpy()
            expected += np.pad(cells[down:, right:], ((0, down), (0, right)), mode="edge") / 4
    assert layer_cam(predictor, noise[:1], [2]).cells_nhw[0] == pytest.approx(
        expected, rel=1e-4, abs=1e-7
    )


def test_cells_that_a_strided_shortcut_does_not_read_have_evidence_too(noise):
    """Where layer3 sees the map through its 1 x 1 shortcut of stride 2 alone, three cells of four are 0."""
    predictor = resnet_to_stage_3()
    block = predictor.bundle.classifier.backbone.body.layer3[0]
    block.bn2.weight.data.zero_()
    papers = np.stack([paper_cells(predictor, image, 2) for image in noise])
    assert papers[:, ::2, ::2].sum() == pytest.approx(papers.sum()) and papers.sum() > 0
    cells = layer_cam(predictor, noise, [2] * len(noise)).cells_nhw
    for down in (0, 1):
        for right in (0, 1):
            assert 0.15 < cells[:, down::2, right::2].sum() / cells.sum() < 0.4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "stage", "cells"),
    [("resnet18", 3, 8), ("convnext_atto", 2, 8), ("mobilenetv2_100", 3, 8)],
)
def test_the_map_read_is_the_deepest_of_eight_cells_or_the_models_own(
    architecture, stage, cells, noise
):
    backbone = build_backbone(BackboneConfig(architecture=architecture, stage=stage), 1)
    predictor = predictor_of(backbone, make_head(backbone.width, 8, 3, 2), 3)
    cam = layer_cam(predictor, noise[:2])
    assert (
        cam.cells_nhw.shape == (2, cells, cells)
        and (cam.cells_nhw >= 0).all()
        and (cam.peaks > 0).all()
    )
    assert not any(module._forward_hooks for module in backbone.modules())


def test_one_batch_or_many_give_the_same_maps(resnet, noise, monkeypatch):
    together = grad_cam(resnet, noise).cells_nhw
    monkeypatch.setattr("derm_core.insight.saliency.BATCH", 1)
    assert grad_cam(resnet, noise).cells_nhw == pytest.approx(together, rel=1e-4, abs=1e-6)
    assert grad_cam(resnet, noise[:0]).density_nss.shape == (0, SIZE, SIZE)


def test_the_share_inside_is_counted_as_by_hand():
    maps, masks = np.zeros((2, 2, 2)), np.zeros((2, 2, 2), bool)
    maps[0], masks[:, 0] = [[3, 1], [1, 0]], True
    assert inside_share(maps, masks)[0] == pytest.approx(0.8) and np.isnan(
        inside_share(maps, masks)[1]
    )
    with pytest.raises(ValueError, match="one shape"):
        inside_share(maps, masks[:1])


def test_progress_of_an_occlusion_ends_at_all(dark, lesions):
    seen = []
    occlusion(dark, lesions[0][0], 1, lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] and [done for done, _ in seen] == sorted(
        done for done, _ in seen
    )
