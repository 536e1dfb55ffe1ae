import os
import subprocess
import sys
import time

import numpy as np

from benchmarks.memory import Watch, own_memory, tree_memory

MB = 2**20


def test_the_peak_is_seen_though_the_memory_is_given_back():
    before = own_memory()["anonymous"]
    with Watch(own_memory) as watch:
        held = np.ones(64 * MB, np.uint8)
        deadline = time.monotonic() + 60
        while watch.peak["anonymous"] - before < 60 * MB and time.monotonic() < deadline:
            time.sleep(0.01)
        del held
    assert 60 * MB <= watch.peak["anonymous"] - before < 100 * MB


def test_children_count_and_mapped_files_do_not(tmp_path):
    np.save(tmp_path / "zeros.npy", np.zeros(64 * MB, np.uint8))
    script = (
        f"import numpy as np, sys; held = np.ones({32 * MB}, np.uint8); "
        f"mapped = np.load({str(tmp_path / 'zeros.npy')!r}, mmap_mode='r').sum(); "
        "print('up', flush=True); sys.stdin.read()"
    )
    before = tree_memory(os.getpid())["anonymous"]
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        grown = tree_memory(os.getpid())["anonymous"] - before
        child.stdin.close()
    assert 30 * MB < grown < 62 * MB
