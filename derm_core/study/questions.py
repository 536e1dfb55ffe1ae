"""The questions of a study beyond its main table: each is answered once, and the answer stays with the run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator
from typing import Any

from ..config import StudyConfig
from ..events import Event, log
from ..files import read_json, write_json
from ..records import to_json
from ..workspace import RunFiles
from .breakdown import breakdown
from .external import external
from .label_efficiency import label_efficiency
from .linear_head import linear_head
from .robustness import robustness
from .saliency_inside import saliency_inside
from .shortcut import shortcut
from .trained_arm import TrainedStudy

Question = Callable[[TrainedStudy], Generator[Event, None, Any]]

# (key in study.json, whether a config needs the answer, function), in the order of their work
QUESTIONS: tuple[tuple[str, Callable[[StudyConfig], bool], Question], ...] = (
    ("detail", lambda config: True, breakdown),
    ("label_efficiency", lambda config: bool(config.label_fractions), label_efficiency),
    ("linear_head", lambda config: config.linear_head, linear_head),
    ("external", lambda config: bool(config.external), external),
    ("robustness", lambda config: bool(config.corruptions), robustness),
    ("shortcut", lambda config: bool(config.shortcut), shortcut),
    ("saliency_inside", lambda config: bool(config.saliency_images), saliency_inside),
)


def drop_earlier_answers(run: RunFiles) -> None:
    """Remove what an earlier version answered at one setting for all arms, so that a resumed study mixes nothing."""
    if run.predictions.exists() and not run.shared_predictions.exists():
        for folder in (run.answer("detail").parent, run.checkpoints / "robustness"):
            shutil.rmtree(folder, ignore_errors=True)


def answer_questions(
    study: TrainedStudy, questions: tuple[tuple[str, Any, Question], ...] = QUESTIONS
) -> Generator[Event, None, dict[str, Any]]:
    """Answer every question of the config.

    An answer that the run already has is not computed again.

    Returns:
        {key in study.json: JSON of the answer}.
    """
    answers = {}
    for name, asks, question in questions:
        if not asks(study.config):
            continue
        path = study.run.answer(name)
        if not path.exists():
            yield log(f"Working on {name.replace('_', ' ')}.")
            started = time.monotonic()
            answer = to_json((yield from question(study)))
            if isinstance(answer, dict):
                answer["seconds"] = time.monotonic() - started
            write_json(path, answer)
        answers[name] = read_json(path)
    return answers
