"""Exports: what leaves for TensorBoard and MLflow, checked with stand-ins for both packages."""

import json
import sys
import types
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from derm_core import cli
from derm_core.errors import RunError
from derm_core.events import Event, EventLog
from derm_core.jobs.store import RunStore
from derm_core.report import trackers
from tests.report.full_study import example


@pytest.fixture
def run(workspace):
    """A finished pretraining with a metric, one of two seeds with a gap, and a picture."""
    store = RunStore(workspace)
    run_id = store.create(
        "pretrain",
        {"kind": "pretrain", "device": "cpu", "dataset": "mine", "recipe": {"name": "masked"}},
    )
    store.annotate(run_id, name="First", tags=["a", "b"], note="why")
    paths = workspace.run(run_id)
    log = EventLog(paths.events)
    for step, value in ((0, 4.0), (10, float("nan")), (20, 2.0)):
        log.append(Event(kind="metric", series="val/loss", value=value, step=step, epoch=step / 10))
    log.append(
        Event(kind="metric", series="vae/val/accuracy", value=[0.5, None], step=None, epoch=3.0)
    )
    log.append(
        Event(kind="metric", series="vae/val/accuracy", value=[0.5, 0.7], step=None, epoch=4.0)
    )
    Image.fromarray(np.full((4, 6, 3), 7, np.uint8)).save(paths.artefacts / "recon-001.png")
    log.append(
        Event(kind="image", series="reconstruction", value="recon-001.png", step=5, epoch=1.0)
    )
    log.append(
        Event(kind="image", series="reconstruction", value="../../../gone.png", step=6, epoch=1.0)
    )
    store.transition(run_id, "queued", "done", started=1.0, finished=2.5)
    return paths


class Writer:
    """tensorboardX's SummaryWriter, as far as it is used."""

    written: ClassVar[list] = []

    def __init__(self, folder):
        self.written.clear()
        self.written.append(("folder", folder))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def add_scalar(self, tag, value, step, walltime, display_name):
        self.written.append((tag, step, value))

    def add_text(self, tag, text, step):
        self.written.append((tag, text))

    def add_image(self, tag, array, step, walltime, dataformats):
        self.written.append((tag, step, array.shape, dataformats))


def test_metrics_seeds_pictures_and_config_reach_tensorboard(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    target = trackers.to_tensorboard(run, tmp_path / "tb")
    assert target == tmp_path / "tb" / run.id and Writer.written[0] == ("folder", str(target))
    assert [row[1:] for row in Writer.written if row[0] == "val/loss"] == [(0, 4.0), (20, 2.0)]
    assert ("vae/val/accuracy", 3, 0.5) in Writer.written and (
        "vae/val/accuracy",
        4,
        pytest.approx(0.6),
    ) in Writer.written
    assert ("seed-1/vae/val/accuracy", 4, 0.7) in Writer.written
    assert [row for row in Writer.written if row[0] == "reconstruction"] == [
        ("reconstruction", 5, (4, 6, 3), "HWC")
    ]
    assert (
        json.loads(
            dict(row for row in Writer.written if row[0] == "config")["config"].strip("`json\n")
        )["dataset"]
        == "mine"
    )


def test_a_second_export_to_the_same_place_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    folder = tmp_path / run.id
    folder.mkdir()
    (folder / "events.out.tfevents.1.host").touch()
    with pytest.raises(RunError, match="holds an export already"):
        trackers.to_tensorboard(run, tmp_path)


def test_a_finished_study_exports_the_curves_of_its_chosen_setting_and_its_test_results(run):
    study = example(arms=("vae", "random"))
    study["arms"]["vae"]["test"]["accuracy"]["mean"] = 0.75
    run.study.write_text(json.dumps(study))
    (run.artefacts / "curves").mkdir()
    (run.artefacts / "curves" / "vae.csv").write_text(
        "epoch,step,seed,val_accuracy\n0,0,0,0.2\n0,0,1,0.4\n1,8,0,0.6\n1,8,1,0.8\n"
    )
    values = {
        (point.series, point.step): point.value
        for point in trackers.points(run)
        if "/" in point.series
    }
    assert (
        values["vae/val/accuracy", 8] == pytest.approx(0.7)
        and values["seed-1/vae/val/accuracy", 0] == 0.4
    )
    assert (
        ("vae/val/accuracy", 3) not in values
        and values["vae/test/accuracy", 0] == 0.75
        and values["val/loss", 20] == 2.0
    )


@contextmanager
def stand_in_mlflow(monkeypatch, fail: str = ""):
    logged = {"params": {}, "metrics": [], "files": []}

    class Problem(Exception):
        pass

    class Client:
        def __init__(self, tracking_uri):
            logged["uri"] = tracking_uri

        def get_experiment_by_name(self, name):
            if fail:
                raise Problem(fail)

        def create_experiment(self, name, place):
            logged["place"] = place
            return "1"

        def create_run(self, experiment, start_time, tags):
            logged.update(tags=tags, started=start_time)
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))

        def log_batch(self, run_id, params=(), metrics=()):
            logged["params"].update(params)
            logged["metrics"] += metrics

        def log_artifact(self, run_id, path, folder=None):
            logged["files"].append((path.rsplit("/", 1)[1], folder))

        def set_terminated(self, run_id, status, end_time):
            logged.update(status=status, ended=end_time)

    entities = types.SimpleNamespace(
        Metric=lambda *values: values, Param=lambda key, value: (key, value)
    )
    module = types.SimpleNamespace(
        MlflowClient=Client,
        entities=entities,
        exceptions=types.SimpleNamespace(MlflowException=Problem),
    )
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    yield logged


def test_metrics_parameters_and_note_reach_mlflow(run, workspace, monkeypatch, tmp_path):
    with stand_in_mlflow(monkeypatch) as logged:
        assert (
            trackers.to_mlflow(run, f"sqlite:///{tmp_path}/ml.db", RunStore(workspace).get(run.id))
            == "r1"
        )
    assert (
        logged["params"]["recipe_name"] == "masked"
        and logged["place"] == (tmp_path / "mlartifacts").as_uri()
    )
    assert ("val/loss", 2.0) in [(row[0], row[1]) for row in logged["metrics"]] and len(
        logged["metrics"]
    ) == 7
    assert (logged["tags"]["mlflow.runName"], logged["tags"]["mlflow.note.content"]) == (
        "First",
        "why",
    )
    assert (logged["status"], logged["started"], logged["ended"]) == ("FINISHED", 1000, 2500)
    assert logged["files"] == [("recon-001.png", "images")]


def test_a_server_that_does_not_answer_is_said_in_a_line(run, workspace, monkeypatch):
    with (
        stand_in_mlflow(monkeypatch, fail="no route to\nhost " * 200),
        pytest.raises(
            RunError, match=r"http://nowhere does not take the run .no route to host"
        ) as raised,
    ):
        trackers.to_mlflow(run, "http://nowhere", RunStore(workspace).get(run.id))
    assert len(str(raised.value)) < 320


@pytest.mark.parametrize(
    ("option", "package"), [("--tensorboard", "tensorboardX"), ("--mlflow", "mlflow")]
)
def test_a_missing_package_is_named_with_what_to_install(
    run, tmp_path, monkeypatch, capsys, option, package
):
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["runs", "export", run.id, option, str(tmp_path / "x")]) == 1
    errors = capsys.readouterr().err
    assert (
        package in errors and "requirements-extras.txt" in errors and not (tmp_path / "x").exists()
    )
    assert cli.main(["runs", "export", run.id]) == 1 and "--mlflow" in capsys.readouterr().err


def test_event_files_are_what_tensorboard_reads(run, tmp_path):
    """With the real package, where it is installed."""
    pytest.importorskip("tensorboardX", reason="needs requirements-extras.txt")
    from tensorboardX.proto.event_pb2 import Event as Record

    [path] = trackers.to_tensorboard(run, tmp_path).iterdir()
    data, records = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        records.append(Record.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    losses = [
        (record.step, value.simple_value)
        for record in records
        for value in record.summary.value
        if value.tag == "val/loss"
    ]
    assert losses == [(0, 4.0), (20, 2.0)]
