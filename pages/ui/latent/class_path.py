"""A path through the latent space from an image towards a class, with a classifier's probabilities along it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from derm_core.bundles.card import Card
from derm_core.workspace import Workspace
from pages.ui import cached, cached_models, charts, frame, images, scheduling, words
from pages.ui.latent.interpolation import (
    MEMORY,
    STEPS,
    StartImage,
    draw_strip,
    has_encoder,
    latent_of,
    remembered,
    starting_images,
)
from pages.ui.latent.loaded_map import LoadedMap
from pages.ui.latent.upload import Upload

if TYPE_CHECKING:
    from derm_core.insight.traverse import Traversal


@dataclass(frozen=True)
class ClassPath:
    """A path towards a class, with a classifier's probabilities.

    Attributes:
        latents_nd: (steps, D), the first that of the image.
        probabilities_nc: (steps, C), of the decoded images.
        photograph_c: (C,), of the image itself, or of what the VAE draws of it where it is not here.
    """

    latents_nd: np.ndarray
    probabilities_nc: np.ndarray
    photograph_c: np.ndarray


@st.fragment
@scheduling.in_turn
def draw_towards(
    workspace: Workspace, traversal: Traversal, first: LoadedMap | None, own: Upload | None
) -> None:
    """A path towards a class, and a published model's probabilities along it; computed on request."""
    if not has_encoder(traversal):
        return
    starts = starting_images(traversal, first, own)
    cards = {card.name: card for card in cached.cards(workspace)}
    if not starts or not cards:
        st.caption(
            "Needs an image (Your image, above, or one selected on the map) and a published model."
        )
        return
    columns = st.columns(3)
    start = columns[0].selectbox("From image", list(starts), key="towards-start")
    card = cards[columns[1].selectbox("Model", list(cards), key="towards-model")]
    target = columns[2].selectbox(
        "Target class",
        card.classes,
        index=card.classes.index("mel") if "mel" in card.classes else 0,
        key=f"towards-class-{card.name}",
        format_func=lambda name: card.class_descriptions.get(name, name),
    )
    image = starts[start]
    key = ("path", traversal.source, image.pixels_ssc.tobytes(), card.name, card.sha256, target)
    if key not in st.session_state.get(MEMORY, {}) and not _ask_for_path():
        return
    path = remembered(key, lambda: _find_path(workspace, traversal, card, image, target))
    aim = card.classes.index(target)
    frames = list(traversal.decode(path.latents_nd))
    strip = [words.chance(probability) for probability in path.probabilities_nc[:, aim]]
    if image.is_original:
        frames.insert(0, image.pixels_ssc)
        strip.insert(0, f"photograph, {words.chance(path.photograph_c[aim])}")
    draw_strip(np.stack(frames), strip, f"From {start} towards {target}")
    _draw_path_chart(path, card, target, image.is_original)


def _ask_for_path() -> bool:
    """A button, gone once it is pressed. Returns whether it was."""
    place = st.empty()
    with place.container():
        st.caption(
            "The path follows the gradient of the model's probability through the decoder, step by step. It takes "
            "some seconds."
        )
        if not st.button("Find the path", icon=":material/play_arrow:", key="towards-go"):
            return False
    place.empty()
    return True


def _find_path(
    workspace: Workspace, traversal: Traversal, card: Card, image: StartImage, target: str
) -> ClassPath:
    predictor = cached_models.predictor(workspace, card.name)
    photograph = np.asarray(images.resized(image.pixels_ssc, predictor.size))
    start = latent_of(traversal, image)
    with st.spinner("Finding the path…"):
        latents, probabilities = traversal.towards(start, target, predictor, steps=STEPS)
    return ClassPath(latents, probabilities, predictor.predict(photograph[None])[0])


def _draw_path_chart(path: ClassPath, card: Card, target: str, is_original: bool) -> None:
    """The probabilities along the path, of the target and of the most probable classes at its ends."""
    probabilities, aim = path.probabilities_nc, card.classes.index(target)
    first, last = int(np.argmax(probabilities[0])), int(np.argmax(probabilities[-1]))
    steps = list(range(len(probabilities)))
    figure = charts.lines(
        {
            card.classes[index]: (steps, probabilities[:, index].astype(np.float32))
            for index in dict.fromkeys([aim, first, last])
        },
        f"Probabilities of {card.name} along the path",
        x="Step",
        share=True,
    )
    figure.update_yaxes(range=[0, 1])
    at_start = f"{card.classes[first]} {words.chance(probabilities[0, first])}"
    best = int(path.photograph_c.argmax())
    of_photograph = f"{card.classes[best]} {words.chance(path.photograph_c[best])}"
    photograph = (
        f"its answer at step 0 ({at_start}) may differ from that for the photograph ({of_photograph})"
        if is_original
        else f"its answer at step 0 is {at_start}; the photograph is not on this machine"
    )
    frame.show_chart(
        figure,
        pd.DataFrame(probabilities, columns=card.classes).assign(step=steps),
        key="towards",
        alt=f"Probability of {target} from {words.chance(probabilities[0, aim])} to "
        f"{words.chance(probabilities[-1, aim])} along the path",
        caption="From step 0 on the model sees decoded images, which are smoother than photographs: "
        f"{photograph}. The path shows what the model responds to, not how a lesion would change.",
    )
