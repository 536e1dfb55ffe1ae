"""A study of networks of their own, from config to verdict: their pixels, their facts, what is left out."""

import json

import pytest
import timm
import torch
from safetensors.torch import save

from derm_core.config import BackboneConfig, StudyConfig
from derm_core.study.protocol import study
from derm_core.study.study_result import read_study
from tests.steps import finish

TINY = {"depth": 1, "embed_dim": 16, "num_heads": 2}
VIT, CNN = "vit_tiny_patch16_224", "mobilenetv3_small_050"
FACTS = {"architecture", "input_size", "parameters", "images_per_second", "pretrained_on", "seen"}


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A weights folder with a transformer, which saw a dataset of this name, and the first stages of a CNN."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("DERM_WEIGHTS", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch.manual_seed(1)
    usual = {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, 32, 32]}
    cards = {
        f"{VIT}.a": {
            "architecture": VIT,
            "model_args": TINY,
            "pretrained_on": "tiny and ImageNet-1k",
        },
        f"{CNN}.lamb_in1k": {"architecture": CNN, "complete": False, "last_stage": 1},
    }
    cards[f"{CNN}.lamb_in1k"] |= {"interpolation": "bilinear"}
    for name, card in cards.items():
        network = timm.create_model(
            card["architecture"], pretrained=False, **card.get("model_args", {})
        )
        (folder / f"{name}.safetensors").write_bytes(save(network.state_dict()))
        (folder / f"{name}.json").write_text(json.dumps(usual | card))
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_every_arm_reads_its_own_pixels_and_says_what_it_is(workspace, weights):
    arms = (f"timm:{CNN}", f"timm:{VIT}@48@mean", "timm:resnet18", "random")
    config = StudyConfig(
        dataset="tiny",
        arms=arms,
        backbone=BackboneConfig(architecture="resnet18", stage=1),
        input_size=32,
        seeds=(0, 1),
        hidden=8,
        epochs=4,
        batch_size=16,
        learning_rates=(1e-3, 1e-2),
        weight_decays=(0.0,),
        bootstrap=50,
        external=(),
        corruptions=("jpeg",),
        device="cpu",
    )
    run = workspace.run("study-1")
    events, _ = finish(study(config, workspace, run))
    result = read_study(run.study)
    assert list(result.arms) == [f"timm:{CNN}", f"timm:{VIT}@48@mean", "random"]
    cnn, vit, control = result.arms.values()
    assert cnn.label.startswith(f"{CNN} to blocks.0") and cnn.input_size == 32
    assert (vit.architecture, vit.input_size, vit.seen) == (VIT, 48, "yes")
    assert vit.label.endswith("at 48 px, mean of patches (saw these images)")
    assert (cnn.seen, control.seen, control.pretrained_on) == ("no", "no", "nothing")
    assert cnn.pretrained_on == "ImageNet-1k (lamb_in1k)"
    assert all(one.parameters > 0 and one.images_per_second > 0 for one in result.arms.values())
    stores = {path.name for path in workspace.dataset("tiny").stores.iterdir() if path.is_dir()}
    assert {"32", "32-bilinear", "48"} <= stores
    [missing] = [note for note in result.notes if "resnet18 is left out" in note]
    assert "put resnet18.safetensors" in missing
    assert result.verdict.pair == (f"timm:{CNN}", "random")  # the transformer saw the images
    assert any(text.startswith("Left out of the verdict") for text in result.verdict.details)
    assert {row.arm for row in result.robustness.rows} == set(result.arms)
    last = events[-1].value["arms"]
    assert all(set(entry) >= FACTS for entry in last.values())
