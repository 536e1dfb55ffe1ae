"""A real pretraining in a real worker: killed in the middle, it goes on from its checkpoint to the end."""

import os
import signal

import pytest

from derm_core.config import BackboneConfig, PretrainConfig
from derm_core.config.recipes import recipe
from derm_core.data.synth.dataset import make_synth
from derm_core.events import read_events
from derm_core.jobs import supervisor
from derm_core.jobs.store import RunStore

from .conftest import eventually


@pytest.mark.slow
def test_a_killed_pretraining_is_resumed_from_its_checkpoint(workspace):
    make_synth(workspace, "tiny", images=60, size=32, processes=1)
    run_id = supervisor.submit(
        workspace,
        PretrainConfig(
            dataset="tiny",
            input_size=32,
            backbone=BackboneConfig(architecture="resnet10t", stage=1),
            device="cpu",
            recipe=recipe("paper", epochs=5, batch_size=16, latent_dim=4, decoder_width=16),
        ),
    )
    store, paths = RunStore(workspace), workspace.run(run_id)
    eventually(
        lambda: any(
            row["kind"] == "metric" and row["epoch"] and row["epoch"] >= 1
            for row in read_events(paths.events)
        ),
        seconds=240,
    )
    os.kill(store.get(run_id).pid, signal.SIGKILL)
    eventually(lambda: supervisor.reconcile(workspace) or store.get(run_id).state == "interrupted")
    supervisor.resume(workspace, run_id)
    run = supervisor.wait(workspace, run_id)
    assert run.state == "done", run.error
    assert run.summary["epochs"] == 5 and (paths.vae_weights).exists()
    steps = [row["step"] for row in read_events(paths.events) if row["series"] == "train/loss"]
    assert len(steps) - len(set(steps)) < len(set(steps)) / 2, "it started again from nothing"
