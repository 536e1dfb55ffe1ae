"""A model's card: what must be known before the model is used, in the order of importance."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from derm_core.arms import arm_style
from derm_core.bundles.card import Card, card_json
from derm_core.report.sections.parts import about_calibration_error
from pages.ui import glossary, words

NOT_SHOWN = ("tensors", "latent")  # long lists of numbers
NOT_MEASURED = "not measured"
REDRAWN = "All images, calibration and test groups redrawn"


def draw_classifier_card(card: Card) -> None:
    """Use and limits, metrics, measured behaviour, classes, provenance; the whole card folded below."""
    st.markdown(f"{arm_style(card.arm, card.label).badge} {words.plain(card.intended_use)}")
    _draw_limits(card)
    _draw_metrics(card)
    _draw_behaviour(card)
    _draw_coverage(card)
    if card.memorisation:
        st.caption(_memorisation(card))
    st.markdown("**Classes**")
    names = card.class_descriptions
    classes = {words.plain(name): words.plain(names.get(name, "")) for name in card.classes}
    st.table(classes, border="horizontal", alt="Classes")
    _draw_provenance(card, ("training_data", "initial_weights", "split"))


def decision_scores(card: Card) -> dict[str, dict[str, str]]:
    """{decision: {"accuracy", "balanced_accuracy": text}}: how often each is right on the test split."""
    return {
        name: {
            metric: words.interval(value, metric) if value else NOT_MEASURED
            for metric, value in vars(getattr(card.decision_scores, key)).items()
        }
        for key, name in words.DECISIONS.items()
    }


def describe_decisions(card: Card) -> str:
    """Markdown of two lines: accuracy and balanced accuracy of each decision on the test split."""
    return "  \n".join(
        f"{name}: accuracy {score['accuracy']}, balanced accuracy {score['balanced_accuracy']}."
        for name, score in decision_scores(card).items()
    )


def _draw_metrics(card: Card) -> None:
    """Metrics on the test split: accuracy and balanced accuracy by decision, then those of the probabilities."""
    metrics = {
        words.QUANTITIES.get(name, name): words.interval(value, name)
        for name, value in card.metrics.items()
        if isinstance(value, dict) and "mean" in value and name not in words.OF_A_DECISION
    }
    if not card.metrics:
        return
    glossary.heading(
        f"Test split, 95{words.THIN}% intervals",
        terms=("two-decisions", "balanced-accuracy", "macro-auroc", "log-loss", "brier-score"),
        level=3,
    )
    rows = [
        {
            "Class": name,
            **{words.QUANTITIES[metric]: score[metric] for metric in words.OF_A_DECISION},
        }
        for name, score in decision_scores(card).items()
    ]
    st.table(
        pd.DataFrame(rows), border="horizontal", hide_index=True, alt="Accuracy of both decisions"
    )
    if metrics:
        st.table(metrics, border="horizontal", alt="Test metrics")
    about = about_calibration_error(card.versions) if "ece" in card.metrics else ""
    st.caption(words.plain(" ".join(filter(None, (card.metrics_note, about)))))


def draw_extractor_card(card: Card) -> None:
    """The card of a pretrained VAE without a classifier."""
    st.markdown(words.plain(card.intended_use))
    _draw_limits(card)
    if card.reconstruction and card.decoder:
        measured = card.reconstruction
        facts = {
            "Mean squared error of the reconstruction": words.number(measured.pixel_mse, 4),
            "Active latent dimensions": f"{measured.active_units:.0f} of {card.decoder.latent_dim}",
        }
        if card.knn:
            accuracy = words.percent(card.knn.balanced_accuracy)
            facts["Balanced accuracy of nearest neighbours"] = accuracy
        st.table(facts, border="horizontal", alt="Quality of the extractor")
        st.caption(
            f"On {measured.images:,.0f} images that were not trained on. {_memorisation(card)}"
        )
    _draw_provenance(card, ("training_data",))


def _draw_limits(card: Card) -> None:
    st.markdown("\n".join(f"- {words.plain(limit)}" for limit in card.limits))


def _draw_provenance(card: Card, parts: tuple[str, ...]) -> None:
    """Where data and weights come from, terms, commands, and the whole card."""
    whole = card_json(card)
    for part in parts:
        facts = {
            name.replace("_", " ").capitalize(): words.plain(_fact(value))
            for name, value in whole[part].items()
            if value not in (None, "", []) and name not in ("config", "data")
        }
        if facts:
            title = part.replace("_", " ")
            st.markdown(f"**{title.capitalize()}**")
            st.table(facts, border="horizontal", alt=title)
    st.markdown(f"**Terms.** {words.plain(card.license)}")
    st.markdown("**Made by**")
    st.code("\n".join(card.commands), language="bash", wrap_lines=True)
    st.caption(f"SHA-256 {card.sha256}")
    with st.expander("The whole card", icon=":material/data_object:"):
        st.json({key: value for key, value in whole.items() if key not in NOT_SHOWN}, expanded=1)


def _fact(value: object) -> str:
    """A value of a card as text: 10015 → '10,015', a mapping as its parts."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_fact(part)}" for name, part in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


# ---- measured behaviour ------------------------------------------------------------------------


def _draw_behaviour(card: Card) -> None:
    """Calibration, operating point and outlier rates, each as measured."""
    facts = {"Calibration": "none: probabilities are as the network gives them"}
    if fitted := card.temperature:
        value, images = words.number(fitted.value, 2), fitted.images or 0
        facts["Calibration"] = f"temperature {value}, fitted on {images:,} images"
    if point := card.operating_point:
        name = words.plain(card.class_descriptions.get(point.class_name, point.class_name))
        text = f"threshold {words.percent(point.threshold)}: sensitivity {words.interval(point.sensitivity)}"
        if point.test_specificity:
            text += f", specificity {words.interval(point.test_specificity)} on the test split"
        facts[f"Operating point, {name}"] = text
    if card.outlier and card.outlier.rates:
        facts["Flagged as unlike training"] = ", ".join(
            f"{words.plain(name)} {words.percent(rate)}"
            for name, rate in card.outlier.rates.items()
        )
    glossary.heading(
        "Calibration, operating point, outliers",
        terms=(
            "temperature-scaling",
            "operating-point",
            "sensitivity-specificity",
            "outlier-score",
        ),
        level=3,
    )
    st.table(facts, border="horizontal", alt="Calibration, operating point and outlier scores")


def _draw_coverage(card: Card) -> None:
    """How often prediction sets held the true class on the test split, overall and by class, for every coverage."""
    if not card.conformal or not card.conformal.test:
        return
    rows: dict[str, dict[str, str]] = {}

    def add(row: str, column: str, text: str) -> None:
        rows.setdefault(row, {})[column] = text

    for level, measured in card.conformal.test.items():
        column = f"{float(level):.0%} sets"
        add("All images", column, words.interval(measured.get("coverage")))
        if redrawn := measured.get("redivided"):
            add(REDRAWN, column, words.interval(redrawn))
        for name, one in (measured.get("per_class") or {}).items():
            label = f"{card.class_descriptions.get(name, name)} ({one.get('images', 0):,})"
            add(label, column, words.percent(one.get("coverage")))
        add("Classes in a set, mean", column, words.number(measured.get("mean_size"), 1))
    glossary.heading(
        "Prediction sets: how often they contain the true class on the test split",
        terms=("conformal-set",),
        level=3,
    )
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("Images of").reset_index()
    table["Images of"] = table["Images of"].map(words.plain)
    st.table(
        table,
        border="horizontal",
        hide_index=True,
        alt="Coverage of the prediction sets overall and by class",
    )
    note = (
        " Groups redrawn: calibration and test groups divided at random, mean and middle 95"
        f"{words.THIN}%."
    )
    st.caption(
        "Split-conformal sets guarantee their coverage over all images, not within a class: a rare class can be "
        f"covered less often.{note if REDRAWN in rows else ''} {words.plain(card.conformal.calibrated_on or '')}"
    )


def _memorisation(card: Card) -> str:
    """Whether samples of a published decoder are copies of training images."""
    check = card.memorisation
    if not check:
        return ""
    source = words.plain(check.drawn_from or "the prior")  # older cards do not name it
    held_out = ""
    if check.held_out_copies is not None:
        images, copies = check.held_out_images or 0, check.held_out_copies
        held_out = (
            f" Of {images:,} photographs that it never saw, {copies:,} would be counted as copies."
        )
    verb = "is a copy" if check.copies == 1 else "are copies"
    return (
        f"Memorisation check: of {check.samples:,} images drawn by the decoder from {source}, {check.copies:,} "
        f"{verb} of a training image.{held_out}"
    )
