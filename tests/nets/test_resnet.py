"""A ResNet that is built without timm is timm's, to the last bit."""

from __future__ import annotations

import pytest
import timm
import torch

from derm_core.nets.resnet import BLOCKS, ResNet


@pytest.mark.parametrize("architecture", BLOCKS)
@pytest.mark.parametrize("stage", [1, 3, 4])
def test_weights_maps_and_gradients_are_those_of_timm(architecture, stage):
    torch.manual_seed(3)
    reference = timm.create_model(
        architecture, pretrained=False, features_only=True, out_indices=(stage,)
    )
    drawn_next = torch.rand(1)
    torch.manual_seed(3)
    own = ResNet(architecture, stage)
    assert torch.equal(torch.rand(1), drawn_next)  # as many random numbers were drawn
    expected, state = reference.state_dict(), own.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    described = reference.feature_info.info[: stage + 1]
    assert own.feature_info == [{key: one[key] for key in own.feature_info[0]} for one in described]
    images_bchw = torch.randn(2, 3, 65, 64)
    for train in (True, False):
        (map_bdhw,), (expected_bdhw,) = (
            network.train(train)(images_bchw) for network in (own, reference)
        )
        assert torch.equal(map_bdhw, expected_bdhw)
        for output in (map_bdhw, expected_bdhw):
            output.square().sum().backward()
        for ours, theirs in zip(own.parameters(), reference.parameters(), strict=True):
            assert torch.equal(ours.grad, theirs.grad)
