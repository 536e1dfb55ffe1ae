"""The command line: one JSON object, one line per failure, progress on standard error, runs that outlive it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from derm_core import cli
from derm_core.files import read_json, write_json
from derm_core.jobs import spawning, supervisor
from derm_core.jobs.store import RunStore
from derm_core.locks import hold
from tests.builders import name_parts, noise, write_dataset, write_image

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def run(workspace, capsys):
    """Run a command in this process: (status, JSON or text, lines of standard error)."""

    def call(*argv: str, status: int = 0):
        exit_status = cli.main(list(argv))
        output = capsys.readouterr()
        assert exit_status == status, output.err
        answer = json.loads(output.out) if "--json" in argv else output.out
        return answer, output.err.splitlines()

    return call


@pytest.fixture
def scripted(workspace, monkeypatch):
    """Runs do what their dataset's name says, in real detached workers (tests/jobs/scripted_worker.py)."""
    script = Path(__file__).parent / "jobs" / "scripted_worker.py"
    monkeypatch.setattr(
        spawning, "worker_command", lambda run_id: [sys.executable, str(script), run_id]
    )
    for name in ("count-3", "count-3000", "refuse"):
        write_json(workspace.dataset(name).info, {"images": 0, "classes": [], "groups": 0})
    yield workspace
    for run in RunStore(workspace).list():
        if not RunStore(workspace).get(run.id).final:
            supervisor.cancel(workspace, run.id, wait=60)


# ---- usage and failures


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["data", "import", "x"],
        ["compare", "--preset", "huge"],
        ["compare", "--seeds", "many"],
        ["doctor", "--colour"],
    ],
)
def test_wrong_usage_is_one_line_and_status_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    output = capsys.readouterr()
    assert (
        stop.value.code == 2
        and output.out == ""
        and len(output.err.splitlines()) == 1
        and "--help" in output.err
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["pretrain", "--dataset", "nowhere"], "data import"),
        (["data", "import", "/nonexistent/folder", "--name", "mine"], "does not exist"),
        (["data", "import", ".", "--name", "../mine"], "lower-case"),
        (["data", "audit", "nowhere"], "data import"),
        (["data", "delete", "nowhere"], "nowhere"),
        (["embed", "--dataset", "synth", "--arm", "vae"], "--vae-run"),
        (["compare", "--scale", "0"], "scale"),
        (["compare", "--arms", "vae,unknown"], "arms"),
        (["compare", "report", "study-0"], "runs list"),
        (["models", "export", "nothing", "--out", "x.zip"], "nothing"),
        (["models", "import", "nothing.zip"], "nothing.zip"),
        (["models", "verify", "nothing"], "nothing"),
        (["predict", "image.jpg", "--models", "nothing"], "nothing"),
        (["runs", "show", "pretrain-0"], "runs list"),
        (["runs", "cancel", "pretrain-0"], "runs list"),
        (["runs", "resume", "pretrain-0"], "runs list"),
        (["runs", "delete", "../../x"], "not allowed"),
    ],
)
def test_a_failure_is_one_line_on_standard_error_and_status_1(run, argv, says):
    text, lines = run(*argv, status=1)
    assert text == "" and len(lines) == 1 and says in lines[0]
    value, lines = run(*argv, "--json", status=1)
    assert value == {"error": value["error"]} and len(lines) == 1


def test_an_unexpected_error_is_one_line_and_leaves_its_traceback_in_a_file(
    run, workspace, monkeypatch
):
    monkeypatch.setattr("derm_core.commands.data.list_datasets", lambda workspace: 1 / 0)
    _, lines = run("data", "list", status=1)
    assert len(lines) == 1 and "ZeroDivisionError" in lines[0] and "last-error.txt" in lines[0]
    assert "Traceback" in (workspace.root / "last-error.txt").read_text()


def test_a_workspace_that_cannot_be_made_says_what_to_do(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert cli.main(["runs", "list", "--workspace", str(tmp_path / "file" / "home")]) == 1
    assert "DERM_HOME" in capsys.readouterr().err


def test_the_workspace_option_stands_before_or_after_the_command(tmp_path, capsys):
    for argv in (
        ["--workspace", str(tmp_path / "a"), "runs", "list", "--json"],
        ["runs", "list", "--json", "--workspace", str(tmp_path / "b")],
    ):
        assert cli.main(argv) == 0
        empty = {"runs": [], "disk_bytes": 0, "total": 0, "other": 0}
        assert json.loads(capsys.readouterr().out) == empty
    assert (tmp_path / "a" / "runs.db").exists() and (tmp_path / "b" / "runs.db").exists()


def test_what_a_library_prints_is_no_part_of_the_answer(run, monkeypatch):
    monkeypatch.setattr(
        "derm_core.commands.data.list_datasets", lambda workspace: print("chatter") or []
    )
    value, lines = run("data", "list", "--json")
    assert value == {"datasets": [], "disk_bytes": 0} and lines == ["chatter"]


# ---- data


@pytest.fixture
def folder(tmp_path):
    """Twelve images of two classes, one file that is no image."""
    for number, name in enumerate(("benign", "malignant")):
        for i in range(6):
            write_image(tmp_path / "photos" / name / f"{i}.png", noise(40, 50, 6 * number + i))
    (tmp_path / "photos" / "benign" / "broken.png").write_bytes(b"not an image")
    return tmp_path / "photos"


def test_data_import_list_audit_delete(run, workspace, folder):
    value, _ = run(
        "data",
        "import",
        str(folder),
        "--name",
        "mine",
        "--size",
        "32",
        "--processes",
        "1",
        "--json",
    )
    assert {"name", "images", "classes", "groups", "skipped", "seconds"} <= set(value)
    assert (value["images"], value["classes"], len(value["skipped"])) == (12, 2, 1)
    assert value["skipped"][0]["path"].endswith("broken.png") and value["skipped"][0]["reason"]
    listed, _ = run("data", "list", "--json")
    assert [row["name"] for row in listed["datasets"]] == ["mine"] and listed[
        "disk_bytes"
    ] > 12 * 32 * 32 * 3
    audited, _ = run("data", "audit", "mine", "--json")
    assert audited["groups_across_splits"] is None and audited["groups_known"] is False
    assert audited["duplicate_images_across_splits"] == 0 and audited["cautions"]
    assert sum(part["images"] for part in audited["splits"].values()) == 12
    text, _ = run("data", "audit", "mine")
    assert "benign" in text and "Groups unknown: leakage cannot be excluded" in text
    deleted, _ = run("data", "delete", "mine", "--json")
    assert deleted["freed_bytes"] > 0 and not workspace.dataset("mine").root.exists()
    assert (folder / "benign" / "0.png").exists()


def test_an_audit_of_the_official_split_counts_what_crosses_it(run, workspace):
    dataset = write_dataset(workspace, images=60)  # two images a group
    name_parts(workspace, dataset, ("train", "test", "train", "train", "val", "val"))
    value, _ = run("data", "audit", "tiny", "--splits", "official", "--json", status=1)
    assert (value["splits"]["test"]["images"], value["groups_across_splits"]) == (10, 10)
    assert (value["split_kind"], value["left_out"]) == ("official", 0)
    value, _ = run("data", "audit", "tiny", "--json")
    assert value["split_kind"] == "grouped" and value["groups_across_splits"] == 0


def test_data_synth_makes_a_dataset(run):
    value, _ = run("data", "synth", "--name", "tiny", "--images", "12", "--size", "32", "--json")
    assert (value["name"], value["images"]) == ("tiny", 12) and value["classes"] >= 2


def test_what_takes_room_is_listed_and_the_cache_is_emptied(run, workspace):
    write_dataset(workspace, images=6)
    cached = workspace.cache / "features" / "tiny--aa.npy"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(bytes(50_000))
    os.utime(cached, (0, 0))
    value, _ = run("doctor", "--space", "--json")
    assert value["space"][0] == {
        "what": "features",
        "name": "tiny",
        "bytes": 50_000,
        "again": True,
        "used": 0.0,
    }
    assert value["disk_bytes"] == sum(one["bytes"] for one in value["space"])
    text, _ = run("doctor", "--empty-cache")
    assert "Removed 50.0" in text and "dataset tiny" in text and "features of" not in text
    assert not cached.exists()


def test_a_dataset_in_use_is_not_deleted(run, scripted):
    run("pretrain", "--dataset", "count-3000", "--detach")
    _, lines = run("data", "delete", "count-3000", status=1)
    assert "in use" in lines[0] and "runs cancel" in lines[0]


# ---- runs


def test_pretrain_follows_its_run_and_hands_back_the_last_metrics(run, scripted):
    value, lines = run(
        "pretrain", "--dataset", "count-3", "--epochs", "4", "--device", "cpu", "--json"
    )
    assert (value["state"], value["epochs"], value["metrics"]) == ("done", 4, {"train/loss": 0.5})
    assert value["run_id"].startswith("pretrain-") and any(
        "starting at 0" in line for line in lines
    )


def test_a_run_that_fails_fails_the_command_with_its_sentence(run, scripted):
    value, lines = run("pretrain", "--dataset", "refuse", "--device", "cpu", "--json", status=1)
    assert value["state"] == "failed" and value["error"] == lines[-1]
    assert lines[-1] == "The dataset has no labels; import it with a label column."


@pytest.mark.slow
def test_list_show_cancel_resume_delete(run, scripted):
    started, _ = run("pretrain", "--dataset", "count-3000", "--device", "cpu", "--detach", "--json")
    run_id = started["run_id"]
    assert started["state"] == "queued"
    while run("runs", "show", run_id, "--json")[0]["state"] != "running":
        time.sleep(0.05)
    listed, _ = run("runs", "list", "--kind", "pretrain", "--json")
    assert [row["run_id"] for row in listed["runs"]] == [run_id] and listed["disk_bytes"] > 0
    assert "cancel" in run("runs", "delete", run_id, status=1)[1][0]
    assert run("runs", "cancel", run_id, "--json")[0] == {"run_id": run_id, "state": "cancelled"}
    shown, _ = run("runs", "show", run_id, "--json")
    assert shown["config"]["dataset"] == "count-3000" and "cancelled" in shown["log"][-1]
    assert run("runs", "resume", run_id, "--json")[0]["state"] == "queued"
    run("runs", "cancel", run_id)
    with hold(scripted.run(run_id).lock, patience=60) as free:
        assert free, "the worker has ended"
    assert run("runs", "delete", run_id, "--json")[0]["freed_bytes"] > 0
    assert run("runs", "list", "--json")[0]["runs"] == []


@pytest.mark.slow
def test_ctrl_c_leaves_the_run_going_and_says_how_to_reach_it(scripted):
    program = (
        "import signal, sys; from derm_core.jobs import spawning; from derm_core import cli;"
        # a background shell would have it ignored
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "spawning.worker_command = lambda i: [sys.executable, "
        f"{str(Path(__file__).parent / 'jobs' / 'scripted_worker.py')!r}, i];"
        "sys.exit(cli.main(['pretrain', '--dataset', 'count-3000', '--device', 'cpu']))"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    store = RunStore(scripted)
    deadline = time.monotonic() + 60
    while not store.list(state="running") and time.monotonic() < deadline:
        time.sleep(0.05)
    command.send_signal(signal.SIGINT)
    _out, err = command.communicate(timeout=90)
    run = store.list()[0]
    assert command.returncode == 130 and "Traceback" not in err
    assert f"runs show {run.id} --follow" in err and f"runs cancel {run.id}" in err
    assert store.get(run.id).state == "running"


# ---- compare


def test_compare_detached_queues_pretraining_and_study(run, scripted):
    value, _lines = run(
        "compare", "--dataset", "count-3000", "--device", "cpu", "--detach", "--json"
    )
    runs = {row["run_id"]: row for row in run("runs", "list", "--json")[0]["runs"]}
    assert runs[value["run_id"]]["depends_on"] == value["depends_on"] and len(runs) == 2
    assert read_json(scripted.run(value["run_id"]).config)["vae_run"] == value["depends_on"]


# ---- a process of its own


@pytest.mark.slow
def test_the_app_answers_at_its_port(workspace, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = subprocess.Popen(
        [sys.executable, "-m", "derm_core", "app", "--port", str(port)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    try:
        deadline, answer = time.monotonic() + 60, b""
        while not answer and app.poll() is None and time.monotonic() < deadline:
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health").read()
            except OSError:
                time.sleep(0.2)
        assert answer == b"ok"
    finally:
        app.terminate()
        app.wait(30)


def test_help_lists_every_command_and_loads_none():
    script = (
        "import sys; from derm_core import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: print(sorted(m for m in sys.modules if m.startswith('derm_core.commands.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert all(f"    {name} " in done.stdout for name in cli.COMMANDS)
    assert done.stdout.splitlines()[-1] == "['derm_core.commands.output']"


@pytest.mark.slow
def test_a_fresh_process_anywhere_answers_with_one_object(workspace, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "derm_core", "doctor", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    value = json.loads(done.stdout)
    assert {
        "ok",
        "device",
        "torch",
        "datasets",
        "imagenet_weights",
        "models",
        "python",
        "versions",
        "workspace",
    } <= set(value)
    assert (
        done.returncode == 0 and value["ok"] and value["workspace"]["path"] == str(workspace.root)
    )
