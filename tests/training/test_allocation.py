import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from derm_core.training import allocation
from derm_core.training.allocation import retained_memory

CPU, BYTES = torch.device("cpu"), 64 << 20
REPOSITORY = Path(__file__).resolve().parents[2]

# In a process of its own, as a worker is: where and how freed memory is kept depends on all that a
# process did before.
STEPS = f"""
import json, resource, psutil, torch
from derm_core.training.allocation import retained_memory
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
resident = lambda: psutil.Process().memory_info().rss
with retained_memory(torch.device("cpu")):
    torch.ones({BYTES}, dtype=torch.uint8)
    before = faults()
    for step in range(1, 5):                                # a little less each time: malloc's own crumbs take no part
        torch.ones({BYTES} - (step << 20), dtype=torch.uint8)
    measured = {{"faults": faults() - before, "held": resident()}}
print(json.dumps(measured | {{"left": resident(), "page": resource.getpagesize()}}))
"""


@pytest.fixture(scope="module")
def steps() -> dict[str, int]:
    if allocation.glibc() is None:
        pytest.skip("needs glibc")
    done = subprocess.run(
        [sys.executable, "-c", STEPS],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_what_a_step_frees_the_next_one_gets_without_page_faults(steps):
    assert steps["faults"] < BYTES // steps["page"], (
        "four times as many where every step's memory is new"
    )


@pytest.mark.slow
def test_memory_goes_back_to_the_system_in_the_end(steps):
    assert steps["left"] < steps["held"] - BYTES // 2


def test_nothing_happens_on_a_gpu_or_without_glibc(monkeypatch):
    monkeypatch.setattr(allocation, "glibc", lambda: None)
    with retained_memory(CPU):
        pass
    monkeypatch.setattr(allocation, "glibc", lambda: pytest.fail("asked for"))
    with retained_memory(torch.device("cuda", 0)):
        pass
