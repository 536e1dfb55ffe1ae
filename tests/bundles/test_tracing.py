"""A network in one call says the same to the last bit, and what cannot be one call is called as it is."""

from __future__ import annotations

import torch
from torch import nn

from derm_core.bundles.tracing import one_call


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)
    ).eval()


def called(function, parts, example, *inputs) -> tuple[list, int]:
    """The results for `inputs`, and how often Python's `function` ran for them."""
    times = []

    def counted(x):
        times.append(x.shape)
        return function(x)

    found = one_call(counted, parts, example)
    times.clear()
    with torch.inference_mode():
        return [found(x) for x in inputs], len(times)


def test_one_image_is_one_call_and_equal():
    net, example = network(), torch.zeros(1, 3, 8, 8)
    inputs = torch.randn(3, 1, 3, 8, 8)
    net(example)
    found, python = called(lambda x: (net(x), x.mean()), [net], example, *inputs)
    assert python == 0, "no Python between its operations"
    for (y, mean), x in zip(found, inputs, strict=True):
        assert torch.equal(y, net(x)) and torch.equal(mean, x.mean())


def test_other_shapes_and_what_depends_on_the_input_go_through_python():
    net, example = network(), torch.zeros(1, 3, 8, 8)
    net(example)
    several = torch.randn(5, 3, 8, 8)
    found, python = called(net, [net], example, several)
    assert python == 1 and torch.equal(found[0], net(several))

    def forked(x):
        return net(x) if x.sum() > 0 else -net(x)  # a trace would hold one of the two for ever

    ones = torch.ones(1, 3, 8, 8)
    found, python = called(forked, [net], example, ones, -ones)
    assert python == 2 and torch.equal(found[0], net(ones)) and torch.equal(found[1], -net(-ones))


def test_what_cannot_be_traced_is_called_as_it_is():
    found, python = called(lambda x: {"a": [x.tolist()]}, [], torch.zeros(1, 2), torch.ones(1, 2))
    assert found == [{"a": [[[1.0, 1.0]]]}] and python == 1
