"""The image gate on a part of the hostile corpus, and the judge of the long run."""

import sys

import pytest

from benchmarks import fuzz
from benchmarks._fuzz_worker import judge
from benchmarks._hostile_images import make, specials

HEAVY = ("bomb", "padded", "too-large", "meta")  # seconds and hundreds of MB each: for the long run
LIGHT = [index for index, kind in enumerate(specials()) if not kind.startswith(HEAVY)]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_broken_and_hostile_files_are_decoded_or_refused_with_a_reason(part):
    indices = [
        *LIGHT[part::6],
        *range(len(specials()) + 150 * part, len(specials()) + 150 * (part + 1)),
    ]
    outcomes = set()
    for index in indices:
        kind, name, data = make(0, index)
        outcome, reason = judge(data, name)
        outcomes.add(outcome)
        assert outcome in ("decoded", "refused"), f"{index} {kind}: {reason}"
    assert outcomes == {"decoded", "refused"}


def test_the_corpus_is_that_of_its_seed():
    first = len(specials())
    assert make(0, first + 5) == make(0, first + 5) != make(1, first + 5)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ('{"outcome": "decoded", "reason": "", "seconds": 0.1, "peak_mb": 50.0}', "decoded"),
        ('{"outcome": "refused", "reason": "", "seconds": 5.1, "peak_mb": 50.0}', "hung"),
        ('{"outcome": "decoded", "reason": "", "seconds": 0.1, "peak_mb": 1100.0}', "crashed"),
    ],
)
def test_time_and_memory_above_the_limits_are_findings(monkeypatch, answer, outcome):
    told = f"input(); print('{{\"kind\": \"x\"}}'); print('{answer}')"
    monkeypatch.setattr(fuzz, "WORKER", [sys.executable, "-c", told])
    assert fuzz.fuzz(0, iter([0]), 1)[0]["outcome"] == outcome


def test_a_process_that_dies_or_falls_silent_is_a_finding_and_the_next_file_gets_a_new_one(
    monkeypatch,
):
    monkeypatch.setattr(fuzz, "WORKER", [sys.executable, "-c", "import os; input(); os.abort()"])
    rows = fuzz.fuzz(0, iter([0, 1]), 1)
    assert [row["outcome"] for row in rows] == ["crashed", "crashed"] and "-6" in rows[1]["reason"]
    monkeypatch.setattr(
        fuzz, "WORKER", [sys.executable, "-c", "import time; input(); time.sleep(600)"]
    )
    monkeypatch.setattr(fuzz, "MAKING", 0.1)
    assert fuzz.fuzz(0, iter([0]), 1)[0]["outcome"] == "hung"
    assert fuzz.summary(rows, 1.0)["crashed"] == 2 and len(fuzz.summary(rows, 1.0)["findings"]) == 2


@pytest.mark.slow
def test_the_largest_photo_that_is_read_at_half_its_size_stays_within_time_and_memory():
    number = list(specials()).index(
        "bomb-jpeg-halved-cmyk-profile"
    )  # 159 million pixels of four inks, turned
    row = fuzz.fuzz(0, iter([number]), 1)[0]
    assert row["outcome"] == "decoded", row["reason"]
    assert 0 < row["peak_mb"] < fuzz.MEMORY_MB and row["seconds"] < fuzz.SECONDS
