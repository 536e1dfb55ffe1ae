"""Which arms LoRA can train is known from architectures, and agrees with what the built networks have."""

import pytest

from derm_core.config import BackboneConfig, PretrainConfig, to_dict
from derm_core.jobs.store import RunStore
from derm_core.nets.lora import attention_layers
from derm_core.nets.pretrained import build_pretrained
from derm_core.study.lora_arms import lora_arms
from tests.app.bundles import put_bundle, put_whole_bundle

RESNET = BackboneConfig(architecture="resnet18", stage=1)


def test_an_arm_without_a_network_of_its_own_has_that_of_the_study(workspace):
    swin = BackboneConfig(architecture="swin_tiny_patch4_window7_224", stage=1)
    assert lora_arms(["vae", "imagenet"], RESNET, workspace) == {"vae": False, "imagenet": False}
    assert lora_arms(["random"], swin, workspace) == {"random": True}


@pytest.mark.parametrize("architecture", ["vit_tiny_patch16_224", "levit_128s", "mobilenetv2_100"])
def test_it_agrees_with_the_network_that_is_built(workspace, architecture):
    has = bool(attention_layers(build_pretrained(architecture, 224)))
    arms = [f"timm:{architecture}.some_tag", f"file:mine.safetensors+{architecture}"]
    assert lora_arms(arms, RESNET, workspace) == dict.fromkeys(arms, has)


def test_bundles_and_runs_have_their_own_architecture(workspace):
    put_bundle(workspace, "a-resnet", "vae")
    card = put_whole_bundle(workspace, "a-vit")
    run_id = RunStore(workspace).create(
        "pretrain", to_dict(PretrainConfig(dataset="d", backbone=RESNET))
    )
    arms = ["bundle:a-resnet", "bundle:a-vit", f"run:{run_id}"]
    assert card.architecture.startswith("vit")
    assert list(lora_arms(arms, RESNET, workspace).values()) == [False, True, False]


def test_what_is_not_here_or_not_known_is_said_to_be_unknown(workspace):
    arms = ["hf-hub:owner/name", "timm:no_such_network", "bundle:missing", "run:pretrain-missing"]
    assert lora_arms(arms, RESNET, workspace) == dict.fromkeys(arms)
