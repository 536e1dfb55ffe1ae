"""The table of timm's models is that of the installed timm, and its memory that of the tensors that are alive."""

from __future__ import annotations

import pytest
import timm
import torch

from derm_core.nets.timm_models import timm_models
from tools.timm_table import PeakMemory, measure

pytestmark = pytest.mark.slow


def test_every_pretrained_model_of_timm_is_in_the_table_as_timm_describes_it():
    table = timm_models()
    assert set(table) == set(timm.list_pretrained()), "run python -m tools.timm_table"
    for name in list(table)[::97]:
        config = timm.get_pretrained_cfg(name)
        assert table[name].pixels == config.input_size[-1]
        assert table[name].license in (config.license, "")


@pytest.mark.parametrize("name", ["resnet18.tv_in1k", "vit_tiny_patch16_224.augreg_in21k"])
def test_parameters_and_memory_are_those_of_the_network(name):
    model = timm_models()[name]
    parameters, megabytes = measure(model.architecture, model.pixels)
    network = timm.create_model(model.architecture, pretrained=False, num_classes=0)
    assert parameters == model.parameters == sum(p.numel() for p in network.parameters())
    assert 1e6 * megabytes == pytest.approx(model.forward_bytes, abs=6e4)


def test_a_storage_is_counted_once_and_until_its_last_view_is_gone():
    with PeakMemory() as memory:
        first = torch.zeros(1000)  # 4,000 bytes
        view = first.view(10, 100)
        assert memory.alive == 4000
        del first
        assert memory.alive == 4000
        del view
        assert memory.alive == 0
        second = torch.zeros(500)
    assert memory.peak == 4000 and second.numel() == 500
