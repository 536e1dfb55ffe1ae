"""A reader's own image: placed on the maps among its nearest neighbours, and a start for travelling; never on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from PIL import Image

from derm_core.arms import arm_style
from derm_core.data.decode import MAX_BYTES, decode, prepare
from derm_core.errors import DermError, ImageError
from pages.ui.classify.input import types
from pages.ui.latent.loaded_map import LoadedMap

from .. import cached, frame, images, words

KEY = "atlas-upload"


@dataclass
class Upload:
    """name; content: its hash; picture: decoded; places: by run id, where it falls on a map (insight.place.MapPlaces);
    answers: by model, its class and probability."""

    name: str
    content: str
    picture: Image.Image
    places: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, tuple[str, float]] = field(default_factory=dict)

    def square(self, size: int):
        """uint8 (size, size, 3): the centre square, as the models see it."""
        return prepare(self.picture, size)


def choose_upload() -> Upload | None:
    """The uploader in its popover; the image decoded once and kept in this session's memory."""
    before: Upload | None = st.session_state.get(KEY)
    sent = st.session_state.get("atlas-file")
    with st.popover(
        "Your image" if sent is None else words.plain(words.short(sent.name, 18)),
        icon=":material/upload:",
    ):
        file = st.file_uploader(
            "A dermatoscopic image, one lesion",
            types(),
            key="atlas-file",
            max_upload_size=MAX_BYTES // 2**20,
            help="It is placed on the maps among its nearest neighbours, and can be a start for "
            "travelling. It stays in this session's memory and is never written to disk.",
        )
    if file is None:
        st.session_state.pop(KEY, None)
        return None
    content = hashlib.sha256(file.getvalue()).hexdigest()
    if before is None or before.content != content:
        try:
            before = st.session_state[KEY] = Upload(
                file.name, content, decode(file.getvalue(), file.name)
            )
        except ImageError as error:
            st.session_state.pop(KEY, None)
            frame.show_error(error)
            return None
    return before


def place_upload(
    workspace, upload: Upload | None, map_: LoadedMap | None, method: str
) -> tuple[float, float] | None:
    """Where the image falls on a map, approximately; computed once. None where there is none, or the map cannot tell."""
    if upload is None or map_ is None:
        return None
    if map_.run_id not in upload.places:
        with frame.errors():
            placer = cached.placer(workspace, map_.run_id)
            upload.places[map_.run_id] = placer.place(upload.square(placer.size)[None])
    found = upload.places.get(map_.run_id)
    if found is None:
        return None
    x, y = (found.umap_n2 if method == "umap" else found.pca_n2)[0]
    return (float(x), float(y)) if x == x and y == y else None


def draw_answers(workspace, upload: Upload, map_: LoadedMap) -> None:
    """What each model of the map says of the image, asked once."""
    for opinion in map_.opinions:
        name = opinion["name"]
        if name not in upload.answers:
            try:
                predictor = cached.predictor(workspace, name)
            except DermError:  # published when the map was made, and gone since
                continue
            probabilities = predictor.predict(upload.square(predictor.size)[None])[0]
            best = int(probabilities.argmax())
            upload.answers[name] = predictor.classes[best], float(probabilities[best])
        said, sure = upload.answers[name]
        st.markdown(
            f"{arm_style(opinion['arm'], name).badge} **{words.plain(said)}** {words.chance(sure)}"
        )
    if upload.answers:
        st.caption(
            "Whether the image is like those that the models were trained on is not checked here: Classify does."
        )


def draw_upload(workspace, upload: Upload, first: LoadedMap, second: LoadedMap | None) -> None:
    """The image, what the models say of it, and its nearest in each space."""
    with st.container(border=True):
        left, right = st.columns([1, 5], gap="medium")
        with left:
            square = images.small(Image.fromarray(upload.square(144)))
            st.image(images.data_url(square), width=144, alt=f"Your image {upload.name}")
            st.caption(f"{words.plain(upload.name)}, the centre square.")
            draw_answers(workspace, upload, first)
        with right:
            for map_ in filter(None, (first, second)):
                found = upload.places.get(map_.run_id)
                if found is None:
                    continue
                st.markdown(
                    f"**Nearest in feature space to your image** · {words.plain(map_.name)}"
                )
                images.gallery(
                    map_.dataset,
                    [int(row) for row in found.rows[0] if row >= 0][:8],
                    columns=8,
                    min_width=72,
                )
            st.caption(
                "Its place on a map is approximate: the mean of its nearest neighbours' places, the nearer counting "
                "more."
            )
