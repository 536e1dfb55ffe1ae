"""Making a map: the form with the extractors to choose from, and the progress of a map."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import streamlit as st

from derm_core.arms import arm_embeddings, arm_style
from derm_core.bundles.card import WHOLE_NETWORK
from derm_core.config import BackboneConfig, EmbedConfig
from derm_core.data.embeddings import embedding_names
from derm_core.jobs import supervisor
from derm_core.jobs.preflight import submit
from derm_core.jobs.queries import RunFilter
from derm_core.jobs.store import Run, RunStore
from derm_core.workspace import Workspace
from pages.ui import cached, cached_models, frame, live_run, run_choice
from pages.ui.config_fields import slider_field

SPACES = {
    "pooled": "Pooled features (input of the classifiers)",
    "mu": "Posterior mean μ (a VAE's latent space)",
}


def draw_form(workspace: Workspace, expanded: bool, others: list[str]) -> None:
    """The form. others: finished maps that a new one can be aligned to."""
    maps: dict[str | None, str] = {None: "Nothing"}
    for run in RunStore(workspace).select(RunFilter(kinds=("embed",), ids=tuple(others))):
        maps[run.id] = frame.run_label(workspace, run)
    with st.expander("New map", icon=":material/add_chart:", expanded=expanded):
        trained = run_choice.offered_runs(workspace, ("pretrain", "study"), "extractors")
        extractors = dict(_extractors(workspace, trained))
        st.fragment(_draw_fields)(workspace, extractors, maps)


def _draw_fields(
    workspace: Workspace, extractors: Mapping[str, EmbedConfig], maps: Mapping[str | None, str]
) -> None:
    """Fields and button; which images and features are offered follows from the extractor."""
    with st.grid(2, min_column_width=260):
        config = extractors[st.selectbox("Extractor", list(extractors), key="map-extractor")]
        is_brought = arm_embeddings(config.arm) is not None
        likely = next(iter(extractors.values())).dataset
        names = _images(workspace, config.dataset if is_brought else None)
        dataset = st.selectbox(
            "Images",
            list(names),
            list(names).index(likely) if likely in names else 0,
            format_func=lambda name: names[name],
            help="Those that the embeddings are of." if is_brought else None,
        )
        spaces = {"pooled": "The vectors as they are"} if is_brought else SPACES
        space = st.selectbox(
            "Features",
            list(spaces),
            key="map-space-brought" if is_brought else "map-space",
            format_func=lambda key: spaces[key],
            help="Pretrainings and extractors have a posterior mean μ, other models do not.",
        )
        aligned = st.selectbox(
            "Aligned to",
            list(maps),
            format_func=lambda run_id: maps[run_id],
            key="map-aligned",
            help="UMAP starts from the coordinates of that map, so that the two can be compared by eye.",
        )
        neighbours = slider_field(
            EmbedConfig, "neighbours", "UMAP neighbours", 15, key="map-neighbours"
        )
        min_dist = slider_field(EmbedConfig, "min_dist", "UMAP minimum distance", 0.1)
    if st.button("Make the map", type="primary", icon=":material/play_arrow:"):
        make_map(
            workspace,
            config,
            "run" if aligned is None else "beside",
            dataset=dataset,
            neighbours=neighbours,
            min_dist=min_dist,
            space=space,
            aligned_to=aligned,
        )


def _images(workspace: Workspace, only: str | None) -> dict[str, str]:
    """{name: label} of the datasets to map; of one alone where embeddings are of that."""
    names = {row.name: f"{row.name} · {row.images:,} images" for row in cached.datasets(workspace)}
    if only is not None:
        return {only: names[only]}
    names.setdefault("synth", "synth · synthetic images, made when first needed")
    return names


def make_map(workspace: Workspace, config: EmbedConfig, param: str, **changes: Any) -> None:
    """Queue the map of `config` with the changes, and show it at "run" or "beside" (`param`) of the address."""
    with frame.errors():
        st.query_params[param] = submit(workspace, dataclasses.replace(config, **changes))
        st.rerun()


# ---- extractors --------------------------------------------------------------------------------


def _extractors(workspace: Workspace, trained: Sequence[Run]) -> Iterator[tuple[str, EmbedConfig]]:
    """(label, configuration) of each: own VAEs, the library, embeddings, then ImageNet and random weights.

    trained: the pretrainings and studies, whose networks are offered.
    """
    references = {("resnet18", 3, 64): EmbedConfig(dataset="")}
    for run in trained:
        settings = cached.config(workspace, run.id)
        if not settings:
            continue
        backbone = BackboneConfig(**settings["backbone"])
        config = EmbedConfig(
            dataset="",
            backbone=backbone,
            input_size=settings["input_size"],
            split_seed=settings["split_seed"],
        )
        references.setdefault((backbone.architecture, backbone.stage, config.input_size), config)
        if run.kind == "pretrain":
            dataset = settings["dataset"]
            config = dataclasses.replace(config, dataset=dataset, arm="vae", vae_run=run.id)
            yield from _and_with_imagenet(f"VAE · {frame.run_label(workspace, run)}", config)
    for card in [*cached.cards(workspace, "extractor"), *cached.cards(workspace)]:
        config = EmbedConfig(dataset="", arm=f"bundle:{card.name}", input_size=card.input_size)
        if card.stage != WHOLE_NETWORK:
            backbone = BackboneConfig(architecture=card.architecture, stage=card.stage)
            config = dataclasses.replace(config, backbone=backbone)
        if card.kind == "extractor":
            yield from _and_with_imagenet(f"Extractor · {card.name}", config, card.name)
        else:
            yield f"Model · {card.name}", config
    yield from _embeddings(workspace)
    for (architecture, stage, size), config in references.items():
        for arm in ("imagenet", "random"):
            if arm == "random" or has_imagenet(config.backbone):
                label = f"{arm_style(arm).name} · {architecture} to stage {stage} at {size} px"
                yield label, dataclasses.replace(config, arm=arm)


def _embeddings(workspace: Workspace) -> Iterator[tuple[str, EmbedConfig]]:
    """The embeddings that were brought for each dataset."""
    for row in cached.datasets(workspace):
        for name in [] if row.error else embedding_names(workspace, row.name):
            config = EmbedConfig(dataset=row.name, arm=f"embeddings:{name}")
            yield f"Embeddings · {name}, of {row.name}", config


def _and_with_imagenet(
    label: str, config: EmbedConfig, vae: str | None = None
) -> Iterator[tuple[str, EmbedConfig]]:
    """A VAE's encoder and, where ImageNet weights of its network are here, both feature vectors side by side."""
    yield label, config
    if has_imagenet(config.backbone):
        both = dataclasses.replace(config, arm="both", vae=vae)
        yield f"{label} + {arm_style('imagenet').name}", both


def has_imagenet(backbone: BackboneConfig) -> bool:
    """Whether ImageNet weights of this network are on this machine or can be fetched."""
    return cached_models.imagenet_status(backbone.architecture, backbone.stage)["available"]


# ---- progress ----------------------------------------------------------------------------------


def follow(workspace: Workspace, run_ids: Iterable[str]) -> None:
    """Progress of the maps that are being made, or why one failed; nothing for finished ones."""
    shown: dict[str, int] = {}
    for run_id in run_ids:
        run = cached.run(workspace, run_id)
        if run is None:
            continue
        if not run.final:
            shown[run_id] = _stamp(workspace, run_id)
        elif run.error:
            frame.show_error(run.error)
    if shown:
        st.fragment(frame.errors()(_watch), run_every=1.0)(workspace, shown)


def _watch(workspace: Workspace, shown: Mapping[str, int]) -> None:
    """Runs every second; the whole page runs again when there is more of a map to see.

    Args:
        workspace: with the runs.
        shown: of each map the stamp of what the page shows.
    """
    cached.active_runs(workspace)
    runs = {run_id: cached.run(workspace, run_id) for run_id in shown}
    for run_id, run in runs.items():
        if run is None or run.final or _stamp(workspace, run_id) != shown[run_id]:
            st.rerun()
            return
    for run in filter(None, runs.values()):
        _draw_progress(workspace, run)


def _stamp(workspace: Workspace, run_id: str) -> int:
    """When a map's points or its data issues changed last."""
    files = workspace.run(run_id)
    return cached.stamp(files.map_points, files.data_issues)


def _draw_progress(workspace: Workspace, run: Run) -> None:
    text = live_run.progress_text(run.progress) if run.progress else "Starting…"
    if run.state == "queued":
        text = "Queued…"
    share = 0.0 if run.state == "queued" else live_run.share(run.progress)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(share, text, width="stretch")
        if st.button("Cancel", icon=":material/stop_circle:", key=f"cancel-{run.id}"):
            with frame.errors():
                supervisor.cancel(workspace, run.id)
