"""A run for other trackers: TensorBoard event files, MLflow. Both need requirements-extras.txt.

What is exported: every metric of events.jsonl (the mean over seeds, and each seed beside it),
images, config and results. A finished study exports the learning curves of the setting that was
chosen on validation, as in its report; its live events are of the best setting so far.
"""

from __future__ import annotations

import importlib
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ..errors import NotFound, RunError
from ..events import read_events
from ..files import read_json
from ..jobs.store import Run
from ..study.study_result import StudyResult, read_study
from ..workspace import RunFiles
from .csv_tables import flat

EXPERIMENT = "derm"
METRICS_IN_A_REQUEST = 500  # MLflow takes 1,000
PARAMETERS_IN_A_REQUEST = 100
PARAMETER_LENGTH = 500
MLFLOW_STATUS = {"done": "FINISHED", "cancelled": "KILLED", "failed": "FAILED"}


@dataclass(frozen=True)
class Point:
    """One value of one series; time in seconds since 1970."""

    series: str
    value: float
    step: int
    time: float


@dataclass(frozen=True)
class ImagePoint:
    """One image of one series; time in seconds since 1970."""

    series: str
    file: Path
    step: int
    time: float


def points(run: RunFiles) -> Iterator[Point]:
    """Every finite metric of a run in order: SERIES for the mean over seeds, seed-K/SERIES for each."""
    rows = [row for row in read_events(run.events) if row["kind"] == "metric"]
    if result := read_result(run):
        last = rows[-1]["time"] if rows else 0.0
        live = tuple(f"{arm}/" for arm in result.arms)
        rows = [row for row in rows if not row["series"].startswith(live)]
        rows += [row for arm in result.arms for row in _final_curves(run, arm, last)]
        rows += _test_metrics(result, last)
    for row in rows:
        step, series, time = _step(row), row["series"], row["time"]
        values = row["value"] if isinstance(row["value"], list) else [row["value"]]
        known = [value for value in values if value is not None]
        if known:
            yield Point(series, float(np.mean(known)), step, time)
        if len(values) > 1:
            yield from (
                Point(f"seed-{k}/{series}", float(value), step, time)
                for k, value in enumerate(values)
                if value is not None
            )


def read_result(run: RunFiles) -> StudyResult | None:
    """study.json of a finished study, None for other runs."""
    return read_study(run.study) if run.study.exists() else None


def images(run: RunFiles) -> Iterator[ImagePoint]:
    """Every image event whose file is still there."""
    for row in read_events(run.events):
        file = run.artefacts / Path(str(row["value"])).name
        if row["kind"] == "image" and file.exists():
            yield ImagePoint(row["series"], file, _step(row), row["time"])


def _step(row: Mapping[str, Any]) -> int:
    return row["step"] if row["step"] is not None else round(row["epoch"] or 0)


def _final_curves(run: RunFiles, arm: str, time: float) -> list[dict[str, Any]]:
    """The arm's final learning curves as rows of events."""
    if not run.curves(arm).exists():
        return []
    table = pd.read_csv(run.curves(arm))
    names = [name for name in table if name.startswith(("train_", "val_"))]
    if "fold" in table:
        table = table.groupby(["step", "epoch", "seed"], as_index=False)[names].mean()
    return [
        {
            "series": f"{arm}/{name.replace('_', '/', 1)}",
            "step": int(step),
            "time": time,
            "value": [None if np.isnan(value) else float(value) for value in group[name]],
        }
        for (step, _), group in table.groupby(["step", "epoch"])
        for name in names
    ]


def _test_metrics(result: StudyResult, time: float) -> list[dict[str, Any]]:
    return [
        {"series": f"{arm}/test/{metric}", "step": 0, "time": time, "value": value.mean}
        for arm, entry in result.arms.items()
        for metric, value in entry.test.items()
    ]


def _read_config(run: RunFiles) -> dict[str, Any]:
    try:
        return read_json(run.config)
    except FileNotFoundError:
        raise NotFound(
            f"There is no run {run.id} in this workspace; `runs list` shows those there are."
        ) from None


def _import_extra(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise RunError(
            f"{what} needs the package {name}, which is not installed: "
            "`pip install -r requirements-extras.txt`, then try again."
        ) from None


def to_tensorboard(run: RunFiles, folder: Path | str) -> Path:
    """Write one event file below `folder`/RUN and return that folder.

    Raises:
        RunError: tensorboardX is missing, or the folder holds an export already.
        NotFound: there is no such run.
    """
    tensorboard = _import_extra("tensorboardX", "The export to TensorBoard")
    config, target = _read_config(run), Path(folder) / run.id
    if any(target.glob("events.out.tfevents.*")):
        raise RunError(
            f"{target} holds an export already, and TensorBoard would show both: delete it first."
        )
    with tensorboard.SummaryWriter(str(target)) as writer:
        writer.add_text("config", f"```json\n{json.dumps(config, indent=1)}\n```", 0)
        for point in points(run):
            writer.add_scalar(
                point.series,
                point.value,
                point.step,
                walltime=point.time,
                display_name=point.series,
            )
        for picture in images(run):
            with Image.open(picture.file) as image:
                writer.add_image(
                    picture.series,
                    np.asarray(image.convert("RGB")),
                    picture.step,
                    walltime=picture.time,
                    dataformats="HWC",
                )
        if result := read_result(run):
            lines = [f"- {sentence}" for sentence in result.verdict.sentences]
            text = "\n".join([f"**{result.verdict.headline}**", "", *lines])
            writer.add_text("verdict", text, 0)
    return target


def to_mlflow(run_files: RunFiles, uri: str, run: Run) -> str:
    """Log a run to the tracking server or database at `uri`, experiment "derm"; returns its id there.

    Raises:
        RunError: mlflow is missing, or the server does not answer.
        NotFound: there is no such run.
    """
    mlflow, config = _import_extra("mlflow", "The export to MLflow"), _read_config(run_files)
    try:
        return _log_to_mlflow(mlflow, run_files, uri, run, config)
    except mlflow.exceptions.MlflowException as error:
        reason = textwrap.shorten(str(error), 240, placeholder=" …")
        raise RunError(f"MLflow at {uri} does not take the run ({reason}).") from error


def _log_to_mlflow(
    mlflow: ModuleType, run_files: RunFiles, uri: str, run: Run, config: Mapping[str, Any]
) -> str:
    entities, client = mlflow.entities, mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    experiment_id = experiment and experiment.experiment_id
    if experiment_id is None:
        experiment_id = client.create_experiment(EXPERIMENT, _artefact_folder(uri))
    tags = {
        "mlflow.runName": run.name or run.id,
        "derm.run": run.id,
        "derm.kind": run.kind,
        "derm.tags": ", ".join(run.tags),
        **({"mlflow.note.content": run.note} if run.note else {}),
    }
    created = client.create_run(
        experiment_id, start_time=round(1000 * (run.started or run.created)), tags=tags
    ).info.run_id
    parameters = [
        entities.Param(mlflow_name(key), str(value)[:PARAMETER_LENGTH])
        for key, value in flat(config).items()
    ]
    metrics = [
        entities.Metric(
            mlflow_name(point.series), point.value, round(1000 * point.time), point.step
        )
        for point in points(run_files)
    ]
    for begin in range(0, len(parameters), PARAMETERS_IN_A_REQUEST):
        client.log_batch(created, params=parameters[begin : begin + PARAMETERS_IN_A_REQUEST])
    for begin in range(0, len(metrics), METRICS_IN_A_REQUEST):
        client.log_batch(created, metrics=metrics[begin : begin + METRICS_IN_A_REQUEST])
    for picture in images(run_files):
        client.log_artifact(created, str(picture.file), "images")
    for path in (run_files.study, run_files.summary):
        if path.exists():
            client.log_artifact(created, str(path))
    client.set_terminated(
        created,
        status=MLFLOW_STATUS.get(run.state, "RUNNING"),
        end_time=round(1000 * run.finished) if run.finished else None,
    )
    return created


def _artefact_folder(uri: str) -> str | None:
    """Where a new experiment keeps files: beside a database in a file; a server decides for itself."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri()


def mlflow_name(name: str) -> str:
    """A name that MLflow takes.

    >>> mlflow_name("bundle:mole-net/val/loss")
    'bundle_mole-net/val/loss'
    """
    return re.sub(r"[^\w./ -]", "_", name)[:250]
