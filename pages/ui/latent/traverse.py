"""Travel: what the VAE's decoder draws of a latent, dimension by dimension and along ways between and towards images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from derm_core.arms import arm_style
from derm_core.insight.factors import PREFIX
from derm_core.report.figure_style import blank
from pages.ui import cached, frame, scheduling, words
from pages.ui.latent import interpolation
from pages.ui.latent.loaded_map import LoadedMap
from pages.ui.latent.upload import Upload

SLIDERS, REACH = 8, 3.0  # dimensions with a slider, and how far it goes, in standard deviations
SIDE = 256


def draw_traversals(workspace, first: LoadedMap | None, own: Upload | None) -> None:
    """A choice of VAE, and below it four ways to travel."""
    offers = sources(workspace)
    if not offers:
        frame.empty(
            "What the decoder of a VAE draws of a point of its latent space. It needs a finished pretraining, or a "
            "published model that carries a decoder.",
            title="No decoder yet",
            icon=":material/explore:",
            action="Pretrain a VAE",
            page="train",
        )
        return
    source = frame.linked(
        "VAE", list(offers), "vae", default=likely(first, offers), format_func=offers.get, width=420
    )
    with frame.errors():
        travel = cached.travel(workspace, source)
        parts = {
            ":material/tune: Dimensions": dimensions,
            ":material/compare_arrows: Between two images": interpolation.between,
            ":material/blur_on: Mean images": interpolation.means,
            ":material/moving: Towards a class": interpolation.towards,
        }
        for tab, part in zip(
            st.tabs(list(parts), key="travel-way", on_change="rerun"), parts.values(), strict=True
        ):
            if tab.open:
                with tab:
                    part(workspace, travel, first, own)


def sources(workspace) -> dict[str, str]:
    """Run ids and bundle names whose decoder can be travelled with, and what they are called."""
    runs = {
        run.id: f"VAE · {frame.run_label(workspace, run)}"
        for run in cached.runs(workspace, kind="pretrain", state="done")
    }
    return {
        card.name: f"{kind} · {card.name}"
        for kind in ("Model", "Extractor")
        for card in cached.cards(workspace, "extractor" if kind == "Extractor" else "classifier")
        if card.decoder
    } | runs


def likely(first: LoadedMap | None, offers: dict[str, str]) -> str | None:
    """The VAE of the map on show, where it is one."""
    if first is None:
        return None
    named = (
        first.params.get("vae_run"),
        first.params.get("vae"),
        first.info.arm.partition(":")[2],
    )
    return next((name for name in named if name in offers), None)


# ---- dimensions --------------------------------------------------------------------------------


def dimensions(workspace, travel: Any, first: LoadedMap | None, own: Upload | None) -> None:
    """Sliders and the image they give; how much each dimension says; which factor it follows."""
    sliders(workspace, travel, first, own)
    kl_chart(travel)
    if first is not None:
        factor_table(workspace, first)


@st.fragment
@scheduling.in_turn
def sliders(workspace, travel: Any, first: LoadedMap | None, own: Upload | None) -> None:
    """A slider for each of the most active dimensions, in standard deviations; the image is decoded as it moves."""
    starts = interpolation.starts(travel, first, own)
    left, right = st.columns([1, 2], gap="large")
    with right:
        start = st.selectbox(
            "Start from", ["the mean of all images", *starts], key=f"travel-start-{travel.source}"
        )
        origin = (
            travel.statistics.mean_d
            if start not in starts
            else interpolation.latent(travel, starts[start])
        )
        names = [int(index) for index in travel.statistics.active_d[:SLIDERS]]
        keys = {index: f"z-{travel.source}-{start}-{index}" for index in names}
        z = np.array(origin, np.float32)
        with st.grid(2, min_column_width=220, gap="small"):
            for index in names:
                at = float(
                    (origin[index] - travel.statistics.mean_d[index])
                    / max(travel.statistics.std_d[index], 1e-6)
                )
                st.session_state.setdefault(keys[index], round(min(max(at, -REACH), REACH), 1))
                z[index] = travel.statistics.mean_d[index] + travel.statistics.std_d[
                    index
                ] * st.slider(
                    f"Dimension {index} · {travel.statistics.kl_d[index]:.2f} nats",
                    -REACH,
                    REACH,
                    step=0.1,
                    key=keys[index],
                    format="%.1f σ",
                )
        st.button(
            "Back to the start",
            icon=":material/restart_alt:",
            type="tertiary",
            on_click=lambda: [st.session_state.pop(key, None) for key in keys.values()],
        )
    with left:
        picture = interpolation.enlarged(travel.decode(z[None])[0], SIDE)
        st.image(picture, width=SIDE, alt=f"Decoded latent, starting from {start}")
        st.caption(
            f"Drawn by the decoder at {travel.size}{words.THIN}px. It is smooth: fine structure and hair are not in "
            "the latent."
        )


def kl_chart(travel: Any) -> None:
    """KL of each dimension, the most active first, and how many are active."""
    order = np.argsort(-travel.statistics.kl_d)
    active = len(travel.statistics.active_d)
    figure = blank(
        "KL divergence by latent dimension", 240, x="Dimension, the most active first", y="nats"
    )
    figure.add_trace(
        dict(
            type="bar",
            x=list(range(1, len(order) + 1)),
            y=np.maximum(travel.statistics.kl_d[order], 1e-5).astype(np.float32),
            marker={"color": arm_style("vae").colour, "line": {"width": 0}},
            customdata=order.astype(np.int32),
            hovertemplate="Dimension %{customdata}: %{y:.3f} nats<extra></extra>",
        )
    )
    figure.update_yaxes(type="log", nticks=5, tickformat="~g")
    frame.show_chart(
        figure,
        pd.DataFrame(
            {
                "dimension": order,
                "kl_nats": travel.statistics.kl_d[order],
                "std_of_mu": travel.statistics.std_d[order],
            }
        ),
        key=f"kl-{travel.source}",
        alt=f"{active} of {len(order)} latent dimensions are active",
        caption=f"{active} of {len(order)} dimensions are active (mean KL above 0.01 nats on validation images), together "
        f"{words.number(float(travel.statistics.kl_d.sum()), 1)} nats. What an inactive dimension is set to, the decoder "
        "ignores."
        + (
            " Estimated from the spread of the training images' latents."
            if travel.estimated
            else ""
        ),
    )


def factor_table(workspace, first: LoadedMap) -> None:
    """Which latent follows which known factor, where the data is synthetic; where it is told if not by this map."""
    found = cached.factors(workspace, first.run_id)
    if found is None or not len(found):
        if first.saved.space != "mu" and any(
            name.startswith(PREFIX) for name in first.dataset.attributes
        ):
            st.caption(
                "The factors of these images are known. A map of μ has the table of which latent follows which: make "
                "one below, under New map."
            )
        return
    table = found.pivot_table(index="latent", columns="factor", values="information")
    order = (
        found.drop_duplicates("latent").set_index("latent")["kl"].sort_values(ascending=False).index
    )
    table = table.loc[[latent for latent in order if latent in table.index]]
    st.markdown("**Which latent follows which known factor**")
    frame.show_table(
        table.reset_index(),
        title="Mutual information of latents and factors",
        key="factors",
        formats={
            "latent": "Dimension",
            **{
                name: st.column_config.ProgressColumn(
                    name.removeprefix(PREFIX).replace("_", " ").capitalize(),
                    min_value=0.0,
                    max_value=1.0,
                    format="%.2f",
                )
                for name in table.columns
            },
        },
    )
    st.caption(
        "Mutual information over the factor's entropy: 0 where a latent says nothing of a factor, 1 where it says "
        "all. The images are synthetic, so their factors are known."
    )
