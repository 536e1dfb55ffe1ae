"""The committed verdicts are those that the rules write of their numbers."""

from __future__ import annotations

import json

import pytest

from derm_core.errors import RunError
from tools import reword
from tools.results import FOLDS


def test_the_committed_verdicts_have_the_words_of_today(capsys):
    assert len(reword.committed()) >= 2
    assert reword.main(["--check"]) == 0, capsys.readouterr()


def test_words_change_and_numbers_do_not(tmp_path, monkeypatch):
    study = json.loads(FOLDS.read_text(encoding="utf-8"))
    old = {**study, "verdict": {**study["verdict"], "headline": "Older words."}}
    path = tmp_path / "folds.json"
    path.write_text(json.dumps(old), encoding="utf-8")
    monkeypatch.setattr(reword, "committed", lambda: [path])
    assert (
        reword.main(["--check"]) == 1
        and json.loads(path.read_text())["verdict"] != study["verdict"]
    )
    assert reword.main([]) == 0 and path.read_bytes() == FOLDS.read_bytes()


def test_a_claim_that_would_say_something_else_is_refused():
    study = json.loads(FOLDS.read_text(encoding="utf-8"))
    study["verdict"]["claims"][0]["says"] = "equivalent"
    with pytest.raises(RunError, match="claims would change"):
        reword.reworded(study)
