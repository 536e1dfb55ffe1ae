"""What limits a prediction, drawn before it: image quality, unlike the training images, itself a training image."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from derm_core.bundles.card import Card
from derm_core.bundles.outlier import OutlierScore
from derm_core.bundles.prediction import Prediction
from pages.ui import words
from pages.ui.classify import models


def draw_warnings(prediction: Prediction, cards: list[Card]) -> bool:
    """Draw the warnings. Returns whether the image is so unlike the training images that predictions are folded."""
    if prediction.outlier.flagged:
        who = "these models were" if len(cards) > 1 else "this model was"
        st.warning(
            f"**Not like the images {who} trained on.** Predictions mean little here. "
            + _excesses(prediction.outlier.scores, cards),
            icon=":material/help_center:",
        )
    if prediction.quality.problems:
        st.warning(
            "  \n".join(words.plain(problem) for problem in prediction.quality.problems),
            icon=":material/center_focus_weak:",
        )
    if duplicate := prediction.duplicate:
        name = f", {words.plain(duplicate.image_id)}" if duplicate.image_id else ""
        st.info(
            f"Nearly the same image{name} was among the training images: its prediction says little about new ones.",
            icon=":material/content_copy:",
        )
    return prediction.outlier.flagged


def _excesses(scores: Mapping[str, OutlierScore], cards: list[Card]) -> str:
    """How far beyond its limit the image is for each model."""
    parts = []
    for card in cards:
        if score := scores.get(card.name):
            distance = f"feature distance {score.distance / score.threshold:.1f} times its limit"
            error = ""
            if score.reconstruction_excess:
                error = f", reconstruction error {score.reconstruction_excess:.1f} times its limit"
            parts.append(f"{models.column(card, cards)}: {distance}{error}.")
    parts.append(f"Of images like those of training, 5{words.THIN}% go beyond these limits.")
    return " ".join(parts)


def short_warning(prediction: Prediction) -> str:
    """The warnings in a word or two, for the table of several images."""
    warnings = {
        "unlike training": prediction.outlier.flagged,
        "poor quality": bool(prediction.quality.problems),
        "near-duplicate": prediction.duplicate is not None,
    }
    return ", ".join(text for text, holds in warnings.items() if holds)
