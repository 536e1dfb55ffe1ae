"""Batch norms that are folded into convolutions."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from derm_core.nets.batchnorm import fold, match_statistics, measure_statistics
from derm_core.nets.pretrained import build_pretrained


def test_folded_batch_norms_compute_the_same_with_fewer_layers():
    network = timm.create_model("resnet18", pretrained=False).eval()
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    images = torch.randn(2, 3, 64, 64, generator=generator)
    folded = fold(network, images)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded(images), network(images), rtol=1e-4, atol=1e-5)


def test_a_network_whose_batch_norm_follows_something_else_is_left_as_it_is():
    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.convolution(self.norm(x).relu())

    network = Crossed().eval()
    network.norm.running_mean.fill_(0.5)
    assert fold(network, torch.randn(1, 3, 8, 8)) is network


@pytest.mark.slow
@pytest.mark.parametrize("fit", [match_statistics, measure_statistics])
@pytest.mark.parametrize("architecture", ["levit_128s", "resnet10t"])
def test_batch_norms_of_tokens_and_maps_compute_the_same_in_train_and_eval_mode(architecture, fit):
    """LeViT normalises tokens (n, d); matching new statistics keeps the function besides."""
    network = build_pretrained(architecture, 64)
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    images = torch.randn(64, 3, 64, 64, generator=generator) * 2 + 1
    with torch.no_grad():
        before = network.eval()(images)
        fit(network, images)
        after = network.eval()(images)
        torch.testing.assert_close(network.train()(images), after, rtol=0.1, atol=0.1)
    if fit is match_statistics:
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)


def test_batch_norms_that_end_in_an_activation_are_folded_and_the_activation_stays():
    torch.manual_seed(0)
    network = timm.create_model("mobilenetv2_100", num_classes=0)
    measure_statistics(network, torch.randn(16, 3, 64, 64))
    images = torch.randn(2, 3, 64, 64)
    folded = fold(network, images)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded(images), network(images), rtol=1e-3, atol=1e-4)


def test_a_network_without_batch_norm_is_not_copied():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    assert fold(network, torch.randn(1, 3, 8, 8)) is network
