"""A run for other people's trackers: TensorBoard event files, MLflow. Both need requirements-extras.txt.

What is exported: every metric of events.jsonl (the mean over seeds, and each seed beside it), images,
config and results. A finished study's learning curves are those of the setting that was chosen on
validation, as in its report; its live events are of the grid's middle.
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

from ..errors import NotFound, RunError
from ..events import read_events
from ..files import read_json
from ..jobs.store import Run
from ..workspace import RunFiles
from .files import flat

EXPERIMENT = "derm"
BATCH = 500  # metrics in one request; MLflow takes 1,000
PARAMETER_LENGTH = 500
STATUS = {
    "done": "FINISHED",
    "cancelled": "KILLED",
    "failed": "FAILED",
}  # MLflow's word for a state


@dataclass(frozen=True)
class Point:
    """One value of one series; time in seconds since 1970."""

    series: str
    value: float
    step: int
    time: float


def points(paths: RunFiles) -> Iterator[Point]:
    """Every finite metric of a run in order: SERIES for the mean over seeds, seed-K/SERIES for each."""
    rows = [row for row in read_events(paths.events) if row["kind"] == "metric"]
    study = read_study(paths)
    if study:
        last = rows[-1]["time"] if rows else 0.0
        chosen = {f"{arm}/": arm for arm in study["arms"]}
        rows = [row for row in rows if not row["series"].startswith(tuple(chosen))]
        rows += [row for arm in study["arms"] for row in _chosen(paths, arm, last)] + _results(
            study, last
        )
    for row in rows:
        step = row["step"] if row["step"] is not None else round(row["epoch"] or 0)
        values = row["value"] if isinstance(row["value"], list) else [row["value"]]
        known = [value for value in values if value is not None]
        if known:
            yield Point(row["series"], float(np.mean(known)), step, row["time"])
        if len(values) > 1:
            yield from (
                Point(f"seed-{k}/{row['series']}", float(value), step, row["time"])
                for k, value in enumerate(values)
                if value is not None
            )


def read_study(paths: RunFiles) -> dict[str, Any] | None:
    """study.json of a finished study, None for other runs."""
    path = paths.study
    return read_json(path) if path.exists() else None


def _chosen(paths: RunFiles, arm: str, time: float) -> list[dict[str, Any]]:
    """The arm's final learning curves as rows of events."""
    import pandas as pd

    path = paths.curves(arm)
    if not path.exists():
        return []
    table = pd.read_csv(path)
    names = [name for name in table if name.startswith(("train_", "val_"))]
    if "fold" in table:
        table = table.groupby(["step", "epoch", "seed"], as_index=False)[names].mean()
    return [
        {
            "series": f"{arm}/{name.replace('_', '/', 1)}",
            "step": int(step),
            "epoch": float(epoch),
            "time": time,
            "value": [None if value != value else float(value) for value in group[name]],
        }
        for (step, epoch), group in table.groupby(["step", "epoch"])
        for name in names
    ]


def _results(study: Mapping[str, Any], time: float) -> list[dict[str, Any]]:
    found = [
        (f"{arm}/test/{metric}", value.get("mean"))
        for arm, entry in study["arms"].items()
        for metric, value in entry["test"].items()
    ]
    return [
        {"series": series, "step": 0, "epoch": 0.0, "time": time, "value": value}
        for series, value in found
    ]


def pictures(paths: RunFiles) -> Iterator[tuple[str, Path, int, float]]:
    """(series, file, step, time) of every image event whose file is still there."""
    for row in read_events(paths.events):
        file = paths.artefacts / Path(str(row["value"])).name
        if row["kind"] == "image" and file.exists():
            yield (
                row["series"],
                file,
                row["step"] if row["step"] is not None else round(row["epoch"] or 0),
                row["time"],
            )


def _config(paths: RunFiles) -> dict[str, Any]:
    try:
        return read_json(paths.config)
    except FileNotFoundError:
        raise NotFound(
            f"There is no run {paths.id} in this workspace; `runs list` shows those there are."
        ) from None


def _extra(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise RunError(
            f"{what} needs the package {name}, which is not installed: "
            "`pip install -r requirements-extras.txt`, then try again."
        ) from None


def to_tensorboard(paths: RunFiles, folder: Path | str) -> Path:
    """Write one event file below `folder`/RUN; returns that folder. Raises RunError where it holds one already."""
    writers, config = _extra("tensorboardX", "The export to TensorBoard"), _config(paths)
    target = Path(folder) / paths.id
    if any(target.glob("events.out.tfevents.*")):
        raise RunError(
            f"{target} holds an export already, and TensorBoard would show both: delete it first."
        )
    with writers.SummaryWriter(str(target)) as writer:
        writer.add_text("config", f"```json\n{json.dumps(config, indent=1)}\n```", 0)
        for point in points(paths):
            writer.add_scalar(
                point.series,
                point.value,
                point.step,
                walltime=point.time,
                display_name=point.series,
            )
        for series, file, step, time in pictures(paths):
            from PIL import Image

            with Image.open(file) as image:
                writer.add_image(
                    series, np.asarray(image.convert("RGB")), step, walltime=time, dataformats="HWC"
                )
        if study := read_study(paths):
            said = study["verdict"]
            lines = [f"**{said['headline']}**", "", *(f"- {text}" for text in said["sentences"])]
            writer.add_text("verdict", "\n".join(lines), 0)
    return target


def to_mlflow(paths: RunFiles, uri: str, run: Run) -> str:
    """Log a run to the tracking server or database at `uri`, experiment "derm"; returns its id there.

    Raises RunError where mlflow is missing or the server does not answer.
    """
    mlflow, config = _extra("mlflow", "The export to MLflow"), _config(paths)
    try:
        return _log(mlflow, paths, uri, run, config)
    except mlflow.exceptions.MlflowException as error:
        reason = textwrap.shorten(str(error), 240, placeholder=" …")
        raise RunError(f"MLflow at {uri} does not take the run ({reason}).") from error


def _log(mlflow: ModuleType, paths: RunFiles, uri: str, run: Run, config: Mapping[str, Any]) -> str:
    from mlflow.entities import Metric, Param

    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    number = (
        experiment.experiment_id
        if experiment
        else client.create_experiment(EXPERIMENT, _artefacts(uri))
    )
    tags = {
        "mlflow.runName": run.name or run.id,
        "derm.run": run.id,
        "derm.kind": run.kind,
        "derm.tags": ", ".join(run.tags),
        **({"mlflow.note.content": run.note} if run.note else {}),
    }
    created = client.create_run(
        number, start_time=round(1000 * (run.started or run.created)), tags=tags
    ).info.run_id
    parameters = [
        Param(allowed(key), str(value)[:PARAMETER_LENGTH]) for key, value in flat(config).items()
    ]
    metrics = [
        Metric(allowed(point.series), point.value, round(1000 * point.time), point.step)
        for point in points(paths)
    ]
    for begin in range(0, len(parameters), 100):
        client.log_batch(created, params=parameters[begin : begin + 100])
    for begin in range(0, len(metrics), BATCH):
        client.log_batch(created, metrics=metrics[begin : begin + BATCH])
    for _, file, _, _ in pictures(paths):
        client.log_artifact(created, str(file), "images")
    for name in ("study.json", "summary.json"):
        if (paths.artefacts / name).exists():
            client.log_artifact(created, str(paths.artefacts / name))
    client.set_terminated(
        created,
        status=STATUS.get(run.state, "RUNNING"),
        end_time=round(1000 * run.finished) if run.finished else None,
    )
    return created


def _artefacts(uri: str) -> str | None:
    """Where a new experiment keeps files: beside a database in a file; a server decides for itself."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri()


def allowed(name: str) -> str:
    """A name that MLflow takes.

    >>> allowed("bundle:mole-net/val/loss")
    'bundle_mole-net/val/loss'
    """
    return re.sub(r"[^\w./ -]", "_", name)[:250]
