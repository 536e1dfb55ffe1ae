"""Which run needs which, from configs and records alone.

A study or a map uses the encoder that a pretraining made; a comparison in folds the studies of its
folds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from ..arms import arm_embeddings, arm_kind
from ..config import EmbedConfig, PretrainConfig, RunConfig, StudyConfig, from_dict, to_dict
from ..config.recipes import with_equal_views
from ..errors import ConfigError, RunError
from ..files import read_json, sha256_file
from ..workspace import RunFiles, Workspace, weights_folder
from .store import Run, RunStore

# States in which a run of the same config is used, best first.
USABLE = ("done", "running", "queued")
RESUMABLE = ("interrupted", "cancelled", "failed")


def needs_vae(config: RunConfig) -> TypeGuard[StudyConfig | EmbedConfig]:
    """Whether a config has an arm that uses the encoder of a pretraining run."""
    if isinstance(config, StudyConfig):
        return "vae" in config.parts and not config.all_folds and not config.vae
    return isinstance(config, EmbedConfig) and config.arm in ("vae", "both") and not config.vae


def required_pretraining(config: StudyConfig | EmbedConfig) -> PretrainConfig:
    """The pretraining that a config without `vae_run` describes. Raises ConfigError where it describes none."""
    pretrain = config.pretrain if isinstance(config, StudyConfig) else None
    if pretrain is None:
        other = "vae, the name of an extractor of the library"
        if config.kind == "study":
            other = "pretrain, how to make one"
        raise ConfigError(
            f"The arm vae of this {config.kind} has no weights: give vae_run, the id of a "
            f"pretraining, or {other}."
        )
    return pretrain


def recipe_pretrainings(config: StudyConfig) -> list[PretrainConfig]:
    """The further pretrainings of the arms recipe:NAME, in their order: that of vae with another recipe."""
    if not config.recipes or config.all_folds:
        return []
    main = required_pretraining(config)
    return [
        dataclasses.replace(main, recipe=with_equal_views(main.recipe, name))
        for name in config.recipes
    ]


def matching_run(
    workspace: Workspace, config: RunConfig, states: tuple[str, ...] = (*USABLE, *RESUMABLE)
) -> Run | None:
    """The run of the same config.

    The `vae_run` and `recipe_runs` of a study that describes its pretraining do not count. A run that is about to
    be cancelled, or was made of former content of its dataset, or of weights or vectors that were exchanged under one
    name, does not match.

    Args:
        workspace: whose runs are searched.
        config: of the run that is needed.
        states: those in which a run matches, the preferred first.
    """
    wanted = _identity(to_dict(config))
    matches = [
        run
        for run in RunStore(workspace).list(config.kind)
        if run.state in states
        and (run.final or not run.cancel_requested)
        and _identity(stored_config(workspace, run.id) or {}) == wanted
        and not _is_outdated(workspace, run.id, config.dataset)
    ]
    return min(matches, key=lambda run: states.index(run.state), default=None)


def _identity(config: dict[str, Any]) -> dict[str, Any]:
    """A config with the fields that earlier versions did not write, and without what the supervisor fills in."""
    try:
        config = to_dict(from_dict(config))
    except ConfigError:
        return {}
    return config | ({"vae_run": None, "recipe_runs": []} if config.get("pretrain") else {})


def _is_outdated(workspace: Workspace, run_id: str, dataset: str) -> bool:
    """Whether a run was made of other content, weights or vectors than those of the same names now."""
    files = workspace.run(run_id)
    try:
        record = read_json(files.vae if files.vae.exists() else files.study)
        made_of = record.get("dataset_fingerprint") or record["dataset"]["fingerprint"]
        if made_of != read_json(workspace.dataset(dataset).info)["fingerprint"]:
            return True
    except (OSError, ValueError, KeyError, TypeError):
        record = {}
    return any(
        _current_hash(workspace, dataset, arm, info) not in (None, info["sha256"])
        for arm, info in _used_weights(files, record)
    )


def _used_weights(
    files: RunFiles, record: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(arm, what is known of its weights) of a study, from its protocol and its results; with a SHA-256 each."""
    with contextlib.suppress(OSError, ValueError, KeyError):  # not begun, or by an earlier version
        yield from read_json(files.protocol)["content"].get("weights", {}).items()
    for entry in record.get("arms", {}).values():
        for parts in (entry.get("extractor") or {}).get("variants", ()):
            yield from (
                (part["name"], part["info"]) for part in parts if part["info"].get("sha256")
            )


def _current_hash(
    workspace: Workspace, dataset: str, arm: str, info: Mapping[str, Any]
) -> str | None:
    """SHA-256 of what an arm's name stands for now, as far as that can be exchanged; None where it is not here."""
    model = arm.removeprefix("bundle:") if arm_kind(arm) == "bundle" else info.get("extractor")
    file = str(info.get("file") or "")
    try:
        if name := arm_embeddings(arm):
            described = read_json(workspace.dataset(dataset).embeddings / f"{name}.json")
            return str(described["sha256"])
        if model:
            cards = [shelf / model / "card.json" for shelf in workspace.shelves()]
            return str(read_json(next(card for card in cards if card.is_file()))["sha256"])
        if file.endswith(".safetensors") and Path(file).name == file:
            path = weights_folder() / file
            state = path.stat()
            return _file_hash(path, state.st_mtime_ns, state.st_size)
    except (OSError, ValueError, KeyError, StopIteration):
        return None
    return None


@functools.lru_cache(maxsize=64)
def _file_hash(path: Path, changed_ns: int, size: int) -> str:
    """SHA-256 of a file, once for each of its states."""
    return sha256_file(path)


def fold_studies(config: StudyConfig) -> list[StudyConfig]:
    """The studies of the folds of a comparison in folds, each with pretrainings and a pretraining seed of its own."""

    def study(fold: int) -> StudyConfig:
        pretrain = config.pretrain and dataclasses.replace(
            config.pretrain, folds=config.folds, fold=fold, seed=config.pretrain.seed + fold - 1
        )
        return dataclasses.replace(config, fold=fold, fold_runs=(), pretrain=pretrain)

    return [study(fold) for fold in range(1, config.folds + 1)]


def waits_for(workspace: Workspace, run: Run) -> list[str]:
    """Ids of the runs that must be done before this one starts: pretrainings, or the studies of all folds."""
    config = stored_config(workspace, run.id) or {}
    if folds := config.get("fold_runs"):
        return list(folds)
    needed = [*([run.depends_on] if run.depends_on else []), *(config.get("recipe_runs") or [])]
    return list(dict.fromkeys(needed))


def dataset_users(workspace: Workspace, name: str) -> list[str]:
    """Ids of the queued and running runs that use a dataset; of a shared server's, also its users' runs."""
    readers = [one for one in workspace.users() if one.dataset(name).is_shared]
    with_runs = [one for one in (workspace, *readers) if one.database.exists()]
    return [
        run.id
        for one in with_runs
        for run in RunStore(one).active()
        if name in _datasets_of(stored_config(one, run.id) or {})
    ]


def _datasets_of(config: dict[str, Any]) -> list[str | None]:
    return [config.get("dataset"), *config.get("external", ())]


def references(config: RunConfig) -> set[str]:
    """Ids of the runs whose weights a config uses."""
    arms = [*getattr(config, "parts", ()), getattr(config, "arm", "")]
    named = {arm.removeprefix("run:") for arm in arms if arm.startswith("run:")}
    vae_run = getattr(config, "vae_run", None)
    return named.union(getattr(config, "recipe_runs", ()), [vae_run] if vae_run else [])


def require_pretraining(store: RunStore, run_id: str, finished: bool) -> None:
    """Raise unless a run is a pretraining whose weights can be used.

    Args:
        store: the table of runs.
        run_id: of the run.
        finished: whether it must be done already, or may yet be queued or running.
    """
    run = store.get(run_id)
    if run.kind != "pretrain":
        raise ConfigError(
            f"{run_id} is a {run.kind}; the weights of an arm come from a run of kind pretrain."
        )
    if run.state != "done" and (finished or run.final):
        advice = f"`runs resume {run_id}` goes on with it" if run.final else "wait until it is done"
        raise RunError(
            f"The pretraining {run_id} is {run.state}, its weights cannot be used; {advice}."
        )


def stored_config(workspace: Workspace, run_id: str) -> dict[str, Any] | None:
    """The config of a run as plain JSON values, or None where its file is missing or cannot be read."""
    try:
        config: dict[str, Any] = read_json(workspace.run(run_id).config)
        return config
    except (OSError, ValueError):
        return None


def dependents(workspace: Workspace, run_id: str) -> list[str]:
    """Ids of the runs that wait for this one, use its weights or are about to publish it, newest first."""

    def depends_on_it(run: Run) -> bool:
        if run_id != run.depends_on and not _is_named(workspace, run, run_id):
            return False
        config = stored_config(workspace, run.id) or {}
        publishes_it = config.get("kind") == "publish" and config.get("run") == run_id
        return (
            run_id in waits_for(workspace, run)
            or run_id in _stored_references(config)
            or (publishes_it and not run.final)
        )

    runs = RunStore(workspace).list()
    return [run.id for run in runs if run.id != run_id and depends_on_it(run)]


def _is_named(workspace: Workspace, run: Run, run_id: str) -> bool:
    """Whether an id stands in the config of a run, whatever it means there; faster than parsing it."""
    try:
        return run_id.encode() in workspace.run(run.id).config.read_bytes()
    except OSError:
        return False


def _stored_references(config: dict[str, Any]) -> set[str]:
    try:
        return references(from_dict(config))
    except ConfigError:
        return set()
