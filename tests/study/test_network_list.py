"""The list of networks: what is here first, each with what decides whether to take it; no torch, no timm."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from derm_core.arms import own_architecture
from derm_core.bundles.model_library import list_cards
from derm_core.nets.pretrained_sources import pretrained_status
from derm_core.nets.timm_models import timm_models
from derm_core.study.feature_memory import PROGRAM_BYTES, extraction_bytes
from derm_core.study.network_list import arm_bytes, listed_networks, search
from tests.app.bundles import put_bundle


def tensors():
    return {
        "conv1.weight": np.zeros((4, 3, 2, 2), np.float32),
        "bn1.running_mean": np.zeros(4, np.float32),
    }


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """An empty weights folder and Hugging Face cache."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("DERM_WEIGHTS", str(folder))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return folder


def listed(workspace, cards=(), runs=()):
    return {one.arm: one for one in listed_networks(workspace, cards, runs)}


def test_what_is_on_this_machine_comes_first(workspace, weights):
    save_file(tensors(), weights / "resnet18.a1_in1k.safetensors")
    save_file(tensors(), weights / "mine.safetensors")
    (weights / "mine.json").write_text(
        json.dumps({"architecture": "resnet18", "input_size": [3, 96, 96], "license": "MIT"})
    )
    save_file(tensors(), weights / "unnamed.safetensors")
    put_bundle(workspace, "tiny-net", "vae")
    cards = [card for card in list_cards(workspace) if card.name == "tiny-net"]
    networks = listed_networks(workspace, cards, [])
    here = [one.arm for one in networks if one.is_here]
    assert here == [
        "bundle:tiny-net",
        "file:mine.safetensors+resnet18",
        "timm:resnet18.a1_in1k",
    ]
    assert [one.arm for one in networks[:3]] == here
    mine = networks[1]
    assert (mine.parameters, mine.pixels, mine.license) == (48, 96, "MIT")
    assert len({one.arm for one in networks}) == len(networks) == len(timm_models()) + 2


def test_a_name_in_the_list_is_one_that_the_command_line_finds(workspace, weights):
    save_file(tensors(), weights / "resnet18.a1_in1k.safetensors")
    networks = listed(workspace)
    for arm, status in (("timm:resnet18.a1_in1k", "folder"), ("timm:resnet34.a1_in1k", "hub")):
        assert networks[arm].weights == pretrained_status(own_architecture(arm)) == status
    assert all(own_architecture(arm) for arm in networks)


def test_offline_what_is_not_here_cannot_be_had(workspace, weights, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert {one.weights for one in listed(workspace).values()} == {"none"}


def test_a_cached_repository_is_here(workspace, weights, tmp_path):
    revision = tmp_path / "hub" / "models--timm--resnet18.a1_in1k" / "snapshots" / "abc"
    revision.mkdir(parents=True)
    save_file(tensors(), revision / "model.safetensors")
    refs = revision.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    assert listed(workspace)["timm:resnet18.a1_in1k"].weights == "cache"


def test_a_search_needs_every_word(workspace, weights):
    networks = listed(workspace).values()
    small = {one.arm for one in search(networks, "DINOv2 vit_small")}
    assert "timm:vit_small_patch14_dinov2.lvd142m" in small and len(small) < 10
    assert search(networks, "resnet18 no-such-word") == []


def test_seen_follows_from_pretraining_and_split(workspace, weights):
    put_bundle(workspace, "tiny-net", "vae")
    [card] = [card for card in list_cards(workspace) if card.name == "tiny-net"]
    networks = listed(workspace, [card])
    info = SimpleNamespace(layout="table", imported=None)
    ham = SimpleNamespace(name="ham10000", info=info, fingerprint="x")
    of_pretraining = {
        "timm:resnet18.a1_in1k": "no",
        "timm:vit_small_patch14_dinov2.lvd142m": "unknown",
    }
    for arm, answer in of_pretraining.items():
        assert networks[arm].seen(ham, "split") == answer
    own = SimpleNamespace(name=card.training_data.dataset, info=info, fingerprint="y")
    bundle = networks["bundle:tiny-net"]
    assert bundle.seen(own, "another split") == "yes"
    assert bundle.seen(own, card.split.fingerprint) == "no"
    assert bundle.seen(None, "") == "no"


def test_memory_grows_with_weights_and_pixels():
    small = extraction_bytes(1_000_000, 1e6, 224)
    assert small == PROGRAM_BYTES + 8e6 + 16 * 1e6
    assert extraction_bytes(1_000_000, 1e6, 64) == PROGRAM_BYTES + 8e6 + 32 * 1e6


def test_memory_of_an_arm_is_that_of_the_list_at_the_size_it_names():
    name = "vit_small_patch14_dinov2.lvd142m"
    model = timm_models()[name]
    usual = extraction_bytes(model.parameters, model.forward_bytes, 518)
    assert arm_bytes(f"timm:{name}") == arm_bytes(f"hf-hub:timm/{name}") == usual
    half = extraction_bytes(model.parameters, model.forward_bytes / 4, 259)
    assert arm_bytes(f"timm:{name}@259@mean") == half
    assert arm_bytes("file:mine.safetensors+vit_small_patch14_dinov2") == usual
    assert arm_bytes(f"metadata+timm:{name}") == usual
    assert [arm_bytes(arm) for arm in ("vae", "both", "hf-hub:me/mine")] == [None] * 3


@pytest.mark.slow
def test_the_list_needs_neither_torch_nor_timm():
    code = (
        "import sys; import derm_core.study.network_list as n; n.timm_models(); "
        "assert not {'torch', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
