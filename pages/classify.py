"""Classify: two opinions on one lesion, each with its reasons and its limits."""

from __future__ import annotations

import streamlit as st
from PIL import Image

from derm_core.bundles.card import Card
from derm_core.bundles.library import ListedBundle
from pages.ui import cached, frame, images, scheduling, uploads, words
from pages.ui.classify import (
    answers,
    crop,
    explanations,
    input,
    models,
    predictions,
    results_table,
    warnings,
)
from pages.ui.classify.answers import CENTRE, SHOWN, Answer

BESIDE = 2  # models whose answers fit beside the picture


def picture(answer: Answer, cards: list[Card]) -> None:
    """What the models see of the image."""
    sizes = words.listed([str(size) for size in sorted({card.input_size for card in cards})])
    part = "the centre square" if answer.crop == CENTRE else "the square you chose"
    st.image(
        images.drawn(Image.fromarray(answer.square)),
        width=SHOWN,
        alt=f"{answer.name}, the square that the models see",
        caption=f"{words.plain(answer.name)}: {part}, all that the models see, at {sizes}{words.THIN}px.",
    )


def one_image(workspace, answer: Answer, cards: list[Card]) -> bool:
    """One image: what the models see, its limits, what they say and why, and another square of it; whether it is whole.

    Answers and reasons wait behind a fold where the image is unlike those the models know. More than two models
    stand below the picture, where there is room for them. Where other sessions wait, charts and reasons are drawn once
    asked for: they take longer than the answer.
    """
    left, right = st.columns([1, 3], gap="medium")
    with left:
        picture(answer, cards)
    with right:
        behind = warnings.draw_warnings(answer.row, cards)
        if not behind and answers.in_brief(answer):
            predictions.in_brief(
                answer,
                cards,
                words.aside("Other sessions wait for their answers, so this one is brief."),
            )
            st.button(
                "Show charts and reasons",
                icon=":material/expand_more:",
                on_click=answers.show_whole,
                args=(answer,),
            )
            return False
        coverage = None if behind else predictions.together(answer, cards)
        if not behind and len(cards) <= BESIDE:
            predictions.each(answer, cards, coverage)
    if not behind and len(cards) > BESIDE:
        predictions.each(answer, cards, coverage)
    crop.draw_crop_tool(answer, sorted({card.input_size for card in cards}))
    if not behind:
        explanations.draw_explanations(workspace, answer, cards)
        return True
    fold = st.expander(
        "What the models say all the same",
        icon=":material/visibility_off:",
        on_change="rerun",
        key=answers.closed_at_first("behind", answer),
    )
    if fold.open:
        with fold:
            predictions.draw_predictions(answer, cards)
            explanations.draw_explanations(workspace, answer, cards)
    return True


def nothing_yet(cards: list[Card]) -> None:
    """What will be here, and a sample to begin with."""
    names = words.listed([models.column(card, cards) for card in cards])
    if st.query_params.get("from") == "samples":
        st.caption(f"Choose a sample: {names} will each say here what it shows, side by side.")
    elif frame.empty(
        f"{names} will each say here what a picture shows, with what speaks for and against each answer. Your "
        f"images stay in this session's memory.{input.about_heic()}",
        title="No image yet",
        icon=":material/image_search:",
        action="Try a generated sample",
        primary=False,
    ):
        st.query_params.update({"from": "samples", "sample": "1"})
        st.rerun()


@st.fragment
@scheduling.in_turn
def asked(workspace, published: list[ListedBundle]) -> None:
    """Which models, which images, and the answers. A fragment: a new image runs this part alone.

    published: cards of the models in the library as the page found them.
    """
    uploads.release()
    cards = models.choose(published)
    chosen = input.choose_images(workspace)
    if not cards:
        st.info("Choose at least one model.", icon=":material/deployed_code:")
    elif not chosen:
        st.session_state.pop("predictions", None)
        nothing_yet(cards)
    else:
        models.say_what_differs(cards)
        with frame.errors():
            predictors = {card.name: cached.predictor(workspace, card.name) for card in cards}
            if models.outdated(predictors, cards):
                st.rerun()  # the whole page, which takes the cards anew
            found = answers.classify(workspace, predictors, cards, chosen)
            result = answers.result(found)
            results_table.refused(result.errors)
            if result.images:
                shown = results_table.table([answer for answer in found if answer.row], cards)
                if one_image(workspace, shown, cards):
                    results_table.downloads(result)
    if not chosen:
        with (
            frame.errors()
        ):  # after the page stands: the first answer should not wait for the models
            for card in cards:
                cached.predictor(workspace, card.name)


workspace = frame.page("classify")
asked(workspace, cached.bundles(workspace))
