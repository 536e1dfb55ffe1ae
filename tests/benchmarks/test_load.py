"""The load in short, that it takes no refusal for an answer, and its own arithmetic."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from benchmarks import load
from benchmarks._load_home import CONTENT, blur, lesions
from benchmarks.load import LIMITS, classifications, missed, mixed_load, served, slope_of
from derm_core.workspace import Workspace
from tests.app.conftest import finished_home  # noqa: F401  (a fixture)
from tests.app.maps import put_map

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(finished_home):
    """(address, process, workspace) of the app where every page has something to show."""
    workspace = Workspace.open(finished_home)
    put_map(workspace)
    with served("app.py", finished_home) as (address, process):
        yield address, process, workspace


def test_two_sessions_upload_switch_pages_and_select_without_an_error(app):
    address, process, workspace = app
    found = asyncio.run(mixed_load(address, lesions(workspace, 2), 2, 10.0, process))
    assert found["errors"] == []
    assert len(found["times"]) >= 2 and found["visits"] >= 2 and found["selections"] >= 2


def test_every_page_shows_its_content_beside_classifications(app):
    address, _, workspace = app
    found = asyncio.run(
        classifications(
            address, lesions(workspace, 1), 1, count=len(CONTENT), visits=tuple(CONTENT)
        )
    )
    assert found["errors"] == [] and len(found["times"]) == len(CONTENT)
    assert {page: len(seconds) for page, seconds in found["visits"].items()} == dict.fromkeys(
        CONTENT, 1
    )


@pytest.mark.parametrize(
    ("sent", "said"), [("no picture", "not a JPEG"), ("an unlike one", "shows no markdown")]
)
def test_a_refused_upload_and_a_held_back_answer_are_errors_not_classifications(
    app, monkeypatch, sent, said
):
    if sent == "no picture":
        monkeypatch.setattr(load, "photograph", lambda pictures, number: b"nothing")
    found = asyncio.run(classifications(app[0], [blur()], 1, count=2))
    assert (
        found["times"] == []
        and len(found["errors"]) == 3
        and all(said in error for error in found["errors"])
    )


def test_a_page_without_its_content_is_an_error(app, monkeypatch):
    monkeypatch.setitem(CONTENT, "models", "video")
    found = asyncio.run(
        classifications(
            app[0], [blur()], 1, count=1, answer=("download_button",), visits=("models",)
        )
    )
    assert found["errors"] == ["models: the page shows no video"] and len(found["times"]) == 1


def test_limits_are_missed_from_their_side_and_by_what_was_not_measured():
    held = {**LIMITS, "p95_ratio": 1.2, "throughput_ratio": 0.9}
    assert missed(held) == []
    assert missed({**held, "errors": 1, "throughput_ratio": 0.69, "p95_ratio": None}) == [
        "errors",
        "p95_ratio",
        "throughput_ratio",
    ]


def test_the_slope_is_found_and_its_standard_error_is_that_of_repetitions():
    generator, minutes = np.random.default_rng(0), 7 + np.arange(200) / 60
    found = np.array(
        [slope_of(minutes, 3 * minutes + generator.normal(0, 5, 200)) for _ in range(400)]
    )
    slopes, errors = found.T
    assert abs(slopes.mean() - 3) < 4 * slopes.std() / 20
    assert 0.85 < errors.mean() / slopes.std() < 1.15


def test_a_straight_line_has_no_error_and_two_blocks_no_slope():
    slope, error = slope_of(np.arange(60.0), 2 * np.arange(60.0))
    assert np.isclose(slope, 2) and error < 1e-9
    assert slope_of(np.arange(29.0), np.arange(29.0)) == (None, None)
