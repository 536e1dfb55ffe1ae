"""Ways through the latent space: between two images, to the mean of a class or selection, towards a class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from derm_core.arms import in_order
from derm_core.data.decode import read_image
from derm_core.insight.selection import find, sample
from pages.ui import cached, charts, frame, images, scheduling, words
from pages.ui.latent import selection
from pages.ui.latent.loaded_map import LoadedMap
from pages.ui.latent.upload import Upload

STEPS, OF_A_CLASS = 9, 100
KEPT = 64  # latents, means and paths of a session
MINE = "your image"


def pixels(first: LoadedMap, row: int, size: int) -> np.ndarray:
    """uint8 (size, size, 3) of a manifest row. Raises ImageError."""
    found = first.dataset.frame.iloc[row]
    return kept(
        ("pixels", found["sha256"], size),
        lambda: read_image(found["path"], size, str(found["image_id"])),
    )


def starts(travel: Any, first: LoadedMap | None, own: Upload | None) -> dict[str, np.ndarray]:
    """Images to start from by name: the reader's own, then those last chosen on the map. Empty without an encoder."""
    if not travel.can_encode:
        return {}
    found = {MINE: own.square(travel.size)} if own is not None else {}
    if first is not None:
        for row in selection.recent_rows(first)[:4]:
            found[str(first.dataset.frame["image_id"].iloc[row])] = pixels(first, row, travel.size)
    return found


def latent(travel: Any, image_ssc: np.ndarray) -> np.ndarray:
    """(D,) the posterior mean of one image."""
    return kept(
        ("latent", travel.source, image_ssc.tobytes()), lambda: travel.encode(image_ssc[None])[0]
    )


def kept(key: tuple, compute: Callable[[], Any] | None) -> Any:
    """What was computed before under `key` in this session, else `compute()`; None where that is None."""
    known = st.session_state.setdefault("atlas-kept", {})
    if key not in known and compute is not None:
        while len(known) >= KEPT:
            known.pop(next(iter(known)))
        known[key] = compute()
    return known.get(key)


def without_encoder(travel: Any) -> bool:
    """Say so where images cannot be encoded."""
    if not travel.can_encode:
        st.info(
            "This model carries a decoder alone: its VAE's encoder is that of the pretraining or extractor it was made "
            "from, which is not here. Choose another VAE above, or move the sliders under Dimensions.",
            icon=":material/info:",
        )
    return not travel.can_encode


def enlarged(pixels: np.ndarray, side: int) -> str:
    """uint8 (S, S, 3) as WEBP of `side` pixels, in an address (images.data_url)."""
    return images.data_url(
        images.webp(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))
    )


def film(frames_nssc: np.ndarray, captions: list[str], alt: str) -> None:
    """Decoded images in a row, as many as fit."""
    with st.grid(len(frames_nssc), min_column_width=76, gap="xsmall"):
        for number, (picture, caption) in enumerate(zip(frames_nssc, captions, strict=True), 1):
            with st.container(gap=None):
                st.image(
                    enlarged(picture, 128), width="stretch", alt=f"{alt}, step {number}: {caption}"
                )
                st.caption(caption)


# ---- between two images ------------------------------------------------------------------------


@st.fragment
@scheduling.in_turn
def between(workspace, travel: Any, first: LoadedMap | None, own: Upload | None) -> None:
    """The straight line between two images of the map, decoded."""
    if without_encoder(travel) or first is None:
        return
    ids = first.dataset.frame["image_id"]
    defaults = [str(ids.iloc[row]) for row in selection.recent_rows(first)[:2]]
    ends = []
    for column, label, default in zip(
        st.columns(2), ("From image", "To image"), [*defaults, *defaults][:2], strict=True
    ):
        with column:
            wanted = st.text_input(
                label,
                default,
                key=f"between-{label}-{default}",
                type="search",
                help="An image id. Choose images on the map, and they stand here.",
            )
            found = find(first.points, wanted, 1)
            if not found:
                st.caption(f"No image id on this map holds “{words.plain(wanted)}”.")
            ends += found
    if len(ends) < 2:
        return
    originals = np.stack([pixels(first, row, travel.size) for row in ends])
    path = travel.between(*(latent(travel, image) for image in originals), steps=STEPS)
    drawn = travel.decode(path)
    names = [words.plain(first.dataset.frame["label"].iloc[row] or "no label") for row in ends]
    film(
        np.concatenate([originals[:1], drawn, originals[1:]]),
        [
            f"original, {names[0]}",
            *(f"{100 * step // (STEPS - 1)}{words.THIN}%" for step in range(STEPS)),
            f"original, {names[1]}",
        ],
        "From one image to the other",
    )
    st.caption(
        "The straight line between the two images' latents, decoded. The ends differ from the originals by what the "
        "VAE does not keep."
    )


# ---- mean images -------------------------------------------------------------------------------


@st.fragment
@scheduling.in_turn
def means(workspace, travel: Any, first: LoadedMap | None, own: Upload | None) -> None:
    """The mean image of every class, and of the selection."""
    if without_encoder(travel) or first is None:
        return
    points = first.points
    named = {label: points.loc[points["label"] == label] for label in sorted(first.dataset.classes)}
    parts = {
        label: sample(part, OF_A_CLASS)["row"].tolist()
        for label, part in named.items()
        if len(part)
    }
    selected = points[points["row"].isin(selection.current().rows)]
    if len(selected) > 1:
        parts = {"the selection": sample(selected, OF_A_CLASS)["row"].tolist(), **parts}
    found = _means(workspace, travel, first, parts)
    film(
        travel.decode(np.stack(list(found.values()))),
        [f"{words.plain(name)} ({len(parts[name])})" for name in found],
        "Mean image",
    )
    told = (
        "Choose several images on the map, and their mean stands here too."
        if len(selected) < 2
        else (
            f"Of the {len(selected):,} images of the selection {OF_A_CLASS} are taken, each class in proportion."
            if len(selected) > OF_A_CLASS
            else ""
        )
    )
    st.caption(f"The decoded mean of the latents, of at most {OF_A_CLASS} images a class. {told}")


def _means(
    workspace, travel: Any, first: LoadedMap, parts: dict[str, list[int]]
) -> dict[str, np.ndarray]:
    """Mean latents by name, kept in the session: images are encoded once."""
    store = cached.store(workspace, first.dataset.name, travel.size)
    found = {}
    for name, rows in parts.items():
        with st.spinner(f"Encoding {words.plain(name)}…"):
            found[name] = kept(
                ("mean", travel.source, first.dataset.fingerprint, tuple(rows)),
                lambda rows=rows: travel.mean_of(travel.encode(np.asarray(store.images[rows]))),
            )
    return found


# ---- towards a class ---------------------------------------------------------------------------


@st.fragment
@scheduling.in_turn
def towards(workspace, travel: Any, first: LoadedMap | None, own: Upload | None) -> None:
    """A path towards a class, and what a published model says along it; found when asked for."""
    if without_encoder(travel):
        return
    offers = starts(travel, first, own)
    shelf = cached.cards(workspace)
    arms = in_order({card.arm for card in shelf})
    cards = {card.name: card for card in sorted(shelf, key=lambda card: arms.index(card.arm))}
    if not offers or not cards:
        st.caption(
            "It needs an image (Your image, above, or one chosen on the map) and a published model to ask."
        )
        return
    columns = st.columns(3)
    start = columns[0].selectbox("From image", list(offers), key="towards-start")
    model = columns[1].selectbox("Asked of", list(cards), key="towards-model")
    card = cards[model]
    told = card.class_descriptions
    melanoma = card.classes.index("mel") if "mel" in card.classes else 0
    target = columns[2].selectbox(
        "Towards",
        card.classes,
        index=melanoma,
        key=f"towards-class-{model}",
        format_func=lambda name: told.get(name, name),
    )
    key = ("path", travel.source, offers[start].tobytes(), model, card.sha256, target)
    if kept(key, None) is None:
        ask = st.empty()
        with ask.container():
            st.caption(
                "The path follows what the model's probability grows with, through the decoder, step by step. It "
                "takes some seconds."
            )
            if not st.button("Find the path", icon=":material/play_arrow:", key="towards-go"):
                return
        ask.empty()
        with st.spinner("Finding the path…"):
            predictor = cached.predictor(workspace, model)
            photograph = Image.fromarray(offers[start]).resize(
                (predictor.size,) * 2, Image.Resampling.BICUBIC
            )
            kept(
                key,
                lambda: (
                    *travel.towards(latent(travel, offers[start]), target, predictor, steps=STEPS),
                    predictor.predict(np.asarray(photograph)[None])[0],
                ),
            )
    path, probabilities, of_photograph = kept(key, None)
    aim = card.classes.index(target)
    film(
        np.concatenate([offers[start][None], travel.decode(path)]),
        [
            f"photograph, {words.chance(of_photograph[aim])}",
            *(words.chance(row[aim]) for row in probabilities),
        ],
        f"From {start} towards {target}",
    )
    begun = int(np.argmax(probabilities[0]))
    shown = list(dict.fromkeys([aim, begun, int(np.argmax(probabilities[-1]))]))
    steps = list(range(len(path)))
    figure = charts.lines(
        {
            card.classes[index]: (steps, probabilities[:, index].astype(np.float32))
            for index in shown
        },
        f"What {model} says along the way",
        x="Step",
        share=True,
    )
    figure.update_yaxes(range=[0, 1])
    frame.show_chart(
        figure,
        pd.DataFrame(probabilities, columns=card.classes).assign(step=steps),
        key="towards",
        alt=f"Probability of {target} from {words.chance(probabilities[0, aim])} to "
        f"{words.chance(probabilities[-1, aim])} along the way",
        caption="From step 0 on the model is asked about decoded images, which are smoother than photographs: its "
        f"answer at step 0 ({card.classes[begun]} {words.chance(probabilities[0, begun])}) may differ "
        "from that for the photograph "
        f"({card.classes[int(of_photograph.argmax())]} {words.chance(of_photograph.max())}). It is "
        "what the model looks for, not a forecast of how a lesion changes.",
    )
