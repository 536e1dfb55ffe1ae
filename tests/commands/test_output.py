"""Progress and tables as they are read by a person."""

import io

from derm_core.commands import output as screen_module
from derm_core.commands.output import Screen, duration, progress_line, size, table
from derm_core.events import Progress


def test_plain_progress_is_a_line_every_five_seconds(workspace, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(screen_module.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    screen = Screen(workspace, stream)
    for second in range(12):
        clock[0] = 100.0 + second
        screen.progress(
            Progress(
                what="pretraining",
                done=second,
                total=12,
                unit="steps",
                rate=1.0,
                eta_seconds=12 - second,
            )
        )
    assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["0/12", "5/12", "10/12"]


def test_a_terminal_gets_one_line_that_updates(workspace):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    screen = Screen(workspace, stream)
    screen.progress(
        Progress(what="importing", done=1, total=2, unit="images", rate=4.0, eta_seconds=0.25)
    )
    screen.progress(
        Progress(what="importing", done=2, total=2, unit="images", rate=4.0, eta_seconds=0.0)
    )
    screen.close()
    assert stream.getvalue().count("\r") == 2 and stream.getvalue().count("\n") == 1


def test_numbers_are_shown_with_units():
    assert [duration(s) for s in (47.6, 212, 7500)] == ["48 s", "3 min 32 s", "2 h 5 min"]
    assert [size(b) for b in (512, 3_100_000, 1.2e9)] == ["512 B", "3.1 MB", "1.2 GB"]
    line = progress_line(
        Progress(what="w", done=3, total=12, unit="steps", rate=0.5, eta_seconds=18)
    )
    assert line == "w  3/12 steps  25%  0.5 steps/s  18 s left"
    unknown = Progress(
        what="UMAP", done=0, total=0, unit="epochs", rate=None, eta_seconds=None, elapsed_seconds=75
    )
    assert progress_line(unknown) == "UMAP  1 min 15 s so far"
    assert table(("name", "n"), [("a", 5), ("bb", 12)]) == "name   n\na      5\nbb    12"
