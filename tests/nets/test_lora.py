"""LoRA: nothing changes at the start, updates alone are trained, and merging changes nothing."""

import copy

import pytest
import torch
from torch.nn.utils import parametrize

from derm_core.nets.lora import add_lora, attention_layers, merge_lora
from derm_core.nets.pretrained import build_pretrained

from .families import FAMILIES

SIZE = 112


@pytest.mark.slow
@pytest.mark.parametrize("architecture", FAMILIES)
def test_updates_alone_are_trained_and_merging_leaves_the_network_as_it_was_trained(architecture):
    network = build_pretrained(architecture, SIZE, model_args=FAMILIES[architecture])
    x_bchw = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    before, names = network(x_bchw), list(network.state_dict())
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    changed = attention_layers(network)
    assert add_lora(network, 2, seed=0) == len(changed) >= 2
    torch.testing.assert_close(network(x_bchw), before)
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert {name[-2:] for name in trained} == {".a", ".b"}
    network(x_bchw).square().sum().backward()
    assert all(p.grad is not None for p in trained.values())
    for name, parameter in trained.items():
        parameter.data += name.endswith(".b") * torch.randn_like(parameter)
    adapted = copy.deepcopy(network)(x_bchw)
    assert not torch.equal(adapted, before)
    merge_lora(network)
    torch.testing.assert_close(network(x_bchw), adapted)
    merged = network.state_dict()
    assert set(merged) == set(names) and all(p.requires_grad for p in network.parameters())
    moved = {name for name in names if not torch.equal(merged[name], weights[name])}
    assert moved and all("attn" in name and name.endswith(".weight") for name in moved)


def test_a_network_without_attention_stays_as_it_is():
    network = build_pretrained("resnet10t", 32)
    assert add_lora(network, 2, seed=0) == 0
    assert all(parameter.requires_grad for parameter in network.parameters())
    merge_lora(network)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "size", "model_args", "names"),
    [
        ("convit_tiny", 64, {"depth": 2, "local_up_to_layer": 1}, {"qk", "v", "qkv", "proj"}),
        ("tnt_s_patch16_224", 64, {"depth": 1}, {"qk", "v", "proj"}),
        ("crossvit_tiny_240", 240, {"depth": ((1, 1, 0),) * 3}, {"qkv", "wq", "wk", "wv", "proj"}),
        ("levit_128s", 64, {}, {"qkv", "q", "kv", "proj"}),
    ],
)
def test_queries_keys_values_and_output_are_updated_whatever_a_family_calls_them(
    architecture, size, model_args, names
):
    network = build_pretrained(architecture, size, model_args=model_args)
    adapted = add_lora(network, 2, seed=0)
    layers = [
        name.removesuffix(".linear").removesuffix(".ln").split(".")[-1]
        for name, module in network.named_modules()
        if parametrize.is_parametrized(module, "weight")
    ]
    assert len(layers) == adapted and set(layers) == names
    assert network(torch.rand(2, 3, size, size)).shape == (2, network.width)
