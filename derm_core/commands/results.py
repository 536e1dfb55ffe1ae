"""A run as an answer: its record as JSON, its findings as text."""

from __future__ import annotations

from typing import Any

from ..errors import NotFound, RunError
from ..events import read_events
from ..files import read_json
from ..jobs.store import Run
from ..workspace import Workspace
from .output import Answer, table


def answer(workspace: Workspace, run: Run) -> Answer:
    """What `pretrain`, `compare`, `embed` and `models evaluate` hand back when their run has ended (or stands as it does)."""
    value: dict[str, Any] = {"run_id": run.id, "state": run.state}
    if run.state != "done":
        problem = run.error or f"{run.id} is {run.state}."
        if run.state == "cancelled":
            problem = f"{run.id} was cancelled; `runs resume {run.id}` goes on with it."
        return Answer({**value, "error": problem}, problem=problem)
    make = {
        "pretrain": _pretrain,
        "study": _study,
        "embed": _embed,
        "evaluate": _evaluate,
        "publish": _publish,
    }[run.kind]
    found, text = make(workspace, run)
    return Answer({**value, **found}, text)


def read_study(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """artefacts/study.json of a finished study. Raises NotFound, or RunError where the file is torn."""
    path = workspace.run(run_id).study
    try:
        return read_json(path)
    except FileNotFoundError:
        raise NotFound(
            f"{run_id} has no results yet; `runs show {run_id}` says how it stands."
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(
            f"The results of {run_id} cannot be read ({error}); run the comparison again."
        ) from error


def _study(workspace: Workspace, run: Run) -> tuple[dict[str, Any], str]:
    from ..report.terminal import text_report

    study = read_study(workspace, run.id)
    folder = workspace.run(run.id).root
    arms = {
        name: {**arm, **({"curves": str(folder / arm["curves"])} if arm.get("curves") else {})}
        for name, arm in study["arms"].items()
    }
    rest = {key: value for key, value in study.items() if key not in ("run_id", "arms")}
    return {"arms": arms, **rest}, text_report(study)


def _evaluate(workspace: Workspace, run: Run) -> tuple[dict[str, Any], str]:
    study = read_study(workspace, run.id)
    rest = {key: value for key, value in study.items() if key != "run_id"}

    def cell(found: dict, digits: int = 3) -> str:
        mean, low, high = (found[key] for key in ("mean", "low", "high"))
        return "-" if mean is None else f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    metrics = ("balanced_accuracy", "macro_auroc", "accuracy", "log_loss", "ece")
    rows = [
        (arm["label"], *(cell(arm["test"][name]) for name in metrics))
        for arm in study["arms"].values()
    ]
    rows.append(("Majority class", *(cell(study["majority"][name]) for name in metrics)))
    sentences = [
        study["verdict"]["headline"],
        f"{study['split']['counts']['test']:,} images of {study['dataset']['name']}, "
        f"{study['split']['groups']['test']:,} groups; mean (95 % interval).",
    ]
    told = [f"Note: {line}" for line in (*study["cautions"], *study["notes"])]
    return rest, "\n".join(
        [*sentences, table(("model", *(name.replace("_", " ") for name in metrics)), rows), *told]
    )


def _pretrain(workspace: Workspace, run: Run) -> tuple[dict[str, Any], str]:
    summary = run.summary or {}
    config = read_json(workspace.run(run.id).config)
    metrics = summary.get("metrics") or last_metrics(workspace, run.id)
    found = {
        **summary,
        "epochs": summary.get("epochs", config["recipe"]["epochs"]),
        "metrics": metrics,
        "artefacts": str(workspace.run(run.id).artefacts),
    }
    rows = [
        (name, f"{value:.4g}" if isinstance(value, float) else value)
        for name, value in metrics.items()
    ]
    return found, "\n".join(
        [
            f"{run.id} is done after {found['epochs']} epochs.",
            table(("metric", "value"), rows),
            f"Weights and pictures: {found['artefacts']}",
            f"Use it: compare --dataset {config['dataset']} --vae-run {run.id}",
        ]
    )


def _embed(workspace: Workspace, run: Run) -> tuple[dict[str, Any], str]:
    path = workspace.run(run.id).map_points
    return {**(run.summary or {}), "map": str(path)}, f"{run.id} is done: {path}"


def last_metrics(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """The last value of every metric series of a run."""
    return {
        row["series"]: row["value"]
        for row in read_events(workspace.run(run_id).events)
        if row["kind"] == "metric"
    }


def _publish(workspace: Workspace, run: Run) -> tuple[dict[str, Any], str]:
    found = run.summary or {}
    return found, f"{found.get('name')} is on the shelf: {found.get('path')}"
