"""What `benchmarks latent` makes of its figures.

Limits that are missed, and what the maps of a workspace say of trouble.
"""

import os

import pytest

from benchmarks.latent import found_trouble, missed
from derm_core.files import write_json


@pytest.fixture
def home(tmp_path):
    """Maps of two arms, the newer of ImageNet's last, and one in which nothing was sought."""
    for order, (arm, trouble) in enumerate(
        (
            (
                "imagenet",
                {
                    "near_duplicate": 9,
                    "across_splits": 3,
                    "label_error": 40,
                    "outlier": 7,
                    "known_pairs": 18,
                    "found": 18,
                },
            ),
            (
                "bundle:skin",
                {
                    "near_duplicate": 8,
                    "across_splits": 2,
                    "label_error": 30,
                    "outlier": 5,
                    "known_pairs": 18,
                    "found": 16,
                },
            ),
            (
                "imagenet",
                {
                    "near_duplicate": 4,
                    "across_splits": 1,
                    "label_error": 20,
                    "outlier": 6,
                    "known_pairs": 18,
                    "found": 17,
                },
            ),
            ("random", None),
        )
    ):
        path = tmp_path / f"runs/embed-{order}/artefacts/map.json"
        path.parent.mkdir(parents=True)
        write_json(path, {"arm": arm, "trouble": trouble})
        os.utime(path, (order, order))
    return tmp_path


def test_each_arm_is_told_by_its_newest_map_and_the_best_is_named(home):
    told = found_trouble(str(home))
    assert told["recalls"] == {"imagenet": 17 / 18, "bundle:skin": 16 / 18}
    assert (told["duplicate_recall"], told["duplicate_recall_arm"]) == (17 / 18, "imagenet")
    assert told["trouble"] == {
        "imagenet": {"near_duplicate": 4, "across_splits": 1, "label_error": 20, "outlier": 6},
        "bundle:skin": {"near_duplicate": 8, "across_splits": 2, "label_error": 30, "outlier": 5},
    }


def test_without_a_workspace_nothing_is_told():
    assert found_trouble(None) == {
        "duplicate_recall": None,
        "duplicate_recall_arm": None,
        "recalls": {},
        "trouble": {},
    }


def test_what_misses_its_limit_is_named():
    limits = {"open_s": 1.5, "place_ms": 200, "umap_ratio": 1.1, "duplicate_recall": 1.0}
    assert missed(
        {"open_s": 1.5, "place_ms": 201, "umap_ratio": None, "duplicate_recall": 17 / 18}, limits
    ) == ["place_ms", "duplicate_recall"]
    assert (
        missed({"open_s": 1, "place_ms": 3, "umap_ratio": 1, "duplicate_recall": 1.0}, limits) == []
    )
