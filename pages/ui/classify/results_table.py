"""Several images in one table, what was refused, and everything as a file."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd
import streamlit as st
from PIL import Image

from derm_core.bundles.card import Card
from derm_core.bundles.prediction import Prediction, Predictions, RefusedImage
from derm_core.records import to_json
from pages.ui import frame, images, words
from pages.ui.classify import warnings
from pages.ui.classify.answers import Answer
from pages.ui.classify.models import column, key


def refused(errors: Sequence[RefusedImage]) -> None:
    """Files that were refused, each with its reason, in one box."""
    said = [words.plain(row.error) for row in errors]
    if len(said) == 1:
        st.error(said[0], icon=":material/block:")
    elif said:
        listing = [f"{len(said)} files were refused.", *(f"- {sentence}" for sentence in said)]
        st.error("\n".join(listing), icon=":material/block:")


def table(answers: list[Answer], cards: list[Card]) -> Answer:
    """All images in one table; a click on a row opens it below. Returns the one to show."""
    if len(answers) < 2:
        return answers[0]
    agreed = [
        answer.row.agree
        for answer in answers
        if answer.row.agree is not None and not warnings.unlike(answer.row)
    ]
    st.subheader(
        f"{len(answers)} images" + (f", the models agree on {sum(agreed)}" if agreed else ""),
        anchor=False,
    )
    found = pd.DataFrame(
        [
            {
                "Image": images.data_url(
                    images.webp(Image.fromarray(answer.square).resize((88, 88)))
                ),
                **{column(card, cards): said(answer.row, card) for card in cards},
                **({"Agree": said_together(answer.row)} if agreed else {}),
                "Caution": warnings.caution(answer.row),
                "File": answer.name,
            }
            for answer in answers
        ]
    )
    if not found["Caution"].any():
        found = found.drop(columns="Caution")
    event = st.dataframe(
        found,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="overview",
        row_height=44,
        selection_default={"selection": {"rows": [0]}},
        alt="Predictions of every image",
        height="content" if len(found) <= 12 else 400,
        column_config={
            "Image": st.column_config.ImageColumn(width=56),
            "Agree": st.column_config.TextColumn(width=64),
        },
    )
    st.caption(f"Choose a row to see that image below. {key(cards)}")
    picked = event.selection.rows
    return answers[picked[0] if picked and picked[0] < len(answers) else 0]


def said(row: Prediction, card: Card) -> str:
    """'mel 64.1%': one model's most probable class; '–' for an image unlike those it knows."""
    if warnings.unlike(row):
        return "–"
    arm = row.arms[card.name]
    return f"{arm.top} {words.chance(arm.probabilities[arm.top])}"


def said_together(row: Prediction) -> str:
    return "–" if warnings.unlike(row) else "Yes" if row.agree else "No"


def downloads(result: Predictions) -> None:
    """Everything on the page as CSV (a line an image and model) and as the JSON that `predict --json` prints."""
    with st.container(horizontal=True):
        frame.download_table(
            lambda: pd.DataFrame(lines(result)), "Download CSV", name="predictions"
        )
        st.download_button(
            "Download JSON",
            lambda: json.dumps(to_json(result), indent=1).encode(),
            file_name="predictions.json",
            mime="application/json",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
        )


def lines(result: Predictions) -> list[dict]:
    """A flat line for every image and model."""
    rows = []
    for image in result.images:
        for name, arm in image.arms.items():
            chosen, point = arm.prediction_set, arm.operating_point
            rows.append(
                {
                    "path": image.path,
                    "model": name,
                    "top": arm.top,
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
