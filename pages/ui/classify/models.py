"""Which models classify, and their names on this page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from derm_core.arms import arm_style, in_order
from derm_core.bundles.card import Card
from derm_core.bundles.model_library import ListedBundle
from pages.ui import frame, words

if TYPE_CHECKING:
    from derm_core.bundles.predictor import Predictor

COMPARED: dict[str, Callable[[Card], Any]] = {
    "regime": lambda card: card.regime,
    "training split": lambda card: card.split.fingerprint,
    "classes": lambda card: card.classes,
    "input size": lambda card: card.input_size,
    "architecture": lambda card: (card.architecture, card.stage),
}


def choose_models(published: list[ListedBundle]) -> list[Card]:
    """The cards of the chosen models: by default one of each of the first two arms, those that ship first."""
    bundles = {bundle.name: bundle for bundle in published}
    cards = {name: bundle.card for name, bundle in bundles.items() if bundle.card}
    linked = [name for name in st.query_params.get("models", "").split(",") if name]
    _draw_missing(linked, bundles)
    if not cards:
        frame.empty(
            "Two published models will classify your images side by side here. There is none in the library: "
            "finish a study and publish its models, or import a bundle.",
            title="No model yet",
            icon=":material/deployed_code:",
            action="Go to the models",
            page="models",
        )
        st.stop()
    default = [card.name for card in default_models(published)]
    if len(cards) == len(default):
        return [cards[name] for name in default]
    chosen = st.multiselect(
        "Models",
        list(cards),
        default=[name for name in linked if name in cards] or default,
        key="models",
        wrap=True,
        format_func=lambda name: f"{_label(cards[name])} · {name}",
    )
    if chosen == default:
        st.query_params.pop("models", None)
    else:
        st.query_params["models"] = ",".join(chosen)
    return [cards[name] for name in chosen]


def default_models(published: list[ListedBundle]) -> list[Card]:
    """One intact model of each of the first two arms, those that ship first."""
    first_of_arm: dict[str, Card] = {}
    for bundle in published:
        if bundle.card:
            first_of_arm.setdefault(bundle.card.arm, bundle.card)
    return [first_of_arm[arm] for arm in in_order(first_of_arm)][:2]


def _draw_missing(linked: list[str], bundles: Mapping[str, ListedBundle]) -> None:
    """Errors for the models of the address that are not there or are refused."""
    for name in linked:
        if name not in bundles:
            st.error(
                f"There is no model {words.plain(name)} in this library.",
                icon=":material/deployed_code:",
            )
        elif bundles[name].error:
            st.error(
                f"**{words.plain(name)}** is refused: {words.plain(bundles[name].error)}",
                icon=":material/gpp_bad:",
            )


def outdated(predictors: Mapping[str, Predictor], cards: list[Card]) -> bool:
    """Whether one of these models was published again since the page read its card."""
    return any(predictors[card.name].card != card for card in cards)


def warn_of_differences(cards: list[Card]) -> None:
    """A warning where the models differ in more than their features: regime, split, classes, size or network."""
    differing = [name for name, of in COMPARED.items() if len({of(card) for card in cards}) > 1]
    if differing:
        st.warning(
            f"Not a like-for-like comparison: these models differ in {', '.join(differing)}.",
            icon=":material/compare_arrows:",
        )


def _label(card: Card) -> str:
    return arm_style(card.arm, card.label).name


def column(card: Card, cards: list[Card]) -> str:
    """A model's heading: its arm, and its own name where several models have that arm."""
    shared = sum(_label(other) == _label(card) for other in cards) > 1
    return f"{_label(card)} · {card.name}" if shared else _label(card)


def heading(card: Card, cards: list[Card]) -> str:
    """`column` with the arm's colour, as markdown."""
    style = arm_style(card.arm, card.label)
    return style.badge + (f" {card.name}" if column(card, cards) != style.name else "")


def class_name(card: Card, key: str) -> str:
    """A class in words where the card has them."""
    return card.class_descriptions.get(key, key).rstrip(".")


def plain_class_name(card: Card, key: str) -> str:
    """`class_name` for markdown."""
    return words.plain(class_name(card, key))


def class_key(cards: list[Card]) -> str:
    """'nv: melanocytic nevus, …': the short names of all classes in words."""
    names = {key: plain_class_name(card, key) for card in cards for key in card.classes}
    entries = [
        f"{words.plain(key)}: {name}" for key, name in names.items() if name != words.plain(key)
    ]
    return f"{', '.join(entries)}." if entries else ""
