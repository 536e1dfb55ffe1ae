"""The predictions of the session's images, computed once and held until the image is removed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from PIL import Image

from derm_core.bundles.card import Card
from derm_core.bundles.prediction import Prediction, Predictions, RefusedImage
from derm_core.config.shared import ImageForm
from derm_core.data.decode import crop_square, decode, prepare
from derm_core.errors import ImageError
from derm_core.workspace import Workspace
from pages.ui import images, scheduling
from pages.ui.classify.input import NamedImage

if TYPE_CHECKING:
    from derm_core.bundles.predictor import Predictor

SQUARE, WHOLE = 256, 900  # pixels of the square beside the predictions, and at most of the picture
Crop = tuple[float, float, float]  # centre x, centre y and side of a square, as shares
CENTRE: Crop = (0.5, 0.5, 1.0)


@dataclass
class Answer:
    """One readable file with its prediction, and what the page shows of it.

    Attributes:
        key: hash of the content.
        data: the file itself, not a copy.
        square: (SQUARE, SQUARE, 3) uint8, what the models see.
        explanations: computed on request, by what they explain.
    """

    name: str
    key: str
    data: bytes
    crop: Crop
    prediction: Prediction
    square: np.ndarray
    explanations: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    _pixels: dict[ImageForm, np.ndarray] = field(default_factory=dict)

    def pixels(self, form: ImageForm) -> np.ndarray:
        """(S, S, 3) uint8, what a model that reads images of this form sees."""
        if form not in self._pixels:
            square = cropped(decode(self.data, self.name), self.crop)
            self._pixels[form] = prepare(square, form.size, form.interpolation)
        return self._pixels[form]

    @cached_property
    def whole(self) -> bytes:
        """The whole picture as WEBP, at most WHOLE pixels."""
        picture = decode(self.data, self.name)
        picture.thumbnail((WHOLE, WHOLE), Image.Resampling.BICUBIC)
        return images.webp(picture)

    def explained(self, key: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
        """The explanation `key`: computed before, else `compute()`."""
        if key not in self.explanations:
            self.explanations[key] = compute()
        return self.explanations[key]


def classify(
    workspace: Workspace,
    predictors: Mapping[str, Predictor],
    cards: list[Card],
    chosen: list[NamedImage],
) -> list[Answer | RefusedImage]:
    """An answer for every file, in their order. Answers and crops of files that are gone are forgotten."""
    models = tuple(card.sha256 for card in cards)
    before, answers = st.session_state.get("predictions", {}), {}
    crops: dict[str, Crop] = st.session_state.setdefault("crops", {})
    bar = st.progress(0.0, "Classifying…") if len(chosen) > 4 else None
    for number, (name, data) in enumerate(chosen, 1):
        content = hashlib.sha256(data).hexdigest()
        crop = crops.get(content, CENTRE)
        key = (name, content, crop, models)
        answers[key] = before.get(key) or _classify_one(
            workspace, predictors, name, content, data, crop
        )
        if bar:
            bar.progress(number / len(chosen), f"Classifying: {number} of {len(chosen)}")
    if bar:
        bar.empty()
    st.session_state["predictions"] = answers
    contents = {content for _, content, *_ in answers}
    st.session_state["crops"] = {key: crop for key, crop in crops.items() if key in contents}
    return list(answers.values())


def _classify_one(
    workspace: Workspace,
    predictors: Mapping[str, Predictor],
    name: str,
    content: str,
    data: bytes,
    crop: Crop,
) -> Answer | RefusedImage:
    """Decode a file once and classify its square by every model."""
    from derm_core.bundles import predict

    try:
        square = cropped(decode(data, name), crop)
    except ImageError as error:
        return RefusedImage(name, str(error))
    result = predict.predict_images(workspace, None, [(name, square)], predictors)
    if result.errors:
        return result.errors[0]
    prediction = result.images[0]
    if crop != CENTRE:
        shares = dict(zip(("centre_x", "centre_y", "side"), crop, strict=True))
        prediction = replace(prediction, crop=shares)
    return Answer(name, content, data, crop, prediction, prepare(square, SQUARE))


def cropped(picture: Image.Image, crop: Crop) -> Image.Image:
    """The part of a picture whose centre square the models see."""
    return picture if crop == CENTRE else crop_square(picture, *crop)


def predictions_of(answers: Sequence[Answer | RefusedImage]) -> Predictions:
    """What `predict --json` prints; a square other than the centre is in its image's "crop"."""
    return Predictions(
        tuple(answer.prediction for answer in answers if isinstance(answer, Answer)),
        tuple(answer for answer in answers if isinstance(answer, RefusedImage)),
    )


# ---- what the page shows of an answer ----------------------------------------------------------


def closed_at_first(key: str, answer: Answer) -> str:
    """Key of an expander that closes when another image is shown.

    One key for all images: Streamlit holds what it knows of a key as long as the session.
    """
    if st.session_state.get(f"{key}-of") != answer.key:
        st.session_state[f"{key}-of"], st.session_state[key] = answer.key, False
    return key


def is_brief(answer: Answer) -> bool:
    """Whether only a summary is drawn: other sessions wait, and this image was not shown in full before."""
    if not scheduling.others_wait():
        show_in_full(answer)
    return st.session_state.get("shown-in-full") != answer.key


def show_in_full(answer: Answer) -> None:
    """From now on, until another image is shown."""
    st.session_state["shown-in-full"] = answer.key
