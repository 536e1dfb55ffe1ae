"""Which run needs which: a study or a map uses the encoder that a pretraining made, a comparison in folds their studies."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..config import EmbedConfig, StudyConfig, from_dict, to_dict
from ..errors import ConfigError, RunError
from ..files import read_json
from ..workspace import Workspace
from .store import Run, RunStore

FOUND = (
    "done",
    "running",
    "queued",
)  # states in which a run of the same config is used, best first
STOPPED = ("interrupted", "cancelled", "failed")


def needs_vae(config: Any) -> bool:
    """Whether a config has an arm that uses the encoder of `vae_run`, and not one from the library."""
    if isinstance(config, StudyConfig):
        return (
            not config.all_folds
            and not config.vae
            and ("vae" in config.arms or "both" in config.arms)
        )
    return isinstance(config, EmbedConfig) and config.arm in ("vae", "both") and not config.vae


def matching_pretraining(workspace: Workspace, config: Any) -> str | None:
    """The run of an identical pretraining: a finished one, else one under way or queued, else None.

    Raises ConfigError where the config does not say how its pretraining is to be made.
    """
    pretrain = getattr(config, "pretrain", None)
    if pretrain is None:
        raise ConfigError(
            f"The arm vae of this {config.kind} has no weights: give vae_run, the id of a pretraining, "
            + (
                "or pretrain, how to make one."
                if config.kind == "study"
                else "or vae, the name of an extractor in the library."
            )
        )
    found = matching_run(workspace, pretrain, FOUND)
    return found.id if found else None


def matching_run(
    workspace: Workspace, config: Any, states: tuple[str, ...] = (*FOUND, *STOPPED)
) -> Run | None:
    """The run of the same config in one of `states`, those first that stand first there; the `vae_run` of a study that
    says how its pretraining is made does not count. Runs about to be cancelled, or of a dataset's former content, are none."""
    wanted = _identity(to_dict(config))
    found = [
        run
        for run in RunStore(workspace).list(config.kind)
        if run.state in states
        and (run.final or not run.cancel_requested)
        and _identity(stored_config(workspace, run.id) or {}) == wanted
        and not _outdated(workspace, run.id, config.dataset)
    ]
    return min(found, key=lambda run: states.index(run.state), default=None)


def _identity(config: dict[str, Any]) -> dict[str, Any]:
    """A config with values that older programs did not write filled in, and without what the supervisor fills in."""
    try:
        config = to_dict(from_dict(config))
    except ConfigError:
        return {}
    return config | ({"vae_run": None} if config.get("pretrain") else {})


def _outdated(workspace: Workspace, run_id: str, dataset: str) -> bool:
    """Whether a finished run saw other content than the dataset of that name holds now."""
    folder = workspace.run(run_id).artefacts
    try:
        if (folder / "vae.json").exists():
            made_from = read_json(folder / "vae.json")["dataset_fingerprint"]
        else:
            made_from = read_json(folder / "study.json")["dataset"]["fingerprint"]
        return made_from != read_json(workspace.dataset(dataset).info)["fingerprint"]
    except (OSError, ValueError, KeyError):
        return False


def fold_studies(config: StudyConfig) -> list[StudyConfig]:
    """The studies of the folds of a comparison in folds, each with a pretraining of its own."""

    def of(fold: int) -> StudyConfig:
        made = config.pretrain and dataclasses.replace(
            config.pretrain, folds=config.folds, fold=fold
        )
        return dataclasses.replace(config, fold=fold, fold_runs=(), pretrain=made)

    return [of(fold) for fold in range(1, config.folds + 1)]


def waits_for(workspace: Workspace, run: Run) -> list[str]:
    """Ids of the runs that must be done before this one starts: a pretraining, or the studies of all folds."""
    folds = (stored_config(workspace, run.id) or {}).get("fold_runs") or []
    return list(folds) or ([run.depends_on] if run.depends_on else [])


def dataset_users(workspace: Workspace, name: str) -> list[str]:
    """Ids of the queued and running runs that work on a dataset."""
    return [
        run.id
        for run in RunStore(workspace).list()
        if not run.final and name in _datasets(stored_config(workspace, run.id) or {})
    ]


def _datasets(config: dict[str, Any]) -> list[str]:
    return [config.get("dataset"), *config.get("external", ())]


def references(config: Any) -> set[str]:
    """Ids of the runs whose weights a config uses."""
    arms = [*getattr(config, "arms", ()), getattr(config, "arm", "")]
    named = {arm.removeprefix("run:") for arm in arms if arm.startswith("run:")}
    vae_run = getattr(config, "vae_run", None)
    return named | ({vae_run} if vae_run else set())


def require_pretraining(store: RunStore, run_id: str, finished: bool) -> None:
    """Raise unless `run_id` is a pretraining that is finished (or, where `finished` is False, may yet finish)."""
    run = store.get(run_id)
    if run.kind != "pretrain":
        raise ConfigError(
            f"{run_id} is a {run.kind}; the weights of an arm come from a run of kind pretrain."
        )
    if run.state != "done" and (finished or run.final):
        raise RunError(
            f"The pretraining {run_id} is {run.state}, its weights cannot be used; "
            + (
                f"`runs resume {run_id}` goes on with it."
                if run.final
                else "wait until it is done."
            )
        )


def stored_config(workspace: Workspace, run_id: str) -> dict[str, Any] | None:
    """The config of a run as plain JSON values, or None where the file is gone or torn."""
    try:
        return read_json(workspace.run(run_id).config)
    except (OSError, ValueError):
        return None


def dependents(workspace: Workspace, run_id: str) -> list[str]:
    """Ids of the runs that wait for this one, use its weights or are about to publish it, newest first."""
    return [
        run.id
        for run in RunStore(workspace).list()
        if run.id != run_id
        and (
            run_id in waits_for(workspace, run)
            or run_id in _stored_references(workspace, run.id)
            or (not run.final and _publishes(workspace, run.id) == run_id)
        )
    ]


def _publishes(workspace: Workspace, run_id: str) -> str | None:
    """The run that a publication reads."""
    config = stored_config(workspace, run_id) or {}
    return config.get("run") if config.get("kind") == "publish" else None


def _stored_references(workspace: Workspace, run_id: str) -> set[str]:
    try:
        return references(from_dict(stored_config(workspace, run_id)))
    except ConfigError:
        return set()
