"""The nearest training images of an image in each model's feature space, and its place among all of them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from derm_core.bundles.card import Card
from derm_core.bundles.prediction import Neighbour
from derm_core.insight.placement import place_in_training
from derm_core.workspace import Workspace
from pages.ui import cached, cached_models, frame, images, words
from pages.ui.classify.answers import Answer
from pages.ui.classify.models import class_key, heading, plain_class_name
from pages.ui.map_scatter import map_scatter, mark


def draw_nearest(workspace: Workspace, answer: Answer, cards: list[Card]) -> None:
    """Nearest training images and place among all of them, for each model."""
    with st.grid(min(len(cards), 3), min_column_width=300):
        for card in cards:
            with st.container(border=True, height="stretch", gap="xsmall"):
                st.markdown(heading(card, cards))
                neighbours = answer.prediction.arms[card.name].neighbours
                if not neighbours:
                    st.caption(
                        "This model's card does not have the features of its training images."
                    )
                    continue
                _draw_neighbours(workspace, card, neighbours)
                _draw_place(workspace, answer, card)
    st.caption(
        "Nearest first, with label and distance: between features, in each model's own standard deviations, so "
        "that distances of different models cannot be compared. Below them, all training images on the first two "
        f"principal axes of the model's features. {class_key(cards)}"
    )


def _draw_neighbours(workspace: Workspace, card: Card, neighbours: Sequence[Neighbour]) -> None:
    """Label and distance of each; its picture where the dataset is on this machine."""
    rows = _manifest_rows(workspace, card, [neighbour.image_id for neighbour in neighbours])
    if rows is not None:
        images.gallery(
            cached.dataset(workspace, card.training_data.dataset or ""),
            rows,
            columns=5,
            min_width=72,
            captions=[f"{words.plain(near.label)}  \n{near.distance:.2f}" for near in neighbours],
        )
        return
    table = pd.DataFrame(
        {
            "Label": [plain_class_name(card, near.label) for near in neighbours],
            "Distance": [f"{near.distance:.2f}" for near in neighbours],
        }
    )
    if all(near.image_id for near in neighbours):
        table["Image"] = [near.image_id for near in neighbours]
    st.table(table, border="horizontal", hide_index=True, alt="Nearest training images")
    st.caption("The pictures are shown where the training data is on this machine.")


def _manifest_rows(workspace: Workspace, card: Card, ids: Sequence[str | None]) -> list[int] | None:
    """Rows of training images in the dataset of that name; None where one of them is not on this machine."""
    name = card.training_data.dataset or ""
    if name not in {summary.name for summary in cached.datasets(workspace)}:
        return None
    image_ids = cached.dataset(workspace, name).frame["image_id"]
    places = {image_id: row for row, image_id in enumerate(image_ids)}
    return [places[image_id] for image_id in ids] if set(ids) <= set(places) else None


def _draw_place(workspace: Workspace, answer: Answer, card: Card) -> None:
    """The image as a cross among the training images, on the first two principal axes of the features."""
    placed = answer.explained(
        ("place", card.name),
        lambda: place_in_training(
            cached_models.predictor(workspace, card.name), answer.pixels(card.form)
        ),
    )
    if placed is None:
        return
    points = pd.DataFrame(
        {
            "x": placed.training_n2[:, 0],
            "y": placed.training_n2[:, 1],
            "row": range(len(placed.labels_n)),
            "label": [card.classes[label] for label in placed.labels_n],
        }
    )
    figure = map_scatter(points, x="x", y="y", title="", height=300)
    mark(figure, placed.image_2, "this image")
    frame.show_chart(
        figure,
        None,
        key=f"place-{card.name}",
        caption="",
        alt="The image among the training images on two principal axes of the features",
    )
