"""Looks at test images are counted for each image, whatever split, fold or study tested it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from derm_core.errors import DataError
from derm_core.files import read_json, write_json
from derm_core.study.looks import Looks, count_looks

IDS = np.array([f"i{n:02d}" for n in range(20)], object)


def never(**fields):
    return Looks(**{"mean": 0.0, "max": 0, **fields})


def look(workspace, run_id, ids, folds=None):
    return count_looks(workspace, "tiny", run_id, ids, folds)


def saved(workspace, run_id, ids, **config):
    """A run of an earlier version: its config and predictions."""
    run = workspace.run(run_id).create()
    write_json(run.config, config)
    table = pd.DataFrame({"image_id": [*ids, "v"], "split": ["test"] * len(ids) + ["val"]})
    table.to_parquet(run.predictions)


def test_another_split_of_the_same_images_is_a_further_look_at_those_it_shares(workspace, tiny):
    assert look(workspace, "a", IDS[:10]) == never()
    assert look(workspace, "b", IDS[5:15]) == Looks(mean=0.5, max=1)
    assert look(workspace, "c", IDS[:20]) == Looks(mean=1.0, max=2)
    assert look(workspace, "d", IDS[::-1][:5]) == Looks(mean=1.0, max=1)


def test_a_resumed_run_is_one_look_and_is_given_the_same_count(workspace, tiny):
    look(workspace, "a", IDS)
    first = look(workspace, "b", IDS)
    look(workspace, "c", IDS)
    assert look(workspace, "b", IDS) == first == Looks(mean=1.0, max=1)
    assert look(workspace, "d", IDS).max == 3


def test_joining_folds_is_no_further_look_at_what_they_have_tested(workspace, tiny):
    folds = np.array(["f1"] * 10 + ["f2"] * 10, object)
    look(workspace, "f1", IDS[:10])
    look(workspace, "f2", IDS[10:])
    assert look(workspace, "joined", IDS, folds) == never()
    assert look(workspace, "later", IDS) == Looks(mean=1.0, max=1)


def test_joining_is_a_look_at_images_whose_fold_was_counted_elsewhere(workspace, tiny):
    folds = np.array(["f1"] * 10 + ["f2"] * 10, object)
    look(workspace, "f1", IDS[:10])
    look(workspace, "joined", IDS, folds)
    assert look(workspace, "later", IDS) == Looks(mean=1.0, max=1)


def test_runs_of_earlier_versions_are_counted_by_their_predictions(workspace, tiny):
    saved(workspace, "old", IDS[:10])
    saved(workspace, "old-joined", IDS, fold_runs=["old", "gone"])
    by_split = {"f": ["old"], "g": ["gone"], "joined": ["old-joined"]}
    write_json(tiny.paths.root / "test_looks.json", by_split)
    assert look(workspace, "new", IDS) == Looks(mean=0.5, max=1, unplaced=1)
    assert look(workspace, "newer", IDS) == Looks(mean=1.5, max=2, unplaced=1)


def test_a_count_that_cannot_be_read_is_not_begun_anew_in_silence(workspace, tiny):
    path = tiny.paths.root / "test_looks.json"
    path.write_text('{"schema": 2, "runs": 3}')
    with pytest.raises(DataError, match="cannot be read"):
        look(workspace, "a", IDS)
    assert path.read_text() == '{"schema": 2, "runs": 3}'


def test_runs_that_test_the_same_images_share_a_list(workspace, tiny):
    for run_id in "abc":
        look(workspace, run_id, np.random.default_rng(0).permutation(IDS))
    record = read_json(tiny.paths.root / "test_looks.json")
    assert list(record["runs"]) == ["a", "b", "c"] and len(record["images"]) == 1
    assert dataclasses.asdict(look(workspace, "d", IDS))["max"] == 3
