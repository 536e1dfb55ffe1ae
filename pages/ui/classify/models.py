"""Which models are asked, and what they are called on this page."""

from __future__ import annotations

import streamlit as st

from derm_core.arms import arm_style, in_order
from derm_core.bundles.card import Card
from derm_core.bundles.library import ListedBundle

from .. import frame, words


def outdated(predictors: dict, cards: list[Card]) -> bool:
    """Whether one of these models was published anew since the page took its card."""
    return any(predictors[card.name].card != card for card in cards)


def choose(published: list[ListedBundle]) -> list[Card]:
    """Cards of the models to ask: one of each arm, those that ship first, unless the reader or ?models= says otherwise."""
    found = {bundle.name: bundle for bundle in published}
    shelf = {name: bundle.card for name, bundle in found.items() if bundle.card}
    wanted = [name for name in st.query_params.get("models", "").split(",") if name]
    missing(wanted, found)
    if not shelf:
        frame.empty(
            "Two published models will classify your images side by side here. There is none in the library: "
            "finish a study and publish its models, or import a bundle.",
            title="No model to ask yet",
            icon=":material/deployed_code:",
            action="Go to the models",
            page="models",
        )
        st.stop()
    one_each: dict[str, str] = {}
    for name, card in shelf.items():
        one_each.setdefault(card.arm, name)
    default = [one_each[arm] for arm in in_order(one_each)][:2]
    asked = [name for name in wanted if name in shelf]
    if len(shelf) == len(default):
        return [shelf[name] for name in default]
    chosen = st.multiselect(
        "Models",
        list(shelf),
        default=asked or default,
        key="models",
        wrap=True,
        format_func=lambda name: f"{label(shelf[name])} · {name}",
    )
    if chosen == default:
        st.query_params.pop("models", None)
    else:
        st.query_params["models"] = ",".join(chosen)
    return [shelf[name] for name in chosen]


def missing(wanted: list[str], found: dict[str, ListedBundle]) -> None:
    """Say which of the models that the address asks for cannot answer, and why."""
    for name in wanted:
        if name not in found:
            st.error(
                f"There is no model {words.plain(name)} in this library.",
                icon=":material/deployed_code:",
            )
        elif found[name].error:
            st.error(
                f"**{words.plain(name)}** is refused: {words.plain(found[name].error)}",
                icon=":material/gpp_bad:",
            )


def say_what_differs(cards: list[Card]) -> None:
    """Models stand side by side as a comparison only where regime, split, classes and size are the same."""
    fields = {
        "regime": lambda c: c.regime,
        "training split": lambda c: c.split.fingerprint,
        "classes": lambda c: c.classes,
        "input size": lambda c: c.input_size,
        "architecture": lambda c: (c.architecture, c.stage),
    }
    differ = [name for name, of in fields.items() if len({of(card) for card in cards}) > 1]
    if differ:
        st.warning(
            "Not a like-for-like comparison: these models differ in " + ", ".join(differ) + ".",
            icon=":material/compare_arrows:",
        )


def label(card: Card) -> str:
    return arm_style(card.arm, card.label).name


def column(card: Card, cards: list[Card]) -> str:
    """A model's heading: its arm, and its name where two of them share the arm."""
    same = sum(label(other) == label(card) for other in cards) > 1
    return f"{label(card)} · {card.name}" if same else label(card)


def heading(card: Card, cards: list[Card]) -> str:
    """`column` with the arm's colour, as markdown."""
    arm = arm_style(card.arm, card.label)
    return arm.badge + (f" {card.name}" if column(card, cards) != arm.name else "")


def describe(card: Card, name: str) -> str:
    """A class in words where the card has them."""
    return card.class_descriptions.get(name, name).rstrip(".")


def told(card: Card, name: str) -> str:
    """`describe` for markdown: a card's words are foreign text."""
    return words.plain(describe(card, name))


def key(cards: list[Card]) -> str:
    """'nv: melanocytic nevus, …', the short names of all classes in words."""
    known = {name: told(card, name) for card in cards for name in card.classes}
    listing = ", ".join(
        f"{words.plain(name)}: {text}" for name, text in known.items() if text != words.plain(name)
    )
    return listing and f"{listing}."
