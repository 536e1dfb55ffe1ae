"""What a study can ask beyond its main table: each question once, its answer kept with the run."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from ..config import StudyConfig
from ..events import Event, jsonable, log
from ..files import read_json, write_json
from ..heads.grid import Heads
from ..workspace import RunFiles, Workspace
from .study_data import StudyData
from .trained_arm import TrainedArm

MODULES = {"detail": ".breakdown"}  # where a question's module is not called as the question


@dataclass(frozen=True)
class TrainedStudy:
    """A trained study, as the questions see it.

    outcomes: every arm at the one setting. heads, features {arm: (n, D) or (S, n, D)} and setting
    (index of the grid): the regime `frozen` alone. log_prior: (C,) of the training split, or (N, C) of
    out-of-fold predictions, an image of the test part each.
    """

    config: StudyConfig
    workspace: Workspace
    run: RunFiles
    data: StudyData
    device: str
    trained: dict[str, TrainedArm]
    heads: Heads | None
    features: dict[str, np.ndarray] | None
    setting: int | None
    log_prior: np.ndarray


def asked(config: StudyConfig) -> list[str]:
    """The questions of a config in the order of their work; each is a module and its function."""
    wanted = {
        "detail": True,
        "label_efficiency": bool(config.label_fractions),
        "external": bool(config.external),
        "robustness": bool(config.corruptions),
        "shortcut": bool(config.shortcut),
    }
    return [name for name, wants in wanted.items() if wants]


def answer(study: TrainedStudy) -> Generator[Event, None, dict[str, Any]]:
    """Ask everything the config asks: `answers = yield from answer(study)`, keyed by question.

    An answer that the run already holds is not worked out again.
    """
    answers = {}
    for name in asked(study.config):
        path = study.run.answer(name)
        if not path.exists():
            yield log(f"Working on {name.replace('_', ' ')}.")
            started = time.monotonic()
            question = getattr(import_module(MODULES.get(name, f".{name}"), __package__), name)
            found = yield from question(study)
            if isinstance(found, dict):
                found["seconds"] = time.monotonic() - started
            write_json(path, jsonable(found))
        answers[name] = read_json(path)
    return answers
