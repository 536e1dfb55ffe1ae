"""Long work beside a generator: its value and error, its progress, and its end when the run is stopped."""

import threading

import pytest

from derm_core import background as module
from derm_core.background import Background, Cancelled, in_background
from tests.steps import finish as run


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(module, "PROGRESS_SECONDS", 0.01)


def test_value_and_error_are_the_works():
    events, value = run(in_background(lambda report: 42, "counting"))
    assert value == 42 and {event.kind for event in events} <= {"tick", "progress"}
    with pytest.raises(ZeroDivisionError):
        run(in_background(lambda report: 1 / 0, "dividing"))


def test_the_caller_is_asked_while_the_work_goes_on():
    go = threading.Event()
    steps = in_background(lambda report: go.wait(60), "waiting")
    seen = []
    while [event.kind for event in seen].count("tick") < 5 or seen[-1].kind != "tick":
        seen.append(next(steps))
    waiting = [event.value for event in seen if event.kind == "progress"]
    assert all(
        value.total == 0 and value.elapsed_seconds > 0 and value.what == "waiting"
        for value in waiting
    )
    go.set()
    assert run(steps)[1] is True


def test_progress_counts_only_what_was_done_now(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    def work(report):
        report(600, 1000)  # found from an interrupted run
        clock[0] += 10
        report(800, 1000)

    last = run(in_background(work, "decoding"))[0][-1]
    assert last.kind == "progress" and last.series == "decoding"
    assert (last.value.done, last.value.total, last.value.unit) == (800, 1000, "images")
    assert last.value.rate == pytest.approx(20) and last.value.eta_seconds == pytest.approx(10)


def test_work_goes_on_beside_other_events():
    go = threading.Event()

    def work(report):
        report(1, 2)
        return go.wait(60)

    with Background(work, "drawing", "epochs") as background:
        while background.progress.value.total == 0:
            pass
        assert background.running and background.progress.value.done == 1
        go.set()
        assert run(background.wait())[1] is True and not background.running


def test_an_error_in_the_work_is_raised_as_soon_as_it_is_asked_for():
    with (
        Background(lambda report: 1 / 0, "dividing") as background,
        pytest.raises(ZeroDivisionError),
    ):
        while background.running:
            pass


def test_closed_it_stops_the_work_at_its_next_report():
    ended, begun, reports = threading.Event(), threading.Event(), []

    def work(report):
        try:
            while True:
                report(len(reports), 10)
                reports.append(1)
                begun.set()
                threading.Event().wait(0.005)
        except Cancelled:
            ended.set()
            raise

    steps = in_background(work, "painting")
    next(steps)
    begun.wait(60)
    steps.close()
    assert ended.wait(60)
