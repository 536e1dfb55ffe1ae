"""A worker takes its turn, does its job once, stops when asked, and leaves a final state and a log."""

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest

from derm_core.config import PretrainConfig, to_dict
from derm_core.events import read_events
from derm_core.jobs import spawning, supervisor
from derm_core.jobs.store import RunStore
from derm_core.locks import is_held

from .conftest import eventually


def test_a_finished_job_leaves_its_summary_events_progress_and_log(jobs):
    run_id = jobs.submit("count-60")
    run = supervisor.wait(jobs.workspace, run_id)
    assert run.state == "done" and run.summary == {"counted": 60, "from": 0} and run.error is None
    assert run.created <= run.started <= run.finished
    assert run.progress.unit == "steps"
    paths = jobs.workspace.run(run_id)
    rows = list(read_events(paths.events))
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    assert [row["value"] for row in rows if row["kind"] == "state"] == ["running", "done"]
    assert not [row for row in rows if row["kind"] == "tick"]
    assert (
        "starting at 0" in paths.log.read_text() and f"{run_id} is done." in paths.log.read_text()
    )


def test_the_cache_of_features_is_brought_within_its_limit_before_a_run(jobs, monkeypatch):
    cached = jobs.workspace.cache / "features" / "tiny--aa.npy"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(bytes(5000))
    os.utime(cached, (0, 0))
    supervisor.wait(jobs.workspace, jobs.submit("count-10"))
    assert cached.exists()
    monkeypatch.setenv("DERM_CACHE_GB", "0")
    run_id = jobs.submit("count-10", seed=1)
    assert supervisor.wait(jobs.workspace, run_id).state == "done" and not cached.exists()
    assert "of cached features were removed" in jobs.workspace.run(run_id).log.read_text()
    monkeypatch.setenv("DERM_CACHE_GB", "much")
    run = supervisor.wait(jobs.workspace, jobs.submit("count-10", seed=2))
    assert run.state == "failed" and "DERM_CACHE_GB is 'much'" in run.error


def test_an_expected_error_fails_the_run_with_its_own_sentence_and_no_traceback(jobs):
    run_id = jobs.submit("refuse")
    run = supervisor.wait(jobs.workspace, run_id)
    assert (run.state, run.error) == (
        "failed",
        "The dataset has no labels; import it with a label column.",
    )
    assert "Traceback" not in jobs.workspace.run(run_id).log.read_text()


def test_an_unexpected_error_is_one_sentence_with_the_traceback_in_the_log(jobs):
    run_id = jobs.submit("crash")
    run = supervisor.wait(jobs.workspace, run_id)
    assert run.state == "failed" and "ZeroDivisionError" in run.error and "\n" not in run.error
    assert "Traceback" in jobs.workspace.run(run_id).log.read_text()


@pytest.mark.slow
def test_runs_of_one_device_follow_one_another_in_the_order_of_submission(jobs):
    ids = [jobs.submit("count-10", seed=seed) for seed in range(3)]
    runs = [supervisor.wait(jobs.workspace, run_id) for run_id in ids]
    assert [run.state for run in runs] == ["done"] * 3
    for earlier, later in itertools.pairwise(runs):
        assert earlier.finished <= later.started


def test_a_run_on_another_device_does_not_wait(jobs):
    first = jobs.submit("count-3000")
    jobs.until(first, "running")
    second = supervisor.submit(jobs.workspace, PretrainConfig(dataset="count-2", device="cuda:7"))
    assert supervisor.wait(jobs.workspace, second).state == "done"
    assert jobs.state(first) == "running"


def test_a_run_waits_for_a_device_that_another_process_holds_though_nothing_is_ahead_of_it(jobs):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from derm_core.locks import hold\n"
            "with hold(Path(sys.argv[1])) as held: print(held, flush=True); sys.stdin.read()",
            str(jobs.workspace.device_lock("cpu")),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert holder.stdout.readline() == "True\n"
    run_id = jobs.submit("count-2")
    assert [run.id for run in jobs.store.list()] == [run_id]
    eventually(lambda: is_held(jobs.workspace.run(run_id).lock))
    time.sleep(1.5)  # three times as long as a waiting worker pauses
    assert jobs.state(run_id) == "queued" and jobs.counter(run_id) == 0
    holder.kill()
    holder.wait()
    assert supervisor.wait(jobs.workspace, run_id).state == "done"


def test_a_second_worker_of_the_same_run_does_nothing(jobs):
    run_id = jobs.submit("count-3000")
    run = jobs.until(run_id, "running")
    second = subprocess.run(
        spawning.worker_command(run_id), timeout=90, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert second.returncode == 0
    assert jobs.store.get(run_id).pid == run.pid and jobs.state(run_id) == "running"


@pytest.mark.slow
def test_a_killed_worker_in_the_queue_does_not_block_those_behind_it(jobs):
    blocker = jobs.submit("count-3000")
    running = jobs.until(blocker, "running")
    behind = jobs.submit("count-2", seed=1)
    eventually(lambda: jobs.store.get(behind).pid)
    os.kill(running.pid, signal.SIGKILL)
    # Nobody calls reconcile here but the waiting worker itself.
    assert jobs.until(behind, "done") and jobs.state(blocker) == "interrupted"


@pytest.mark.slow
def test_sigterm_without_a_request_to_cancel_is_an_interruption_that_can_be_resumed(jobs):
    run_id = jobs.submit("count-3000")
    run = jobs.until(run_id, "running")
    eventually(lambda: jobs.counter(run_id) > 3)
    os.kill(run.pid, signal.SIGTERM)
    assert "runs resume" in jobs.until(run_id, "interrupted").error
    supervisor.resume(jobs.workspace, run_id)
    run = supervisor.wait(jobs.workspace, run_id)
    assert run.state == "done" and run.summary["from"] > 3 and run.error is None


def test_progress_reaches_the_table_while_the_job_works(jobs):
    run_id = jobs.submit("count-3000")
    progress = eventually(lambda: jobs.store.get(run_id).progress)
    assert progress.total == 3000 and progress.what == "counting"


def test_a_run_whose_row_was_deleted_stops(jobs):
    run_id = jobs.submit("count-2000")
    jobs.until(run_id, "running")
    child = next(iter(spawning.workers.values()))
    jobs.store.delete(run_id)
    assert child.wait(60) == 1


def test_a_queued_run_by_hand_runs_in_the_foreground(jobs, workspace):
    run_id = RunStore(workspace).create(
        "pretrain", to_dict(PretrainConfig(dataset="count-3", device="cpu"))
    )
    started = time.monotonic()
    finished = subprocess.run(
        spawning.worker_command(run_id),
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert finished.returncode == 0 and "starting at 0" in finished.stdout, (
        time.monotonic() - started
    )
    assert jobs.state(run_id) == "done"


def test_a_shortage_of_memory_says_what_to_lower(tmp_path):
    import torch

    from derm_core.jobs.worker import failure_sentence
    from derm_core.workspace import RunFiles

    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**46)
    assert "smaller batch size or input size" in failure_sentence(raised.value, RunFiles(tmp_path))
    for message in (
        "CUDA out of memory. Tried",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ):
        assert "smaller batch size or input size" in failure_sentence(
            RuntimeError(message), RunFiles(tmp_path)
        )
