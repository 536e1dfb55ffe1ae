"""Between two images of the latent space, and the mean images of classes and of the selection."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import streamlit as st

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
    originals = np.stack([_pixels(first, row, traversal.size) for row in rows])
    start, end = (latent_of(traversal, image) for image in originals)
    path = traversal.between(start, end, steps=STEPS)
    labels = [words.plain(first.dataset.frame["label"].iloc[row] or "no label") for row in rows]
    shares = [f"{100 * step // (STEPS - 1)}{words.THIN}%" for step in range(STEPS)]
    draw_strip(
        np.concatenate([originals[:1], traversal.decode(path), originals[1:]]),
        [f"original, {labels[0]}", *shares, f"original, {labels[1]}"],
        "From one image to the other",
    )
    st.caption(
        "The straight line between the two images' latents, decoded. The ends differ from the originals by what the "
        "VAE does not encode."
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
