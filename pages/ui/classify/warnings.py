"""What speaks against believing an answer, said before it: quality, unlike the training images, a training image itself."""

from __future__ import annotations

import streamlit as st

from pages.ui import words
from pages.ui.classify import models


def unlike(row: dict) -> bool:
    """Whether the image was flagged as unlike those the models were trained on."""
    return bool((row.get("outlier") or {}).get("flagged"))


def draw_warnings(row: dict, cards: list[dict]) -> bool:
    """Say what is wrong with the image as a question to these models. Returns whether the answers must step back."""
    quality, outlier, duplicate = (
        row.get("quality") or {},
        row.get("outlier") or {},
        row.get("duplicate"),
    )
    if unlike(row):
        who, say = (
            ("these models were", "they say") if len(cards) > 1 else ("this model was", "it says")
        )
        st.warning(
            f"**Not like the images {who} trained on.** What {say} of it means little. "
            + scores(outlier.get("scores") or {}, cards),
            icon=":material/help_center:",
        )
    problems = quality.get("problems") or []
    if problems:
        st.warning(
            "  \n".join(words.plain(problem) for problem in problems),
            icon=":material/center_focus_weak:",
        )
    if duplicate:
        name = f", {words.plain(duplicate['image_id'])}" if duplicate.get("image_id") else ""
        st.info(
            f"Nearly the same image{name} was among the training images. What a model says of an image it was "
            "trained on says little about new ones.",
            icon=":material/content_copy:",
        )
    return unlike(row)


def scores(found: dict, cards: list[dict]) -> str:
    """How far beyond its limit each model puts the image."""
    parts = []
    for card in cards:
        score = found.get(card["name"])
        if not score:
            continue
        said = [f"feature distance {score['distance'] / score['threshold']:.1f} times its limit"]
        if score.get("reconstruction") is not None and score.get("reconstruction_threshold"):
            ratio = score["reconstruction"] / score["reconstruction_threshold"]
            said.append(f"reconstruction error {ratio:.1f} times its limit")
        parts.append(f"{models.column(card, cards)}: {', '.join(said)}.")
    return (
        " ".join(parts)
        + f" Of images like those of training, 5{words.THIN}% go beyond these limits."
    )


def caution(row: dict) -> str:
    """The same in a word or two, for the table of several images."""
    quality = row.get("quality") or {}
    return ", ".join(
        filter(
            None,
            (
                "unlike training" if unlike(row) else "",
                "poor quality" if quality.get("problems") else "",
                "near-duplicate" if row.get("duplicate") else "",
            ),
        )
    )
