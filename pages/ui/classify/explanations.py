"""Why a model says what it says: where it looks, what hiding a patch does, its nearest training images, its decoder's view.

Each part computes when it is opened and keeps what it found with the answer, in the session.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from derm_core.bundles.card import Card
from derm_core.bundles.prediction import Neighbour
from derm_core.insight.overlay import colours, overlay, scale_strip
from pages.ui import cached, frame, images, scheduling, words
from pages.ui.classify.answers import SHOWN, Answer
from pages.ui.classify.models import column, describe, heading, key, told
from pages.ui.map_scatter import map_scatter, mark

OWN = "What each model says"
FINE, COARSE = "Fine", "Coarse"
METHODS = {
    FINE: "LayerCAM (Jiang et al. 2021) on a finer feature map",
    COARSE: "Grad-CAM (Selvaraju et al. 2017) on the last feature map",
}
RESIDUAL_TOP = 0.25


def draw_explanations(workspace, answer: Answer, cards: list[Card]) -> None:
    st.subheader("Reasons", anchor=False)
    parts = {
        ":material/local_fire_department: Saliency (LayerCAM)": looks,
        ":material/texture: Occlusion": hiding,
        ":material/join_inner: Nearest training images": nearest,
        ":material/blur_on: Reconstruction": drawn,
    }
    for tab, part in zip(
        st.tabs(list(parts), key="reasons", on_change="rerun"), parts.values(), strict=True
    ):
        if tab.open:
            with tab:
                part(workspace, answer, cards)


def kept(answer: Answer, key: tuple, compute: Callable[[], Any]) -> Any:
    """What was computed before for this image and these models, else `compute()`."""
    if key not in answer.reasons:
        answer.reasons[key] = compute()
    return answer.reasons[key]


def wanted_class(answer: Answer, cards: list[Card], key: str) -> dict[str, int]:
    """{model: class index} to explain: its own answer, or one class for all."""
    shared = [name for name in cards[0].classes if all(name in card.classes for card in cards)]
    said = {card.name: answer.row.arms[card.name].top for card in cards}
    choice = st.selectbox(
        "For the class",
        [OWN, *shared],
        key=key,
        width=280,
        format_func=lambda name: name if name == OWN else describe(cards[0], name),
    )
    return {
        card.name: card.classes.index(said[card.name] if choice == OWN else choice)
        for card in cards
    }


def opacity_of(key: str) -> float:
    return st.slider("Opacity of the map", 0, 100, 50, 5, key=key, format="%d %%", width=280) / 100


# ---- maps over the image -----------------------------------------------------------------------


@st.fragment
@scheduling.in_turn
def looks(workspace, answer: Answer, cards: list[Card]) -> None:
    """LayerCAM or Grad-CAM of every model on one scale."""
    from derm_core.insight.saliency import grad_cam, layer_cam

    with st.container(horizontal=True, vertical_alignment="bottom"):
        targets, opacity = wanted_class(answer, cards, "cam-class"), opacity_of("cam-opacity")
        detail = st.segmented_control(
            "Detail", [FINE, COARSE], default=FINE, required=True, key="cam-detail"
        )
    cam_of = layer_cam if detail == FINE else grad_cam
    cams = {
        card.name: kept(
            answer,
            ("cam", card.name, detail, targets[card.name]),
            lambda card=card: cam_of(
                cached.predictor(workspace, card.name),
                answer.pixels(card.input_size)[None],
                [targets[card.name]],
            ),
        )
        for card in cards
    }
    top = max(2.0, math.ceil(2 * max(float(cam.peaks[0]) for cam in cams.values())) / 2)
    maps(
        answer,
        cards,
        {name: cam.density_nss[0] for name, cam in cams.items()},
        top,
        opacity,
        targets,
        lambda name: (
            "nothing in the image speaks for it"
            if not cams[name].peaks[0]
            else f"{cams[name].cells_nhw.shape[1]} × {cams[name].cells_nhw.shape[2]} cells, at most {cams[name].peaks[0]:.1f} times"
        ),
    )
    strip(
        "0",
        f"{top:.1f} times an even spread",
        f"{METHODS[detail]}: where a model's evidence for the class lies, as a multiple of an even spread. All maps have "
        "this one scale. They are as coarse as the feature map and say where a model looks, not whether it is right to.",
    )


@st.fragment
@scheduling.in_turn
def hiding(workspace, answer: Answer, cards: list[Card]) -> None:
    """Occlusion of every model, once asked for."""
    from derm_core.insight.saliency import occlusion

    with st.container(horizontal=True, vertical_alignment="bottom"):
        targets, opacity = wanted_class(answer, cards, "hide-class"), opacity_of("hide-opacity")
    keys = {card.name: ("hide", card.name, targets[card.name]) for card in cards}
    if any(key not in answer.reasons for key in keys.values()):
        st.caption(
            "A patch of a quarter of the side, in the image's mean colour, moves over the image; every model is "
            "asked again at each of some two hundred places."
        )
        if not st.button("Hide patches", icon=":material/play_arrow:", key="hide-go"):
            return
        bar = st.progress(0.0)
        for number, card in enumerate(cards):
            kept(
                answer,
                keys[card.name],
                lambda card=card, number=number: occlusion(
                    cached.predictor(workspace, card.name),
                    answer.pixels(card.input_size),
                    targets[card.name],
                    lambda done, total: bar.progress(
                        (number + done / total) / len(cards),
                        f"{column(card, cards)}: {done} of {total}",
                    ),
                ),
            )
        bar.empty()
    found = {name: answer.reasons[key] for name, key in keys.items()}
    top = max(0.05, math.ceil(20 * max(float(drop.max()) for drop in found.values())) / 20)
    maps(
        answer,
        cards,
        found,
        top,
        opacity,
        targets,
        lambda name: (
            f"falls by up to {100 * max(float(found[name].max()), 0):.1f} points"
            f", rises by up to {100 * max(-float(found[name].min()), 0):.1f}"
        ),
    )
    strip(
        "no drop",
        f"{100 * top:.0f} points less",
        "Occlusion (Zeiler & Fergus 2014): by how many percentage points the class's probability falls when a patch "
        "here is hidden, averaged over the patches that cover a pixel. All maps have this one scale; "
        "rises are drawn as no drop.",
    )


def maps(
    answer: Answer,
    cards: list[Card],
    found: dict[str, np.ndarray],
    top: float,
    opacity: float,
    targets: dict[str, int],
    note: Callable[[str], str],
) -> None:
    """A map over the image for each model, side by side."""
    with st.container(horizontal=True):
        for card in cards:
            name = card.name
            said = describe(card, card.classes[targets[name]])
            with st.container(gap="xsmall", width=SHOWN + 16):
                st.markdown(heading(card, cards))
                st.image(
                    images.drawn(
                        Image.fromarray(overlay(answer.square, found[name], top, opacity))
                    ),
                    width=SHOWN,
                    alt=f"{column(card, cards)}: map for {said}",
                )
                st.caption(f"{words.plain(said)}: {note(name)}.")


def strip(low: str, high: str, caption: str) -> None:
    """The colour scale with its ends, and how to read it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(low, width="content")
        st.image(scale_strip(), width=160, alt=f"Colour scale from {low} to {high}")
        st.caption(high, width="content")
    st.caption(caption)


# ---- among the training images -----------------------------------------------------------------


def nearest(workspace, answer: Answer, cards: list[Card]) -> None:
    """The nearest training images in each model's feature space, and where the image falls among all of them."""
    with st.grid(min(len(cards), 3), min_column_width=300):
        for card in cards:
            with st.container(border=True, height="stretch", gap="xsmall"):
                st.markdown(heading(card, cards))
                found = answer.row.arms[card.name].neighbours
                if not found:
                    st.caption("This model's card does not carry its training images' features.")
                    continue
                neighbours(workspace, card, found)
                on_the_map(workspace, answer, card)
    st.caption(
        "Nearest first, with label and distance: between features, in standard deviations of each model's own, so a "
        "distance compares within a model only. Below them, all training images on the first two principal axes of "
        f"the model's features. {key(cards)}"
    )


def neighbours(workspace, card: Card, found: Sequence[Neighbour]) -> None:
    """Label and distance of each; its picture where the dataset is on this machine."""
    rows = positions(workspace, card, [one.image_id for one in found])
    captions = [f"{words.plain(one.label)}  \n{one.distance:.2f}" for one in found]
    if rows and all(row is not None for row in rows):
        images.gallery(
            cached.dataset(workspace, card.training_data.dataset),
            rows,
            columns=5,
            min_width=72,
            captions=captions,
        )
    else:
        table = pd.DataFrame(
            {
                "Label": [told(card, one.label) for one in found],
                "Distance": [f"{one.distance:.2f}" for one in found],
            }
        )
        if all(one.image_id for one in found):
            table["Image"] = [one.image_id for one in found]
        st.table(table, border="horizontal", hide_index=True, alt="Nearest training images")
        st.caption("The pictures are shown where the training data is on this machine.")


def positions(workspace, card: Card, ids: list[str | None]) -> list[int | None]:
    """Rows of training images in the dataset of that name, where it is on this machine."""
    name = card.training_data.dataset
    if name not in {found.name for found in cached.datasets(workspace)}:
        return []
    known = {
        image_id: row
        for row, image_id in enumerate(cached.dataset(workspace, name).frame["image_id"])
    }
    return [known.get(image_id) for image_id in ids]


def on_the_map(workspace, answer: Answer, card: Card) -> None:
    """The image as a cross among the training images, on the first two principal axes of the features."""
    from derm_core.insight.placement import place_in_training

    found = kept(
        answer,
        ("place", card.name),
        lambda: place_in_training(
            cached.predictor(workspace, card.name), answer.pixels(card.input_size)
        ),
    )
    if found is None:
        return
    points = pd.DataFrame(
        {
            "x": found.training_n2[:, 0],
            "y": found.training_n2[:, 1],
            "row": range(len(found.labels_n)),
            "label": [card.classes[label] for label in found.labels_n],
        }
    )
    figure = map_scatter(points, x="x", y="y", title="", height=300)
    mark(figure, found.image_2, "this image")
    st.plotly_chart(
        frame.readable(figure),
        key=f"place-{card.name}",
        config={"displayModeBar": False},
        alt="The image among the training images on two principal axes of the features",
    )


# ---- the decoder's view ------------------------------------------------------------------------


def drawn(workspace, answer: Answer, cards: list[Card]) -> None:
    """For models that carry a decoder and the map to its latents: the image as it draws it, and what is left over."""
    from derm_core.insight.reconstruct import can_reconstruct, reconstruct

    able = [card for card in cards if can_reconstruct(card)]
    for card in able:
        size = card.decoder.size
        with st.spinner("Reconstructing…"):
            found = kept(
                answer,
                ("drawn", card.name),
                lambda card=card: reconstruct(
                    cached.predictor(workspace, card.name),
                    answer.pixels(card.input_size)[None],
                ),
            )
        st.markdown(heading(card, cards))
        residual = colours(found.residual_nss[0] / RESIDUAL_TOP)
        parts = (
            (answer.pixels(size), f"The image at {size}{words.THIN}px"),
            (found.images_nssc[0], "As the decoder draws it"),
            (residual, f"Difference, root mean square {words.percent(found.rmse[0])}"),
        )
        with st.container(horizontal=True):
            for pixels, caption in parts:
                with st.container(gap="xsmall", width=SHOWN + 16):
                    picture = Image.fromarray(pixels).resize(
                        (SHOWN, SHOWN), Image.Resampling.BICUBIC
                    )
                    st.image(images.drawn(picture), width=SHOWN, alt=caption)
                    st.caption(caption + ".")
    if able:
        strip(
            "0",
            f"{100 * RESIDUAL_TOP:.0f}{words.THIN}% of full brightness or more",
            "What the VAE's decoder draws from the latent that the model's features of this image give. What it smooths "
            "away (hair, fine structure) is not in its latent. The difference of the whole image is the reconstruction "
            "error of the outlier score, held against the limit on the model's card.",
        )
    without = [column(card, cards) for card in cards if card not in able]
    if without:
        st.caption(f"{words.listed(without)}: no decoder, so nothing to reconstruct with.")
