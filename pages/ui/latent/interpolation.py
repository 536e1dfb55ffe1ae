"""Between two images of the latent space, and the mean images of classes and of the selection."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import streamlit as st

from derm_core.config.shared import ImageForm
from derm_core.data.decode import read_image
from derm_core.insight.selection import find, sample
from derm_core.workspace import Workspace
from pages.ui import cached, images, scheduling, words
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
NOT_HERE = (
    "Latents of this VAE are not stored with the published map, and its images are not on this machine. Choose the VAE "
    "of the published map above, or import the dataset on the page Data."
)
NOT_STORED = (
    "Mean images of a published map are those of its stored latents, and this VAE's are not stored. Choose the VAE of "
    "the published map above."
)
Value = TypeVar("Value")


def remembered(key: tuple[object, ...], compute: Callable[[], Value]) -> Value:
    """What was computed under `key` in this session, else `compute()`."""
    memory = st.session_state.setdefault(MEMORY, {})
    if key not in memory:
        while len(memory) >= REMEMBERED:
            memory.pop(next(iter(memory)))
        memory[key] = compute()
    return memory[key]


@dataclass(frozen=True, eq=False)
class StartImage:
    """An image that a path starts from or ends at.

    Attributes:
        pixels_ssc: uint8 (S, S, 3), S the VAE's size.
        latent_d: its stored posterior mean, where only that is on this machine; `pixels_ssc` is then
            what the VAE draws of it.
    """

    pixels_ssc: np.ndarray
    latent_d: np.ndarray | None = None

    @property
    def is_original(self) -> bool:
        """Whether the pixels are those of a file."""
        return self.latent_d is None


def latent_of(traversal: Traversal, start: StartImage) -> np.ndarray:
    """(D,) the posterior mean of one image."""
    if start.latent_d is not None:
        return start.latent_d
    key = ("latent", traversal.source, start.pixels_ssc.tobytes())
    return remembered(key, lambda: traversal.encode(start.pixels_ssc[None])[0])


def starting_images(
    traversal: Traversal, first: LoadedMap | None, own: Upload | None
) -> dict[str, StartImage]:
    """Images to start from by name: the user's own, then those selected last. Empty without an encoder."""
    if not traversal.can_encode:
        return {}
    starts = (
        {OWN_IMAGE: StartImage(own.square(ImageForm(traversal.size)))} if own is not None else {}
    )
    if first is not None:
        for row in selection.recent_rows(first)[:4]:
            if (start := start_image(traversal, first, row)) is not None:
                starts[str(first.dataset.frame["image_id"].iloc[row])] = start
    return starts


def start_image(traversal: Traversal, first: LoadedMap, row: int) -> StartImage | None:
    """A manifest row to start from: its file, else its stored latent; None where neither serves this VAE.

    Raises:
        ImageError: the file is damaged.
    """
    entry = first.dataset.frame.iloc[row]
    if entry["path"]:
        key = ("pixels", entry["sha256"], traversal.size)
        name = str(entry["image_id"])
        return StartImage(remembered(key, lambda: read_image(entry["path"], traversal.size, name)))
    latents = first.stored.latents_of(traversal) if first.stored else None
    if latents is None:
        return None
    drawn_key = ("drawn", traversal.source, first.run_id, row)
    drawn = remembered(drawn_key, lambda: traversal.decode(latents[row][None])[0])
    return StartImage(drawn, latents[row])


def webp_url(pixels: np.ndarray, side: int) -> str:
    """uint8 (S, S, 3) as WEBP of `side` pixels, in an address (images.data_url)."""
    return images.data_url(images.webp(images.resized(pixels, side)))


def has_encoder(traversal: Traversal) -> bool:
    """Whether images can be encoded; where they cannot, the page says so."""
    if not traversal.can_encode:
        st.info(
            "This model has the VAE's decoder only. Its encoder belongs to the pretraining or extractor that the model "
            "was made from, which is not here. Choose another VAE above, or move the sliders under Dimensions.",
            icon=":material/info:",
        )
    return traversal.can_encode


def draw_strip(frames_nssc: np.ndarray, captions: list[str], alt: str) -> None:
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
    if not has_encoder(traversal) or first is None:
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
    starts = [start_image(traversal, first, row) for row in rows]
    ends = [end for end in starts if end is not None]
    if len(ends) < 2:
        st.info(NOT_HERE, icon=":material/info:")
        return
    start, end = (latent_of(traversal, one) for one in ends)
    path = traversal.between(start, end, steps=STEPS)
    labels = [words.plain(first.dataset.frame["label"].iloc[row] or "no label") for row in rows]
    strip = [f"{100 * step // (STEPS - 1)}{words.THIN}%" for step in range(STEPS)]
    frames = list(traversal.decode(path))
    for one, label, at_start in zip(ends, labels, (True, False)):
        if one.is_original:
            place = 0 if at_start else len(frames)
            frames.insert(place, one.pixels_ssc)
            strip.insert(place, f"original, {label}")
    draw_strip(np.stack(frames), strip, "From one image to the other")
    st.caption(
        "The straight line between the two images' latents, decoded. "
        + (
            "The ends differ from the originals by what the VAE does not encode."
            if all(one.is_original for one in ends)
            else f"{labels[0]} to {labels[1]}; originals that are not on this machine are not shown."
        )
    )


# ---- mean images -------------------------------------------------------------------------------


@st.fragment
@scheduling.in_turn
def draw_means(
    workspace: Workspace, traversal: Traversal, first: LoadedMap | None, own: Upload | None
) -> None:
    """The mean image of every class, and of the selection."""
    if not has_encoder(traversal) or first is None:
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
    if means is None:
        st.info(NOT_STORED, icon=":material/info:")
        return
    draw_strip(
        traversal.decode(np.stack(list(means.values()))),
        [f"{words.plain(name)} ({len(rows[name])})" for name in means],
        "Mean image",
    )
    st.caption(
        f"The decoded mean of the latents, of at most {IMAGES_PER_MEAN} images a class.{note}"
    )


def mean_latents(
    workspace: Workspace, traversal: Traversal, first: LoadedMap, rows: dict[str, list[int]]
) -> dict[str, np.ndarray] | None:
    """(D,) mean latents by name, of manifest rows; images are encoded once in a session.

    Of a published map they are those of its stored latents; None where they are another VAE's.
    """
    if first.stored is not None:
        latents = first.stored.latents_of(traversal)
        if latents is None:
            return None
        return {name: traversal.mean_of(latents[part]) for name, part in rows.items()}
    store = cached.store(workspace, first.dataset.name, traversal.size)

    def mean_of(part: list[int]) -> np.ndarray:
        return traversal.mean_of(traversal.encode(np.asarray(store.images[part])))

    means = {}
    for name, part in rows.items():
        with st.spinner(f"Encoding {words.plain(name)}…"):
            key = ("mean", traversal.source, first.dataset.fingerprint, tuple(part))
            means[name] = remembered(key, functools.partial(mean_of, part))
    return means
