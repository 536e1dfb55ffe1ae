"""What each model says of one image, side by side: probabilities, prediction set, priority, operating point."""

from __future__ import annotations

import itertools

import streamlit as st

from derm_core.arms import arm_style
from derm_core.bundles.card import Card
from derm_core.bundles.prediction import ArmPrediction, Prediction, agreement_of, prediction_set
from pages.ui import charts, frame, words
from pages.ui.classify import models
from pages.ui.classify.answers import Answer
from pages.ui.classify.models import column, describe, told

BARE = {"displayModeBar": False}
USUAL = "0.90"  # the coverage that is chosen first
CARRIED = {
    "conformal": "prediction sets",
    "outlier": "what its training images are like",
    "operating_point": "an operating point",
    "reference": "training images to compare with",
}
PRIORITY = {"high": "red", "medium": "orange", "low": "gray"}


def draw_predictions(answer: Answer, cards: list[Card]) -> None:
    """How the models agree, then each of them."""
    each(answer, cards, together(answer, cards))


def together(answer: Answer, cards: list[Card]) -> str | None:
    """How the models agree, and the coverage that is asked for: None where no card carries thresholds."""
    agreement(answer.row, cards)
    return choose_coverage(cards)


def in_brief(answer: Answer, cards: list[Card], note: str) -> None:
    """How the models agree and what each of them says, in as few elements as tell it: each takes the server a while."""
    agreement(answer.row, cards)
    columns = []
    for card in cards:
        arm = answer.row.arms[card.name]
        columns.append(
            {
                "Says": f"**{told(card, arm.top)} {words.chance(arm.probabilities[arm.top])}**",
                **dict(facts(arm, card, USUAL)),
            }
        )
    rows = [
        [f"**{name}**", *(column.get(name, "–") for column in columns)]
        for name in dict.fromkeys(itertools.chain(*columns))
    ]
    st.markdown(
        words.table(["", *(models.heading(card, cards) for card in cards)], rows) + "\n" + note
    )


def each(answer: Answer, cards: list[Card], coverage: str | None) -> None:
    """Every model's answer, side by side."""
    order = list(dict.fromkeys(name for card in cards for name in card.classes))
    with st.grid(min(len(cards), 3), min_column_width=250):
        for card in cards:
            with st.container(border=True, height="stretch", gap="xsmall"):
                one(answer.row.arms[card.name], card, order, cards, coverage)


# ---- together ----------------------------------------------------------------------------------


def agreement(row: Prediction, cards: list[Card]) -> None:
    if row.agree is None:
        return
    tops = [row.arms[card.name].top for card in cards]
    if row.agree:
        said = f":material/check: **The models agree: {told(cards[0], tops[0])}.** Agreement is not correctness."
    else:
        each = ", ".join(
            f"{column(card, cards)} says {told(card, top)}"
            for card, top in zip(cards, tops, strict=True)
        )
        said = f":material/call_split: **The models disagree:** {each}.{widest(row, cards)}"
    often = meant(row.agree, cards)
    st.markdown(said + (f"  \n{words.aside(often)}" if often else ""))


def widest(row: Prediction, cards: list[Card]) -> str:
    """By how much two models differ, in the class where they differ most."""
    if len(cards) != 2:
        return ""
    first, second = (row.arms[card.name].probabilities for card in cards)
    name = max(first, key=lambda key: abs(first[key] - second[key]))
    return (
        f" They are furthest apart on {told(cards[0], name)}: {words.chance(first[name])} against "
        f"{words.chance(second[name])}."
    )


def meant(agree: bool, cards: list[Card]) -> str:
    """How often two models of one study were right on the test images where they agreed, or did not."""
    parts = agreement_of(cards)
    if not parts:
        return ""
    part, total = parts[0 if agree else 1], sum(part.images for part in parts)
    if not part.images:
        return ""
    right = [part.accuracy[card.name] for card in cards]
    each = (
        f"there the answer was right for {share(right[0])}"
        if agree
        else "there "
        + words.listed(
            [
                f"{column(card, cards)} was right for {share(value)}"
                for card, value in zip(cards, right, strict=True)
            ]
        )
    )
    return f"Of the {total:,} test images, they {'agreed' if agree else 'disagreed'} on {part.images:,}; {each}."


def share(value) -> str:
    """A share, with its interval where it has one."""
    return words.interval(value, "accuracy") if isinstance(value, dict) else words.percent(value)


def choose_coverage(cards: list[Card]) -> str | None:
    """The coverage of the prediction sets, one for all models; None where no card carries thresholds."""
    offered = [set(card.conformal.coverages if card.conformal else ()) for card in cards]
    known = sorted(set.intersection(*(part for part in offered if part))) if any(offered) else []
    if not known:
        return None
    return frame.linked(
        "Prediction sets that hold the truth",
        known,
        "coverage",
        widget=st.segmented_control,
        required=True,
        default=USUAL if USUAL in known else known[0],
        always=False,
        format_func=lambda key: f"{float(key):.0%} of the time",
        help="On average over images like those they were calibrated on, sets of this kind contain the true "
        "class this often. Rare classes can be covered less often: the model's card says how often.",
    )


# ---- one model ---------------------------------------------------------------------------------


def facts(answer: ArmPrediction, card: Card, coverage: str | None) -> list[tuple[str, str]]:
    """(name, what it is) of what follows from the probabilities, as markdown: what the card carries of it."""
    return list(
        filter(None, (in_set(answer, card, coverage), triage(answer), called(answer, card)))
    )


def one(
    answer: ArmPrediction, card: Card, order: list[str], cards: list[Card], coverage: str | None
) -> None:
    """The most probable class, what follows, a bar for every class, and how good the model is."""
    arm, probabilities = arm_style(card.arm, card.label), answer.probabilities
    st.markdown(models.heading(card, cards), help=f"{card.name}: {arm.about or card.label}")
    st.metric(told(card, answer.top), words.chance(probabilities[answer.top]))
    follows = [f"**{name}:** {what}" for name, what in facts(answer, card, coverage)]
    if follows:
        st.markdown("  \n".join(follows))
    shown = [name for name in order if name in probabilities]
    names = {name: describe(card, name) for name in shown}
    st.plotly_chart(
        frame.readable(
            charts.probability_bars(probabilities, colour=arm.colour, order=shown, names=names)
        ),
        key=f"bars-{card.name}",
        config=BARE,
        alt=f"{arm.name}: "
        + ", ".join(f"{names[name]} {words.chance(probabilities[name])}" for name in shown),
    )
    metrics = card.metrics
    st.caption(
        f"{'Calibrated' if card.temperature else 'Uncalibrated'} probabilities. On the test split: accuracy "
        f"{words.interval(metrics.get('accuracy'), 'accuracy')}, balanced accuracy (decisions adjusted for class "
        f"frequency) {words.interval(metrics.get('balanced_accuracy'), 'balanced_accuracy')}."
    )
    lacking = [what for key, what in CARRIED.items() if not getattr(card, key)]
    if lacking:
        st.caption(f":material/info: This model's card does not carry {words.listed(lacking)}.")


def in_set(answer: ArmPrediction, card: Card, coverage: str | None) -> tuple[str, str] | None:
    """The classes that cannot be ruled out at the chosen coverage."""
    chosen = answer.prediction_set
    if not chosen or coverage is None or chosen.coverage != float(coverage):
        chosen = prediction_set(card, answer.probabilities, float(coverage)) if coverage else None
    if not chosen:
        return None
    names = chosen.classes
    what = (
        words.listed([told(card, name) for name in names])
        if len(names) < len(card.classes)
        else "any of its classes"
    )
    return f"{float(coverage):.0%} set", what


def triage(answer: ArmPrediction) -> tuple[str, str] | None:
    """High, medium and low priority in that order, the most probable marked."""
    levels = answer.priority
    if not levels:
        return None
    top = max(levels, key=lambda name: levels[name])
    parts = {
        name: f"{name} {words.chance(levels[name])}"
        for name in [*PRIORITY, *levels]
        if name in levels
    }
    parts[top] = f":{PRIORITY.get(top, 'gray')}-badge[{parts[top]}]"
    return "Priority", ", ".join(parts.values())


def called(answer: ArmPrediction, card: Card) -> tuple[str, str] | None:
    """Whether the class of the operating point is called, and how often that call finds it."""
    point = answer.operating_point
    if not point:
        return None
    name, p = told(card, point.class_name), answer.probabilities[point.class_name]
    return (
        name[:1].upper() + name[1:],
        f"{'above' if point.called else 'below'} threshold ({words.chance(p)} "
        f"{'>' if point.called else '<'} {words.percent(point.threshold)})  \n"
        f":small[At this threshold: sensitivity {share(card.operating_point.sensitivity)}, specificity "
        f"{words.percent(point.specificity)}.]",
    )
