"""One caller computes at a time, in the order in which they came."""

from __future__ import annotations

import threading
import time

import pytest

from derm_core.serve.turns import Turns


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
            while len(turns._queue) < number:            # each has arrived before the next one comes
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == [(number, True) for number in range(8)]
    with turns.take() as waited:
        assert waited is False, "free again"


def test_a_turn_may_be_taken_within_one_s_own_and_ends_after_an_error():
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.take():
        with turns.take() as waited:
            assert waited is None
        1 / 0
    with turns.take() as waited:
        assert waited is False
