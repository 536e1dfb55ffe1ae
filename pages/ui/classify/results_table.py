"""Several images in one table, refused files, and the predictions as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st
from PIL import Image

from derm_core.bundles.card import Card
from derm_core.bundles.prediction import Prediction, Predictions, RefusedImage
from derm_core.records import to_json
from pages.ui import frame, images, words
from pages.ui.classify.answers import Answer
from pages.ui.classify.models import class_key, column
from pages.ui.classify.warnings import short_warning


def draw_refused(errors: Sequence[RefusedImage]) -> None:
    """Refused files, each with its reason, in one box."""
    reasons = [words.plain(refused.error) for refused in errors]
    if len(reasons) > 1:
        reasons = [f"{len(reasons)} files were refused.", *(f"- {reason}" for reason in reasons)]
    if reasons:
        st.error("\n".join(reasons), icon=":material/block:")


def choose_answer(answers: list[Answer], cards: list[Card]) -> Answer:
    """The image to show: of several, that of the selected row of a table."""
    if len(answers) < 2:
        return answers[0]
    agreements = [
        prediction.agree
        for prediction in (answer.prediction for answer in answers)
        if prediction.agree is not None and not prediction.outlier.flagged
    ]
    agreed = f", the models agree on {sum(agreements)}" if agreements else ""
    st.subheader(f"{len(answers)} images{agreed}", anchor=False)
    table = pd.DataFrame([_overview(answer, cards, bool(agreements)) for answer in answers])
    if not table["Caution"].any():
        table = table.drop(columns="Caution")
    event = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="overview",
        row_height=44,
        selection_default={"selection": {"rows": [0]}},
        alt="Predictions of every image",
        height="content" if len(table) <= 12 else 400,
        column_config={
            "Image": st.column_config.ImageColumn(width=56),
            "Agree": st.column_config.TextColumn(width=64),
        },
    )
    st.caption(
        "Choose a row to see that image below. Each model: its most probable class and, where it differs, the class "
        f"adjusted for class frequency. {class_key(cards)}"
    )
    rows = event.selection.rows
    return answers[rows[0] if rows and rows[0] < len(answers) else 0]


def _overview(answer: Answer, cards: list[Card], with_agreement: bool) -> dict[str, str]:
    """One image's row. Predictions of an image unlike the training images are left out."""
    prediction, agree = answer.prediction, {}
    unlike = prediction.outlier.flagged
    if with_agreement:
        agree["Agree"] = "–" if unlike else "Yes" if prediction.agree else "No"
    return {
        "Image": images.data_url(images.webp(Image.fromarray(answer.square).resize((88, 88)))),
        **{column(card, cards): "–" if unlike else _top(prediction, card) for card in cards},
        **agree,
        "Caution": short_warning(prediction),
        "File": answer.name,
    }


def _top(prediction: Prediction, card: Card) -> str:
    """'mel 64.1 %, adjusted bkl': one model's most probable class, and the adjusted one where it differs."""
    arm = prediction.arms[card.name]
    adjusted = f", adjusted {arm.top_adjusted}" if arm.top_adjusted not in (None, arm.top) else ""
    return f"{arm.top} {words.chance(arm.probabilities[arm.top])}{adjusted}"


def draw_downloads(predictions: Predictions) -> None:
    """Everything on the page as CSV (a line for each image and model) and as the JSON of `predict --json`."""
    with st.container(horizontal=True):
        frame.download_table(
            lambda: pd.DataFrame(flat_rows(predictions)), "Download CSV", name="predictions"
        )
        st.download_button(
            "Download JSON",
            lambda: json.dumps(to_json(predictions), indent=1).encode(),
            file_name="predictions.json",
            mime="application/json",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
        )


def flat_rows(predictions: Predictions) -> list[dict[str, Any]]:
    """A flat row for each image and model."""
    rows = []
    for image in predictions.images:
        for name, arm in image.arms.items():
            chosen, point = arm.prediction_set, arm.operating_point
            rows.append(
                {
                    "path": image.path,
                    "model": name,
                    "top": arm.top,
                    "top_adjusted": arm.top_adjusted,
                    **arm.probabilities,
                    "prediction_set": " ".join(chosen.classes) if chosen else "",
                    "coverage": chosen and chosen.coverage,
                    **{f"priority_{key}": value for key, value in (arm.priority or {}).items()},
                    "called": point.class_name if point and point.called else None,
                    "agree": image.agree,
                    "unlike_training": image.outlier.flagged,
                    "problems": " ".join(image.quality.problems),
                    "duplicate": image.duplicate and image.duplicate.image_id,
                    **{f"crop_{part}": value for part, value in (image.crop or {}).items()},
                }
            )
    return rows
