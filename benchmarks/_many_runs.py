"""A workspace of very many runs with small results, written without the work of making them."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing

import numpy as np

from derm_core.config import EmbedConfig, PretrainConfig, PublishConfig, StudyConfig, to_dict
from derm_core.files import read_json, write_json
from derm_core.jobs.store import RunStore
from derm_core.workspace import Workspace

DAY = 86_400.0
DAYS = 400.0  # over which the runs were made
KINDS = ("study", "pretrain", "embed", "publish")
SHARES = (0.4, 0.35, 0.2, 0.05)
FAILED = 0.08


def furnish(workspace: Workspace, count: int) -> list[str]:
    """`count` runs, the last of them queued, of others some failed: their ids, oldest first.

    Studies and maps have results that the pages read; every map is of a small dataset "tiny".
    """
    from tests.app.maps import put_map
    from tests.builders import write_dataset
    from tests.report.full_study import example

    write_dataset(workspace)
    first = put_map(workspace)
    result, artefacts = example(), workspace.run(first).artefacts
    result["config"] = to_dict(StudyConfig(dataset="tiny", arms=("vae", "random")))
    rng, store, ids, pretraining = np.random.default_rng(0), RunStore(workspace), [first], ""
    for _ in range(count - 2):
        kind = str(rng.choice(KINDS, p=SHARES)) if pretraining else "pretrain"
        run_id = store.create(kind, _config(kind, pretraining, ids), name=_name(rng, len(ids)))
        failed = rng.random() < FAILED
        if kind == "pretrain" and not failed:
            pretraining = run_id
        if not failed:
            _write_results(workspace, run_id, kind, result, artefacts)
        error = "The worker ran out of memory." if failed else None
        store.transition(run_id, "queued", "failed" if failed else "done", error=error)
        ids.append(run_id)
    ids.append(store.create("study", _config("study", pretraining, ids)))
    _spread_over_time(workspace)
    return ids


def _config(kind: str, pretraining: str, ids: list[str]) -> dict:
    if kind == "pretrain":
        return to_dict(PretrainConfig(dataset="tiny", seed=len(ids)))
    if kind == "study":
        seed, arms = len(ids), ("vae", "random")
        config = StudyConfig(dataset="tiny", arms=arms, vae_run=pretraining, split_seed=seed)
        return to_dict(config)
    if kind == "embed":
        arm = "vae" if len(ids) % 2 else "random"
        return to_dict(EmbedConfig(dataset="tiny", arm=arm, vae_run=pretraining, input_size=32))
    return to_dict(PublishConfig(dataset="tiny", run=pretraining, arm="vae", name=f"m-{len(ids)}"))


def _name(rng: np.random.Generator, number: int) -> str:
    return f"Trial {number}" if rng.random() < 0.3 else ""


def _write_results(workspace: Workspace, run_id: str, kind: str, result: dict, artefacts) -> None:
    files = workspace.run(run_id)
    if kind == "study":
        write_json(files.study, result | {"run_id": run_id, "config": read_json(files.config)})
    elif kind == "embed":
        shutil.copytree(artefacts, files.artefacts, dirs_exist_ok=True)
    elif kind == "pretrain":
        write_json(files.summary, {"epochs": 4})


def _spread_over_time(workspace: Workspace) -> None:
    """Creation of the runs over the last DAYS, in their order; each took an hour."""
    now = time.time()
    with closing(sqlite3.connect(workspace.database)) as table, table:
        (last,) = table.execute("SELECT MAX(seq) FROM runs").fetchone()
        table.execute(
            "UPDATE runs SET created = ?1 - ?2 * (?3 - seq) / ?3", (now, DAYS * DAY, float(last))
        )
        table.execute(
            "UPDATE runs SET started=created, finished=created + 3600 WHERE state != 'queued'"
        )
