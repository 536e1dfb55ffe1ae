"""Which run needs which: a study or a map uses the encoder that a pretraining made."""

from __future__ import annotations

from typing import Any

from ..config import EmbedConfig, StudyConfig, from_dict, to_dict
from ..errors import ConfigError, RunError
from ..files import read_json
from ..workspace import Workspace
from .store import RunStore


def needs_vae(config: Any) -> bool:
    """Whether a config has an arm that uses the encoder of `vae_run`."""
    if isinstance(config, StudyConfig):
        return "vae" in config.arms or "both" in config.arms
    return isinstance(config, EmbedConfig) and config.arm == "vae"


def matching_pretraining(workspace: Workspace, config: Any) -> str | None:
    """The run of an identical pretraining: a finished one, else one under way or queued, else None.

    Raises ConfigError where the config does not say how its pretraining is to be made.
    """
    pretrain = getattr(config, "pretrain", None)
    if pretrain is None:
        raise ConfigError(f"The arm vae of this {config.kind} has no weights: give vae_run, the id of a pretraining"
                          + (", or pretrain, how to make one." if config.kind == "study" else "."))
    wanted = to_dict(pretrain)
    candidates = [run for run in RunStore(workspace).list("pretrain")
                  if run.state in ("done", "running", "queued") and not run.cancel_requested
                  and stored_config(workspace, run.id) == wanted and not _outdated(workspace, run.id, pretrain.dataset)]
    candidates.sort(key=lambda run: run.state != "done")
    return candidates[0].id if candidates else None


def _outdated(workspace: Workspace, run_id: str, dataset: str) -> bool:
    """Whether a finished pretraining saw other content than the dataset of that name holds now."""
    try:
        made_from = read_json(workspace.run(run_id).artefacts / "vae.json")["dataset_fingerprint"]
        return made_from != read_json(workspace.dataset(dataset).info)["fingerprint"]
    except (OSError, ValueError, KeyError):
        return False


def dataset_users(workspace: Workspace, name: str) -> list[str]:
    """Ids of the queued and running runs that work on a dataset."""
    return [run.id for run in RunStore(workspace).list()
            if not run.final and (stored_config(workspace, run.id) or {}).get("dataset") == name]


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
        raise ConfigError(f"{run_id} is a {run.kind}; the weights of an arm come from a run of kind pretrain.")
    if run.state != "done" and (finished or run.final):
        raise RunError(f"The pretraining {run_id} is {run.state}, its weights cannot be used; "
                       + (f"`runs resume {run_id}` goes on with it." if run.final else "wait until it is done."))


def stored_config(workspace: Workspace, run_id: str) -> dict[str, Any] | None:
    """The config of a run as plain JSON values, or None where the file is gone or torn."""
    try:
        return read_json(workspace.run(run_id).config)
    except (OSError, ValueError):
        return None


def dependents(workspace: Workspace, run_id: str) -> list[str]:
    """Ids of the runs that wait for this one or use its weights, newest first."""
    return [run.id for run in RunStore(workspace).list() if run.id != run_id
            and (run.depends_on == run_id or run_id in _stored_references(workspace, run.id))]


def _stored_references(workspace: Workspace, run_id: str) -> set[str]:
    try:
        return references(from_dict(stored_config(workspace, run_id)))
    except ConfigError:
        return set()
