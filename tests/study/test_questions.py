"""The questions of a study: which of them a config asks, and that each is answered once."""

from types import SimpleNamespace

import pytest

from derm_core.config import StudyConfig
from derm_core.events import TICK
from derm_core.files import read_json, write_json
from derm_core.study.answers import Robustness
from derm_core.study.questions import QUESTIONS, answer_questions, drop_earlier_answers
from tests.steps import finish


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("robustness", {"corruptions": ("noise",)}),
        ("label_efficiency", {"label_fractions": (0.1, 1.0)}),
        ("shortcut", {"shortcut": (0.0, 1.0)}),
        ("external", {"external": ("other",)}),
    ],
)
def test_a_question_is_asked_where_the_config_asks_it(name, setting):
    asks = {key: asked for key, asked, _ in QUESTIONS}
    assert not asks[name](StudyConfig(dataset="x")) and asks["detail"](StudyConfig(dataset="x"))
    assert asks[name](StudyConfig(dataset="x", **setting))


def test_an_answer_is_worked_out_once_and_stays_with_the_run(workspace):
    calls = []

    def robustness(study):
        calls.append(study.config.dataset)
        yield TICK
        return Robustness(families=study.config.corruptions)

    questions = (
        ("robustness", lambda config: True, robustness),
        ("shortcut", lambda config: False, None),
    )
    run = workspace.run("study-1").create()
    study = SimpleNamespace(config=StudyConfig(dataset="x", corruptions=("noise",)), run=run)
    for _ in range(2):
        _, answers = finish(answer_questions(study, questions))
        assert list(answers) == ["robustness"]
        assert answers["robustness"]["families"] == ["noise"]
        assert answers["robustness"]["seconds"] >= 0
    assert calls == ["x"]
    assert read_json(run.answer("robustness"))["families"] == ["noise"]


def test_answers_at_one_setting_of_an_earlier_version_are_not_mixed_with_own_settings(workspace):
    run = workspace.run("study-1").create()
    write_json(run.answer("label_efficiency"), {})
    for predictions, stays in (
        ((), True),
        ((run.predictions, run.shared_predictions), True),
        ((run.predictions,), False),
    ):
        for path in (run.predictions, run.shared_predictions):
            path.unlink(missing_ok=True)
        for path in predictions:
            path.touch()
        drop_earlier_answers(run)
        assert run.answer("label_efficiency").exists() == stays
