"""How a study is made again: its config with its pretraining in it, and the commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import read_json

PROGRAM = "python -m derm_core"


def reproducible_config(study: Mapping[str, Any], run_folder: Path | str) -> dict[str, Any]:
    """The study's config with the settings of its VAE's pretraining in place of that run's id.

    Where those are not known any more (the run is gone), the id stays.
    """
    config = dict(study["config"])
    if config.get("fold_runs"):
        config["fold_runs"] = []
    if run_id := config.get("vae_run"):
        try:
            config["pretrain"] = read_json(Path(run_folder).parent / run_id / "config.json")
        except (OSError, ValueError):
            pass
        if config.get("pretrain"):
            config["vae_run"] = None
    return config


def commands(study: Mapping[str, Any]) -> list[str]:
    """Command lines from the data to this study; config.json is what `reproducible_config` gives.

    study: study.json of a study, or of an evaluation of published models.
    """
    name, task = study["dataset"]["name"], study.get("labels") or {}
    needed = [name, *(entry["dataset"] for entry in _external(study))]
    lines = [
        f"{PROGRAM} data synth --name {one}"
        if one.startswith("synth")
        else f"{PROGRAM} data import PATH --name {one}"
        for one in needed
    ]
    if task.get("kind") == "priority":
        lines.append(
            f"{PROGRAM} data priority {name} "
            + " ".join(shlex.quote(f"{c}={level}") for c, level in task["map"].items())
        )
    if study.get("kind") == "evaluate":
        return [*lines, _evaluate(study["config"])]
    return [*lines, f"{PROGRAM} compare --config config.json"]


def _evaluate(config: Mapping[str, Any]) -> str:
    parts = [PROGRAM, "models evaluate", *config["models"], "--dataset", config["dataset"]]
    parts += ["--all"] if config.get("split") == "all" else []
    pairs = ",".join(config.get("class_map") or [])
    return " ".join([*parts, *(["--map", shlex.quote(pairs)] if pairs else [])])


def _external(study: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = study.get("external") or []
    return found.get("sets", []) if isinstance(found, Mapping) else found
