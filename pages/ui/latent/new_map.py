"""Making a map: the form, the wait, and what extractors there are to choose from."""

from __future__ import annotations

import streamlit as st

from derm_core.arms import arm_style, in_order
from derm_core.config import EmbedConfig, from_dict
from derm_core.jobs import supervisor
from pages.ui import cached, frame, launch_form, live_run


def draw_form(workspace, expanded: bool, others: list[str]) -> None:
    """The form. others: finished maps that a new one can be aligned to."""
    offers = extractors(workspace)
    here = {row.name: f"{row.name} · {row.images:,} images" for row in cached.datasets(workspace)}
    here.setdefault("synth", "synth · synthetic images, made when first needed")
    with (
        st.expander("New map", icon=":material/add_chart:", expanded=expanded),
        st.form("map", border=False),
    ):
        left, right = st.columns(2)
        extractor = left.selectbox("Extractor", list(offers), key="map-extractor")
        likely = next(iter(offers.values())).get("dataset")
        dataset = right.selectbox(
            "Images",
            list(here),
            list(here).index(likely) if likely in here else 0,
            format_func=here.get,
        )
        left, right = st.columns(2)
        space = left.selectbox(
            "Features",
            ["pooled", "mu"],
            key="map-space",
            format_func={
                "pooled": "Pooled features (what the heads see)",
                "mu": "μ, a VAE's own latent space",
            }.get,
            help="μ is there for a pretraining and for an extractor.",
        )
        labels = {
            None: "Nothing",
            **{
                run.id: frame.run_label(workspace, run)
                for run in cached.runs(workspace, kind="embed")
                if run.id in others
            },
        }
        aligned = right.selectbox(
            "Aligned to",
            list(labels),
            format_func=labels.get,
            key="map-aligned",
            help="UMAP starts from that map's places, so that the two can be compared by eye.",
        )
        left, right = st.columns(2)
        neighbours = left.slider(
            "UMAP neighbours",
            2,
            100,
            15,
            key="map-neighbours",
            help="Small: local detail. Large: the broad layout.",
        )
        min_dist = right.slider("UMAP minimum distance", 0.0, 1.0, 0.1, help="Small: tight clumps.")
        if st.form_submit_button("Make the map", type="primary", icon=":material/play_arrow:"):
            submit(
                workspace,
                {
                    **offers[extractor],
                    "dataset": dataset,
                    "neighbours": neighbours,
                    "min_dist": min_dist,
                    "space": space,
                    "aligned_to": aligned,
                },
                "run" if aligned is None else "beside",
            )


def submit(workspace, fields: dict, place: str) -> None:
    """Queue a map and show it at `place` of the address, "run" or "beside"."""
    with frame.errors():
        st.query_params[place] = launch_form.submit(workspace, from_dict(fields, EmbedConfig))
        st.rerun()


def extractors(workspace) -> dict[str, dict]:
    """What a map can be made with: label → fields of EmbedConfig. Own VAEs first, then the library, then the references."""
    found: dict[str, dict] = {}
    settings = {("resnet18", 3, 64): {}}
    for run in cached.runs(workspace, state="done"):
        config = cached.config(workspace, run.id)
        if run.kind not in ("pretrain", "study") or not config:
            continue
        fields = {key: config[key] for key in ("backbone", "input_size", "split_seed")}
        settings.setdefault(
            (config["backbone"]["architecture"], config["backbone"]["stage"], config["input_size"]),
            fields,
        )
        if run.kind == "pretrain":
            _with_both(
                found,
                f"VAE · {frame.run_label(workspace, run)}",
                {**fields, "arm": "vae", "vae_run": run.id, "dataset": config["dataset"]},
            )
    shelf = cached.cards(workspace)
    arms = in_order({card.arm for card in shelf})
    pretrained = cached.cards(workspace, "extractor")
    for card in [*pretrained, *sorted(shelf, key=lambda card: arms.index(card.arm))]:
        fields = {
            "arm": f"bundle:{card.name}",
            "input_size": card.input_size,
            "backbone": {"architecture": card.architecture, "stage": card.stage},
        }
        if card.kind == "extractor":
            _with_both(found, f"Extractor · {card.name}", fields, vae=card.name)
        else:
            found[f"Model · {card.name}"] = fields
    for (architecture, stage, size), fields in settings.items():
        for arm in ("imagenet", "random"):
            if arm == "random" or cached.imagenet_status(architecture, stage)["available"]:
                found[f"{arm_style(arm).name} · {architecture} to stage {stage} at {size} px"] = {
                    **fields,
                    "arm": arm,
                }
    return found


def _with_both(found: dict[str, dict], label: str, fields: dict, **encoder: str) -> None:
    """A VAE's encoder among what can be mapped, and beside it, where ImageNet weights of its network are here, both."""
    found[label] = fields
    network = fields["backbone"]
    if cached.imagenet_status(network["architecture"], network["stage"])["available"]:
        found[f"{label} + {arm_style('imagenet').name}"] = {**fields, "arm": "both", **encoder}


def follow(workspace, run_id: str) -> None:
    """Progress of a map that is being made, or why it failed; nothing for a finished one."""
    run = cached.run(workspace, run_id)
    if not run.final:
        st.fragment(frame.errors()(_wait_for), run_every=1.0)(
            workspace, run_id, _changed(workspace, run_id)
        )
    elif run.error:
        frame.show_error(run.error)


def _changed(workspace, run_id: str) -> int:
    return cached.stamp(workspace.run(run_id).map_points)


def _wait_for(workspace, run_id: str, seen: int) -> None:
    """The page follows when there is more to see."""
    cached.active_runs(workspace)
    run = cached.run(workspace, run_id)
    if run is None or run.final or _changed(workspace, run_id) != seen:
        st.rerun()
    share, what = (
        live_run.share(run.progress),
        live_run.progress_text(run.progress) if run.progress else "Starting…",
    )
    if run.state == "queued":
        share, what = 0.0, "Waits for its turn…"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(share, what, width="stretch")
        if st.button("Cancel", icon=":material/stop_circle:", key=f"cancel-{run_id}"):
            with frame.errors():
                supervisor.cancel(workspace, run_id)
