"""`compare report` and `runs export`: a finished run as files that leave the machine."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError, RunError
from .output import Answer, Screen, size


def add_report(actions) -> None:
    one = actions.add_parser(
        "report", help="a finished comparison as text, as one HTML file, as CSV"
    )
    one.add_argument("run")
    one.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the report as one HTML file that loads nothing",
    )
    one.add_argument(
        "--images",
        type=int,
        default=0,
        metavar="N",
        help="show so many test images in it (default 0)",
    )
    one.add_argument(
        "--csv",
        type=Path,
        metavar="FOLDER",
        help="write every table and the predictions by image as CSV",
    )
    one.set_defaults(handler=run_report)


def run_report(args, screen: Screen) -> Answer:
    """The text report of a finished comparison; JSON as of `compare`, or with --out or --csv {run_id, files}."""
    from ..jobs.store import RunStore
    from .results import answer, read_study

    run = RunStore(screen.workspace).get(args.run)
    if run.kind not in ("study", "evaluate"):
        raise ConfigError(
            f"{run.id} is a {run.kind}; a report is made of a study (`runs list --kind study`) or an evaluation."
        )
    if args.images and not args.out:
        raise ConfigError("--images are shown in the HTML report: give --out FILE as well.")
    if not (args.out or args.csv):
        return answer(screen.workspace, run)
    study, folder, written = (
        read_study(screen.workspace, run.id),
        screen.workspace.run(run.id).root,
        [],
    )
    if args.out:
        from ..report.html import report_html

        written.append(_write(args.out, report_html(study, folder, images=args.images).encode()))
    if args.csv:
        from ..report.files import report_files

        written += [
            _write(args.csv / name, data) for name, data in report_files(study, folder).items()
        ]
    return Answer(
        {"run_id": run.id, "files": [str(path) for path in written]},
        "\n".join(f"{path} ({size(path.stat().st_size)})" for path in written),
    )


def _write(path: Path, data: bytes) -> Path:
    from ..files import write_atomic

    try:
        write_atomic(path, data)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror}); choose another place."
        ) from error
    return path


def add_export(actions) -> None:
    one = actions.add_parser(
        "export", help="a run's metrics and pictures for TensorBoard or MLflow"
    )
    one.add_argument("run")
    one.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="write event files below DIR/RUN"
    )
    one.add_argument(
        "--mlflow",
        metavar="URI",
        help="log it to a tracking server or database, such as sqlite:///mlflow.db",
    )
    one.set_defaults(handler=export_run)


def export_run(args, screen: Screen) -> Answer:
    """JSON: {run_id, tensorboard: folder or null, mlflow: run id there or null}."""
    from ..jobs.store import RunStore
    from ..report import trackers

    if not (args.tensorboard or args.mlflow):
        raise ConfigError("Where to? Give --tensorboard DIR or --mlflow URI.")
    run, paths = RunStore(screen.workspace).get(args.run), screen.workspace.run(args.run)
    value = {"run_id": run.id, "tensorboard": None, "mlflow": None}
    if args.tensorboard:
        value["tensorboard"] = str(trackers.to_tensorboard(paths, args.tensorboard))
    if args.mlflow:
        value["mlflow"] = trackers.to_mlflow(paths, args.mlflow, run)
    said = [
        f"TensorBoard: `tensorboard --logdir {args.tensorboard}`" if args.tensorboard else "",
        f"MLflow: run {value['mlflow']} at {args.mlflow}" if args.mlflow else "",
    ]
    return Answer(value, "\n".join(filter(None, said)))
