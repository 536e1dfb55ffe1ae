"""What `benchmarks map` reads of a run: which parts of its map are there, and how fast pairs were compared."""

import pytest

from benchmarks.map import missed, pairs, parts
from derm_core.files import write_json


@pytest.fixture
def run(workspace):
    return workspace.run("embed-1").create()


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"expected": 90, "quality": {}}, {"pca_s"}),
        ({"quality": {"trustworthiness": None}}, {"pca_s", "pca_all_s"}),
        ({"quality": {"trustworthiness": 0.9}}, {"pca_s", "pca_all_s", "umap_s"}),
        (
            {"quality": {"trustworthiness": 0.9}, "opinions": [{"slot": "a"}], "trouble": {}},
            {"pca_s", "pca_all_s", "umap_s", "predictions_s", "issues_s"},
        ),
    ],
)
def test_the_parts_of_a_map_are_told_by_its_description(run, info, expected):
    assert parts(run) == set()
    write_json(run.map_info, info)
    run.map_points.write_bytes(b"points")
    assert parts(run) == expected


def test_pairs_are_those_of_the_last_progress():
    def progress(unit, total, rate):
        return {"kind": "progress", "value": {"unit": unit, "total": total, "rate": rate}}

    events = [progress("pairs", 900, None), {"kind": "log", "value": "UMAP"}]
    events += [progress("pairs", 900, 50.0), progress("epochs", 200, 9.0)]
    assert pairs(events) == {"pairs": 900, "pairs_per_s": 50.0}


def test_limits_are_missed_from_either_side():
    good = {"pca_s": 4.0, "issues_s": 59.0, "pairs_per_s": 1500.0, "known_pairs_found": 17}
    assert missed(good) == []
    assert missed(good | {"pca_s": 6.0, "known_pairs_found": 16}) == ["pca_s", "known_pairs_found"]
