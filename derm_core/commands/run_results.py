"""`runs export | resume`: the actions that read a run's results."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import ConfigError
from ..jobs import supervisor
from ..jobs.store import RunStore
from ..report import trackers
from .follow import follow
from .output import Answer, Screen
from .results import answer


def export_run(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {run_id, tensorboard: folder or null, mlflow: run id there or null}."""
    if not (args.tensorboard or args.mlflow):
        raise ConfigError("Where to? Give --tensorboard DIR or --mlflow URI.")
    run, files = RunStore(screen.workspace).get(args.run), screen.workspace.run(args.run)
    value: dict[str, Any] = {"run_id": run.id, "tensorboard": None, "mlflow": None}
    lines = []
    if args.tensorboard:
        value["tensorboard"] = str(trackers.to_tensorboard(files, args.tensorboard))
        lines.append(f"TensorBoard: `tensorboard --logdir {args.tensorboard}`")
    if args.mlflow:
        value["mlflow"] = trackers.to_mlflow(files, args.mlflow, run)
        lines.append(f"MLflow: run {value['mlflow']} at {args.mlflow}")
    return Answer(value, "\n".join(lines))


def resume_run(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {run_id, state}, or with --follow the results of the finished run."""
    supervisor.reconcile(screen.workspace)
    supervisor.resume(screen.workspace, args.run)
    if args.follow:
        return answer(screen.workspace, follow(args.run, screen))
    run = RunStore(screen.workspace).get(args.run)
    return Answer(
        {"run_id": run.id, "state": run.state},
        f"{run.id} is {run.state} again; `runs show {run.id} --follow` follows it.",
    )
