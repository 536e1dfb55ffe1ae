"""Paths through the latent space: between two images, the means of classes and of the selection, towards a class."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
import streamlit as st

from derm_core.bundles.card import Card
from derm_core.data.decode import read_image
from derm_core.insight.selection import find, sample
from derm_core.workspace import Workspace
from pages.ui import cached, cached_models, charts, frame, images, scheduling, words
from pages.ui.latent import selection
from pages.ui.latent.loaded_map import LoadedMap
from pages.ui.latent.upload import Upload

if TYPE_CHECKING:
    from derm_core.insight.traverse import Traversal

STEPS = 9  # images of a path
IMAGES_PER_MEAN = 100
REMEMBERED = 64  # latents, means and paths of a session
MEMORY = "latents"
OWN_IMAGE = "your image"
Value = TypeVar("Value")


def remembered(key: tuple[object, ...], compute: Callable[[], Value]) -> Value:
    """What was computed under `key` in this session, else `compute()`."""
    memory = st.session_state.setdefault(MEMORY, {})
    if key not in memory:
        while len(memory) >= REMEMBERED:
            memory.pop(next(iter(memory)))
        memory[key] = compute()
    return memory[key]


def latent_of(traversal: Traversal, image_ssc: np.ndarray) -> np.ndarray:
    """(D,) the posterior mean of one image."""
    key = ("latent", traversal.source, image_ssc.tobytes())
    return remembered(key, lambda: traversal.encode(image_ssc[None])[0])


def starting_images(
    traversal: Traversal, first: LoadedMap | None, own: Upload | None
) -> dict[str, np.ndarray]:
    """Images to start from by name: the user's own, then those selected last. Empty without an encoder."""
    if not traversal.can_encode:
        return {}
    starts = {OWN_IMAGE: own.square(traversal.size)} if own is not None else {}
    if first is not None:
        for row in selection.recent_rows(first)[:4]:
            name = str(first.dataset.frame["image_id"].iloc[row])
            starts[name] = _pixels(first, row, traversal.size)
    return starts


def webp_url(pixels: np.ndarray, side: int) -> str:
    """uint8 (S, S, 3) as WEBP of `side` pixels, in an address (images.data_url)."""
    return images.data_url(images.webp(images.resized(pixels, side)))


def _pixels(first: LoadedMap, row: int, size: int) -> np.ndarray:
    """uint8 (size, size, 3) of a manifest row. Raises ImageError."""
    entry = first.dataset.frame.iloc[row]
    return remembered(
        ("pixels", entry["sha256"], size),
        lambda: read_image(entry["path"], size, str(entry["image_id"])),
    )


def _has_encoder(traversal: Traversal) -> bool:
    """Whether images can be encoded; where they cannot, the page says so."""
    if not traversal.can_encode:
        st.info(
            "This model carries a decoder alone: its VAE's encoder is that of the pretraining or extractor it was made "
            "from, which is not here. Choose another VAE above, or move the sliders under Dimensions.",
            icon=":material/info:",
        )
    return traversal.can_encode


def _draw_strip(frames_nssc: np.ndarray, captions: list[str], alt: str) -> None:
    """Images in a row, as many as fit."""
    with st.grid(len(frames_nssc), min_column_width=76, gap="xsmall"):
        for number, (pixels, caption) in enumerate(zip(frames_nssc, captions, strict=True), 1):
            with st.container(gap=None):
                st.image(
                    webp_url(pixels, 128), width="stretch", alt=f"{alt}, step {number}: {caption}"
                )
                st.caption(caption)


# ---- between two images ------------------------------------------------------------------------


@st.fragment
@scheduling.in_turn
def draw_between(
    workspace: Workspace, traversal: Traversal, first: LoadedMap | None, own: Upload | None
) -> None:
    """The straight line between two images of the map, decoded."""
    if not _has_encoder(traversal) or first is None:
        return
    ids = first.dataset.frame["image_id"]
    defaults = [str(ids.iloc[row]) for row in selection.recent_rows(first)[:2]]
    rows = []
    for column, label, default in zip(
        st.columns(2), ("From image", "To image"), [*defaults, *defaults][:2], strict=True
    ):
        with column:
            text = st.text_input(
                label,
                default,
                key=f"between-{label}-{default}",
                type="search",
                help="An image id. Choose images on the map, and they stand here.",
            )
            matches = find(first.points, text, 1)
            if not matches:
                st.caption(f"No image id on this map holds “{words.plain(text)}”.")
            rows += matches
    if len(rows) < 2:
        return
    originals = np.stack([_pixels(first, row, traversal.size) for row in rows])
    start, end = (latent_of(traversal, image) for image in originals)
    path = traversal.between(start, end, steps=STEPS)
    labels = [words.plain(first.dataset.frame["label"].iloc[row] or "no label") for row in rows]
    shares = [f"{100 * step // (STEPS - 1)}{words.THIN}%" for step in range(STEPS)]
    _draw_strip(
        np.concatenate([originals[:1], traversal.decode(path), originals[1:]]),
        [f"original, {labels[0]}", *shares, f"original, {labels[1]}"],
        "From one image to the other",
    )
    st.caption(
        "The straight line between the two images' latents, decoded. The ends differ from the originals by what the "
        "VAE does not keep."
    )


# ---- mean images -------------------------------------------------------------------------------


@st.fragment
@scheduling.in_turn
def draw_means(
    workspace: Workspace, traversal: Traversal, first: LoadedMap | None, own: Upload | None
) -> None:
    """The mean image of every class, and of the selection."""
    if not _has_encoder(traversal) or first is None:
        return
    points, note = first.points, ""
    parts = {label: points[points["label"] == label] for label in sorted(first.dataset.classes)}
    selected = points[points["row"].isin(selection.current().rows)]
    if len(selected) > 1:
        parts = {"the selection": selected, **parts}
    else:
        note = " Choose several images on the map, and their mean stands here too."
    if len(selected) > IMAGES_PER_MEAN:
        count = f"{len(selected):,} images of the selection {IMAGES_PER_MEAN}"
        note = f" Of the {count} are taken, each class in proportion."
    rows = {
        name: sample(part, IMAGES_PER_MEAN)["row"].tolist()
        for name, part in parts.items()
        if len(part)
    }
    means = mean_latents(workspace, traversal, first, rows)
    _draw_strip(
        traversal.decode(np.stack(list(means.values()))),
        [f"{words.plain(name)} ({len(rows[name])})" for name in means],
        "Mean image",
    )
    st.caption(
        f"The decoded mean of the latents, of at most {IMAGES_PER_MEAN} images a class.{note}"
    )


def mean_latents(
    workspace: Workspace, traversal: Traversal, first: LoadedMap, rows: dict[str, list[int]]
) -> dict[str, np.ndarray]:
    """(D,) mean latents by name, of manifest rows; images are encoded once in a session."""
    store = cached.store(workspace, first.dataset.name, traversal.size)

    def mean_of(part: list[int]) -> np.ndarray:
        return traversal.mean_of(traversal.encode(np.asarray(store.images[part])))

    means = {}
    for name, part in rows.items():
        with st.spinner(f"Encoding {words.plain(name)}…"):
            key = ("mean", traversal.source, first.dataset.fingerprint, tuple(part))
            means[name] = remembered(key, functools.partial(mean_of, part))
    return means


# ---- towards a class ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassPath:
    """A path towards a class, with a classifier's probabilities.

    Attributes:
        latents_nd: (steps, D), the first that of the image.
        probabilities_nc: (steps, C), of the decoded images.
        photograph_c: (C,), of the image itself.
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
    if not _has_encoder(traversal):
        return
    starts = starting_images(traversal, first, own)
    cards = {card.name: card for card in cached.cards(workspace)}
    if not starts or not cards:
        st.caption(
            "It needs an image (Your image, above, or one chosen on the map) and a published model to ask."
        )
        return
    columns = st.columns(3)
    start = columns[0].selectbox("From image", list(starts), key="towards-start")
    card = cards[columns[1].selectbox("Asked of", list(cards), key="towards-model")]
    target = columns[2].selectbox(
        "Towards",
        card.classes,
        index=card.classes.index("mel") if "mel" in card.classes else 0,
        key=f"towards-class-{card.name}",
        format_func=lambda name: card.class_descriptions.get(name, name),
    )
    key = ("path", traversal.source, starts[start].tobytes(), card.name, card.sha256, target)
    if key not in st.session_state.get(MEMORY, {}) and not _ask_for_path():
        return
    path = remembered(key, lambda: _find_path(workspace, traversal, card, starts[start], target))
    aim = card.classes.index(target)
    _draw_strip(
        np.concatenate([starts[start][None], traversal.decode(path.latents_nd)]),
        [
            f"photograph, {words.chance(path.photograph_c[aim])}",
            *(words.chance(probability) for probability in path.probabilities_nc[:, aim]),
        ],
        f"From {start} towards {target}",
    )
    _draw_path_chart(path, card, target)


def _ask_for_path() -> bool:
    """A button, gone once it is pressed. Returns whether it was."""
    place = st.empty()
    with place.container():
        st.caption(
            "The path follows what the model's probability grows with, through the decoder, step by step. It "
            "takes some seconds."
        )
        if not st.button("Find the path", icon=":material/play_arrow:", key="towards-go"):
            return False
    place.empty()
    return True


def _find_path(
    workspace: Workspace, traversal: Traversal, card: Card, image_ssc: np.ndarray, target: str
) -> ClassPath:
    predictor = cached_models.predictor(workspace, card.name)
    photograph = np.asarray(images.resized(image_ssc, predictor.size))
    start = latent_of(traversal, image_ssc)
    with st.spinner("Finding the path…"):
        latents, probabilities = traversal.towards(start, target, predictor, steps=STEPS)
    return ClassPath(latents, probabilities, predictor.predict(photograph[None])[0])


def _draw_path_chart(path: ClassPath, card: Card, target: str) -> None:
    """The probabilities along the path, of the target and of the most probable classes at its ends."""
    probabilities, aim = path.probabilities_nc, card.classes.index(target)
    first, last = int(np.argmax(probabilities[0])), int(np.argmax(probabilities[-1]))
    steps = list(range(len(probabilities)))
    figure = charts.lines(
        {
            card.classes[index]: (steps, probabilities[:, index].astype(np.float32))
            for index in dict.fromkeys([aim, first, last])
        },
        f"What {card.name} says along the way",
        x="Step",
        share=True,
    )
    figure.update_yaxes(range=[0, 1])
    at_start = f"{card.classes[first]} {words.chance(probabilities[0, first])}"
    best = int(path.photograph_c.argmax())
    of_photograph = f"{card.classes[best]} {words.chance(path.photograph_c[best])}"
    frame.show_chart(
        figure,
        pd.DataFrame(probabilities, columns=card.classes).assign(step=steps),
        key="towards",
        alt=f"Probability of {target} from {words.chance(probabilities[0, aim])} to "
        f"{words.chance(probabilities[-1, aim])} along the way",
        caption="From step 0 on the model is asked about decoded images, which are smoother than photographs: its "
        f"answer at step 0 ({at_start}) may differ from that for the photograph ({of_photograph}). It is "
        "what the model looks for, not a forecast of how a lesion changes.",
    )
