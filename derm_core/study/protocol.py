"""A study from its config to its verdict: what the worker runs for `compare` and the Train page."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

from ..config import StudyConfig
from ..data.triage import describe_map
from ..events import TICK, Event, log
from ..files import read_json, write_json
from ..machine import pick_device
from ..stats.metrics import log_prior
from ..workspace import RunFiles, Workspace
from .arms import resolve_arms
from .finetune import finetune
from .fold_results import combine
from .frozen import frozen
from .questions import TrainedStudy, answer
from .results import build_result
from .scratch import fitting_arms, with_scratch
from .study_data import count_test_look, prepare, record_task
from .weight_sources import check_sources


def study(config: StudyConfig, workspace: Workspace, run: RunFiles) -> Iterator[Event]:
    """Compare the arms of `config`; results go to the run's artefacts, study.json last.

    May be stopped anywhere and called again on the same run: cached features and finished models
    are kept, a finished study only repeats its result. The last event is a `result` with
    {arms: {NAME: {test, gaps, curves}}, paper_table, verdict}. Raises NotFound, DataError, RunError,
    ConfigError, BundleError, and WeightsUnavailable where no arm is left.
    """
    run.create()
    if (run.study).exists():
        yield Event(kind="result", value=summary(read_json(run.study)))
        return
    started = time.monotonic()
    if config.all_folds:
        result = yield from combine(config, workspace, run)
        write_json(run.study, {**result, "seconds": time.monotonic() - started})
        yield Event(kind="result", value=summary(result))
        return
    device = pick_device(config.device)
    data = yield from prepare(config, workspace)
    record_task(run, data)
    chosen, notes = fitting_arms(config)
    arms, missing = resolve_arms(chosen, workspace)
    if data.dataset.priorities:
        notes.append(describe_map(data.dataset.priorities))
    notes += missing + check_sources(config, workspace, data, arms)
    for note in notes:
        yield log(note)
    yield TICK
    if config.regime == "finetune":
        trained = best = yield from finetune(config, run, data, arms, device)
        grid, heads, features, setting = (
            {"rule": "one schedule for every arm", "schedule": dataclasses.asdict(config.finetune)},
            None,
            None,
            None,
        )
    else:
        still = [arm for arm in arms if arm.kind != "scratch"]
        found = yield from frozen(config, workspace, run, data, still, device)
        trained = yield from with_scratch(config, run, data, arms, device, found.trained)
        best, grid = {**trained, **found.best}, found.grid
        heads, features, setting = found.heads, found.features, found.setting
    looked_before = count_test_look(data.dataset.paths, data.fingerprint, run.id)
    yield log("Testing once, with intervals.")
    result = build_result(config, run, data, trained, best, grid, notes, looked_before)
    prior = log_prior(data.labels[data.members("train")], len(data.classes))
    answers = yield from answer(
        TrainedStudy(config, workspace, run, data, device, trained, heads, features, setting, prior)
    )
    write_json(run.study, {**result, **answers, "seconds": time.monotonic() - started})
    yield Event(kind="result", value=summary(result))


def summary(result: dict) -> dict:
    """What a run's row and `compare --json` hand on of study.json."""
    arms = {
        arm: {key: entry[key] for key in ("label", "test", "gaps", "curves")}
        for arm, entry in result["arms"].items()
    }
    return {"arms": arms, "paper_table": result["paper_table"], "verdict": result["verdict"]}
