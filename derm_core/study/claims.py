"""The paper's four claims, each answered for this dataset: seen, not seen, opposite, or not asked.

All of them set the plain VAE, which is what the paper trained, or else the study's VAE against
ImageNet, or against what takes its place, each under its own name. Accuracy and gap go by the rules
of the verdict (`conclusions`). Of the curves, a comparison supports the side that its 95 % interval
shows; two that belong together (loss and accuracy) must not contradict each other: one of the
intervals must exclude 0, the other must not contradict it; else nothing is seen.

    faster_start         In the paper ImageNet starts at a validation loss of 0.120 (VAE 0.165) and an accuracy of 63 %
                         (45 %). Here: validation loss and accuracy after the first epoch (at step 0 a head knows
                         nothing whatever its features), paired over seeds.
    higher_accuracy      Paper: validation accuracy 75 % against 65 %. Here: balanced accuracy on the test set; plain
                         accuracy stands beside it.
    smaller_gap          Paper: gap near 0 against +0.060. Here: loss and accuracy gap at the final epoch; the text
                         says of each whether it is shown to survive at matched training accuracy.
    steady_improvement   Paper: from start to final the VAE's validation loss falls by 33 % (ImageNet 17 %) and its
                         accuracy rises by 44 % (19 %). Here: the same relative changes from the first epoch to the
                         last, paired over seeds, must be larger for the VAE; and steadily so: Spearman's rank
                         correlation of its seed-mean validation loss with the epoch is −0.9 or below. Opposite:
                         ImageNet's are larger.

Intervals over seeds alone leave out what another validation set would change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..records import to_json
from ..stats.gaps import Curves, first_epoch
from ..stats.intervals import Interval, seed_interval
from ..stats.metrics import mid_ranks
from ..stats.paired import Pair
from .claim_words import AskedArms, claim_text
from .conclusions import ACCURACY, GAPS, about_gap, conclusions, row_of
from .roles import PLAIN, VAE, choose_pair, opponent
from .study_result import Claim, Conclusion, StudyResult

STEADY = -0.9
CLAIMS = {
    "faster_start": "{rival} starts faster",
    "higher_accuracy": "{rival} reaches the higher accuracy",
    "smaller_gap": "{vae} has the smaller overfitting gap",
    "steady_improvement": "{vae} improves more, and steadily",
}
VALIDATION = ("val_loss", "val_accuracy")


def claims(curves: Mapping[str, Curves], result: StudyResult) -> list[Claim]:
    """The four claims of the module's docstring.

    Args:
        curves: {arm: learning curves}.
        result: with corrected p values.
    """
    pair = claims_pair(result.counted)
    if pair is None:
        why = "Not asked: this study has no VAE beside another arm."
        names = {"rival": "ImageNet", "vae": "The VAE"}
        return [
            Claim(id=name, claim=text.format(**names), answer="not asked", text=why)
            for name, text in CLAIMS.items()
        ]
    asked = _Asked(curves, result, pair, *(result.arms[arm].label for arm in pair))
    return [
        _faster_start(asked),
        _higher_accuracy(asked),
        _smaller_gap(asked),
        _steady_improvement(asked),
    ]


def claims_pair(arms: list[str]) -> Pair | None:
    """The VAE and its rival of whom the paper's claims are asked; None without a VAE or a second arm."""
    primary = choose_pair(arms)
    vae = next((arm for arm in (PLAIN, VAE) if arm in arms), None)
    if vae is None or primary is None:
        return None
    rival = opponent(arms) or next(arm for arm in primary[::-1] if arm != vae)
    return vae, rival


@dataclass(frozen=True)
class _Asked:
    """The arms of whom the claims are asked, with their names."""

    curves: Mapping[str, Curves]
    result: StudyResult
    pair: Pair
    vae: str
    rival: str

    @property
    def over(self) -> str:
        """What the columns of the curves are."""
        return "folds" if self.result.folds else "seeds"

    def claim(self, about: str) -> Conclusion | None:
        """What the verdict's rules say of the pair, VAE first whichever way round they name it."""
        for claim in conclusions(self.result):
            if claim.about == about and set(claim.arms) == set(self.pair):
                return claim if claim.arms == self.pair else _turned(claim)
        return None

    def answered(self, name: str, answer: str, numbers: dict[str, Any]) -> Claim:
        title = CLAIMS[name].format(rival=self.rival, vae=self.vae)
        names = AskedArms(self.pair, self.vae, self.rival, self.over)
        text = claim_text(name, to_json(numbers), names)
        return Claim(id=name, claim=title, answer=answer, text=text, numbers=numbers)


def reworded(result: StudyResult) -> tuple[Claim, ...]:
    """A result's claims in today's words, from the numbers it has."""
    pair = claims_pair(result.counted)
    if pair is None:
        return result.claims
    asked = _Asked({}, result, pair, *(result.arms[arm].label for arm in pair))
    return tuple(asked.answered(one.id, one.answer, one.numbers) for one in result.claims)


def answer(*signs: int) -> str:
    """From what comparisons say of a claim (1 for, −1 against, 0 nothing): seen, opposite or not seen."""
    sides = {sign for sign in signs if sign}
    return "seen" if sides == {1} else "opposite" if sides == {-1} else "not seen"


def _turned(claim: Conclusion) -> Conclusion:
    """The claim with its arms the other way round; its numbers are not asked here."""
    other = {"higher": "lower", "lower": "higher"}.get(claim.says, claim.says)
    return dataclasses.replace(claim, arms=claim.arms[::-1], says=other)


def _sign(claim: Conclusion | None) -> int:
    """1 where the VAE is claimed to be higher, −1 lower, 0 neither."""
    return {"higher": 1, "lower": -1}.get(claim.says, 0) if claim else 0


def _faster_start(asked: _Asked) -> Claim:
    at = {arm: first_epoch(asked.curves[arm]["epoch"]) for arm in asked.pair}
    start = {
        arm: {name: asked.curves[arm][name][at[arm]] for name in VALIDATION} for arm in asked.pair
    }
    vae, rival = (start[arm] for arm in asked.pair)
    loss, accuracy = (seed_interval(rival[name] - vae[name]) for name in VALIDATION)
    numbers = {
        "epoch": {arm: float(asked.curves[arm]["epoch"][at[arm]]) for arm in asked.pair},
        "val_loss_difference": loss,
        "val_accuracy_difference": accuracy,
        **{arm: {k: seed_interval(v) for k, v in start[arm].items()} for arm in asked.pair},
    }
    return asked.answered("faster_start", answer(-loss.sign, accuracy.sign), numbers)


def _higher_accuracy(asked: _Asked) -> Claim:
    balanced, plain = (
        row_of(asked.result.differences, asked.pair[::-1], metric=metric) or Interval(mean=None)
        for metric in ("balanced_accuracy", "accuracy")
    )
    numbers = {"balanced_accuracy_difference": _ends(balanced), "accuracy_difference": _ends(plain)}
    return asked.answered("higher_accuracy", answer(-_sign(asked.claim(ACCURACY))), numbers)


def _smaller_gap(asked: _Asked) -> Claim:
    signs = {kind: _sign(asked.claim(about_gap(kind))) for kind in GAPS}
    outcome = answer(*(-sign for sign in signs.values()))
    rows = {
        kind: row_of(
            asked.result.gap_differences,
            asked.pair,
            kind=kind,
            at="final",
        )
        or Interval(mean=None)
        for kind in GAPS
    }
    survives = {}
    for kind, sign in signs.items():
        if not sign:
            continue
        level = asked.claim(about_gap(kind, "matched"))
        survives[kind] = None if level is None or level.tuned.p is None else _sign(level) == sign
    numbers = {
        "loss_gap_difference": _ends(rows["loss"]),
        "accuracy_gap_difference": _ends(rows["accuracy"]),
        "survives_matched": survives,
    }
    return asked.answered("smaller_gap", outcome, numbers)


def _steady_improvement(asked: _Asked) -> Claim:
    change = {
        arm: {name: _improvement(asked.curves[arm], name) for name in VALIDATION}
        for arm in asked.pair
    }
    vae, rival = (change[arm] for arm in asked.pair)
    loss, accuracy = (seed_interval(vae[name] - rival[name]) for name in VALIDATION)
    seen = answer(loss.sign, accuracy.sign)
    rank, rises, steps = steadiness(asked.curves[asked.pair[0]])
    steady = rank is not None and rank <= STEADY
    if seen == "seen" and not steady:
        seen = "not seen"
    numbers = {
        "val_loss_improvement_difference": loss,
        "val_accuracy_improvement_difference": accuracy,
        "rank_correlation": rank,
        "epochs_with_a_rise": rises,
        "epochs": steps,
        "steady": steady,
        **{arm: {k: seed_interval(v) for k, v in change[arm].items()} for arm in asked.pair},
    }
    return asked.answered("steady_improvement", seen, numbers)


def _improvement(curve: Curves, name: str) -> np.ndarray:
    """Relative improvement (S,) from the first epoch to the last, larger is better."""
    start, final = curve[name][first_epoch(curve["epoch"])], curve[name][-1]
    change = (final - start) / np.maximum(np.abs(start), 1e-12)
    return -change if name.endswith("loss") else change


def steadiness(curve: Curves) -> tuple[float | None, int, int]:
    """How steadily the seed-mean validation loss falls from the first epoch on.

    Returns:
        Spearman's rank correlation with the epoch (None for fewer than three epochs or a loss that
        never changes), how often the loss rose, and in how many steps.
    """
    losses = curve["val_loss"][first_epoch(curve["epoch"]) :].mean(1)
    rises = int((np.diff(losses) > 0).sum())
    if len(losses) < 3 or np.ptp(losses) == 0:
        return None, rises, len(losses) - 1
    correlation = np.corrcoef(np.arange(len(losses)), mid_ranks(losses))[0, 1]
    return float(correlation), rises, len(losses) - 1


def _ends(interval: Interval) -> dict[str, float | None]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}
