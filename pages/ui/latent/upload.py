"""The user's own image: placed on the maps among its nearest neighbours, a start for traversals; never on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from derm_core.config.shared import ImageForm
from derm_core.data.decode import MAX_BYTES, decode, prepare
from derm_core.errors import DermError, ImageError
from derm_core.workspace import Workspace
from pages.ui import cached_models, frame, images, words
from pages.ui.classify.input import types
from pages.ui.latent.loaded_map import LoadedMap

if TYPE_CHECKING:
    from derm_core.insight.placement import MapPlaces

KEY, FILE = "map-upload", "map-file"


@dataclass
class Upload:
    """An uploaded image, with what was computed of it.

    Attributes:
        content: hash of the file.
        places: by run id, where it falls on a map.
        predictions: by model name, the most probable class, its probability, and the class after adjusting for class
            frequency (None where that is not known).
    """

    name: str
    content: str
    picture: Image.Image
    places: dict[str, MapPlaces] = field(default_factory=dict)
    predictions: dict[str, tuple[str, float, str | None]] = field(default_factory=dict)

    def square(self, form: ImageForm) -> np.ndarray:
        """uint8 (S, S, 3): the centre square, as a model sees it that reads images of this form."""
        return prepare(self.picture, form.size, form.interpolation)


def choose_upload() -> Upload | None:
    """The uploader in its popover; the image is decoded once and stays in this session's memory."""
    sent = st.session_state.get(FILE)
    with st.popover(
        "Your image" if sent is None else words.plain(words.short(sent.name, 18)),
        icon=":material/upload:",
    ):
        file = st.file_uploader(
            "A dermatoscopic image, one lesion",
            types(),
            key="map-file",
            max_upload_size=MAX_BYTES // 2**20,
            help="It is placed on the maps among its nearest neighbours, and can be the start of "
            "a traversal. It stays in this session's memory and is never written to disk.",
        )
    if file is None:
        st.session_state.pop(KEY, None)
        return None
    upload: Upload | None = st.session_state.get(KEY)
    content = hashlib.sha256(file.getvalue()).hexdigest()
    if upload is None or upload.content != content:
        try:
            upload = Upload(file.name, content, decode(file.getvalue(), file.name))
        except ImageError as error:
            st.session_state.pop(KEY, None)
            frame.show_error(error)
            return None
        st.session_state[KEY] = upload
    return upload


def place_upload(
    workspace: Workspace, upload: Upload | None, loaded: LoadedMap, method: str
) -> tuple[float, float] | None:
    """(x, y), approximately, of the image on a map, computed once; None where there is none.

    A map that shows some of its images alone has none yet.
    """
    if upload is None or loaded.info.expected:
        return None
    if loaded.run_id not in upload.places:
        with frame.errors():
            placer = cached_models.placer(workspace, loaded.run_id)
            upload.places[loaded.run_id] = placer.place(upload.square(placer.form)[None])
    places = upload.places.get(loaded.run_id)
    if places is None:
        return None
    x, y = (places.umap_n2 if method == "umap" else places.pca_n2)[0]
    return (float(x), float(y)) if np.isfinite([x, y]).all() else None


def draw_upload(
    workspace: Workspace, upload: Upload, first: LoadedMap, second: LoadedMap | None
) -> None:
    """The image, the predictions of the map's models, and its nearest images in each space."""
    with st.container(border=True):
        left, right = st.columns([1, 5], gap="medium")
        with left:
            square = images.small_webp(Image.fromarray(upload.square(ImageForm(144))))
            st.image(images.data_url(square), width=144, alt=f"Your image {upload.name}")
            st.caption(f"{words.plain(upload.name)}, the centre square.")
            _draw_predictions(workspace, upload, first)
        with right:
            for loaded in filter(None, (first, second)):
                places = upload.places.get(loaded.run_id)
                if places is None:
                    continue
                st.markdown(
                    f"**Nearest in feature space to your image** · {words.plain(loaded.name)}"
                )
                rows = [int(row) for row in places.rows[0] if row >= 0][:8]
                images.gallery(
                    loaded.dataset, rows, columns=8, min_width=72, reconstruct=loaded.reconstruct
                )
            st.caption(
                "Its place on a map is approximate: the mean of its nearest neighbours' places, the nearer counting "
                "more."
            )


def _draw_predictions(workspace: Workspace, upload: Upload, loaded: LoadedMap) -> None:
    """The prediction of each model of the map, computed once."""
    for model in loaded.models:
        if model.name not in upload.predictions:
            try:
                predictor = cached_models.predictor(workspace, model.name)
            except DermError:  # was in the library when the map was made, and is no longer
                continue
            probabilities_1c = predictor.predict(upload.square(predictor.form)[None])
            best, decided = int(probabilities_1c.argmax()), predictor.adjusted(probabilities_1c)
            upload.predictions[model.name] = (
                predictor.classes[best],
                float(probabilities_1c[0, best]),
                None if decided is None else predictor.classes[int(decided[0])],
            )
        label, probability, adjusted = upload.predictions[model.name]
        other = ""
        if adjusted not in (None, label):
            other = f", {words.DECISIONS['adjusted'].lower()}: **{words.plain(adjusted)}**"
        st.markdown(
            f"{model.style.badge} **{words.plain(label)}** {words.chance(probability)}{other}"
        )
    if upload.predictions:
        st.caption(
            "Whether the image is like those that the models were trained on is not checked here: Classify does."
        )
