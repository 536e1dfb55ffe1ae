"""The synthetic dataset: complete, generated once, and by several processes as by one."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from derm_core import processes
from derm_core.data.manifest import load_dataset
from derm_core.data.on_demand import open_dataset
from derm_core.data.synth.dataset import make_synth
from derm_core.data.synth.generator import CLASSES, generate
from derm_core.errors import ConfigError, DataError


def test_the_dataset_holds_images_masks_and_factors(workspace):
    seen = []
    dataset = make_synth(
        workspace, "little", images=30, size=48, progress=lambda *now: seen.append(now)
    )
    loaded = load_dataset(workspace, "little")
    assert len(loaded) == 30 and loaded.fingerprint == dataset.fingerprint
    assert set(loaded.classes) <= set(CLASSES) and seen[-1] == (30, 30)
    assert (
        all(name.startswith("factor_") for name in loaded.attributes)
        and "factor_network" in loaded.attributes
    )
    for row, (image, mask, factors) in zip(loaded.frame.itertuples(), generate(30, 48, 0)):
        data = Path(row.path).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row.sha256
        assert np.array_equal(np.asarray(Image.open(row.path)), image)
        assert np.array_equal(
            np.asarray(Image.open(loaded.paths.masks / f"{row.image_id}.png")), mask
        )
        assert row.label == factors["label"] and row.factor_streaks == pytest.approx(
            factors["streaks"], abs=1e-4
        )
    assert loaded.frame.groupby("group").size().between(1, 3).all()


@pytest.mark.slow
def test_processes_generate_what_one_process_generates(workspace):
    alone = make_synth(workspace, "alone", images=60, size=32, processes=1)
    shared_work = make_synth(workspace, "together", images=60, size=32, processes=2)
    assert alone.fingerprint == shared_work.fingerprint


@pytest.mark.slow
def test_stopping_leaves_no_worker_behind(workspace, monkeypatch):
    """A caller that breaks off, as a cancelled run does, ends its workers and saves nothing."""
    started, real = [], processes.subprocess.Popen
    monkeypatch.setattr(
        processes.subprocess, "Popen", lambda *a, **k: started.append(real(*a, **k)) or started[-1]
    )

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_synth(workspace, "stopped", images=200, size=32, processes=2, progress=stop)
    assert len(started) == 2 and all(child.poll() is not None for child in started)
    assert "stopped" not in workspace.dataset_names()


def test_a_worker_that_dies_is_reported(workspace, monkeypatch):
    monkeypatch.setattr(processes.sys, "executable", "/bin/false")
    with pytest.raises(DataError, match="ended early"):
        make_synth(workspace, "broken", images=60, size=32, processes=2)


@pytest.mark.slow
def test_it_is_made_on_first_need_only(workspace):
    dataset = open_dataset(workspace, "synth-80")
    assert dataset.name == "synth-80" and len(dataset) == 80
    before = dataset.paths.manifest.stat().st_mtime_ns
    again = open_dataset(workspace, "synth-80", lambda done, total: pytest.fail("generated twice"))
    assert (
        again.fingerprint == dataset.fingerprint
        and again.paths.manifest.stat().st_mtime_ns == before
    )


def test_an_interrupted_one_is_made_again(workspace):
    dataset = make_synth(workspace, "half", images=20, size=32)
    dataset.paths.info.unlink()
    next(dataset.paths.images.iterdir()).unlink()
    assert make_synth(workspace, "half", images=20, size=32).fingerprint == dataset.fingerprint
    assert len(list(dataset.paths.images.iterdir())) == 20


def test_another_dataset_is_never_overwritten(workspace):
    make_synth(workspace, "taken", images=20, size=32)
    with pytest.raises(ConfigError, match=r"taken.*delete"):
        make_synth(workspace, "taken", images=20, size=32, seed=1)
