"""The table of growth with the number of images says what the committed result says."""

import json

from benchmarks.scale import STAGES, summary
from tools.scale_table import scale_part


def result(path, sizes=(10_000, 40_000)):
    measured = [
        {
            stage: {
                "seconds": size / 4_000,
                "cpu_s": 1.0,
                "peak_mb": 1234.0,
                "disk_bytes": size,
                "settings": 27,
            }
            for stage in (*STAGES, "bare")
        }
        for size in sizes
    ]
    recall = {
        "images": 40_000,
        "columns": 256,
        "recall": {"10": 0.9991, "30": 0.99},
        "exact_s": 9.0,
        "approximate_s": 3.0,
    }
    facts = {
        "command": "python -m benchmarks scale --json",
        "date": "2026-12-01",
        "machine": {"cores": 2, "processor": "AMD EPYC"},
    }
    path.write_text(json.dumps({**facts, **summary(sizes, measured, recall)}))
    return path


def test_every_stage_has_its_seconds_its_exponent_its_memory_and_its_disk(tmp_path):
    text = scale_part(result(tmp_path / "scale.json"))
    assert "| data issues | 2.5 | 10 | 1.00 | 1,234 | 0 |" in text
    assert "| all | 20 | 80 | | | |" in text and "27, 27 settings" in text
    assert all(f"| {stage.replace('_', ' ')} |" in text for stage in STAGES)
    assert "finds 99.9% of the nearest 10 and 99.0% of the nearest 30 among 40,000 rows" in text
    assert "None is missed." in text


def test_a_limit_that_is_missed_is_named_and_no_result_is_said(tmp_path):
    path = result(tmp_path / "scale.json")
    body = json.loads(path.read_text()) | {"missed": ["total_s", "recall"], "neighbours": None}
    path.write_text(json.dumps(body))
    text = scale_part(path)
    assert "Missed: total_s, recall." in text and "finds" not in text
    assert scale_part(tmp_path / "absent.json") == "No result is committed yet."
