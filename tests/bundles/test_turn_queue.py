"""Callers compute in the order in which they arrived, at most `limit` of them at a time."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
import torch
from threadpoolctl import threadpool_limits

from derm_core.bundles import predictor
from derm_core.bundles.turn_queue import TurnQueue


def test_turns_are_taken_in_the_order_of_arrival():
    queue, order, inside = TurnQueue(), [], []

    def work(number: int) -> None:
        with queue.take() as waited:
            inside.append(number)
            assert len(inside) == 1, "alone"
            order.append((number, waited))
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    with queue.take() as waited:
        assert waited is False
        for number, thread in enumerate(threads, 1):
            thread.start()
            while queue.waiting < number:  # each has arrived before the next one comes
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == [(number, True) for number in range(8)]
    with queue.take() as waited:
        assert waited is False, "free again"


def test_a_turn_may_be_taken_within_one_s_own_and_ends_after_an_error():
    queue = TurnQueue()
    with pytest.raises(ZeroDivisionError), queue.take():
        with queue.take() as waited:
            assert waited is None
        raise ZeroDivisionError
    with queue.take() as waited:
        assert waited is False


def arrive(
    queue: TurnQueue, number: int, inside: list[int], leave: threading.Event
) -> threading.Thread:
    """A thread that takes a turn and keeps it until it may leave; returns once it waits or has the turn."""

    def work() -> None:
        with queue.take():
            inside.append(number)
            leave.wait()

    waiting, thread = queue.waiting, threading.Thread(target=work)
    thread.start()
    while number not in inside and queue.waiting == waiting:
        time.sleep(0.001)
    return thread


def test_two_at_a_time_and_the_third_when_one_of_them_leaves():
    queue, inside, leave = TurnQueue(limit=2), [], [threading.Event() for _ in range(3)]
    threads = [arrive(queue, number, inside, leave[number]) for number in range(3)]
    assert sorted(inside) == [0, 1] and queue.waiting == 1 and queue.crowded
    leave[1].set()
    threads[1].join()
    while 2 not in inside:  # would not end if no one were called
        time.sleep(0.001)
    leave[0].set()
    leave[2].set()
    for thread in threads:
        thread.join()


def test_who_takes_longer_than_the_patience_keeps_no_one_out():
    queue, inside, leave = TurnQueue(limit=1, patience=0.01), [], threading.Event()
    threads = [arrive(queue, number, inside, leave) for number in range(3)]
    while len(inside) < 3:  # none of them has left
        time.sleep(0.001)
    leave.set()
    for thread in threads:
        thread.join()
    with queue.take() as waited:
        assert waited is False and not (queue.crowded or queue.waiting), (
            "nothing of them is left behind"
        )


@pytest.mark.parametrize(
    ("crowded", "busy", "threads"),
    [(True, False, 1), (False, True, 1), (False, False, predictor.THREADS)],
)
def test_a_prediction_takes_one_thread_where_others_are_at_work(
    monkeypatch, crowded, busy, threads
):
    def algebra() -> set[int]:
        return {library["num_threads"] for library in predictor.blas_libraries().info()}

    before = torch.get_num_threads()
    monkeypatch.setattr(predictor, "REQUESTS", SimpleNamespace(crowded=crowded))
    monkeypatch.setattr(predictor, "cores_are_busy", lambda: busy)
    with threadpool_limits(2, user_api="blas"):
        many = algebra()  # 1 where OPENBLAS_NUM_THREADS says so
        with predictor.compute_slot():
            assert torch.get_num_threads() == threads and algebra() <= {
                1
            }  # empty: a library that takes no limit
        assert torch.get_num_threads() == before and algebra() == many
