"""The committed long runs of faults, hostile files and load have what they must have, and hold their limits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.chaos import SHARES
from benchmarks.fuzz import MEMORY_MB, SECONDS
from benchmarks.load import LIMITS, missed

FLAT = 1.0  # MB a minute, of an app that takes about a thousand
RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
KEYS = {
    "chaos": {"kills", "resumed_identical"},
    "fuzz": {"files", "decoded", "refused", "crashed", "hung", "peak_mb"},
    "load": {
        "sessions",
        "seconds",
        "errors",
        "p95_ratio",
        "throughput_ratio",
        "memory_slope_mb_per_min",
    },
}


def result(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", KEYS)
def test_a_result_has_its_keys_its_command_its_date_and_its_machine(name):
    found = result(name)
    assert KEYS[name] | {"command", "date", "machine", "versions"} <= found.keys()
    assert found["command"].startswith(f"python -m benchmarks {name} --json")


def test_every_killed_run_ended_identical_and_every_phase_had_its_share():
    found = result("chaos")
    assert (
        found["kills"] >= 40
        and found["resumed_identical"] == found["kills"]
        and found["differed"] == []
    )
    assert {phase: of["kills"] for phase, of in found["by_phase"].items()} == SHARES


def test_every_hostile_file_was_decoded_or_refused_within_time_and_memory():
    found = result("fuzz")
    assert found["files"] >= 5000 and found["decoded"] + found["refused"] == found["files"]
    assert found["crashed"] == found["hung"] == 0 and found["findings"] == []
    assert 0 < found["peak_mb"] <= MEMORY_MB and found["slowest_seconds"] <= SECONDS


def test_twenty_sessions_were_served_within_the_limits():
    found = result("load")
    assert (
        found["sessions"] >= 20
        and found["seconds"] >= 300
        and found["classifications"] > 0
        and found["selections"] > 0
    )
    assert found["limits"].items() <= LIMITS.items() and missed(found) == found["missed"] == []
    assert found["memory_slope_mb_per_min"] - 2 * found["memory_slope_standard_error"] < FLAT, (
        "memory grows after the warm-up"
    )
