"""The committed study in folds: rounded probabilities give its figures again."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from derm_core.study.study_result import read_study
from tools import folds_files
from tools.results import FOLDS


def test_rounding_moves_a_probability_by_some_percent_of_itself():
    p = np.random.default_rng(0).dirichlet(np.full(7, 0.3), size=2000)
    p = np.maximum(p, 1e-4)
    p /= p.sum(-1, keepdims=True)
    again = folds_files.restored(folds_files.rounded(p))
    assert np.abs(np.log(again / p)).max() < 0.1 and again.sum(-1) == pytest.approx(1)
    assert (again.argmax(-1) == p.argmax(-1)).mean() > 0.98


def test_an_array_that_moved_too_far_fails_the_check(tmp_path, monkeypatch, capsys):
    with np.load(folds_files.FOLDER / "predictions.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert folds_files.check() == 0
    first = next(name for name in arrays if name.startswith("tuned/"))
    arrays[first] = np.roll(arrays[first], 1, axis=-1)  # of the next image
    folds_files.write_arrays(tmp_path / "predictions.npz", arrays)
    monkeypatch.setattr(folds_files, "FOLDER", tmp_path)
    assert folds_files.check() == 1
    assert "largest difference" in capsys.readouterr().out


def test_the_committed_study_is_small_and_names_no_path():
    paths = [FOLDS, *folds_files.FOLDER.iterdir()]
    assert sum(path.stat().st_size for path in paths[1:]) < 3_000_000
    text = FOLDS.read_text(encoding="utf-8")
    assert not re.search(r'"/[a-z]+/', text)
    result = read_study(FOLDS)
    assert result.split.folds == 5 and result.shared and result.protocol
    assert {row.fraction for row in result.label_efficiency.rows} == {0.1, 1.0}
    assert json.loads(text)["verdict"]["claims"]
