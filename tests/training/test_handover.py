"""What one process of a team hands to another: whole trainings, and nothing that could run a command."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
import torch

from derm_core.config import BackboneConfig
from derm_core.errors import RunError
from derm_core.nets.backbone import build_backbone
from derm_core.training.handover import packed, unpacked
from derm_core.training.optimiser import make_optimiser

ARCHITECTURES = (
    "resnet18",
    "convnext_atto",
    "efficientnet_b0",
    "mobilenetv3_small_100",
    "vit_tiny_patch16_224",
    "regnety_002",
)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_and_its_optimiser_arrive_as_they_were(architecture):
    network = build_backbone(BackboneConfig(architecture=architecture, stage=0), 0).eval()
    optimiser = make_optimiser(network, 1e-3, 0.05, 1.0)
    images_bchw = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network(images_bchw).sum().backward()
    optimiser.step()
    got = unpacked(packed({"network": network, "optimiser": optimiser.state_dict()}))
    assert torch.equal(got["network"](images_bchw), network(images_bchw))
    moments = [state["exp_avg"] for state in got["optimiser"]["state"].values()]
    assert all(
        torch.equal(a, b["exp_avg"])
        for a, b in zip(moments, optimiser.state_dict()["state"].values(), strict=True)
    )


class Command:
    """Unpickled in the usual way, it runs a command."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


def from_derm_core(mark):
    from derm_core.files import write_atomic

    return Command(write_atomic, mark, b"x")


@pytest.mark.parametrize(
    "make",
    [
        lambda mark: Command(os.system, f"touch {mark}"),
        lambda mark: Command(open, mark, "w"),
        lambda mark: Command(eval, f"open({mark!r}, 'w')"),
        lambda mark: Command(subprocess.Popen, ["touch", mark]),
        from_derm_core,
    ],
    ids=["system", "open", "eval", "Popen", "own-function"],
)
def test_bytes_that_name_something_to_run_are_refused_unread(make, tmp_path):
    mark = str(tmp_path / "it-ran")
    buffer = io.BytesIO()
    torch.save({"arguments": make(mark)}, buffer)
    for refuse in (lambda: unpacked(buffer.getvalue()), lambda: packed({"arguments": make(mark)})):
        with pytest.raises(RunError, match="cannot be shared"):
            refuse()
    assert not os.path.exists(mark)


def test_no_module_is_imported_for_a_name_in_the_bytes(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("from torch import nn\nclass Net(nn.Module): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import planted

    buffer = io.BytesIO()
    torch.save({"task": planted.Net()}, buffer)
    del sys.modules["planted"]
    with pytest.raises(RunError, match=r"planted.Net"):
        unpacked(buffer.getvalue())
    assert "planted" not in sys.modules
