"""What the models say of each image, computed once and kept in the session until the image is taken away."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from derm_core.bundles.card import Card
from derm_core.bundles.prediction import Prediction, Predictions, RefusedImage
from derm_core.data.decode import crop_square, decode, prepare
from derm_core.errors import ImageError
from pages.ui import images, scheduling

SHOWN, WHOLE = (
    256,
    900,
)  # pixels of the square beside the answer, and at most of the picture one chooses it in
Crop = tuple[
    float, float, float
]  # centre x, centre y and side of a square, as shares of the picture
CENTRE: Crop = (0.5, 0.5, 1.0)


@dataclass
class Answer:
    """One file: what `predict` says of it, or why it was refused, and what the page needs to show it.

    row: the prediction, None where refused. square: (SHOWN, SHOWN, 3) uint8, what the models see; crop: (centre x,
    centre y, side) as shares; reasons: what was asked for since. data: the file, not a copy of it.
    """

    name: str
    key: str
    data: bytes
    row: Prediction | None = None
    error: RefusedImage | None = None
    square: np.ndarray | None = None
    crop: Crop = CENTRE
    reasons: dict[Any, Any] = field(default_factory=dict)
    _pixels: dict[int, np.ndarray] = field(default_factory=dict)

    def pixels(self, size: int) -> np.ndarray:
        """(size, size, 3) uint8, what a model of that input size sees."""
        if size not in self._pixels:
            self._pixels[size] = prepare(seen(decode(self.data, self.name), self.crop), size)
        return self._pixels[size]

    @cached_property
    def whole(self) -> bytes:
        """WEBP of the whole picture, at most WHOLE pixels."""
        picture = decode(self.data, self.name)
        picture.thumbnail((WHOLE, WHOLE), Image.Resampling.BICUBIC)
        return images.webp(picture)


def classify(
    workspace, predictors: dict, cards: list[Card], chosen: list[tuple[str, bytes]]
) -> list[Answer]:
    """An Answer for every file, in their order, by the predictors of `cards`. Those of files that are gone, and their
    squares, are forgotten."""
    models = tuple(card.sha256 for card in cards)
    before, known = st.session_state.get("predictions", {}), {}
    crops = st.session_state.setdefault("crops", {})
    bar = st.progress(0.0, "Classifying…") if len(chosen) > 4 else None
    for number, (name, data) in enumerate(chosen, 1):
        content = hashlib.sha256(data).hexdigest()
        key = (name, content, crops.get(content, CENTRE), models)
        known[key] = before.get(key) or answer(
            workspace, predictors, name, data, content, crops.get(content, CENTRE)
        )
        if bar:
            bar.progress(number / len(chosen), f"Classifying: {number} of {len(chosen)}")
    if bar:
        bar.empty()
    st.session_state["predictions"] = known
    st.session_state["crops"] = {
        content: crops[content] for _, content, *_ in known if content in crops
    }
    return list(known.values())


def answer(
    workspace,
    predictors: dict,
    name: str,
    data: bytes,
    content: str,
    crop: Crop,
) -> Answer:
    """Decode a file once, cut the square out of it and ask every model."""
    from derm_core.bundles.predict import predict_images

    found = Answer(name, content, data, crop=crop)
    try:
        picture = decode(data, name)
    except ImageError as error:
        found.error = RefusedImage(name, str(error))
        return found
    chosen = seen(picture, crop)
    result = predict_images(workspace, None, [(name, chosen)], predictors)
    if result.errors:
        found.error = result.errors[0]
        return found
    found.row = result.images[0]
    if crop != CENTRE:
        square = dict(zip(("centre_x", "centre_y", "side"), crop, strict=True))
        found.row = replace(found.row, crop=square)
    found.square = prepare(chosen, SHOWN)
    return found


def closed_at_first(key: str, answer: Answer) -> str:
    """Key of a fold that closes when another image is shown.

    One key for all images: what Streamlit notes of a key it keeps as long as the session.
    """
    if st.session_state.get(f"{key}-of") != answer.key:
        st.session_state[f"{key}-of"], st.session_state[key] = answer.key, False
    return key


def in_brief(answer: Answer) -> bool:
    """Whether an image's answer is to be brief: others wait, and it has not been shown whole before."""
    if not scheduling.others_wait():
        show_whole(answer)
    return st.session_state.get("shown-whole") != answer.key


def show_whole(answer: Answer) -> None:
    """From now on, until another image is shown."""
    st.session_state["shown-whole"] = answer.key


def seen(picture: Image.Image, crop: Crop) -> Image.Image:
    """The part of a picture whose middle square the models see."""
    return picture if crop == CENTRE else crop_square(picture, *crop)


def result(answers: list[Answer]) -> Predictions:
    """What `predict --json` prints; a square of one's own choice stands in its image as "crop"."""
    return Predictions(
        tuple(answer.row for answer in answers if answer.row),
        tuple(answer.error for answer in answers if answer.error),
    )
