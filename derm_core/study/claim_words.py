"""The answers to the paper's four claims in sentences, from the numbers that a study's result holds of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..formatting import number
from ..stats.paired import Pair
from .verdict import points

Numbers = Mapping[str, Any]  # of one claim, as in study.json
SURVIVES = {
    True: "is shown at matched training accuracy too",
    False: "is not shown at matched training accuracy",
    None: "was not compared at matched training accuracy, so that underfitting is not ruled out",
}
BOTH_SURVIVE = {
    True: "Both differences are shown at matched training accuracy too.",
    False: "Neither difference is shown at matched training accuracy.",
    None: "The gaps were not compared at matched training accuracy: underfitting is not ruled out.",
}


@dataclass(frozen=True)
class AskedArms:
    """The arms of whom the claims are asked.

    Attributes:
        pair: the VAE, the rival.
        vae, rival: their names in sentences.
        over: what the intervals of the curves are over, "seeds" or "folds".
    """

    pair: Pair
    vae: str
    rival: str
    over: str


def claim_text(name: str, numbers: Numbers, asked: AskedArms) -> str:
    """The sentences of one claim; name: as in `claims.CLAIMS`."""
    return WORDS[name](numbers, asked)


def _faster_start(numbers: Numbers, asked: AskedArms) -> str:
    vae, rival = (numbers[arm] for arm in asked.pair)
    loss, accuracy = (numbers[f"val_{name}_difference"] for name in ("loss", "accuracy"))
    return (
        f"After the first epoch the validation loss is {rival['val_loss']['mean']:.3f} with {asked.rival} and "
        f"{vae['val_loss']['mean']:.3f} with {asked.vae}, a difference of {_span(loss, _signed)}. Validation accuracy "
        f"is {_share(rival['val_accuracy'])} and {_share(vae['val_accuracy'])}, a difference of "
        f"{_span(accuracy, points)} points. Intervals are over {asked.over}."
    )


def _higher_accuracy(numbers: Numbers, asked: AskedArms) -> str:
    balanced, plain = (
        _span(numbers[f"{name}_difference"], points) for name in ("balanced_accuracy", "accuracy")
    )
    return (
        f"On the test set {asked.rival} − {asked.vae} is {balanced} points of balanced accuracy and {plain} points "
        "of accuracy. In the paper it was +10 points of validation accuracy."
    )


def _smaller_gap(numbers: Numbers, asked: AskedArms) -> str:
    text = (
        f"At the final epoch {asked.vae} − {asked.rival} is {_span(numbers['loss_gap_difference'], _signed)} in the "
        f"loss gap and {_span(numbers['accuracy_gap_difference'], points)} points in the accuracy gap."
    )
    survives = numbers["survives_matched"]
    if len(survives) == 2 and len(set(survives.values())) == 1:
        return f"{text} {BOTH_SURVIVE[survives['loss']]}"
    parts = [f"The difference of the {kind} gap {SURVIVES[how]}." for kind, how in survives.items()]
    return " ".join([text, *parts])


def _steady_improvement(numbers: Numbers, asked: AskedArms) -> str:
    vae, rival = (numbers[arm] for arm in asked.pair)
    losses = [points(-of["val_loss"]["mean"]) for of in (vae, rival)]
    gains = [points(of["val_accuracy"]["mean"]) for of in (vae, rival)]
    loss, accuracy = (
        _span(numbers[f"val_{name}_improvement_difference"], points)
        for name in ("loss", "accuracy")
    )
    return (
        f"From the first epoch to the last, validation loss changes by {losses[0]} % with {asked.vae} and by "
        f"{losses[1]} % with {asked.rival}; the improvement of the first less that of the second is {loss} points. "
        f"Validation accuracy changes by {gains[0]} % and {gains[1]} %, a difference of {accuracy} points. Changes "
        f"are relative to the first epoch, intervals over {asked.over}. The loss of {asked.vae} "
        f"{'falls steadily' if numbers['steady'] else 'does not fall steadily'}: it rose in "
        f"{numbers['epochs_with_a_rise']} of {numbers['epochs']} epochs, and its rank correlation with the epoch is "
        f"{number(numbers['rank_correlation'], 2, sign=True)}."
    )


WORDS: dict[str, Callable[[Numbers, AskedArms], str]] = {
    "faster_start": _faster_start,
    "higher_accuracy": _higher_accuracy,
    "smaller_gap": _smaller_gap,
    "steady_improvement": _steady_improvement,
}


def _signed(value: float | None) -> str:
    return number(value, sign=True)


def _share(interval: Numbers) -> str:
    return f"{number(100 * interval['mean'], 1)} %"


def _span(interval: Numbers, write: Callable[[float | None], str]) -> str:
    if interval["mean"] is None:
        return "unknown"
    if interval["low"] is None:
        return f"{write(interval['mean'])} (one seed: no interval)"
    return f"{write(interval['mean'])} ({write(interval['low'])} to {write(interval['high'])})"
