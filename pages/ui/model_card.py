"""A model's card: what a reader must know before using it, in the order in which it matters."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from derm_core.arms import arm_style
from derm_core.bundles.card import Card, card_json
from pages.ui import words

NOT_SHOWN = ("tensors", "latent")


def draw_classifier_card(card: Card) -> None:
    """Use and limits, test metrics, what stands beside an answer, where it comes from; the whole card folded below."""
    st.markdown(f"{arm_style(card.arm, card.label).badge} {words.plain(card.intended_use)}")
    st.markdown("\n".join(f"- {words.plain(limit)}" for limit in card.limits))
    shown = {
        words.QUANTITIES.get(name, name): words.interval(value, name)
        for name, value in card.metrics.items()
        if isinstance(value, dict) and "mean" in value
    }
    if shown:
        st.markdown(f"**Test split, 95{words.THIN}% intervals**")
        st.table(shown, border="horizontal", alt="Test metrics")
        st.caption(words.plain(card.metrics_note or ""))
    beside(card)
    st.markdown("**Classes**")
    st.table(
        {
            words.plain(name): words.plain(card.class_descriptions.get(name, ""))
            for name in card.classes
        },
        border="horizontal",
        alt="Classes",
    )
    origin(card, ("training_data", "initial_weights", "split"))


def draw_extractor_card(card: Card) -> None:
    """The card of a pretrained VAE without a classifier."""
    st.markdown(words.plain(card.intended_use))
    st.markdown("\n".join(f"- {words.plain(limit)}" for limit in card.limits))
    measured = card.reconstruction
    facts = {
        "Mean squared error of the reconstruction": words.number(measured.pixel_mse, 4),
        "Active latent dimensions": f"{measured.active_units:.0f} of {card.decoder.latent_dim}",
    }
    if card.knn:
        accuracy = words.percent(card.knn.balanced_accuracy)
        facts["Balanced accuracy of nearest neighbours"] = accuracy
    st.table(facts, border="horizontal", alt="Quality of the extractor")
    st.caption(f"On {measured.images:,.0f} images that were not trained on. {copies(card)}")
    origin(card, ("training_data",))


def origin(card: Card, parts: tuple[str, ...]) -> None:
    """Where data and weights come from, terms, commands, and the whole card."""
    whole = card_json(card)
    for key in parts:
        facts = {
            name.replace("_", " ").capitalize(): words.plain(tell(value))
            for name, value in whole[key].items()
            if value not in (None, "", []) and name not in ("config", "data")
        }
        if facts:
            st.markdown(f"**{key.replace('_', ' ').capitalize()}**")
            st.table(facts, border="horizontal", alt=key.replace("_", " "))
    st.markdown(f"**Terms.** {words.plain(card.license)}")
    st.markdown("**Made by**")
    st.code("\n".join(card.commands), language="bash", wrap_lines=True)
    st.caption(f"SHA-256 {card.sha256}")
    with st.expander("The whole card", icon=":material/data_object:"):
        st.json({key: value for key, value in whole.items() if key not in NOT_SHOWN}, expanded=1)


# ---- what stands beside an answer --------------------------------------------------------------


def beside(card: Card) -> None:
    """Calibration, prediction sets, operating point, outliers and copies, each as measured."""
    facts = dict(filter(None, (calibration(card), *operating_point(card), *outliers(card))))
    if facts:
        st.markdown("**Beside an answer**")
        st.table(facts, border="horizontal", alt="Calibration, operating point and outlier scores")
    coverage(card)
    if said := copies(card):
        st.caption(said)


def calibration(card: Card) -> tuple[str, str] | None:
    fitted = card.temperature
    if not fitted:
        return "Calibration", "none: probabilities are as the network gives them"
    return (
        "Calibration",
        f"temperature {words.number(fitted.value, 2)}, fitted on {fitted.images or 0:,} images",
    )


def operating_point(card: Card) -> list[tuple[str, str]]:
    point = card.operating_point
    if not point:
        return []
    name = words.plain(card.class_descriptions.get(point.class_name, point.class_name))
    said = f"threshold {words.percent(point.threshold)}: sensitivity {words.interval(point.sensitivity)}"
    if measured := point.test_specificity:
        said += f", specificity {words.interval(measured)} on the test split"
    return [(f"Operating point, {name}", said)]


def outliers(card: Card) -> list[tuple[str, str]]:
    """Share flagged as unlike the training images, by where the images are from."""
    rates = (card.outlier and card.outlier.rates) or {}
    said = ", ".join(f"{words.plain(name)} {words.percent(rate)}" for name, rate in rates.items())
    return [("Flagged as unlike training", said)] if said else []


def coverage(card: Card) -> None:
    """How often prediction sets held the truth on the test split, overall and by class, at every offered coverage."""
    measured = (card.conformal and card.conformal.test) or {}
    rows: dict[str, dict[str, Any]] = {}
    for level, found in measured.items():
        column = f"{float(level):.0%} sets"
        rows.setdefault("All images", {})[column] = words.interval(found.get("coverage"))
        if dealt := found.get("redivided"):
            rows.setdefault("All images, calibration and test groups redrawn", {})[column] = (
                words.interval(dealt)
            )
        for name, one in (found.get("per_class") or {}).items():
            label = f"{card.class_descriptions.get(name, name)} ({one.get('images', 0):,})"
            rows.setdefault(label, {})[column] = words.percent(one.get("coverage"))
        rows.setdefault("Classes in a set, mean", {})[column] = words.number(
            found.get("mean_size"), 1
        )
    if rows:
        st.markdown("**Prediction sets: how often they held the truth on the test split**")
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("Images of").reset_index()
        table["Images of"] = table["Images of"].map(words.plain)
        st.table(
            table,
            border="horizontal",
            hide_index=True,
            alt="Coverage of the prediction sets overall and by class",
        )
        dealt = (
            (
                " Groups redrawn: calibration and test groups divided at random, mean and middle 95"
                f"{words.THIN}%."
            )
            if "All images, calibration and test groups redrawn" in rows
            else ""
        )
        st.caption(
            "Split-conformal sets promise their coverage over all images, not within a class: a rare class can be "
            f"covered less often.{dealt} {words.plain(card.conformal.calibrated_on or '')}"
        )


def copies(card: Card) -> str:
    """Whether samples of a published decoder are copies of training images."""
    found = card.memorisation
    if not found:
        return ""
    drawn = words.plain(found.drawn_from or "the prior")  # which older cards do not say
    beside = (
        f" Of {found.held_out_images:,} photographs that it never saw, {found.held_out_copies:,} would be called so."
        if found.held_out_copies is not None
        else ""
    )
    return (
        f"Memorisation check: of {found.samples:,} images drawn by the decoder from {drawn}, {found.copies:,} "
        f"{'is a copy' if found.copies == 1 else 'are copies'} of a training image.{beside}"
    )


def tell(value: object) -> str:
    """A fact of a card as words: 10015 → '10,015', a dict as its parts."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {tell(part)}" for name, part in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
