"""One caller computes at a time, in the order in which they came, those with a lead a little sooner."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from threadpoolctl import threadpool_limits

from derm_core.bundles import predictor
from derm_core.bundles.turn_queue import Turns


def test_turns_are_taken_in_the_order_of_arrival():
    turns, order, inside = Turns(), [], []

    def work(number: int) -> None:
        with turns.take() as waited:
            inside.append(number)
            assert len(inside) == 1, "alone"
            order.append((number, waited))
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    with turns.take() as waited:
        assert waited is False
        for number, thread in enumerate(threads, 1):
            thread.start()
            while len(turns._queue) < number:  # each has arrived before the next one comes
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == [(number, True) for number in range(8)]
    with turns.take() as waited:
        assert waited is False, "free again"


def test_a_lead_passes_those_who_came_less_than_that_before():
    turns, order = Turns(), []

    def work(name: str, lead: float) -> None:
        with turns.take(lead):
            order.append(name)

    threads = [
        threading.Thread(target=work, args=call)
        for call in (("page", 0.0), ("next page", 0.0), ("image", 60.0))
    ]
    late = threading.Thread(target=work, args=("too late", 0.01))
    with turns.take():
        for count, thread in enumerate(threads, 1):
            thread.start()
            while len(turns._queue) < count:
                time.sleep(0.001)
        time.sleep(0.05)  # longer than the lead of the last one
        late.start()
        while len(turns._queue) < 4:
            time.sleep(0.001)
    for thread in (*threads, late):
        thread.join()
    assert order == ["image", "page", "next page", "too late"]


def test_a_turn_may_be_taken_within_one_s_own_and_ends_after_an_error():
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.take():
        with turns.take() as waited:
            assert waited is None
        1 / 0
    with turns.take() as waited:
        assert waited is False


def arrive(
    turns: Turns, number: int, inside: list[int], leave: threading.Event
) -> threading.Thread:
    """A thread that takes a turn and keeps it until it may leave; returns once it waits or has the turn."""

    def work() -> None:
        with turns.take():
            inside.append(number)
            leave.wait()

    waiting, thread = queued(turns), threading.Thread(target=work)
    thread.start()
    while number not in inside and queued(turns) == waiting:
        time.sleep(0.001)
    return thread


def queued(turns: Turns) -> int:
    """How many wait. Who is called at once stands in the queue for a moment, too, while it holds the guard."""
    with turns._guard:
        return len(turns._queue)


def test_two_at_a_time_and_the_third_when_one_of_them_leaves():
    turns, inside, leave = Turns(at_once=2), [], [threading.Event() for _ in range(3)]
    threads = [arrive(turns, number, inside, leave[number]) for number in range(3)]
    assert sorted(inside) == [0, 1] and len(turns._queue) == 1 and turns.crowded and turns.awaited
    leave[1].set()
    threads[1].join()
    while 2 not in inside:  # would not end if no one were called
        time.sleep(0.001)
    leave[0].set()
    leave[2].set()
    for thread in threads:
        thread.join()


def test_who_takes_longer_than_the_patience_keeps_no_one_out():
    turns, inside, leave = Turns(at_once=1, patience=0.01), [], threading.Event()
    threads = [arrive(turns, number, inside, leave) for number in range(3)]
    while len(inside) < 3:  # none of them has left
        time.sleep(0.001)
    leave.set()
    for thread in threads:
        thread.join()
    with turns.take() as waited:
        assert waited is False and not (turns.crowded or turns.awaited), (
            "nothing of them is left behind"
        )


@pytest.mark.parametrize(
    "crowded, busy, threads",
    [(True, False, 1), (False, True, 1), (False, False, predictor.THREADS)],
)
def test_a_prediction_takes_one_thread_where_others_are_at_work(
    monkeypatch, crowded, busy, threads
):
    import torch

    def algebra() -> set[int]:
        return {library["num_threads"] for library in predictor._linear_algebra().info()}

    before = torch.get_num_threads()
    monkeypatch.setattr(predictor, "REQUESTS", SimpleNamespace(crowded=crowded))
    monkeypatch.setattr(predictor, "cores_are_busy", lambda: busy)
    with threadpool_limits(2, user_api="blas"):
        many = algebra()  # 1 where OPENBLAS_NUM_THREADS says so
        with predictor.own_turn():
            assert torch.get_num_threads() == threads and algebra() <= {
                1
            }  # empty: a library that takes no limit
        assert torch.get_num_threads() == before and algebra() == many
