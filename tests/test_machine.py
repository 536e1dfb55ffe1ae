import json
import subprocess
import sys

import pytest

from derm_core import machine
from derm_core.errors import ConfigError


def test_the_first_gpu_is_picked_else_the_cpu(monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda: ())
    assert machine.pick_device("auto") == "cpu"
    monkeypatch.setattr(machine, "gpus", lambda: ({"name": "a"}, {"name": "b"}))
    assert [machine.pick_device(d) for d in ("auto", "cuda", "cuda:1", "cpu")] == [
        "cuda:0",
        "cuda:0",
        "cuda:1",
        "cpu",
    ]


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "tpu", "cuda:x"])
def test_a_device_that_is_not_there_is_named(monkeypatch, device):
    monkeypatch.setattr(machine, "gpus", lambda: ())
    with pytest.raises(ConfigError, match=device):
        machine.pick_device(device)


@pytest.mark.slow
def test_the_machine_is_described_without_loading_torch_where_no_driver_is():
    if machine._driver_present():
        pytest.skip("a GPU driver is present: its GPUs are asked through torch")
    code = (
        "import json, sys; from derm_core.machine import machine; facts = machine();"
        "assert 'torch' not in sys.modules; print(json.dumps(facts))"
    )
    facts = json.loads(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
    )
    import torch

    assert torch.__version__.startswith(facts["torch"])
    assert facts["cores"] >= 1 and facts["memory_bytes"] > 2**28
