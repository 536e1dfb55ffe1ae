"""`benchmarks scale`: a quick run with a few images, and what it makes of its figures."""

import csv
import json

import numpy as np
import pytest

import benchmarks.__main__ as command
from benchmarks import _scale_images as images
from benchmarks._scale_recall import share_found
from benchmarks.scale import LIMITS, STAGES, exponent, missed, summary


@pytest.mark.slow
def test_a_run_has_every_stage_and_keeps_its_images(tmp_path, capsys):
    words = ["scale", "--json", "--quick", "--images", "60", "--keep", str(tmp_path)]
    assert command.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["sizes"] == [60] and list(result["stages"]) == list(STAGES) and result["quick"]
    for of in result["stages"].values():
        assert len(of["peak_mb"]) == len(of["disk_mb"]) == len(of["cpu_s"]) == 1
        assert of["seconds"][0] > 0 and of["exponent"] is None
    assert result["stages"]["heads"]["settings"][0] >= 20
    assert result["stages"]["import"]["disk_mb"][0] >= 60 * 64 * 64 * 3 / 1e6
    assert result["stages"]["features"]["peak_mb"][0] > 10
    assert result["total_s"] == sum(of["seconds"][0] for of in result["stages"].values())
    assert result["missed"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
    assert len([*(tmp_path / "images").iterdir()]) == 60


def test_the_recall_is_the_share_of_the_true_neighbours():
    near = np.array([[1, 2, 3], [0, 4, 5]])
    assert share_found(near, np.array([[3, 2, 1], [0, 4, 9]])) == pytest.approx(5 / 6)


def test_images_are_generated_once_and_a_data_set_names_their_classes_and_lesions(tmp_path):
    views = images.write_images(tmp_path / "images", 30, 1)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "images").iterdir()}
    assert {path.name for path in files} == {f"{images.image_name(view)}.jpg" for view in views}
    assert images.write_images(tmp_path / "images", 30, 1) == views
    assert all(path.stat().st_mtime_ns == time for path, time in files.items())
    paths = images.write_data_set(tmp_path / "data", tmp_path / "images", views[:20])
    with open(tmp_path / "data" / "metadata.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_id"] for row in rows] == [images.image_name(view) for view in views[:20]]
    assert len(paths) == 20 and all(row["dx"].startswith("synth-") for row in rows)
    assert len({row["lesion_id"] for row in rows}) == len({group for group, _ in views[:20]})


def measured(size: int, powers: dict[str, float]) -> dict:
    """What each stage took: 10 s at 10,000 images, growing with the power given for it, else 1."""
    stages = {}
    for stage in (*STAGES, "bare"):
        seconds = 10 * (size / 10_000) ** powers.get(stage, 1.0)
        stages[stage] = {"seconds": seconds, "cpu_s": 1.0, "peak_mb": 100.0}
        stages[stage] |= {"disk_bytes": 5e6, "settings": 1}
    return stages


RECALL = {
    "images": 40_000,
    "columns": 256,
    "recall": {"10": 0.99, "30": 0.98},
    "exact_s": 9.0,
    "approximate_s": 3.0,
}
SIZES = (10_000, 40_000, 160_000)


def result(powers: dict[str, float], sizes=SIZES) -> dict:
    return summary(sizes, [measured(size, powers) for size in sizes], RECALL)


def test_exponents_are_the_powers_with_which_seconds_grow():
    found = result({"audit": 1.5, "map": 1.2})
    assert found["stages"]["audit"]["exponent"] == pytest.approx(1.5)
    assert found["stages"]["map"]["exponent"] == pytest.approx(1.2)
    assert exponent([1000], [3.0]) is None
    assert found["missed"] == ["audit exponent"]


def test_heads_grow_by_the_seconds_of_one_setting():
    heads = [measured(size, {}) for size in SIZES]
    heads[1]["heads"] |= {"settings": 2, "seconds": 2 * heads[1]["heads"]["seconds"]}
    found = summary(SIZES, heads, RECALL)["stages"]["heads"]
    assert found["exponent"] == pytest.approx(1) and found["settings"] == [1, 2, 1]


def test_each_limit_that_is_missed_is_named_where_the_sizes_allow_to_judge():
    good = result({})
    assert good["ratio"] == pytest.approx(8 * 160 / 3600) and good["ours"] == good["total_s"]
    assert good["missed"] == [] and good["total_s"] == pytest.approx(8 * 160)
    slow = result(dict.fromkeys(STAGES, 1.4))
    assert slow["missed"] == [
        *(f"{stage} exponent" for stage in STAGES),
        "import_ratio at 40000",
        "import_ratio at 160000",
        "total_s",
    ]
    good["stages"]["heads"]["peak_mb"][-1] = LIMITS["peak_mb"] + 1
    good["neighbours"]["recall"] = {"10": 0.99, "30": 0.9}
    assert missed(good) == ["heads peak_mb", "recall"]
    few = result(dict.fromkeys(STAGES, 1.4), (100, 200))
    assert few["missed"] == [] and "ratio" not in few
