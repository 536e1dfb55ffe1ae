"""Latent traversal: what the VAE's decoder draws of a latent, with a slider for each dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from derm_core.arms import arm_style
from derm_core.insight.factors import PREFIX
from derm_core.report.figure_style import blank
from derm_core.workspace import Workspace
from pages.ui import cached, cached_models, frame, glossary, run_choice, scheduling, words
from pages.ui.latent import class_path, interpolation
from pages.ui.latent.loaded_map import LoadedMap
from pages.ui.latent.upload import Upload

if TYPE_CHECKING:
    from derm_core.insight.traverse import Traversal

SLIDERS, REACH = 8, 3.0  # dimensions with a slider, and its reach in standard deviations
SIDE = 256  # pixels of the decoded image
MEAN = "the mean of all images"


def draw_traversals(workspace: Workspace, first: LoadedMap | None, own: Upload | None) -> None:
    """A choice of VAE, and below it four kinds of traversal."""
    sources = _sources(workspace, first)
    if not sources:
        frame.empty(
            "What the decoder of a VAE draws of a point of its latent space. It needs a finished pretraining, or a "
            "published model that carries a decoder.",
            title="No decoder yet",
            icon=":material/explore:",
            action="Pretrain a VAE",
            page="train",
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        source = frame.linked("VAE", sources, "vae", default=_source_of(first, sources), width=420)
        glossary.explain(
            terms=(
                "latent-space",
                "latent-traversal",
                "kl-divergence",
                "posterior-mean",
                "interpolation",
                "mutual-information",
            )
        )
    parts = {
        ":material/tune: Dimensions": draw_dimensions,
        ":material/compare_arrows: Between two images": interpolation.draw_between,
        ":material/blur_on: Mean images": interpolation.draw_means,
        ":material/moving: Towards a class": class_path.draw_towards,
    }
    with frame.errors():
        traversal = cached_models.traversal(workspace, source)
        for tab, draw in zip(
            st.tabs(list(parts), key="traversal", on_change="rerun"), parts.values(), strict=True
        ):
            if tab.open:
                with tab:
                    draw(workspace, traversal, first, own)


def _sources(workspace: Workspace, first: LoadedMap | None) -> dict[str, str]:
    """Labels of the runs and bundles with a decoder, by run id and bundle name; of the map's VAE in any case."""
    models = {
        card.name: f"{label} · {card.name}"
        for label, kind in (("Model", "classifier"), ("Extractor", "extractor"))
        for card in cached.cards(workspace, kind)
        if card.decoder
    }
    named = (st.query_params.get("vae"), first.params.get("vae_run") if first else None)
    pretrainings = run_choice.offered_runs(workspace, ("pretrain",), "traversal", also=named)
    runs = {run.id: f"VAE · {frame.run_label(workspace, run)}" for run in pretrainings}
    return models | runs


def _source_of(first: LoadedMap | None, sources: dict[str, str]) -> str | None:
    """The VAE of the map, where it is one of the sources."""
    if first is None:
        return None
    arm_name = first.info.arm.partition(":")[2]
    named = (first.params.get("vae_run"), first.params.get("vae"), arm_name)
    return next((name for name in named if name in sources), None)


# ---- dimensions --------------------------------------------------------------------------------


def draw_dimensions(
    workspace: Workspace, traversal: Traversal, first: LoadedMap | None, own: Upload | None
) -> None:
    """Sliders with the image that they give, KL divergence of each dimension, and the known factors."""
    _draw_sliders(traversal, first, own)
    _draw_kl(traversal)
    if first is not None:
        _draw_factors(workspace, first)


@st.fragment
@scheduling.in_turn
def _draw_sliders(traversal: Traversal, first: LoadedMap | None, own: Upload | None) -> None:
    """A slider for each of the most active dimensions, in standard deviations; the image is decoded as it moves."""
    starts, statistics = interpolation.starting_images(traversal, first, own), traversal.statistics
    left, right = st.columns([1, 2], gap="large")
    with right:
        start = st.selectbox(
            "Start from", [MEAN, *starts], key=f"traversal-start-{traversal.source}"
        )
        origin_d = statistics.mean_d
        if start in starts:
            origin_d = interpolation.latent_of(traversal, starts[start])
        z_d = np.array(origin_d, np.float32)
        keys = {
            int(index): f"z-{traversal.source}-{start}-{index}"
            for index in statistics.active_d[:SLIDERS]
        }
        with st.grid(2, min_column_width=220, gap="small"):
            for index, key in keys.items():
                mean, std = statistics.mean_d[index], statistics.std_d[index]
                at_start = float((origin_d[index] - mean) / max(std, 1e-6))
                st.session_state.setdefault(key, round(min(max(at_start, -REACH), REACH), 1))
                z_d[index] = mean + std * st.slider(
                    f"Dimension {index} · {statistics.kl_d[index]:.2f} nats",
                    -REACH,
                    REACH,
                    step=0.1,
                    key=key,
                    format="%.1f σ",
                )

        def back_to_start() -> None:
            for key in keys.values():
                st.session_state.pop(key, None)

        st.button(
            "Back to the start",
            icon=":material/restart_alt:",
            type="tertiary",
            on_click=back_to_start,
        )
    with left:
        picture = interpolation.webp_url(traversal.decode(z_d[None])[0], SIDE)
        st.image(picture, width=SIDE, alt=f"Decoded latent, starting from {start}")
        st.caption(
            f"Drawn by the decoder at {traversal.size}{words.THIN}px. It is smooth: fine structure and hair are not in "
            "the latent."
        )


def _draw_kl(traversal: Traversal) -> None:
    """KL divergence of each dimension, the most active first, and how many are active."""
    statistics = traversal.statistics
    order = np.argsort(-statistics.kl_d)
    kl_d = statistics.kl_d[order]
    figure = blank(
        "KL divergence by latent dimension", 240, x="Dimension, the most active first", y="nats"
    )
    figure.add_trace(
        {
            "type": "bar",
            "x": list(range(1, len(order) + 1)),
            "y": np.maximum(kl_d, 1e-5).astype(np.float32),
            "marker": {"color": arm_style("vae").colour, "line": {"width": 0}},
            "customdata": order.astype(np.int32),
            "hovertemplate": "Dimension %{customdata}: %{y:.3f} nats<extra></extra>",
        }
    )
    figure.update_yaxes(type="log", nticks=5, tickformat="~g")
    active = f"{len(statistics.active_d)} of {len(order)}"
    estimated = " Estimated from the spread of the training images' latents."
    frame.show_chart(
        figure,
        pd.DataFrame({"dimension": order, "kl_nats": kl_d, "std_of_mu": statistics.std_d[order]}),
        key=f"kl-{traversal.source}",
        alt=f"{active} latent dimensions are active",
        caption=f"{active} dimensions are active (mean KL above 0.01 nats on validation images), together "
        f"{words.number(float(kl_d.sum()), 1)} nats. The decoder ignores the values of inactive "
        f"dimensions.{estimated if traversal.estimated else ''}",
    )


def _draw_factors(workspace: Workspace, first: LoadedMap) -> None:
    """Which latent follows which known factor of synthetic data; where another map has the table, which one."""
    table = cached.factors(workspace, first.run_id)
    if table is None or not len(table):
        known = any(name.startswith(PREFIX) for name in first.dataset.attributes)
        if known and first.saved.space != "mu":
            st.caption(
                "The factors of these images are known. A map of μ shows which latent dimension depends on which: make "
                "one below, under New map."
            )
        return
    by_kl = table.drop_duplicates("latent").sort_values("kl", ascending=False)["latent"]
    wide = table.pivot_table(index="latent", columns="factor", values="information")
    wide = wide.loc[[latent for latent in by_kl if latent in wide.index]]
    st.markdown("**Latent dimensions and known factors**")
    frame.show_table(
        wide.reset_index(),
        title="Mutual information of latents and factors",
        key="factors",
        formats={
            "latent": "Dimension",
            **{
                name: st.column_config.ProgressColumn(
                    words.attribute(name), min_value=0.0, max_value=1.0, format="%.2f"
                )
                for name in wide.columns
            },
        },
    )
    st.caption(
        "Mutual information over the factor's entropy: 0 where a dimension is independent of a factor, 1 where it "
        "determines it. The images are synthetic, so their factors are known."
    )
