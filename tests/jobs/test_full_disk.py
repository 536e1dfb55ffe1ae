"""A disk that fills during a run: it ends in a sentence, keeps its last checkpoint, and goes on when there is room."""

import errno
import signal
from contextlib import closing
from pathlib import Path

import pytest

from derm_core import files
from derm_core.config import BackboneConfig, PretrainConfig, to_dict
from derm_core.config.recipes import recipe
from derm_core.errors import RunError
from derm_core.events import read_events
from derm_core.files import read_json, sha256_file
from derm_core.jobs import supervisor, worker
from derm_core.jobs.store import RunStore
from derm_core.training.pretrain import pretrain
from derm_core.workspace import Workspace
from tests.builders import write_dataset
from tests.jobs.test_faults import Here, fails, here  # noqa: F401  (a fixture)
from tests.steps import fill_up


def test_on_a_disk_that_is_really_full_a_run_ends_and_is_resumed_when_there_is_room(
    disk, here, monkeypatch
):
    room = disk("size=1m")
    here.workspace = workspace = Workspace.open(room / "home")
    here.store = RunStore(workspace)
    run_id, filler = here.new(), room / "filler"

    def fill(step: int) -> None:
        if step == 3:
            fill_up(filler)

    try:
        here.work(run_id, fill)
    except RunError as error:  # not even the table could be written
        assert "disk" in str(error)
    filler.unlink()
    assert here.resumed(run_id).state == "done"
    assert here.store.get(run_id).summary["from"] >= 3
    rows = list(read_events(workspace.run(run_id).events))
    assert [row["seq"] for row in rows] == list(range(len(rows)))


def pretraining(between_epochs):
    """The real job; `between_epochs` is called once, after the checkpoint of its first epoch."""

    def job(config, workspace, run, between):
        called = False
        with closing(pretrain(config, workspace, run)) as events:
            for event in events:
                if not called and read_checkpoint(run.checkpoints):
                    called = True
                    between_epochs()
                yield event

    return job


def read_checkpoint(folder: Path) -> dict | None:
    """state.json of the checkpoint in force."""
    pointer = folder / "latest"
    return read_json(folder / pointer.read_text() / "state.json") if pointer.exists() else None


def tiny_pretraining(here) -> str:
    write_dataset(here.workspace, images=60)
    return here.store.create(
        "pretrain",
        to_dict(
            PretrainConfig(
                dataset="tiny",
                device="cpu",
                backbone=BackboneConfig(architecture="resnet18", stage=1),
                input_size=32,
                recipe=recipe("paper", epochs=4, batch_size=8, latent_dim=8, decoder_width=16),
            )
        ),
    )


def weights_of(run) -> str:
    return sha256_file(run.vae_weights)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """SHA-256 of the weights that the tiny pretraining comes to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.os, "nice", lambda by: 0)
        here, before = (
            Here(Workspace.open(tmp_path_factory.mktemp("undisturbed") / "home"), patch),
            signal.getsignal(signal.SIGTERM),
        )
        run_id = tiny_pretraining(here)
        assert here.work(run_id, job=pretraining(lambda: None)).state == "done"
        signal.signal(signal.SIGTERM, before)
        return weights_of(here.workspace.run(run_id))


@pytest.mark.slow
def test_a_pretraining_keeps_its_last_checkpoint_when_the_disk_takes_no_more_and_ends_as_if_undisturbed(
    here, undisturbed
):
    run_id = tiny_pretraining(here)
    run = here.workspace.run(run_id)
    with pytest.MonkeyPatch.context() as patch:
        failed = here.work(
            run_id, job=pretraining(lambda: patch.setattr(files.os, "fsync", fails(errno.ENOSPC)))
        )
    assert (
        failed.state == "failed"
        and "disk is full" in failed.error
        and "Traceback" not in failed.error
    )
    assert read_checkpoint(run.checkpoints)["step"] > 0 and not run.vae_weights.exists()
    supervisor.resume(here.workspace, run_id)
    assert here.work(run_id, job=pretraining(lambda: None)).state == "done"
    assert weights_of(run) == undisturbed


@pytest.mark.slow
def test_a_pretraining_on_a_disk_that_is_really_full_goes_on_from_its_last_checkpoint_when_there_is_room(
    disk, here, undisturbed
):
    room = disk("size=24m")
    here.workspace = workspace = Workspace.open(room / "home")
    here.store = RunStore(workspace)
    run_id, filler = tiny_pretraining(here), room / "filler"
    run = workspace.run(run_id)
    try:
        assert here.work(run_id, job=pretraining(lambda: fill_up(filler))).state == "failed"
    except RunError as error:  # not even the table could be written
        assert "disk" in str(error)
    assert read_checkpoint(run.checkpoints)["step"] > 0 and not run.vae_weights.exists()
    filler.unlink()
    supervisor.reconcile(workspace)
    supervisor.resume(workspace, run_id)
    assert here.work(run_id, job=pretraining(lambda: None)).state == "done"
    assert weights_of(run) == undisturbed
