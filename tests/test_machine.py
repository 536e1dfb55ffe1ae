"""Which device a run uses, and what this machine is."""

import subprocess
import sys

import pytest
import torch

from derm_core import machine
from derm_core.errors import ConfigError
from derm_core.machine import Gpu

GPU = Gpu("a", 2**34, True)


def test_the_first_gpu_is_picked_else_the_cpu(monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda: ())
    assert machine.pick_device("auto") == "cpu"
    monkeypatch.setattr(machine, "gpus", lambda: (GPU, GPU))
    picked = [machine.pick_device(d) for d in ("auto", "cuda", "cuda:1", "cpu")]
    assert picked == ["cuda:0", "cuda:0", "cuda:1", "cpu"]


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "tpu", "cuda:x"])
def test_a_device_that_is_not_there_is_named(monkeypatch, device):
    monkeypatch.setattr(machine, "gpus", lambda: ())
    with pytest.raises(ConfigError, match=device):
        machine.pick_device(device)


@pytest.mark.slow
def test_the_machine_is_described_without_loading_torch():
    code = (
        "import sys; from derm_core import machine; here = machine.describe();"
        "machine.driver_present() or machine.pick_device('auto');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    here = machine.describe()
    assert torch.__version__.startswith(here.torch)
    assert here.cores >= 1 and here.memory_bytes > 2**28 and here.cpu


def test_without_linux_files_there_are_no_flags(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "none")
    assert machine.cpu_flags() == frozenset() and machine.describe().cpu is not None


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert machine.compiler_missing("cpu") == "no C compiler"
