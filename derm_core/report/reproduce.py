"""How a study is repeated: its config with its pretraining in it, and the commands."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import read_json
from ..study.study_result import StudyResult

PROGRAM = "python -m derm_core"


def reproducible_config(result: StudyResult, run_folder: Path | str) -> dict[str, Any]:
    """The study's config with the settings of its VAE's pretraining in place of that run's id.

    Where those are gone with the run, the id stays.
    """
    config = dict(result.config)
    for filled_in in ("fold_runs", "recipe_runs"):
        if config.get(filled_in):
            config[filled_in] = []
    if run_id := config.get("vae_run"):
        with contextlib.suppress(OSError, ValueError):
            config["pretrain"] = read_json(Path(run_folder).parent / run_id / "config.json")
        if config.get("pretrain"):
            config["vae_run"] = None
    return config


def commands(result: StudyResult) -> list[str]:
    """Command lines from the data to this study; config.json is what `reproducible_config` returns."""
    name = result.dataset.name
    lines = [
        f"{PROGRAM} data synth --name {one}"
        if one.startswith("synth")
        else f"{PROGRAM} data import PATH --name {one}"
        for one in (name, *(external.dataset for external in result.external))
    ]
    if result.labels.get("kind") == "priority":
        levels = " ".join(shlex.quote(f"{c}={level}") for c, level in result.labels["map"].items())
        lines.append(f"{PROGRAM} data priority {name} {levels}")
    if result.dataset.marks:
        lines.append(f"{PROGRAM} data marks {name} --import marks.csv")
    if result.kind == "evaluate":
        return [*lines, _evaluate(result.config)]
    return [*lines, f"{PROGRAM} compare --config config.json"]


def _evaluate(config: Mapping[str, Any]) -> str:
    parts = [PROGRAM, "models evaluate", *config["models"], "--dataset", config["dataset"]]
    parts += ["--all"] if config.get("split") == "all" else []
    pairs = ",".join(config.get("class_map") or [])
    return " ".join([*parts, *(["--map", shlex.quote(pairs)] if pairs else [])])
