"""Explanations of a prediction: saliency, occlusion, nearest training images, the decoder's reconstruction.

Each is computed when its tab is opened and held with the answer. This module loads torch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from derm_core.bundles.card import Card
from derm_core.config.shared import ImageForm
from derm_core.insight.overlay import colours, outlined, overlay, scale_strip
from derm_core.insight.reconstruct import can_reconstruct, reconstruct
from derm_core.insight.saliency import SaliencyMap, occlusion, saliency
from derm_core.workspace import Workspace
from pages.ui import cached_models, frame, glossary, images, scheduling, words
from pages.ui.classify import lesion_outline
from pages.ui.classify.answers import SQUARE, Answer
from pages.ui.classify.lesion_outline import LesionMask
from pages.ui.classify.models import class_name, column, heading
from pages.ui.classify.nearest_images import draw_nearest

OWN_CLASS = "Each model’s most probable class"
FINE, COARSE = "Fine", "Coarse"
METHODS = {
    FINE: "LayerCAM (Jiang et al. 2021) on a finer feature map",
    COARSE: "Grad-CAM (Selvaraju et al. 2017) on the last feature map",
}
OF_PATCHES = "Integrated gradients (Sundararajan et al. 2017) of the patches"
RESIDUAL_TOP = 0.25  # of full brightness, at the end of the colour scale


def draw_explanations(workspace: Workspace, answer: Answer, cards: list[Card]) -> None:
    """A tab for each kind of explanation."""
    glossary.heading(
        "Explanations",
        terms=(
            "saliency",
            "saliency-inside",
            "layercam",
            "integrated-gradients",
            "occlusion",
            "nearest-training-images",
            "reconstruction-error",
        ),
    )
    parts = {
        ":material/local_fire_department: Saliency": draw_saliency,
        ":material/texture: Occlusion": draw_occlusion,
        ":material/join_inner: Nearest training images": draw_nearest,
        ":material/blur_on: Reconstruction": draw_reconstruction,
    }
    for tab, draw in zip(
        st.tabs(list(parts), key="reasons", on_change="rerun"), parts.values(), strict=True
    ):
        if tab.open:
            with tab:
                draw(workspace, answer, cards)


# ---- maps over the image -----------------------------------------------------------------------


@dataclass(frozen=True)
class Overlays:
    """One map over the image for each model, on one colour scale.

    Attributes:
        maps: (S, S) float by model name.
        notes: what stands below each map, by model name.
        targets: index of the explained class, by model name.
        top: value at the end of the colour scale.
        opacity: 0 to 1.
        outline: of the lesion, (SQUARE, SQUARE) bool; None: not drawn.
    """

    maps: Mapping[str, np.ndarray]
    notes: Mapping[str, str]
    targets: Mapping[str, int]
    top: float
    opacity: float
    outline: np.ndarray | None = None


@st.fragment
@scheduling.in_turn
def draw_saliency(workspace: Workspace, answer: Answer, cards: list[Card]) -> None:
    """LayerCAM or Grad-CAM of every model, of transformers integrated gradients, on one scale."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        targets, opacity = _choose_class(answer, cards, "cam-class"), _choose_opacity("cam-opacity")
        detail = st.segmented_control(
            "Detail", [FINE, COARSE], default=FINE, required=True, key="cam-detail"
        )
        known = lesion_outline.find_mask(workspace, answer)
        drawn = known is not None and st.toggle("Lesion outline", True, key="cam-outline")
    cams: dict[str, SaliencyMap] = {}
    for card in cards:
        with frame.errors():
            cams[card.name] = answer.explained(
                ("cam", card.name, detail, targets[card.name]),
                functools.partial(
                    _saliency_map, workspace, answer, card, detail, targets[card.name]
                ),
            )
    cards = [card for card in cards if card.name in cams]
    if not cards:
        return
    maps = {name: cam.density_nss[0] for name, cam in cams.items()}
    notes = {card.name: _saliency_note(cams[card.name], card, known) for card in cards}
    top = max(2.0, math.ceil(2 * max(float(cam.peaks[0]) for cam in cams.values())) / 2)
    outline = known.at(ImageForm(SQUARE)) if known and drawn else None
    _draw_overlays(answer, cards, Overlays(maps, notes, targets, top, opacity, outline))
    _draw_scale(
        "0",
        f"{top:.1f} times an even spread",
        f"{_method(cams.values(), detail)}: where the evidence for the class lies, as a multiple of evidence that "
        "is spread evenly over the image. All maps have this one scale. They are as coarse as the feature map and show "
        "where a model looks, not whether it is right to.",
    )
    if known:
        st.caption(known.about())


def _method(cams: Collection[SaliencyMap], detail: str) -> str:
    """What the maps are, in words."""
    of_patches = [cam for cam in cams if cam.of_patches]
    if len(of_patches) == len(cams):
        return OF_PATCHES
    others = f"; of a transformer: {OF_PATCHES}" if of_patches else ""
    return METHODS[detail] + others


def _saliency_map(
    workspace: Workspace, answer: Answer, card: Card, detail: str, target: int
) -> SaliencyMap:
    predictor = cached_models.predictor(workspace, card.name)
    return saliency(predictor, answer.pixels(card.form)[None], [target], detail == FINE)


def _saliency_note(cam: SaliencyMap, card: Card, known: LesionMask | None) -> str:
    if not cam.peaks[0]:
        return "no evidence for it in the image"
    _, rows, columns = cam.cells_nhw.shape
    note = f"at most {cam.peaks[0]:.1f} times an even spread, in {rows} × {columns} cells"
    if known is None:
        return note
    mask = known.at(card.form)
    inside = words.percent(float(cam.inside(mask[None])[0]))
    return (
        f"{note}; {inside} of the evidence lies inside the lesion outline, which has "
        f"{words.percent(float(mask.mean()))} of the area"
    )


@st.fragment
@scheduling.in_turn
def draw_occlusion(workspace: Workspace, answer: Answer, cards: list[Card]) -> None:
    """Occlusion of every model, computed on request."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        targets = _choose_class(answer, cards, "hide-class")
        opacity = _choose_opacity("hide-opacity")
    keys = {card.name: ("hide", card.name, targets[card.name]) for card in cards}
    if any(key not in answer.explanations for key in keys.values()):
        st.caption(
            "A patch of a quarter of the side, in the image's mean colour, moves over the image; every model predicts "
            "again at each of about two hundred positions."
        )
        if not st.button("Compute occlusion", icon=":material/play_arrow:", key="hide-go"):
            return
        bar = st.progress(0.0)
        for number, card in enumerate(cards):
            report = functools.partial(_report, bar, number, len(cards), column(card, cards))
            predictor = cached_models.predictor(workspace, card.name)
            pixels, target = answer.pixels(card.form), targets[card.name]
            compute = functools.partial(occlusion, predictor, pixels, target, report)
            answer.explained(keys[card.name], compute)
        bar.empty()
    drops = {name: answer.explanations[key] for name, key in keys.items()}
    top = max(0.05, math.ceil(20 * max(float(drop.max()) for drop in drops.values())) / 20)
    notes = {
        name: f"falls by up to {100 * max(float(drop.max()), 0):.1f} points, rises by up to "
        f"{100 * max(-float(drop.min()), 0):.1f}"
        for name, drop in drops.items()
    }
    _draw_overlays(answer, cards, Overlays(drops, notes, targets, top, opacity))
    _draw_scale(
        "no drop",
        f"{100 * top:.0f} points less",
        "Occlusion (Zeiler & Fergus 2014): by how many percentage points the class's probability falls when a patch "
        "here is hidden, averaged over the patches that cover a pixel. All maps have this one scale; "
        "rises are drawn as no drop.",
    )


def _report(
    bar: DeltaGenerator, number: int, models: int, name: str, done: int, total: int
) -> None:
    bar.progress((number + done / total) / models, f"{name}: {done} of {total}")


def _choose_class(answer: Answer, cards: list[Card], key: str) -> dict[str, int]:
    """{model: index of the class to explain}: the model's own prediction, or one class for all models."""
    shared = [name for name in cards[0].classes if all(name in card.classes for card in cards)]
    choice = st.selectbox(
        "For the class",
        [OWN_CLASS, *shared],
        key=key,
        width=280,
        format_func=lambda name: name if name == OWN_CLASS else class_name(cards[0], name),
    )
    arms = answer.prediction.arms
    return {
        card.name: card.classes.index(arms[card.name].top if choice == OWN_CLASS else choice)
        for card in cards
    }


def _choose_opacity(key: str) -> float:
    return st.slider("Opacity of the map", 0, 100, 50, 5, key=key, format="%d %%", width=280) / 100


def _draw_overlays(answer: Answer, cards: list[Card], overlays: Overlays) -> None:
    """The maps of all models side by side."""
    with st.container(horizontal=True):
        for card in cards:
            target = class_name(card, card.classes[overlays.targets[card.name]])
            pixels = overlay(
                answer.square, overlays.maps[card.name], overlays.top, overlays.opacity
            )
            if overlays.outline is not None:
                pixels = outlined(pixels, overlays.outline)
            with st.container(gap="xsmall", width=SQUARE + 16):
                st.markdown(heading(card, cards))
                st.image(
                    images.jpeg_url(Image.fromarray(pixels)),
                    width=SQUARE,
                    alt=f"{column(card, cards)}: map for {target}",
                )
                st.caption(f"{words.plain(target)}: {overlays.notes[card.name]}.")


def _draw_scale(low: str, high: str, caption: str) -> None:
    """The colour scale with its ends, and how to read it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(low, width="content")
        st.image(scale_strip(), width=160, alt=f"Colour scale from {low} to {high}")
        st.caption(high, width="content")
    st.caption(caption)


# ---- reconstruction ----------------------------------------------------------------------------


def draw_reconstruction(workspace: Workspace, answer: Answer, cards: list[Card]) -> None:
    """For models with a decoder and the map to its latents: the decoder's image, and its difference from the image."""
    able = [card for card in cards if can_reconstruct(card)]
    for card in able:
        st.markdown(heading(card, cards))
        _draw_reconstruction(workspace, answer, card)
    if able:
        _draw_scale(
            "0",
            f"{100 * RESIDUAL_TOP:.0f}{words.THIN}% of full brightness or more",
            "What the VAE's decoder draws from this image's latent code, which is computed from the model's features. "
            "Hair and fine structure that it smooths away are not in the code. The difference over the whole image is "
            "the reconstruction error of the outlier score, compared with the limit on the model's card.",
        )
    without = [column(card, cards) for card in cards if card not in able]
    if without:
        st.caption(f"{words.listed(without)}: no decoder, so no reconstruction.")


def _draw_reconstruction(workspace: Workspace, answer: Answer, card: Card) -> None:
    with st.spinner("Reconstructing…"):
        result = answer.explained(
            ("drawn", card.name),
            lambda: reconstruct(
                cached_models.predictor(workspace, card.name), answer.pixels(card.form)[None]
            ),
        )
    size = card.decoder.size if card.decoder else card.input_size
    parts = (
        (answer.pixels(ImageForm(size)), f"The image at {size}{words.THIN}px"),
        (result.images_nssc[0], "Reconstruction"),
        (
            colours(result.residual_nss[0] / RESIDUAL_TOP),
            f"Difference, root mean square {words.percent(result.rmse[0])}",
        ),
    )
    with st.container(horizontal=True):
        for pixels, caption in parts:
            with st.container(gap="xsmall", width=SQUARE + 16):
                picture = images.resized(pixels, SQUARE)
                st.image(images.jpeg_url(picture), width=SQUARE, alt=caption)
                st.caption(f"{caption}.")
