"""Processes that share a piece of work: their counts, their failures and their end."""

from __future__ import annotations

import pytest

from derm_core.errors import RunError
from derm_core.processes import alive
from derm_core.study.shard_processes import STARTS, ShardProcesses
from tests.study import shard_tasks


def starts(folder) -> int:
    return len(list(folder.iterdir()))


def test_each_shard_is_worked_on_and_counted():
    processes = ShardProcesses(shard_tasks.count_down, [3, 5])
    assert {event.kind for event in processes.run()} == {"tick"}
    assert processes.done == [3, 5]


@pytest.mark.parametrize(
    ("work", "why"),
    [(shard_tasks.die, "SIGKILL, perhaps for want of memory"), (shard_tasks.fail, "MemoryError")],
)
def test_one_that_fails_again_and_again_is_given_up_with_the_reason(work, why, tmp_path):
    events = []
    with pytest.raises(RunError, match=f"failed {STARTS} times.*{why}.*finished parts"):
        events.extend(ShardProcesses(work, [str(tmp_path)]).run())
    assert starts(tmp_path) == STARTS


def test_what_starting_again_would_not_change_is_said_at_once(tmp_path):
    with pytest.raises(RunError, match=r"^The images are gone\.$"):
        list(ShardProcesses(shard_tasks.refuse, [str(tmp_path)]).run())
    assert starts(tmp_path) == 1


def test_no_process_outlives_a_caller_that_stops(tmp_path):
    processes = ShardProcesses(shard_tasks.work_for_ever, [str(tmp_path)] * 2)
    running = processes.run()
    while not all(processes.done):
        next(running)
    assert all(map(alive, processes.done))
    running.close()
    assert not any(map(alive, processes.done))
