"""The short form of `python -m benchmarks chaos`: real workers that SIGKILL ends at chosen steps, by no clock."""

import os
import signal

import pytest

from benchmarks.chaos import Server, Trial, prepare, run_of

# Run: (phase, call of it, count), each in what the one before left. The count-th event of a
# generator, the count-th report of UMAP, or before the count-th file operation.
KILLS = {
    "views": [("pretraining", 0, 9), ("checkpoint", 1, 5)],
    "study": [("features", 1, 2), ("heads", 0, 30)],
    "embed": [("umap", 0, 2)],
    "publish": [("bundle", 0, 6)],
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A folder of workspaces to start from, what starts workers, and what uninterrupted runs come to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", {**os.environ, "OMP_NUM_THREADS": "1"})
        folder = tmp_path_factory.mktemp("chaos")
        with Server() as server:
            yield folder, server, prepare(folder, server, images=60, epochs=3, names=tuple(KILLS))


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLS)
def test_a_killed_run_ends_bit_identical_to_the_uninterrupted_one(uninterrupted, name):
    trial = Trial(*uninterrupted, name)
    for turn, (phase, call, count) in enumerate(KILLS[name]):
        point = {"phase": phase, "call": call, "count": count}
        status = trial.start(point=point)[0] if turn == 0 else trial.resume(point=point)
        assert status == -signal.SIGKILL, f"{phase} was not reached"
    assert trial.resume() == 0
    assert trial.differences() == []


@pytest.mark.slow
def test_half_of_the_pretrainings_that_are_killed_are_of_the_default_recipe():
    for phase in ("pretraining", "checkpoint"):
        assert (
            sorted(run_of(phase, number) for number in range(8)) == ["masked"] * 4 + ["views"] * 4
        )
