"""Layer-wise decay: which parameter learns at which rate."""

import pytest
import torch
from timm.optim import param_groups_layer_decay

from derm_core.config import BackboneConfig
from derm_core.nets.backbone import build_backbone
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.pretrained import build_pretrained
from derm_core.training.engine import learning_rate
from derm_core.training.optimiser import layer_scales, make_optimiser, set_rate
from derm_core.training.tasks import ClassifyTask
from tests.nets.families import TINY

from .fitting import fit

LAYERS = {  # architecture, stage: a parameter of each layer, the stem's first
    ("resnet18", 3): [
        "conv1.weight",
        "layer1.0.bn2.bias",
        "layer2.0.downsample.0.weight",
        "layer3.1.conv1.weight",
    ],
    ("convnext_atto", 1): [
        "stem_1.weight",
        "stages_0.blocks.1.mlp.fc1.weight",
        "stages_1.downsample.0.weight",
    ],
    ("mobilenetv2_100", 1): [
        "conv_stem.weight",
        "blocks.0.0.conv_pw.weight",
        "blocks.1.1.bn3.weight",
    ],
    ("vit_tiny_patch16_224", 1): [
        "model.pos_embed",
        "model.blocks.0.norm1.weight",
        "model.blocks.1.mlp.fc2.bias",
    ],
}


def make_task(architecture="resnet18", stage=3):
    backbone = build_backbone(BackboneConfig(architecture=architecture, stage=stage), 0)
    return ClassifyTask(Classifier(backbone, make_head(backbone.width, 8, 3, 0)))


@pytest.mark.slow
@pytest.mark.parametrize("network", LAYERS, ids=lambda network: network[0])
def test_each_layer_below_the_head_learns_slower_by_the_factor(network):
    task = make_task(*network)
    scales = layer_scales(task, 0.5)
    assert scales.keys() == {name for name, _ in task.named_parameters() if ".backbone." in name}
    factors = [scales[f"classifier.backbone.body.{name}"] for name in LAYERS[network]]
    assert factors == [0.5 ** (len(factors) - i) for i in range(len(factors))]
    assert set(scales.values()) == set(factors)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "factor"), [("vit_tiny_patch16_224", 0.5), ("eva02_tiny_patch14_224", 1.0)]
)
def test_layers_of_a_whole_network_learn_at_the_rates_of_timms_groups(architecture, factor):
    """timm's topmost group has the full rate: the last block of a ViT, which below a head is the first that decays."""
    network = build_pretrained(architecture, 112, model_args=TINY | {"depth": 3})
    scales = layer_scales(ClassifyTask(Classifier(network, make_head(network.width, 8, 3, 0))), 0.5)
    names = {id(parameter): name for name, parameter in network.body.named_parameters()}
    expected = {
        f"classifier.backbone.body.{names[id(parameter)]}": factor * group["lr_scale"]
        for group in param_groups_layer_decay(network.body, layer_decay=0.5)
        for parameter in group["params"]
    }
    assert {name: scales.get(name, 1.0) for name in expected} == expected
    assert min(expected.values()) == 0.5**4


def test_groups_hold_every_parameter_once_with_its_rate_and_decay():
    task = make_task()
    optimiser = make_optimiser(task, 1e-3, 0.1, 0.75)
    set_rate(optimiser, 2e-3)
    rate = {
        id(p): (group["lr"], group["weight_decay"])
        for group in optimiser.param_groups
        for p in group["params"]
    }
    assert (
        len(rate)
        == len(list(task.parameters()))
        == sum(len(group["params"]) for group in optimiser.param_groups)
    )
    named = {name: rate[id(p)] for name, p in task.named_parameters()}
    assert named["classifier.head.0.weight"] == (2e-3, 0.1) and named["classifier.head.2.bias"] == (
        2e-3,
        0,
    )
    assert named["classifier.backbone.body.layer3.0.conv1.weight"] == pytest.approx((1.5e-3, 0.1))
    assert named["classifier.backbone.body.bn1.weight"] == pytest.approx((2e-3 * 0.75**4, 0))


def test_one_rate_for_all_layers_is_the_plain_optimiser():
    assert {group["scale"] for group in make_optimiser(make_task(), 1e-3, 0.1).param_groups} == {
        1.0
    }


def test_training_moves_each_layer_at_its_own_rate(images, labels):
    """AdamW's first step moves every weight by its learning rate, whatever the gradient (a last norm begins at 0)."""
    task = make_task("resnet18", 1)
    before = {name: p.detach().clone() for name, p in task.named_parameters()}
    steps = fit(
        task, images, range(60), labels, epochs=1, batch_size=60, lr=1e-2, wd=0.0, layer_decay=0.5
    )
    next(event for event in steps if event.kind == "tick")
    peak = learning_rate(0, 1, 0.05, 1e-2)
    for name, scale in (
        ("classifier.head.0.weight", 1),
        ("classifier.backbone.body.layer1.1.bn2.weight", 0.5),
        ("classifier.backbone.body.conv1.weight", 0.25),
    ):
        moved = (dict(task.named_parameters())[name] - before[name]).abs()
        torch.testing.assert_close(moved.median(), torch.tensor(peak * scale), rtol=0.01, atol=0)
