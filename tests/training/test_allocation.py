import resource

import psutil
import pytest
import torch

from derm_core.training import allocation
from derm_core.training.allocation import kept_memory

CPU, BYTES = torch.device("cpu"), 64 << 20

needs_glibc = pytest.mark.skipif(allocation._glibc() is None, reason="needs glibc")


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@needs_glibc
def test_what_a_step_frees_the_next_one_gets_without_page_faults():
    with kept_memory(CPU):
        torch.ones(BYTES, dtype=torch.uint8)
        before = faults()
        for _ in range(4):
            torch.ones(BYTES, dtype=torch.uint8)
        assert faults() - before < BYTES // resource.getpagesize()


@needs_glibc
def test_memory_goes_back_to_the_system_in_the_end():
    with kept_memory(CPU):
        torch.ones(BYTES, dtype=torch.uint8)
        held = psutil.Process().memory_info().rss
    assert psutil.Process().memory_info().rss < held - BYTES // 2


def test_nothing_happens_on_a_gpu_or_without_glibc(monkeypatch):
    monkeypatch.setattr(allocation, "_glibc", lambda: None)
    with kept_memory(CPU):
        pass
    monkeypatch.setattr(allocation, "_glibc", lambda: pytest.fail("asked for"))
    with kept_memory(torch.device("cuda", 0)):
        pass
