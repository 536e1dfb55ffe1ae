"""Runs are started, cancelled, resumed, repaired and deleted without a daemon."""

import os
import signal

import pytest

from derm_core.config import EmbedConfig, PretrainConfig, StudyConfig, from_dict
from derm_core.errors import ConfigError, NotFound, RunError
from derm_core.files import read_json, write_json
from derm_core.jobs import spawning, supervisor
from derm_core.jobs.store import RunStore

from .conftest import eventually


def study(script="count-3", **fields):
    fields.setdefault("pretrain", PretrainConfig(dataset="count-4", device="cpu"))
    return StudyConfig(dataset=script, device="cpu", **fields)


# ---- killed and repaired


@pytest.mark.slow
def test_kill_dash_nine_is_found_out_and_resume_goes_on_from_the_checkpoint(jobs):
    run_id = jobs.submit("count-3000")
    run = jobs.until(run_id, "running")
    eventually(lambda: jobs.counter(run_id) > 3)
    os.kill(run.pid, signal.SIGKILL)
    eventually(lambda: supervisor.reconcile(jobs.workspace) or jobs.state(run_id) == "interrupted")
    assert "runs resume" in jobs.store.get(run_id).error
    supervisor.resume(jobs.workspace, run_id)
    run = supervisor.wait(jobs.workspace, run_id)
    assert run.state == "done" and run.summary["from"] > 3


def test_reconcile_leaves_a_live_run_alone(jobs):
    run_id = jobs.submit("count-3000")
    jobs.until(run_id, "running")
    for _ in range(20):
        supervisor.reconcile(jobs.workspace)
    assert jobs.state(run_id) == "running"


def test_a_queued_run_whose_worker_died_gets_a_new_one(jobs):
    blocker = jobs.submit("count-3000")
    jobs.until(blocker, "running")
    queued = jobs.submit("count-2", seed=1)
    pid = eventually(lambda: jobs.store.get(queued).pid)
    os.kill(pid, signal.SIGKILL)
    spawning.workers[pid].wait(60)
    supervisor.reconcile(jobs.workspace)
    assert eventually(lambda: jobs.store.get(queued).pid) != pid
    supervisor.cancel(jobs.workspace, blocker)
    assert supervisor.wait(jobs.workspace, queued).state == "done"


def test_page_loads_together_start_one_worker(workspace, monkeypatch):
    started = []
    monkeypatch.setattr(spawning, "workers", {})
    monkeypatch.setattr(
        spawning.subprocess,
        "Popen",
        lambda command, **options: started.append(command) or _Child(),
    )
    run_id = RunStore(workspace).create("pretrain", {"device": "cpu"})
    for _ in range(5):
        supervisor.reconcile(workspace)
    assert len(started) == 1 and started[0][-1] == run_id


class _Child:
    pid = os.getpid()

    def poll(self):
        return 0

    def wait(self, timeout=None):
        return 0


def test_a_worker_that_is_slow_to_start_is_waited_for(workspace, monkeypatch):
    monkeypatch.setattr(spawning, "worker_command", lambda run_id: ["sleep", "30"])
    monkeypatch.setattr(supervisor, "SPAWN_GRACE_SECONDS", 0.0)
    run_id = RunStore(workspace).create("pretrain", {"device": "cpu"})
    for _ in range(5):
        supervisor.reconcile(workspace)
    pid = RunStore(workspace).get(run_id).pid
    assert RunStore(workspace).get(run_id).spawns == 1 and list(spawning.workers) == [pid]
    spawning.workers.pop(pid).kill()


def test_a_worker_that_never_starts_fails_its_run_after_three_tries(workspace, monkeypatch):
    monkeypatch.setattr(spawning, "worker_command", lambda run_id: ["false"])
    run_id = RunStore(workspace).create("pretrain", {"device": "cpu"})
    run = eventually(
        lambda: (
            supervisor.reconcile(workspace)
            or ((run := RunStore(workspace).get(run_id)).final and run)
        )
    )
    assert run.state == "failed" and "log.txt" in run.error


# ---- cancel


def test_a_queued_run_is_cancelled_at_once(jobs):
    jobs.until(jobs.submit("count-3000"), "running")
    queued = jobs.submit("count-2", seed=1)
    assert supervisor.cancel(jobs.workspace, queued).state == "cancelled"


def test_a_running_run_stops_at_its_next_step(jobs, monkeypatch):
    monkeypatch.setattr(supervisor, "TERM_AFTER_SECONDS", 300)  # no signal helps it
    monkeypatch.setattr(supervisor, "KILL_AFTER_SECONDS", 600)
    run_id = jobs.submit("count-2000")
    jobs.until(run_id, "running")
    assert supervisor.cancel(jobs.workspace, run_id, wait=60).state == "cancelled"
    assert jobs.workspace.run(run_id).log.read_text().rstrip().endswith("is cancelled.")


def test_a_run_that_does_not_listen_is_killed(jobs, monkeypatch):
    monkeypatch.setattr(supervisor, "TERM_AFTER_SECONDS", 0.3)
    monkeypatch.setattr(supervisor, "KILL_AFTER_SECONDS", 0.8)
    run_id = jobs.submit("deaf")
    run = jobs.until(run_id, "running")
    assert supervisor.cancel(jobs.workspace, run_id, wait=60).state == "cancelled"
    eventually(lambda: supervisor.reconcile(jobs.workspace) or run.pid not in spawning.workers)


def test_what_has_ended_cannot_be_cancelled(jobs):
    run_id = jobs.submit("count-1")
    supervisor.wait(jobs.workspace, run_id)
    with pytest.raises(RunError, match="is done"):
        supervisor.cancel(jobs.workspace, run_id)


# ---- a study and its pretraining


@pytest.mark.slow
def test_a_study_queues_its_pretraining_first_and_uses_it(jobs):
    pretrain = PretrainConfig(dataset="count-100", device="cpu")
    run_id = supervisor.submit(jobs.workspace, study(pretrain=pretrain), name="one click")
    run = jobs.store.get(run_id)
    pretraining = jobs.store.get(run.depends_on)
    assert pretraining.kind == "pretrain" and pretraining.seq < run.seq
    assert from_dict(read_json(jobs.workspace.run(run_id).config)).vae_run == pretraining.id
    seen = []
    run = supervisor.wait(
        jobs.workspace, run_id, lambda row: seen.append((row["run"], row["kind"]))
    )
    assert run.state == "done" and jobs.store.get(pretraining.id).finished <= run.started
    assert (pretraining.id, "result") in seen and seen[-1] == (run_id, "state")


@pytest.mark.slow
def test_an_identical_pretraining_is_used_again_and_another_is_not(jobs):
    first = jobs.store.get(supervisor.submit(jobs.workspace, study()))
    supervisor.wait(jobs.workspace, first.id)
    second = jobs.store.get(supervisor.submit(jobs.workspace, study(epochs=7)))
    other = jobs.store.get(
        supervisor.submit(
            jobs.workspace, study(pretrain=PretrainConfig(dataset="count-4", device="cpu", seed=1))
        )
    )
    assert second.depends_on == first.depends_on and other.depends_on != first.depends_on
    assert supervisor.wait(jobs.workspace, second.id).state == "done"


@pytest.mark.slow
def test_a_pretraining_on_other_content_of_the_same_name_is_not_used_again(jobs):
    first = jobs.store.get(supervisor.submit(jobs.workspace, study()))
    supervisor.wait(jobs.workspace, first.id)
    write_json(jobs.workspace.run(first.depends_on).vae, {"dataset_fingerprint": "old"})
    name = from_dict(read_json(jobs.workspace.run(first.id).config)).pretrain.dataset
    write_json(jobs.workspace.dataset(name).info, {"fingerprint": "old"})
    same = jobs.store.get(supervisor.submit(jobs.workspace, study(epochs=7)))
    write_json(jobs.workspace.dataset(name).info, {"fingerprint": "new"})
    other = jobs.store.get(supervisor.submit(jobs.workspace, study(epochs=8)))
    assert same.depends_on == first.depends_on and other.depends_on != first.depends_on


def test_a_study_without_an_arm_that_needs_it_pretrains_nothing(jobs):
    run_id = supervisor.submit(jobs.workspace, study(arms=("imagenet", "random")))
    assert jobs.store.get(run_id).depends_on is None and len(jobs.store.list()) == 1


def test_a_failed_pretraining_fails_the_study_and_says_so(jobs):
    run_id = supervisor.submit(
        jobs.workspace, study(pretrain=PretrainConfig(dataset="refuse", device="cpu"))
    )
    run = supervisor.wait(jobs.workspace, run_id)
    assert run.state == "failed" and run.depends_on in run.error and "no labels" in run.error


@pytest.mark.slow
def test_resuming_a_study_resumes_its_pretraining(jobs):
    run_id = supervisor.submit(
        jobs.workspace, study(pretrain=PretrainConfig(dataset="count-3000", device="cpu"))
    )
    needed = jobs.store.get(run_id).depends_on
    jobs.until(needed, "running")
    assert supervisor.cancel(jobs.workspace, needed, wait=60).state == "cancelled"
    assert jobs.until(run_id, "failed")
    supervisor.resume(jobs.workspace, run_id)
    assert supervisor.wait(jobs.workspace, run_id).state == "done" and jobs.state(needed) == "done"


def test_cancelling_a_study_cancels_the_pretraining_that_only_it_waits_for(jobs):
    run_id = supervisor.submit(
        jobs.workspace, study(pretrain=PretrainConfig(dataset="count-100000", device="cpu"))
    )
    needed = jobs.store.get(run_id).depends_on
    jobs.until(needed, "running")
    supervisor.cancel(jobs.workspace, run_id)
    assert jobs.state(run_id) == "cancelled" and jobs.until(needed, "cancelled")


def test_cancelling_one_of_two_studies_leaves_their_pretraining_at_work(jobs):
    shared = PretrainConfig(dataset="count-100000", device="cpu")
    first, second = (
        supervisor.submit(jobs.workspace, study(pretrain=shared, epochs=epochs))
        for epochs in (3, 4)
    )
    supervisor.cancel(jobs.workspace, first)
    assert not jobs.store.get(jobs.store.get(second).depends_on).cancel_requested


@pytest.mark.parametrize(
    "config",
    [
        study(pretrain=None),
        EmbedConfig(dataset="count-1", arm="vae"),
    ],
)
def test_a_vae_arm_without_weights_is_refused_in_words(jobs, config):
    with pytest.raises(ConfigError, match="vae_run"):
        supervisor.submit(jobs.workspace, config)
    assert jobs.store.list() == []


def test_weights_of_an_unknown_failed_or_wrong_run_are_refused(jobs):
    with pytest.raises(NotFound):
        supervisor.submit(jobs.workspace, study(vae_run="pretrain-0"))
    failed = jobs.submit("refuse")
    supervisor.wait(jobs.workspace, failed)
    with pytest.raises(RunError, match="failed"):
        supervisor.submit(jobs.workspace, study(arms=(f"run:{failed}", "random")))
    other = supervisor.submit(jobs.workspace, study(arms=("random",)))
    with pytest.raises(ConfigError, match="is a study"):
        supervisor.submit(jobs.workspace, study(vae_run=other))


# ---- resume and delete


@pytest.mark.slow
def test_what_is_done_or_under_way_cannot_be_resumed(jobs):
    run_id = jobs.submit("count-100")
    with pytest.raises(RunError, match="already"):
        supervisor.resume(jobs.workspace, run_id)
    supervisor.wait(jobs.workspace, run_id)
    with pytest.raises(RunError, match="finished"):
        supervisor.resume(jobs.workspace, run_id)


def test_a_deleted_run_frees_its_folder_and_its_row(jobs):
    run_id = jobs.submit("count-2")
    with pytest.raises(RunError, match="cancel"):
        supervisor.delete_run(jobs.workspace, run_id)
    supervisor.wait(jobs.workspace, run_id)
    write_json(jobs.workspace.run(run_id).artefacts / "big.json", "x" * 5000)
    assert supervisor.run_bytes(jobs.workspace, run_id) > 5000
    assert eventually(lambda: _try_delete(jobs, run_id)) > 5000
    assert not jobs.workspace.run(run_id).root.exists()
    with pytest.raises(NotFound):
        jobs.store.get(run_id)


def test_features_made_with_a_runs_weights_go_with_it_and_others_stay(jobs):
    run_id = jobs.submit("count-1")
    supervisor.wait(jobs.workspace, run_id)
    folder = jobs.workspace.cache / "features"
    folder.mkdir()
    for name in (f"d--aa--{run_id}.npy", "d--aa--pretrain-other.npy", "d--bb.npy"):
        (folder / name).write_bytes(b"x" * 100)
    eventually(lambda: _try_delete(jobs, run_id))
    assert sorted(path.name for path in folder.iterdir()) == [
        "d--aa--pretrain-other.npy",
        "d--bb.npy",
    ]


def test_parts_of_features_stay_as_long_as_a_run_may_take_them(jobs):
    first, second = jobs.submit("count-1"), jobs.submit("fail")
    for run_id in (first, second):
        supervisor.wait(jobs.workspace, run_id)
    assert jobs.store.get(second).state == "failed"
    folder = jobs.workspace.cache / "features"
    folder.mkdir()
    part = folder / "d--aa.part-cpu32-000000000-000000032.npy"
    for path in (part, folder / "d--aa.npy"):
        path.write_bytes(b"x" * 100)
    eventually(lambda: _try_delete(jobs, first))
    assert part.exists()
    eventually(lambda: _try_delete(jobs, second))
    assert [path.name for path in folder.iterdir()] == ["d--aa.npy"]


def _try_delete(jobs, run_id, force=False):
    try:
        return supervisor.delete_run(jobs.workspace, run_id, force=force)
    except RunError as error:
        assert "still ending" in str(error)


def test_a_run_that_others_use_is_deleted_only_with_force(jobs):
    run_id = supervisor.submit(jobs.workspace, study())
    supervisor.wait(jobs.workspace, run_id)
    needed = jobs.store.get(run_id).depends_on
    with pytest.raises(RunError, match=run_id):
        supervisor.delete_run(jobs.workspace, needed)
    eventually(lambda: _try_delete(jobs, needed, force=True))
    assert [run.id for run in jobs.store.list()] == [run_id]
