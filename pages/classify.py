"""Classify: the predictions of two models for one lesion, each with its explanations and its limits."""

from __future__ import annotations

import streamlit as st
from PIL import Image

from derm_core.bundles.card import Card
from derm_core.bundles.model_library import ListedBundle
from derm_core.workspace import Workspace
from pages.ui import cached, cached_models, frame, images, scheduling, uploads, words
from pages.ui.classify import answers, crop, input, models, predictions, results_table, warnings
from pages.ui.classify.answers import CENTRE, SQUARE, Answer


def draw_square(answer: Answer, cards: list[Card]) -> None:
    """What the models see of the image."""
    sizes = words.listed([str(size) for size in sorted({card.input_size for card in cards})])
    part = "the centre square" if answer.crop == CENTRE else "the square you chose"
    st.image(
        images.jpeg_url(Image.fromarray(answer.square)),
        width=SQUARE,
        alt=f"{answer.name}, the square that the models see",
    )
    # An image with a caption of its own does not shrink to a narrow column.
    st.caption(
        f"{words.plain(answer.name)}: {part}, which the models see at {sizes}{words.THIN}px."
    )


def draw_image(workspace: Workspace, answer: Answer, cards: list[Card]) -> bool:
    """One image: warnings, the answer in short beside the picture, each model, the crop tool, explanations.

    Predictions and explanations are folded where the image is unlike the training images. While other sessions wait,
    only a summary is drawn, and the rest on request: charts and explanations take longer than the predictions.

    Returns:
        Whether the image was drawn in full.
    """
    left, right = st.columns([3, 1], gap="medium")  # on a phone the picture is below the answer
    with right:
        draw_square(answer, cards)
    with left:
        unlike = warnings.draw_warnings(answer.prediction, cards)
        if not unlike and answers.is_brief(answer):
            draw_brief(answer, cards)
            return False
        if not unlike:
            predictions.draw_answer(answer.prediction, cards)
    if not unlike:
        predictions.draw_models(answer.prediction, cards)
    crop.draw_crop_tool(answer, sorted({card.input_size for card in cards}))
    if unlike:
        draw_folded(workspace, answer, cards)
    else:
        draw_explanations(workspace, answer, cards)
    return True


def draw_brief(answer: Answer, cards: list[Card]) -> None:
    """A summary, and a button for the rest."""
    note = "Other sessions wait for their answers, so this one is brief."
    predictions.draw_brief(answer.prediction, cards, note)
    st.button(
        "Show charts and explanations",
        icon=":material/expand_more:",
        on_click=answers.show_in_full,
        args=(answer,),
    )


def draw_folded(workspace: Workspace, answer: Answer, cards: list[Card]) -> None:
    """Predictions and explanations of an image unlike the training images."""
    fold = st.expander(
        "Show the predictions nevertheless",
        icon=":material/visibility_off:",
        on_change="rerun",
        key=answers.closed_at_first("unlike", answer),
    )
    if fold.open:
        with fold:
            predictions.draw_predictions(answer.prediction, cards)
            draw_explanations(workspace, answer, cards)


def draw_explanations(workspace: Workspace, answer: Answer, cards: list[Card]) -> None:
    """Saliency, occlusion, nearest training images and reconstruction."""
    from pages.ui.classify import explanations  # loads torch, as the models have by now

    explanations.draw_explanations(workspace, answer, cards)


def draw_empty(cards: list[Card]) -> None:
    """What will be here, and a sample to begin with."""
    names = words.listed([models.column(card, cards) for card in cards])
    if st.query_params.get("from") == "samples":
        st.caption(f"Choose a sample to see the answers of {names} side by side.")
    elif frame.empty(
        f"The answers of {names} will stand here side by side, with explanations. Your images stay in this session's "
        f"memory.{input.about_heic()}",
        title="No image yet",
        icon=":material/image_search:",
        action="Try a generated sample",
        primary=False,
    ):
        st.query_params.update({"from": "samples", "sample": "1"})
        st.rerun()


@st.fragment
@scheduling.in_turn
def draw_classification(workspace: Workspace, published: list[ListedBundle]) -> None:
    """Models, images and predictions. A fragment: a new image runs this part alone.

    published: the models in the library when the page was drawn.
    """
    uploads.release()
    cards = models.choose_models(published)
    chosen = input.choose_images(workspace)
    if not cards:
        st.info("Choose at least one model.", icon=":material/deployed_code:")
    elif chosen:
        models.warn_of_differences(cards)
        with frame.errors():
            predictors = {
                card.name: cached_models.predictor(workspace, card.name) for card in cards
            }
            if models.outdated(predictors, cards):
                st.rerun()  # the whole page, which reads the cards again
            everything = answers.classify(workspace, predictors, cards, chosen)
            result = answers.predictions_of(everything)
            results_table.draw_refused(result.errors)
            readable = [answer for answer in everything if isinstance(answer, Answer)]
            if readable and draw_image(
                workspace, results_table.choose_answer(readable, cards), cards
            ):
                results_table.draw_downloads(result)
    else:
        st.session_state.pop("predictions", None)
        draw_empty(cards)
    if not chosen:  # the page is drawn: load the models before the first image comes
        with frame.errors():
            for card in cards:
                cached_models.predictor(workspace, card.name)


workspace = frame.page("classify")
draw_classification(workspace, cached.bundles(workspace))
