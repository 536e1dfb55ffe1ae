"""Runs killed with SIGKILL at random moments and resumed, against the same runs uninterrupted.

All must end bit-identical.

Reproducible mode on the CPU, small synthetic images. Each phase has its share of the kills:
pretraining and checkpoint writing (every other one of the recipe `views`, the default, the others
of `masked`), feature extraction, head training, UMAP, and the writing of a bundle by a run that
publishes. A moment is drawn, from the seed, over the phase's duration in an uninterrupted run; a
kill that comes after the phase has ended does not count and is drawn anew. What is compared: every
artefact (weights, predictions, curves, maps, pictures), cached features, the run's summary and the
last value of every metric and step, without times and the run's id.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks._chaos_worker import BUNDLE, PHASES, STUDY_ARM
from derm_core.config import (
    BackboneConfig,
    EmbedConfig,
    PretrainConfig,
    PublishConfig,
    StudyConfig,
    to_dict,
)
from derm_core.events import read_events
from derm_core.jobs.store import RunStore
from derm_core.jobs.supervisor import reconcile
from derm_core.seeds import stream_seed
from derm_core.workspace import REPOSITORY, Workspace

SHARES = {"pretraining": 8, "checkpoint": 8, "features": 6, "heads": 6, "umap": 6, "bundle": 6}
TIMES = {  # of no two runs the same
    "seconds",
    "images_per_s",
    "created",
    "date",
    "finished",
    "pretraining_seconds",
    "feature_seconds",
    "images_per_second",
    "head_seconds",
    "energy_kwh",
}
DRAWS = 30  # for one kill, at most


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=40, help="in all phases together (default 40)")
    parser.add_argument(
        "--images", type=int, default=240, help="synthetic images generated (default 240)"
    )
    parser.add_argument("--epochs", type=int, default=6, help="of the pretraining (default 6)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    parser.add_argument(
        "--folder", help="work here and keep it: a repeated command goes on where it stopped"
    )


def run(args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows_file = folder / "rows.jsonl"
        rows = (
            [json.loads(line) for line in rows_file.read_text().splitlines()]
            if rows_file.exists()
            else []
        )
        with Server() as server:
            baseline = prepare(folder, server, args.images, args.epochs)
            for phase, number in plan(args.kills)[len(rows) :]:
                name = run_of(phase, number)
                row = killed_and_resumed(
                    folder,
                    server,
                    baseline,
                    phase,
                    name,
                    moments(baseline, phase, name, args.seed, number),
                )
                rows.append({"phase": phase, "run": name, **row})
                with open(rows_file, "a", encoding="utf-8") as handle:
                    handle.write(json.dumps(rows[-1]) + "\n")
                print(f"{len(rows)} of {args.kills}: {rows[-1]}", file=sys.stderr)
    same = sum(row["identical"] for row in rows)
    by_phase = {
        phase: {
            "kills": len(of),
            "identical": sum(row["identical"] for row in of),
            "runs": [row["run"] for row in of],
            "seconds": [row["after_seconds"] for row in of],
        }
        for phase in SHARES
        if (of := [row for row in rows if row["phase"] == phase])
    }
    return {
        "ratio": same / len(rows),
        "limit": 1.0,
        "better": "higher",
        "ours": same,
        "against": len(rows),
        "unit": "runs",
        "peer": "the uninterrupted run, bit for bit",
        "kills": len(rows),
        "resumed_identical": same,
        "by_phase": by_phase,
        "differed": [row for row in rows if not row["identical"]],
        "images": args.images,
        "epochs": args.epochs,
    }


def plan(kills: int) -> list[tuple[str, int]]:
    """Phases of all kills, each with its number in the phase; shares as in SHARES."""
    whole = [(phase, number) for phase, share in SHARES.items() for number in range(share)]
    order = sorted(whole, key=lambda pair: (pair[1] / SHARES[pair[0]], pair[0]))
    return [
        (phase, number + len(whole) * turn)
        for turn in range(-(-kills // len(whole)))
        for phase, number in order
    ][:kills]


def moments(
    baseline: dict, phase: str, name: str, seed: int, number: int
) -> Iterator[tuple[int, float]]:
    """(call, seconds after its beginning), endlessly: which call of the phase, and when in it."""
    import numpy as np

    draw = np.random.default_rng(stream_seed(seed, "chaos", phase, number))
    durations = baseline["durations"][name][phase]
    while True:
        call = int(draw.integers(len(durations)))
        yield call, float(draw.uniform(0, durations[call]))


class Server:
    """Starts watched workers, one at a time (see _chaos_worker.py); a context."""

    def __enter__(self) -> Server:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._chaos_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        return self

    def __exit__(self, *error) -> None:
        self.process.stdin.close()
        self.process.wait()

    def work(
        self,
        workspace: Workspace,
        run_id: str,
        *,
        point: dict | None = None,
        kill: tuple[str, int, float] | None = None,
    ) -> tuple[int, list[dict]]:
        """Exit status (−9: killed) and marks of one worker.

        kill: phase, call and seconds after its beginning; point: phase, call and count, for a kill
        that depends on no clock.
        """
        request = {"home": str(workspace.root), "run": run_id, "point": point}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        marks, pid = [], None
        for line in self.process.stdout:
            answer = json.loads(line)
            if "status" in answer:
                return answer["status"], marks
            pid = answer.get("pid", pid)
            if "mark" in answer:
                marks.append(answer)
                if kill and (answer["mark"], answer["call"], answer["edge"]) == (
                    *kill[:2],
                    "begin",
                ):
                    time.sleep(max(0.0, answer["time"] + kill[2] - time.monotonic()))
                    os.kill(pid, signal.SIGKILL)
        raise RuntimeError("the process that starts the workers has ended")


def configs(epochs: int) -> dict[str, Any]:
    """The runs, by name; ids of the runs they build on are filled in when those are there."""
    from derm_core.config.recipes import recipe

    backbone = BackboneConfig(architecture="resnet18", stage=1)
    common = {"dataset": "tiny", "input_size": 32, "backbone": backbone, "device": "cpu"}
    return {
        **{
            name: PretrainConfig(
                recipe=recipe(name, epochs=epochs, batch_size=24, latent_dim=8, decoder_width=16),
                **common,
            )
            for name in ("views", "masked")
        },
        "study": StudyConfig(
            arms=(STUDY_ARM, "random"),
            seeds=(0, 1),
            epochs=40,
            batch_size=32,
            bootstrap=50,
            **common,
        ),
        "embed": EmbedConfig(arm=STUDY_ARM, **common),
        "publish": PublishConfig(dataset="tiny", run="", arm=STUDY_ARM, name=BUNDLE),
    }


RUNS = {
    "pretraining": ("views", "masked"),
    "checkpoint": ("masked", "views"),
    "features": ("study",),
    "heads": ("study",),
    "umap": ("embed",),
    "bundle": ("publish",),
}
FOLDERS = {
    "views": ("data", "vae"),
    "masked": ("data", "masked"),
    "study": ("vae", "study"),
    "embed": ("vae", "map"),
    "publish": ("study", "shelf"),
}  # run: the workspace it starts in, and the one it leaves


def run_of(phase: str, number: int) -> str:
    """The run in whose `phase` the kill `number` falls."""
    return RUNS[phase][number % len(RUNS[phase])]


def prepare(
    folder: Path, server: Server, images: int, epochs: int, names: tuple[str, ...] = tuple(FOLDERS)
) -> dict:
    """Workspaces to start from, with what the uninterrupted runs `names` came to and how long their phases took.

    data: the dataset; vae: and a finished pretraining; study: and a finished study.
    """
    record = folder / "baseline.json"
    if record.exists():
        return json.loads(record.read_text())
    from derm_core.data.store import open_store
    from derm_core.data.synth.dataset import make_synth

    data = Workspace.open(folder / "data")
    open_store(data, make_synth(data, "tiny", images=images, size=32, processes=1), 32, processes=1)
    prepared: dict = {"outcomes": {}, "durations": {}, "runs": {}, "epochs": epochs}
    for name in names:
        base, target = FOLDERS[name]
        workspace = copied(folder / base, folder / target)
        run_id = queued(workspace, name, prepared)
        status, marks = server.work(workspace, run_id)
        if status:
            raise RuntimeError(
                f"the uninterrupted {name} failed: see {workspace.root / 'chaos.log'}"
            )
        prepared["runs"][name] = run_id
        prepared["outcomes"][name], prepared["durations"][name] = outcome(workspace, run_id), {}
        for phase in {mark["mark"] for mark in marks} & {
            phase for phase, runs in RUNS.items() if name in runs
        }:
            times = {
                edge: [
                    mark["time"]
                    for mark in sorted(marks, key=lambda m: m["call"])
                    if (mark["mark"], mark["edge"]) == (phase, edge)
                ]
                for edge in ("begin", "end")
            }
            prepared["durations"][name][phase] = [
                end - begin for begin, end in zip(times["begin"], times["end"], strict=True)
            ]
    record.write_text(json.dumps(prepared))
    return prepared


def copied(source: Path, target: Path) -> Workspace:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return Workspace.open(target)


def queued(workspace: Workspace, name: str, prepared: dict) -> str:
    """A run in the table, without the worker that the supervisor would start."""
    config = to_dict(configs(prepared["epochs"])[name])
    if name in ("study", "embed"):
        config["vae_run"] = prepared["runs"]["views"]
    elif name == "publish":
        config["run"] = prepared["runs"]["study"]
    return RunStore(workspace).create(config["kind"], config)


def killed_and_resumed(
    folder: Path,
    server: Server,
    baseline: dict,
    phase: str,
    name: str,
    chosen: Iterator[tuple[int, float]],
) -> dict:
    """Kill the run `name` once in `phase`, at the first of the `chosen` moments that hits it, and resume it."""
    for draw in range(DRAWS):
        call, seconds = next(chosen)
        trial = Trial(folder, server, baseline, name)
        status, marks = trial.start(kill=(phase, call, seconds))
        hit = status == -signal.SIGKILL and not any(
            (mark["mark"], mark["call"], mark["edge"]) == (phase, call, "end") for mark in marks
        )
        if hit:
            trial.resume()
            differ = trial.differences()
            return {
                "call": call,
                "after_seconds": round(seconds, 4),
                "draws": draw + 1,
                "identical": not differ,
                "differ": differ,
            }
        seen = {
            mark["edge"]: mark["time"]
            for mark in marks
            if (mark["mark"], mark["call"]) == (phase, call)
        }
        if len(seen) == 2:  # the machine is quicker now than it was
            baseline["durations"][name][phase][call] = seen["end"] - seen["begin"]
    raise RuntimeError(f"no moment in {phase} was hit in {DRAWS} draws")


class Trial:
    """One run in a copy of its base: started, killed, resumed and compared."""

    def __init__(self, folder: Path, server: Server, baseline: dict, name: str):
        self.server, self.baseline, self.name = server, baseline, name
        self.workspace = copied(folder / FOLDERS[name][0], folder / "trial")
        self.run_id = queued(self.workspace, name, baseline)

    def start(self, **how) -> tuple[int, list[dict]]:
        return self.server.work(self.workspace, self.run_id, **how)

    def resume(self, **how) -> int:
        """What `runs resume` does, but with a worker of this server."""
        reconcile(self.workspace)
        store = RunStore(self.workspace)
        if not store.transition(self.run_id, "interrupted", "queued", error=None, finished=None):
            raise RuntimeError(f"a killed run is {store.get(self.run_id).state}, not interrupted")
        return self.start(**how)[0]

    def differences(self) -> list[str]:
        """Names of what is not as in the uninterrupted run; empty where everything is."""
        wanted, got = self.baseline["outcomes"][self.name], outcome(self.workspace, self.run_id)
        return sorted(
            name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name)
        )


def outcome(workspace: Workspace, run_id: str) -> dict[str, str]:
    """SHA-256 by name of all that a run leaves, without times, the run's id and the workspace's folder."""
    paths, run = workspace.run(run_id), RunStore(workspace).get(run_id)
    metrics = {
        f"{row['series']} {row['step']} {row['epoch']}": row["value"]
        for row in read_events(paths.events)
        if row["kind"] == "metric"
    }
    summary = json.loads(json.dumps(run.summary).replace(str(workspace.root), "HOME"))
    return {
        "state": run.state,
        "summary": _digest_json(summary, run_id),
        "metrics": _digest_json(metrics, run_id),
        "left over": ",".join(sorted(path.name for path in paths.checkpoints.glob("*step-*"))),
        **_digests(paths.artefacts, run_id),
        **_digests(workspace.cache, run_id),
        **_digests(workspace.models, run_id),
    }


def _digests(folder: Path, run_id: str) -> dict[str, str]:
    readers: dict[str, Callable[[Path], str]] = {
        ".json": lambda path: _digest_json(json.loads(path.read_text()), run_id)
    }
    return {
        str(path.relative_to(folder.parent)): readers.get(path.suffix, _digest_file)(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _digest_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest_json(value: Any, run_id: str) -> str:
    text = json.dumps(_without_times(value), sort_keys=True).replace(run_id, "RUN")
    return hashlib.sha256(text.encode()).hexdigest()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(item) for key, item in value.items() if key not in TIMES}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


assert PHASES.keys() == SHARES.keys() == RUNS.keys()
