"""The results of a finished run as an answer: JSON and text."""

from __future__ import annotations

from typing import Any

from ..errors import NotFound, RunError
from ..events import read_events
from ..files import read_json
from ..jobs.store import Run
from ..report.terminal import text_report
from ..study.study_result import study_result
from ..workspace import Workspace
from .output import Answer, table


def answer(workspace: Workspace, run: Run) -> Answer:
    """The results of a run that has ended; an error sentence where it did not finish."""
    value: dict[str, Any] = {"run_id": run.id, "state": run.state}
    if run.state != "done":
        problem = run.error or f"{run.id} is {run.state}."
        if run.state == "cancelled":
            problem = f"{run.id} was cancelled; `runs resume {run.id}` goes on with it."
        return Answer({**value, "error": problem}, problem=problem)
    results, text = READERS[run.kind](workspace, run)
    return Answer({**value, **results}, text)


def read_study(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """study.json of a finished study.

    Raises:
        NotFound: the study has no results.
        RunError: they cannot be read.
    """
    try:
        return read_json(workspace.run(run_id).study)
    except FileNotFoundError:
        raise NotFound(
            f"{run_id} has no results yet; `runs show {run_id}` shows its state."
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(
            f"The results of {run_id} cannot be read ({error}); run the comparison again."
        ) from error


def _study(workspace: Workspace, run: Run) -> tuple[dict[str, Any], str]:
    study = read_study(workspace, run.id)
    folder = workspace.run(run.id).root
    arms = {
        name: {**arm, **({"curves": str(folder / arm["curves"])} if arm.get("curves") else {})}
        for name, arm in study["arms"].items()
    }
    rest = {key: value for key, value in study.items() if key not in ("run_id", "arms")}
    return {"arms": arms, **rest}, text_report(study_result(study))


def _evaluate(workspace: Workspace, run: Run) -> tuple[dict[str, Any], str]:
    study = read_study(workspace, run.id)
    rest = {key: value for key, value in study.items() if key != "run_id"}
    return rest, text_report(study_result(study))


def _pretrain(workspace: Workspace, run: Run) -> tuple[dict[str, Any], str]:
    files, summary = workspace.run(run.id), run.summary or {}
    config = read_json(files.config)
    metrics = summary.get("metrics") or _last_metrics(workspace, run.id)
    epochs = summary.get("epochs", config["recipe"]["epochs"])
    results = {"epochs": epochs, "metrics": metrics, "artefacts": str(files.artefacts)}
    rows = [
        (name, f"{value:.4g}" if isinstance(value, float) else value)
        for name, value in metrics.items()
    ]
    lines = [
        f"{run.id} is done after {epochs} epochs.",
        table(("metric", "value"), rows),
        f"Weights and pictures: {files.artefacts}",
        f"Use it: compare --dataset {config['dataset']} --vae-run {run.id}",
    ]
    return {**summary, **results}, "\n".join(lines)


def _last_metrics(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """The last value of every metric series of a run."""
    return {
        row["series"]: row["value"]
        for row in read_events(workspace.run(run_id).events)
        if row["kind"] == "metric"
    }


def _embed(workspace: Workspace, run: Run) -> tuple[dict[str, Any], str]:
    path = workspace.run(run.id).map_points
    return {**(run.summary or {}), "map": str(path)}, f"{run.id} is done: {path}"


def _publish(workspace: Workspace, run: Run) -> tuple[dict[str, Any], str]:
    summary = run.summary or {}
    return summary, f"{summary.get('name')} is in the library: {summary.get('path')}"


READERS = {
    "pretrain": _pretrain,
    "study": _study,
    "embed": _embed,
    "evaluate": _evaluate,
    "publish": _publish,
}
