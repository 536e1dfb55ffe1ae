"""Backbones of five families give the stage's map; weights are loaded whole or not at all."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from derm_core.config import BackboneConfig
from derm_core.errors import ConfigError
from derm_core.nets.backbone import build_backbone, load_timm_state, make_extractor, normalise

FAMILIES = {
    "resnet18": 3,
    "mobilenetv2_100": 3,
    "convnext_atto": 2,
    "efficientnet_b0": 2,
    "regnety_002": 3,
    "vit_tiny_patch16_224": 2,
    "swin_tiny_patch4_window7_224": 1,
}


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "stage"), FAMILIES.items())
def test_map_has_the_stages_width_and_reduction(architecture, stage):
    backbone = build_backbone(BackboneConfig(architecture=architecture, stage=stage), 0).eval()
    with torch.no_grad():
        map_bdhw = backbone(torch.randn(2, 3, 64, 64))
        pooled = backbone.pooled(torch.randn(2, 3, 64, 64))
    side = 64 // backbone.reduction
    assert map_bdhw.shape == (2, backbone.width, side, side)
    assert pooled.shape == (2, backbone.width) and pooled.dtype == torch.float32


def test_layers_behind_the_stage_are_not_kept():
    backbone = build_backbone(BackboneConfig(architecture="mobilenetv2_100", stage=3), 0)
    x = torch.randn(2, 3, 64, 64)
    backbone.pooled(x).sum().backward()
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["resnet18", "convnext_atto", "vit_tiny_patch16_224"])
def test_initialisation_follows_the_seed_and_leaves_the_global_generator_alone(architecture):
    config = BackboneConfig(architecture=architecture, stage=1)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (build_backbone(config, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_wrong_architecture_and_stage_are_named():
    with pytest.raises(ConfigError, match="resnet17"):
        build_backbone(BackboneConfig(architecture="resnet17"), 0)
    with pytest.raises(ConfigError, match="stage is 8"):
        build_backbone(BackboneConfig(architecture="resnet18", stage=8), 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "stage"),
    [("resnet18", 2), ("mobilenetv2_100", 2), ("convnext_atto", 1), ("vit_tiny_patch16_224", 1)],
)
def test_a_whole_classifiers_state_gives_the_classifiers_own_features(architecture, stage):
    import timm

    extra = {"dynamic_img_size": True} if architecture.startswith("vit") else {}
    torch.manual_seed(3)
    full = timm.create_model(architecture, pretrained=False, **extra).eval()
    backbone = build_backbone(BackboneConfig(architecture=architecture, stage=stage), 0).eval()
    load_timm_state(backbone, {key: value.half() for key, value in full.state_dict().items()})
    for parameter in full.parameters():
        parameter.data = parameter.data.half().float()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        reference = full.forward_intermediates(x, indices=[stage], intermediates_only=True)[0]
        assert torch.allclose(backbone(x), reference, atol=1e-4)


def test_a_missing_tensor_is_refused():
    backbone = build_backbone(BackboneConfig(architecture="resnet18", stage=1), 0)
    state = dict(backbone.body.state_dict())
    del state["layer1.0.conv1.weight"]
    with pytest.raises(ValueError, match=r"layer1.0.conv1.weight"):
        load_timm_state(backbone, state)


def test_normalise_agrees_with_a_plain_loop():
    images = torch.randint(
        0, 256, (2, 4, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    out = normalise(images, mean, std)
    for channel in range(3):
        expected = (images[..., channel].double() / 255 - mean[channel]) / std[channel]
        assert torch.allclose(out[:, channel].double(), expected, atol=1e-6)


def test_identity_changes_with_one_weight_and_with_the_normalisation():
    backbone = build_backbone(BackboneConfig(architecture="resnet18", stage=1), 0)
    half = (0.5, 0.5, 0.5)
    base = make_extractor("a", backbone, half, half).identity
    assert make_extractor("b", backbone, half, half).identity == base
    assert make_extractor("a", backbone, half, (0.5, 0.5, 0.4)).identity != base
    nn.init.zeros_(next(backbone.parameters()).data[0])
    assert make_extractor("a", backbone, half, half).identity != base
