"""study.json of every version is read into records, and what is written again is the same."""

from __future__ import annotations

import pytest

from derm_core.errors import RunError
from derm_core.files import read_json
from derm_core.records import to_json
from derm_core.study.study_result import StudyResult, read_study, study_result
from derm_core.workspace import REPOSITORY

COMMITTED = REPOSITORY / "benchmarks" / "results" / "laptop-ham10000" / "study.json"
FIRST = next(
    (REPOSITORY / "tests" / "fixtures" / "first_version" / "runs").glob(
        "study-*/artefacts/study.json"
    )
)


def same(ours, theirs) -> bool:
    """Whether every value of a JSON file is in ours."""
    if isinstance(theirs, dict):
        return all(key in ours and same(ours[key], value) for key, value in theirs.items())
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs


def test_the_committed_study_keeps_every_value():
    study = read_json(COMMITTED)
    result = read_study(COMMITTED)
    written = to_json(result)
    different = [key for key, value in study.items() if not same(written[key], value)]
    assert different == ["grid"]  # whose points are no longer named by their numbers
    assert result.grid.shared == study["grid"]["points"][study["grid"]["chosen"]]
    assert result.at_shared_setting
    assert result.arms["vae"].test["balanced_accuracy"].mean == pytest.approx(0.579, abs=1e-3)
    assert result.detail.operating_point.class_name == "mel"


def test_a_study_of_the_first_version_is_read():
    result = read_study(FIRST)
    assert result.kind == "study" and len(result.matched) == 1 and len(result.gap_differences) == 2
    assert result.matched[0].a == "vae" and "mean" not in result.majority
    assert result.label_efficiency is None and result.detail.subgroups == ()


def test_a_broken_study_is_refused_by_its_field():
    study = read_json(COMMITTED)
    with pytest.raises(RunError, match=r"dataset\.images"):
        study_result({**study, "dataset": {**study["dataset"], "images": "many"}})
    assert isinstance(study_result(study), StudyResult)
