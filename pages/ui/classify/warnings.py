"""What speaks against believing an answer, said before it: quality, unlike the training images, a training image itself."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from derm_core.bundles.card import Card
from derm_core.bundles.outlier import OutlierScore
from derm_core.bundles.prediction import Prediction
from pages.ui import words
from pages.ui.classify import models


def unlike(row: Prediction) -> bool:
    """Whether the image was flagged as unlike those the models were trained on."""
    return row.outlier.flagged


def draw_warnings(row: Prediction, cards: list[Card]) -> bool:
    """Say what is wrong with the image as a question to these models. Returns whether the answers must step back."""
    if unlike(row):
        who, say = (
            ("these models were", "they say") if len(cards) > 1 else ("this model was", "it says")
        )
        st.warning(
            f"**Not like the images {who} trained on.** What {say} of it means little. "
            + scores(row.outlier.scores, cards),
            icon=":material/help_center:",
        )
    if row.quality.problems:
        st.warning(
            "  \n".join(words.plain(problem) for problem in row.quality.problems),
            icon=":material/center_focus_weak:",
        )
    if row.duplicate:
        name = f", {words.plain(row.duplicate.image_id)}" if row.duplicate.image_id else ""
        st.info(
            f"Nearly the same image{name} was among the training images. What a model says of an image it was "
            "trained on says little about new ones.",
            icon=":material/content_copy:",
        )
    return unlike(row)


def scores(by_model: Mapping[str, OutlierScore], cards: list[Card]) -> str:
    """How far beyond its limit each model puts the image."""
    parts = []
    for card in cards:
        score = by_model.get(card.name)
        if not score:
            continue
        excesses = [f"feature distance {score.distance / score.threshold:.1f} times its limit"]
        if score.reconstruction_excess:
            ratio = score.reconstruction_excess
            excesses.append(f"reconstruction error {ratio:.1f} times its limit")
        parts.append(f"{models.column(card, cards)}: {', '.join(excesses)}.")
    return (
        " ".join(parts)
        + f" Of images like those of training, 5{words.THIN}% go beyond these limits."
    )


def caution(row: Prediction) -> str:
    """The same in a word or two, for the table of several images."""
    return ", ".join(
        filter(
            None,
            (
                "unlike training" if unlike(row) else "",
                "poor quality" if row.quality.problems else "",
                "near-duplicate" if row.duplicate else "",
            ),
        )
    )
