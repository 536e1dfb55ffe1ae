"""The predictions of the models for one image: the answer in short, then each model with its probabilities."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from derm_core.arms import arm_style
from derm_core.bundles.card import Card
from derm_core.bundles.prediction import ArmPrediction, Prediction, agreement_of, prediction_set
from pages.ui import charts, frame, glossary, model_card, words
from pages.ui.classify.models import class_name, column, heading, plain_class_name

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

DEFAULT_COVERAGE = "0.90"
CARD_PARTS = {
    "conformal": "prediction sets",
    "outlier": "statistics of its training images (outlier check)",
    "operating_point": "an operating point",
    "reference": "features of training images",
}
OF_NEITHER = (
    "Agreement of the models is that of their most probable classes. Prediction sets, priorities and thresholds follow "
    "from the probabilities and belong to neither decision."
)
MOST_PROBABLE, ADJUSTED = words.DECISIONS["most_probable"], words.DECISIONS["adjusted"]
SAME = "the same"  # of the adjusted class where it is the most probable one
PRIORITY_COLOURS = {"high": "red", "medium": "orange", "low": "gray"}


def draw_predictions(prediction: Prediction, cards: list[Card]) -> None:
    """The answer in short, then each model."""
    draw_answer(prediction, cards)
    draw_models(prediction, cards)


def draw_brief(prediction: Prediction, cards: list[Card], note: str) -> None:
    """Agreement and predictions in as few elements as possible: the server takes a while for each element."""
    facts = [
        _decisions(prediction.arms[card.name], card, DEFAULT_COVERAGE)
        | _consequences(prediction.arms[card.name], card)
        for card in cards
    ]
    st.markdown(_answer_text(prediction, cards, facts) + f"\n\n{words.aside(note)}")


def draw_answer(prediction: Prediction, cards: list[Card]) -> None:
    """Whether the models agree, and in a table each model's decisions and prediction set, at a coverage of choice."""
    place = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        coverage = _choose_coverage(cards)
        glossary.explain(
            terms=("two-decisions", "conformal-set", "priority", "operating-point"),
            more=OF_NEITHER,
        )
    facts = [_decisions(prediction.arms[card.name], card, coverage) for card in cards]
    place.markdown(_answer_text(prediction, cards, facts))


def draw_models(prediction: Prediction, cards: list[Card]) -> None:
    """Every model's probabilities and what follows from them, side by side."""
    order = list(dict.fromkeys(name for card in cards for name in card.classes))
    bars = {}
    with st.grid(min(len(cards), 3), min_column_width=250):
        for card in cards:
            with st.container(border=True, height="stretch", gap="xsmall"):
                bars[card.name] = _draw_model(prediction.arms[card.name], card, order, cards)
    frame.draw_export_button(bars, "Probability of each class", table=None, key="bars")


# ---- all models together -----------------------------------------------------------------------


def _answer_text(
    prediction: Prediction, cards: list[Card], facts: Sequence[Mapping[str, str]]
) -> str:
    """Agreement, a table with a column for each model, and how often models that agree are right; markdown.

    facts: of each model, by what they are called.
    """
    known = dict.fromkeys(itertools.chain(*facts))
    names = [name for name in dict.fromkeys([MOST_PROBABLE, ADJUSTED, *known]) if name in known]
    rows = [
        [f"**{name}**", *(of.get(name, SAME if name == ADJUSTED else "–") for of in facts)]
        for name in names
    ]
    # Small, as other tables are: with long names of classes the answer fits the first screen of a phone.
    rows = [[f":small[{cell}]" for cell in row] for row in rows]
    table = words.table(["", *(heading(card, cards) for card in cards)], rows)
    parts = [_agreement(prediction, cards), table]
    if prediction.agree is not None and (
        accuracy := _accuracy_given_agreement(prediction.agree, cards)
    ):
        parts.append(words.aside(accuracy))
    return "\n\n".join(filter(None, parts))


def _agreement(prediction: Prediction, cards: list[Card]) -> str:
    """Whether the models have the same most probable class; empty for a single model and for unlike classes."""
    if prediction.agree is None:
        return ""
    if prediction.agree:
        name = plain_class_name(cards[0], prediction.arms[cards[0].name].top)
        return f":material/check: **The models agree: {name}.** Agreement is not correctness."
    difference = _widest_difference(prediction, cards)
    return f":material/call_split: **The models disagree.**{difference}"


def _widest_difference(prediction: Prediction, cards: list[Card]) -> str:
    """The class for which the probabilities of two models differ most."""
    if len(cards) != 2:
        return ""
    first, second = (prediction.arms[card.name].probabilities for card in cards)
    name = max(first, key=lambda key: abs(first[key] - second[key]))
    return (
        f" They are furthest apart on {plain_class_name(cards[0], name)}: {words.chance(first[name])} against "
        f"{words.chance(second[name])}."
    )


def _accuracy_given_agreement(agree: bool, cards: list[Card]) -> str:
    """How often two models of one study were right on the test images where they agreed, or did not."""
    parts = agreement_of(cards)
    if not parts:
        return ""
    part, total = parts[0 if agree else 1], sum(part.images for part in parts)
    if not part.images:
        return ""
    if agree:
        right = f"the most probable class was right for {_share(part.accuracy[cards[0].name])}"
    else:
        right = words.listed(
            [
                f"{column(card, cards)} was right for {_share(part.accuracy[card.name])}"
                for card in cards
            ]
        )
    verb = "agreed" if agree else "disagreed"
    return f"Of the {total:,} test images, their most probable classes {verb} on {part.images:,}; there {right}."


def _share(value: Mapping[str, Any] | float | None) -> str:
    """A share, with its interval where it has one."""
    return words.interval(value, "accuracy") if isinstance(value, Mapping) else words.percent(value)


def _choose_coverage(cards: list[Card]) -> str | None:
    """The coverage of the prediction sets, one for all models; None where no card has thresholds."""
    offered = [set(card.conformal.coverages) for card in cards if card.conformal]
    common = sorted(set.intersection(*filter(None, offered))) if any(offered) else []
    if not common:
        return None
    return frame.segments(
        "Prediction sets contain the true class",
        {key: f"{float(key):.0%} of the time" for key in common},
        "coverage",
        default=DEFAULT_COVERAGE if DEFAULT_COVERAGE in common else common[0],
        help="On average over images like those they were calibrated on, sets of this kind contain the true "
        "class this often. Rare classes can be covered less often: the model's card says how often.",
    )


# ---- one model ---------------------------------------------------------------------------------


def _draw_model(arm: ArmPrediction, card: Card, order: list[str], cards: list[Card]) -> Figure:
    """The most probable class, what follows from it, a bar for every class (returned), and the model's accuracy."""
    style, probabilities = arm_style(card.arm, card.label), arm.probabilities
    st.markdown(
        f"{heading(card, cards)} {words.aside('most probable class')}",
        help=f"{card.name}: {style.about or card.label}",
    )
    st.metric(plain_class_name(card, arm.top), words.chance(probabilities[arm.top]))
    facts = [f"**{name}:** {text}" for name, text in _consequences(arm, card).items()]
    if facts:
        st.markdown("  \n".join(facts))
    names = {key: class_name(card, key) for key in order if key in probabilities}
    values = [f"{name} {words.chance(probabilities[key])}" for key, name in names.items()]
    bars = frame.readable(
        charts.probability_bars(probabilities, colour=style.colour, order=list(names), names=names)
    )
    st.plotly_chart(
        bars,
        key=f"bars-{card.name}",
        config=frame.with_camera(
            frame.CHART_CONFIG, frame.file_name(f"probability of each class {card.name}")
        ),
        alt=f"{style.name}: {', '.join(values)}",
    )
    calibrated = "Calibrated" if card.temperature else "Uncalibrated"
    st.caption(
        f"{calibrated} probabilities. On the test split:  \n{model_card.describe_decisions(card)}"
    )
    missing = [text for part, text in CARD_PARTS.items() if not getattr(card, part)]
    if missing:
        st.caption(f":material/info: This model's card does not have {words.listed(missing)}.")
    return bars


def _decisions(arm: ArmPrediction, card: Card, coverage: str | None) -> dict[str, str]:
    """{name: markdown} of both decisions and the prediction set, where the card allows it."""
    top = f"{plain_class_name(card, arm.top)} **{words.chance(arm.probabilities[arm.top])}**"
    return {
        MOST_PROBABLE: top,
        **_adjusted(arm, card),
        **_prediction_set(arm, card, coverage),
    }


def _consequences(arm: ArmPrediction, card: Card) -> dict[str, str]:
    """{name: markdown} of what else follows from the probabilities, where the card allows it."""
    return {**_priority(arm), **_operating_point(arm, card)}


def _adjusted(arm: ArmPrediction, card: Card) -> dict[str, str]:
    """The class after adjusting for class frequency, where it is not the most probable one."""
    if arm.top_adjusted is None:
        return {ADJUSTED: "not known: the card lacks the class shares of training"}
    if arm.top_adjusted == arm.top:
        return {}
    probability = words.chance(arm.probabilities[arm.top_adjusted])
    return {ADJUSTED: f"{plain_class_name(card, arm.top_adjusted)} {probability}"}


def _prediction_set(arm: ArmPrediction, card: Card, coverage: str | None) -> dict[str, str]:
    """The classes that cannot be ruled out at the chosen coverage."""
    if coverage is None:
        return {}
    chosen = arm.prediction_set
    if not chosen or chosen.coverage != float(coverage):
        chosen = prediction_set(card, arm.probabilities, float(coverage))
    if not chosen:
        return {}
    names = [plain_class_name(card, key) for key in chosen.classes]
    everything = len(names) == len(card.classes)
    text = "any class" if everything else words.listed(names)
    return {f"{float(coverage):.0%} prediction set": text}


def _priority(arm: ArmPrediction) -> dict[str, str]:
    """High, medium and low priority in that order, the most probable marked."""
    levels = arm.priority
    if not levels:
        return {}
    top = max(levels, key=lambda level: levels[level])
    order = [level for level in dict.fromkeys([*PRIORITY_COLOURS, *levels]) if level in levels]
    parts = {level: f"{level} {words.chance(levels[level])}" for level in order}
    parts[top] = f":{PRIORITY_COLOURS.get(top, 'gray')}-badge[{parts[top]}]"
    return {"Priority": ", ".join(parts.values())}


def _operating_point(arm: ArmPrediction, card: Card) -> dict[str, str]:
    """Whether the probability of the operating point's class is above the threshold, and what that threshold gives."""
    point = arm.operating_point
    if not point or not card.operating_point:
        return {}
    name = plain_class_name(card, point.class_name)
    side, sign = ("above", ">") if point.called else ("below", "<")
    probability = words.chance(arm.probabilities[point.class_name])
    return {
        name[:1].upper() + name[1:]: (
            f"{side} threshold ({probability} {sign} {words.percent(point.threshold)})  \n"
            f":small[At this threshold: sensitivity {_share(card.operating_point.sensitivity)}, specificity "
            f"{words.percent(point.specificity)}.]"
        )
    }
