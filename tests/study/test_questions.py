"""What a study can ask beyond its main table."""

import sys
import types
from types import SimpleNamespace

from derm_core.config import StudyConfig
from derm_core.events import TICK
from derm_core.files import read_json
from derm_core.study.questions import answer, asked


def test_only_what_the_config_asks_is_asked():
    assert "robustness" not in asked(StudyConfig(dataset="x"))
    assert "robustness" in asked(StudyConfig(dataset="x", corruptions=("noise",)))
    assert "label_efficiency" in asked(StudyConfig(dataset="x", label_fractions=(0.1, 1.0)))


def test_an_answer_is_worked_out_once_and_kept(workspace, monkeypatch):
    calls = []

    def robustness(study):
        calls.append(study.config.dataset)
        yield TICK
        return {"families": list(study.config.corruptions)}

    module = types.ModuleType("derm_core.study.robustness")
    module.robustness = robustness
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("derm_core.study.questions.asked", lambda config: ["robustness"])
    run = workspace.run("study-1").create()
    study = SimpleNamespace(config=StudyConfig(dataset="x", corruptions=("noise",)), run=run)
    for _ in range(2):
        steps = answer(study)
        try:
            while True:
                next(steps)
        except StopIteration as stop:
            found = stop.value
        assert found["robustness"]["families"] == ["noise"] and found["robustness"]["seconds"] >= 0
    assert calls == ["x"]
    assert read_json(run.artefacts / "extras" / "robustness.json")["families"] == ["noise"]
