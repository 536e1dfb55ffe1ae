"""The short form of `python -m benchmarks chaos`: real workers that SIGKILL ends at chosen steps, by no clock."""

import os
import signal

import pytest

from benchmarks.chaos import Server, Trial, prepare

KILLS = {       # (phase, call of it, count): the count-th event of a generator, or before the count-th file operation
    "pretraining": [("pretraining", 0, 9), ("checkpoint", 1, 5)],      # the second one when it has been resumed
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A folder of workspaces to start from, what starts workers, and what uninterrupted runs come to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", {**os.environ, "OMP_NUM_THREADS": "1"})
        folder = tmp_path_factory.mktemp("chaos")
        with Server() as server:
            yield folder, server, prepare(folder, server, images=60, epochs=3, names=("pretrain",))


@pytest.mark.parametrize("phase", KILLS)
def test_a_killed_run_ends_bit_identical_to_the_uninterrupted_one(uninterrupted, phase):
    trial = Trial(*uninterrupted, phase)
    for turn, (where, call, count) in enumerate(KILLS[phase]):
        point = {"phase": where, "call": call, "count": count}
        status = trial.start(point=point)[0] if turn == 0 else trial.resume(point=point)
        assert status == -signal.SIGKILL
    assert trial.resume() == 0
    assert trial.differences() == []
