"""Checks before a run is queued: are the datasets and models that it needs there, and do they fit?

Stands above the packages that it asks; the supervisor, which queues and starts runs, knows none of
them.
"""

from __future__ import annotations

from ..arms import METADATA, arm_embeddings, own_architecture
from ..bundles.model_library import find_bundle, require_extractor, require_posterior, verify_bundle
from ..config import EmbedConfig, EvaluateConfig, PublishConfig, RunConfig, StudyConfig
from ..data.classmaps import class_map
from ..data.embeddings import embeddings_info
from ..data.manifest import load_dataset
from ..data.metadata import require_metadata
from ..data.official_split import official_split
from ..data.on_demand import is_missing_synth, will_have_masks
from ..errors import ConfigError, DataError, NotFound
from ..files import read_json
from ..nets.pretrained_sources import require_obtainable
from ..publish.study_arm import require_publishable
from ..study.marks import require_enough
from ..workspace import Workspace
from . import supervisor


def submit(workspace: Workspace, config: RunConfig, name: str = "") -> str:
    """Check a config, queue its run and start a worker; returns the run's id.

    Raises what `check` and `supervisor.submit` raise.
    """
    check(workspace, config)
    return supervisor.submit(workspace, config, name)


def check(workspace: Workspace, config: RunConfig) -> None:
    """Raise where a dataset, a model or a result that a run needs is missing or does not fit.

    Raises:
        NotFound: no dataset or model of that name.
        BundleError: a model is damaged, or a classifier where an extractor is needed.
        ConfigError: a study is to be tested on its own dataset, models differ in their classes, a
            dataset shares no class with them, or has no official split where that is asked for.
        DataError: the official split that is asked for cannot be used, metadata or lesion masks are and there are
            none, or the marks that are used leave no image of a class in a part.
        RunError: what is to be published is not a finished study's arm and seed.
        WeightsUnavailable: those of an arm with its own network are not here and cannot be fetched.
    """
    if isinstance(config, PublishConfig):
        require_publishable(workspace, config.run, config.arm, config.name, config.seed)
        return
    classes = dataset_classes(workspace, config.dataset)
    if not isinstance(config, EvaluateConfig) and config.splits == "official":
        official_split(load_dataset(workspace, config.dataset), config.split_seed)
    if isinstance(config, EvaluateConfig):
        _check_models(workspace, config, classes)
    if isinstance(config, EmbedConfig):
        require_posterior(config, workspace)
    if isinstance(config, (StudyConfig, EmbedConfig)) and config.vae:
        require_extractor(verify_bundle(find_bundle(workspace, config.vae)))
    if isinstance(config, (StudyConfig, EmbedConfig)):
        arms = config.parts if isinstance(config, StudyConfig) else (config.arm,)
        for name in filter(None, map(arm_embeddings, arms)):
            embeddings_info(workspace, config.dataset, name)
    if isinstance(config, StudyConfig):
        _check_external(workspace, config, classes)
        if config.saliency_images and not will_have_masks(workspace, config.dataset):
            raise DataError(
                f"{config.dataset} has no lesion masks, inside which saliency is to be measured: `data masks "
                f"{config.dataset} PATH` adds them, or leave out --masks."
            )
        if METADATA in config.parts:
            if is_missing_synth(workspace, config.dataset):
                raise DataError(
                    f"{config.dataset} is drawn without age, sex or site, which the metadata arms need: leave them "
                    "out, or compare on a dataset that has them."
                )
            require_metadata(load_dataset(workspace, config.dataset))
        if config.marks:
            require_enough(config, load_dataset(workspace, config.dataset))
        for own in filter(None, map(own_architecture, config.parts)):
            require_obtainable(own)


def dataset_classes(workspace: Workspace, name: str) -> list[str]:
    """The classes of a dataset; empty for a synthetic one that is not generated yet. Raises NotFound."""
    if name in workspace.dataset_names():
        return list(read_json(workspace.dataset(name).info).get("classes") or [])
    if is_missing_synth(workspace, name):
        return []
    known = ", ".join(workspace.dataset_names()) or "none yet"
    raise NotFound(
        f"There is no dataset {name} in this workspace (there are: {known}); "
        f"`data import PATH --name {name}` reads it."
    )


def _check_models(workspace: Workspace, config: EvaluateConfig, classes: list[str]) -> None:
    """The models of an evaluation share their classes, and the dataset has at least one of them."""
    cards = {name: verify_bundle(find_bundle(workspace, name)) for name in config.models}
    first, *others = cards
    ours = cards[first].classes
    for name in others:
        if set(cards[name].classes) != set(ours):
            raise ConfigError(
                f"{name} knows {', '.join(cards[name].classes)}, {first} {', '.join(ours)}: "
                "models are evaluated side by side where they share their classes."
            )
    if classes:
        priorities = (cards[first].labels or {}).get("map")
        class_map(classes, ours, config.class_map, priorities, config.dataset)


def _check_external(workspace: Workspace, config: StudyConfig, classes: list[str]) -> None:
    """The further test sets of a study are other datasets that share a class with its own."""
    for name in config.external:
        if name == config.dataset:
            raise ConfigError(
                f"external is {name!r}; allowed: datasets other than the study's own, whose test "
                "split it has already."
            )
        theirs = dataset_classes(workspace, name)
        if theirs and classes:
            class_map(theirs, classes, name=name)
