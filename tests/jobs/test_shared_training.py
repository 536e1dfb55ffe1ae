"""How many processes and devices a run takes, and runs whose training two processes share."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest

from derm_core.config import BackboneConfig, EmbedConfig, PretrainConfig, StudyConfig
from derm_core.config.recipes import recipe
from derm_core.data.synth.dataset import make_synth
from derm_core.events import read_events
from derm_core.jobs import spawning, supervisor
from derm_core.jobs.spawning import feature_processes, processes
from derm_core.jobs.store import RunStore
from derm_core.jobs.worker import device_names
from derm_core.workspace import REPOSITORY

from .conftest import eventually

PRETRAIN = PretrainConfig(dataset="d", devices=3)
TINY = PretrainConfig(
    dataset="tiny",
    input_size=32,
    backbone=BackboneConfig(architecture="resnet18", stage=0),
    device="cpu",
    recipe=recipe("paper", epochs=2, batch_size=16, latent_dim=4, decoder_width=16),
)

# Batch norm is each process's own on CPUs; this network has none, but needs timm, which is slow to import.
WITHOUT_BATCH_NORM = BackboneConfig(architecture="convnext_atto", stage=0)


@pytest.mark.parametrize(
    ("config", "alone", "torchrun"),
    [
        (PRETRAIN, 3, 8),
        (StudyConfig(dataset="d", regime="finetune", devices=2), 2, 8),
        (StudyConfig(dataset="d", regime="frozen", devices=2), 1, 8),
        (StudyConfig(dataset="d", regime="frozen", folds=5, devices=2), 1, 1),
        (EmbedConfig(dataset="d"), 1, 1),
    ],
)
def test_runs_are_shared_by_ranks_as_the_config_says_or_torchrun(
    config, alone, torchrun, monkeypatch
):
    assert processes(config) == alone
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert processes(config) == torchrun


def test_processes_share_features_where_no_ranks_do(monkeypatch):
    frozen = StudyConfig(dataset="d", regime="frozen", devices=2)
    assert feature_processes(frozen) == 2 and device_names("cuda-1", frozen) == ["cuda-1", "cuda-2"]
    assert feature_processes(EmbedConfig(dataset="d")) == 1
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert feature_processes(frozen) == 1


def test_a_shared_run_holds_all_its_gpus_on_this_machine(monkeypatch):
    assert device_names("cpu", PRETRAIN) == ["cpu"]
    assert device_names("cuda-1", PRETRAIN) == ["cuda-1", "cuda-2", "cuda-3"]
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert device_names("cuda-0", PRETRAIN) == ["cuda-0", "cuda-1", "cuda-2", "cuda-3"]


def test_a_rank_starts_other_runs_workers_without_the_variables_of_its_torchrun(jobs, monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "MASTER_PORT", spawning.OWN_RANKS):
        monkeypatch.setenv(name, "7")
    code = "import os; print([k for k in os.environ if k in ('RANK', 'MASTER_PORT')])"
    monkeypatch.setattr(spawning, "worker_command", lambda _: [sys.executable, "-c", code])
    run_id = jobs.submit("1")
    log = jobs.workspace.run(run_id).log
    assert eventually(log.read_text).strip() == "[]"


def metrics(workspace, run_id: str) -> dict[tuple[str, int], float]:
    """Every metric of a run, by series and step."""
    return {
        (row["series"], row["step"]): row["value"]
        for row in read_events(workspace.run(run_id).events)
        if row["kind"] == "metric"
    }


def ranks(run_id: str) -> list[psutil.Process]:
    """The processes of a run: torchrun and its ranks."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if run_id in (process.info["cmdline"] or ()) and process.status() != psutil.STATUS_ZOMBIE
    ]


def until_it_trains(workspace, run_id: str, after: int) -> int:
    """Wait for a metric behind step `after`; returns its step."""
    return eventually(
        lambda: max((step for _, step in metrics(workspace, run_id) if step > after), default=0),
        seconds=240,
    )


@pytest.mark.slow
def test_two_processes_leave_what_one_leaves(workspace):
    make_synth(workspace, "tiny", images=60, size=32, processes=1)
    runs = [
        supervisor.submit(
            workspace, dataclasses.replace(TINY, devices=devices, backbone=WITHOUT_BATCH_NORM)
        )
        for devices in (1, 2)
    ]
    for run_id in runs:
        run = supervisor.wait(workspace, run_id)
        assert run.state == "done", run.error
    one, both = (metrics(workspace, run_id) for run_id in runs)
    assert one.keys() == both.keys()
    np.testing.assert_allclose([both[key] for key in one], list(one.values()), rtol=1e-3, atol=1e-3)
    assert workspace.run(runs[1]).vae_weights.exists()
    eventually(lambda: not ranks(runs[1]))


@pytest.mark.slow
def test_a_shared_run_is_cancelled_resumed_and_killed_without_leaving_a_process(workspace):
    make_synth(workspace, "tiny", images=60, size=32, processes=1)
    long = dataclasses.replace(TINY, devices=2, recipe=dataclasses.replace(TINY.recipe, epochs=999))
    run_id, store = supervisor.submit(workspace, long), RunStore(workspace)
    until_it_trains(workspace, run_id, 0)
    assert len(ranks(run_id)) == 3
    assert supervisor.cancel(workspace, run_id, wait=60).state == "cancelled"
    eventually(lambda: not ranks(run_id))
    reached = max(step for _, step in metrics(workspace, run_id))
    supervisor.resume(workspace, run_id)
    until_it_trains(workspace, run_id, reached)
    os.kill(store.get(run_id).pid, signal.SIGKILL)
    eventually(lambda: supervisor.reconcile(workspace) or store.get(run_id).state == "interrupted")
    eventually(lambda: not ranks(run_id))


@pytest.mark.slow
def test_a_command_under_torchrun_is_shared_by_its_ranks(workspace):
    make_synth(workspace, "tiny", images=60, size=32, processes=1)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "derm_core", "pretrain", "--dataset", "tiny", "--device", "cpu"]
    options = ["--architecture", "resnet18", "--stage", "0", "--input-size", "32"]
    done = subprocess.run(
        [sys.executable, *torchrun, *command, *options, "--epochs", "1", "--json"],
        cwd=REPOSITORY,
        env={**os.environ, "DERM_HOME": str(workspace.root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["state"] == "done"
    (run,) = RunStore(workspace).list()
    assert "shared by 2 processes" in workspace.run(run.id).log.read_text()
