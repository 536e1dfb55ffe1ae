"""Heads start alike per seed; a classifier is standardise + head on pooled features."""

from __future__ import annotations

import torch

from derm_core.config import BackboneConfig
from derm_core.nets.backbone import build_backbone
from derm_core.nets.head import Classifier, make_head


def test_the_same_seed_gives_the_same_head_and_another_seed_another():
    first, again, other = make_head(8, 4, 3, 1), make_head(8, 4, 3, 1), make_head(8, 4, 3, 2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters()))
    assert not torch.equal(first[0].weight, other[0].weight)


def test_making_a_head_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    make_head(8, 4, 3, 1)
    assert torch.equal(torch.rand(2), expected)


def test_a_classifier_is_standardise_then_head():
    backbone = build_backbone(BackboneConfig(architecture="resnet18", stage=1), 0).eval()
    head = make_head(64, 4, 3, 0)
    generator = torch.Generator().manual_seed(0)
    mean, std = torch.randn(64, generator=generator), torch.rand(64, generator=generator) + 0.5
    classifier = Classifier(backbone, head, mean, std)
    x = torch.randn(2, 3, 32, 32, generator=generator)
    with torch.no_grad():
        standardised = (backbone(x).mean(dim=(2, 3)) - mean) / std
        hidden = torch.nn.functional.gelu(standardised @ head[0].weight.T + head[0].bias)
        assert torch.allclose(classifier(x), hidden @ head[2].weight.T + head[2].bias, atol=1e-5)
