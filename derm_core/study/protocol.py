"""A study from its config to its verdict: what the worker runs for `compare` and the Train page."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np

from ..arms import is_from_elsewhere, own_architecture
from ..config import StudyConfig
from ..data.dataset_facts import describe_enlarged, short_sides
from ..data.official_split import describe_official, describe_unused
from ..data.on_demand import open_for_run
from ..data.triage import describe_map
from ..data.used_marks import describe_used
from ..errors import RunError
from ..events import TICK, Event, log
from ..files import read_json, write_json
from ..records import from_json, to_json
from ..stats.metrics import log_prior
from ..training.batches import steps_per_epoch
from ..training.distributed import alone, current, training_device
from ..workspace import RunFiles, Workspace
from .answers import LabelEfficiency
from .arm_facts import FACTS
from .arms import Arm, resolve_arms
from .chosen_arms import describe
from .clinical import target_class
from .comparison import conclude
from .cost import study_cost
from .feature_shards import study_devices
from .finetune import finetune
from .fitting_arms import fitting_arms
from .fold_results import combine_folds
from .frozen import study_features, train_frozen
from .looks import count_looks
from .protocol_record import fix_protocol
from .questions import answer_questions, drop_earlier_answers
from .results import build_result
from .saliency_inside import draw_sample
from .scratch import lora_notes, short_training_notes, with_scratch
from .seen import seen_by
from .study_data import StudyData, prepare, record_marks, record_task, with_stores
from .study_result import Grid, study_json
from .summaries import FixedProtocol
from .trained_arm import TrainedStudy
from .weight_sources import check_sources, named_weights


def study(config: StudyConfig, workspace: Workspace, run: RunFiles) -> Iterator[Event]:
    """Compare the arms of `config`; results go to the run's artefacts, study.json last.

    May be stopped anywhere and called again on the same run: cached features and finished models
    stay, a finished study only repeats its result. The protocol is fixed first; under another one than
    that under which the run was begun nothing is done.

    Yields:
        Events; the last is a `result` with {arms: {NAME: {label, test, gaps, curves}}, paper_table,
        verdict, grid}.

    Raises:
        NotFound, DataError, RunError, ConfigError, BundleError: what is wrong with the config or
            its sources.
        WeightsUnavailable: where no arm is left.
    """
    run.create()
    if not run.study.exists():
        started = time.monotonic()
        if config.all_folds:
            body = study_json((yield from combine_folds(config, workspace, run)))
        else:
            split = yield from _one_split(config, workspace, run)
            if split is None:
                return
            body = split
        write_json(run.study, {**body, "seconds": time.monotonic() - started})
    yield Event(kind="result", value=summary(read_json(run.study)))


def _one_split(
    config: StudyConfig, workspace: Workspace, run: RunFiles
) -> Generator[Event, None, dict[str, Any] | None]:
    """study.json of a study on one split, but for its seconds; None in ranks that only help with networks."""
    device = training_device(config.device)
    with current().main_first():
        dataset = yield from open_for_run(workspace, config.dataset)
        fitting, notes = fitting_arms(config)
        arms, missing = resolve_arms(fitting, workspace)
        weights = named_weights(config, arms)
        protocol = fix_protocol(config, dataset.fingerprint, run, weights, images=len(dataset))
        data = yield from prepare(config, workspace)
        record_task(run, data)
        record_marks(run, config, data.dataset)
        target_class(config, data.classes)  # an unknown one is refused before anything is trained
        if config.saliency_images:
            draw_sample(data, config)  # as are images without masks
        notes += lora_notes(arms, config.finetune.lora_rank)
        if config.regime == "finetune":
            schedule = config.finetune
            per_epoch = steps_per_epoch(len(data.members("train")), schedule.batch_size)
            notes += short_training_notes(arms, schedule.epochs * per_epoch)
        notes += [*_about_data(config, data), *missing]
        notes += check_sources(config, workspace, data, arms) + _about_arms(data, arms)
        arms = [_with_seen(arm, data, workspace) for arm in arms]
        forms = [part.form for arm in arms for part in arm.parts]
        data = yield from with_stores(data, workspace, forms)
    if protocol:
        yield log(f"Protocol {protocol.sha256[:12]} is fixed before this run tests an image.")
    for note in notes:
        yield log(note)
    yield TICK
    prior = log_prior(data.labels_of("train"), len(data.classes))
    devices = study_devices(config, device)
    study = TrainedStudy(config, workspace, run, data, device, {}, prior, devices=devices)
    if config.regime == "finetune":
        trained, features = (yield from finetune(study, arms)), {}
        study = dataclasses.replace(study, trained=trained)
    else:
        features = yield from study_features(study, _frozen(arms))
    if not current().is_main:
        return None
    with alone():
        return (yield from _tested(study, arms, features, notes, protocol))


def _frozen(arms: list[Arm]) -> list[Arm]:
    return [arm for arm in arms if arm.kind != "scratch"]


def _tested(
    study: TrainedStudy,
    arms: list[Arm],
    features: dict[str, np.ndarray],
    notes: list[str],
    protocol: FixedProtocol | None,
) -> Generator[Event, None, dict[str, Any]]:
    """study.json of a study whose networks are trained, or whose features are there for heads to be trained on."""
    config, data, run = study.config, study.data, study.run
    if config.regime == "finetune":
        trained, shared = study.trained, {}
        grid = Grid(rule="one schedule for every arm", schedule=to_json(config.finetune))
    else:
        fixed = _frozen(arms)
        study, grid = yield from train_frozen(study, fixed, features)
        if not config.fold:
            names = {arm.name: arm.label for arm in fixed}
            notes += describe(study.chosen, names)
        trained = yield from with_scratch(study, arms)
        shared = {arm: study.shared.get(arm, one) for arm, one in trained.items()}
        drop_earlier_answers(run)
    study = dataclasses.replace(study, trained=trained, shared=shared)
    tested = data.image_ids[data.members("test")]
    looks = count_looks(study.workspace, data.dataset.name, run.id, tested)
    yield log("Testing, with intervals.")
    result = dataclasses.replace(
        build_result(study, grid, notes), looks=looks, protocol=protocol, cost=study_cost(study)
    )
    answers = yield from answer_questions(study)
    if labels := answers.get("label_efficiency"):
        efficiency = from_json(LabelEfficiency, labels, error=RunError)
        result = dataclasses.replace(result, label_efficiency=efficiency)
    return {**answers, **study_json(conclude(result, study.curves))}


def _about_data(config: StudyConfig, data: StudyData) -> list[str]:
    """Notes on the split, the task and the marks of a study."""
    notes = []
    if data.official:
        notes.append(describe_official(data.official))
    elif unused := describe_unused(data.dataset):
        notes.append(unused)
    if data.dataset.priorities:
        notes.append(describe_map(data.dataset.priorities))
    if config.marks:
        notes.append(describe_used(config.marks, config.pretrain))
    return notes


def _about_arms(data: StudyData, arms: list[Arm]) -> list[str]:
    """Notes on enlarged images, and on how what is no image became features."""
    infos = [part.info for arm in arms for part in arm.parts]
    encodings = dict.fromkeys(info["encoding"] for info in infos if "encoding" in info)
    return [*_enlarged(data, arms), *encodings]


def _enlarged(data: StudyData, arms: list[Arm]) -> list[str]:
    """A sentence for every arm with its own network that reads more pixels than images have."""
    sides = short_sides(data.dataset.frame.iloc[data.rows])
    sentences = []
    for arm in arms:
        size = arm.parts[0].input_size
        if own_architecture(arm.name) and size and (sides < size).any():
            share = float((sides < size).mean())
            sentences.append(f"{arm.label}: {describe_enlarged(share, size)}")
    return sentences


def _with_seen(arm: Arm, data: StudyData, workspace: Workspace) -> Arm:
    """The arm with what its pretraining has seen; one from elsewhere that saw these images has that in its name."""
    answer = seen_by(arm, data, workspace)
    marked = answer == "yes" and is_from_elsewhere(arm.name)
    label = f"{arm.label} (saw these images)" if marked else arm.label
    return dataclasses.replace(arm, label=label, seen=answer)


def summary(study: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's row and `compare --json` hand on of a study.json."""
    arms = {
        arm: {key: entry[key] for key in ("label", "test", "gaps", "curves")}
        | {key: entry[key] for key in FACTS if key in entry}
        for arm, entry in study["arms"].items()
    }
    whole = {key: study[key] for key in ("paper_table", "verdict", "grid")}
    for row in (study.get("saliency_inside") or {}).get("rows") or []:
        inside = {key: row["inside"].get(key) for key in ("mean", "low", "high")}
        arms[row["arm"]]["saliency_inside"] = inside | {key: row[key] for key in ("area", "images")}
    return {"arms": arms, **whole}
