"""What a run opens: generated and decoded on first need, with progress, and stoppable in the middle."""

import pytest

from derm_core import background
from derm_core.data import decode_all
from derm_core.data.on_demand import open_images
from derm_core.data.synth.dataset import make_synth
from derm_core.errors import NotFound
from tests.steps import finish as run


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(background, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(background, "PROGRESS_SECONDS", 0.0)


def progress_of(events, beginning):
    return [
        event.value
        for event in events
        if event.kind == "progress" and event.series.startswith(beginning)
    ]


@pytest.mark.slow
def test_a_synthetic_dataset_is_generated_and_decoded_with_rate_and_time_left(workspace):
    events, (dataset, store) = run(open_images(workspace, "synth-60", 16))
    assert len(dataset) == len(store) == 60 and store.size == 16
    for beginning in ("Generating", "Decoding synth-60"):
        last = progress_of(events, beginning)[-1]
        assert (last.done, last.total, last.unit, last.eta_seconds) == (
            60,
            60,
            "images",
            0,
        )
        assert last.rate is not None
    again, _ = run(open_images(workspace, "synth-60", 16))
    assert not any(value.total for value in progress_of(again, "")), "nothing is made twice"


def test_stopped_in_the_middle_it_goes_on_from_there(workspace, monkeypatch):
    make_synth(workspace, "little", images=60, size=32)
    monkeypatch.setattr(decode_all, "CHUNK", 4)
    monkeypatch.setattr(decode_all, "cpu_cores", lambda: 1)
    steps = open_images(workspace, "little", 16)
    for event in steps:
        if (
            event.kind == "progress"
            and event.series.startswith("Decoding")
            and event.value.done >= 4
        ):
            break
    steps.close()
    read, decoded = decode_all.read_chunk, []
    monkeypatch.setattr(
        decode_all,
        "read_chunk",
        lambda start, paths, **how: decoded.extend(paths) or read(start, paths, **how),
    )
    _, (_, store) = run(open_images(workspace, "little", 16))
    assert len(store) == 60 and store.images.any(axis=(1, 2, 3)).all() and len(decoded) <= 56


def test_an_unknown_dataset_is_said_to_be_so(workspace):
    with pytest.raises(NotFound, match="nothing-here"):
        run(open_images(workspace, "nothing-here", 16))
