"""The verdict of a comparison in words, from rules.

More accurate: the paired 95 % interval of balanced accuracy excludes 0. Smaller gap: the interval
of the loss or the accuracy gap's difference excludes 0, and the other's does not contradict. It
survives where at matched training accuracy the same gaps differ the same way, beyond the seeds' 95
% interval; else it is consistent with underfitting; where the arms are not comparable there,
underfitting is not ruled out. A gap is never named without the accuracy and the random control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..formatting import number
from ..stats.evaluation import PRIMARY, Evaluation
from ..stats.gaps import MatchedPair
from ..stats.intervals import Difference, Interval, seed_interval
from ..stats.paired import Pair
from .roles import choose_pair
from .study_result import ArmResult, Verdict


def larger(interval: Interval, pair: Pair) -> str | None:
    """The arm that the interval of a − b shows to be larger; None where it includes 0."""
    return {1: pair[0], -1: pair[1], 0: None}[interval.sign]


def accuracy_outcome(row: Difference, names: Mapping[str, str], where: str = "") -> str:
    """Which of two arms is more accurate, in words. names: {arm: its name}."""
    a, b = names[row.a], names[row.b]
    if row.sign:
        better, worse = (a, b) if row.sign > 0 else (b, a)
        return f"{better} is more accurate than {worse}{where}"
    if row.equivalent:
        return f"{a} and {b} are equally accurate{where} within 2 points"
    return f"No difference in accuracy shown between {a} and {b}{where}"


def smaller(interval: Interval, pair: Pair) -> str | None:
    """The arm that the interval of a − b shows to be smaller; None where it includes 0."""
    return larger(interval, (pair[1], pair[0]))


def final_gaps(rows: Sequence[Difference], pair: Pair) -> dict[str, Difference]:
    """{"loss" or "accuracy": the difference of a pair's gaps at the final epoch}."""
    return {str(row.kind): row for row in rows if (row.a, row.b) == pair and row.at == "final"}


def survives_matched(
    arm: str | None, by_gap: Mapping[str, str | None], matched: MatchedPair | None
) -> bool | None:
    """Whether the arm with the smaller gap keeps it at matched training accuracy; None where that is not known.

    by_gap: {kind of gap: the arm that has the smaller one}.
    """
    if arm is None or matched is None or not matched.comparable:
        return None
    for kind in (kind for kind, holder in by_gap.items() if holder == arm):
        change = seed_interval(matched.difference(kind))
        if change.se is None:
            return None
        if smaller(change, (matched.a, matched.b)) != arm:
            return False
    return True


def verdict(
    evaluation: Evaluation,
    gap_differences: Sequence[Difference],
    matched: Sequence[MatchedPair],
    arms: Mapping[str, ArmResult],
    folds: int = 0,
) -> Verdict:
    """The verdict of a comparison.

    Args:
        evaluation: of the test images, its primary test that of `choose_pair`.
        gap_differences, matched: of every pair of arms, the chosen one first.
        arms: with their names and final gaps.
        folds: how many pretrainings stand behind the VAE, one a fold; 0 for one.
    """
    pair = choose_pair(list(evaluation.arms))
    if pair is None:
        arm = next(iter(evaluation.arms))
        name, accuracy = arms[arm].label, evaluation.arms[arm]["balanced_accuracy"]
        level = (
            f"Balanced accuracy of {name} on the test set: {_percent(accuracy.mean)} "
            f"(95 % interval {_percent(accuracy.low)} to {_percent(accuracy.high)})."
        )
        return Verdict(
            headline=f"One arm alone, {name}: nothing is compared.",
            sentences=(level, *evaluation.cautions),
        )
    rules = _Rules(pair, evaluation, gap_differences, matched, arms)
    return Verdict(
        headline=rules.headline(),
        sentences=(*rules.sentences(folds), *evaluation.cautions),
        pair=pair,
        more_accurate=rules.more_accurate,
        equivalent=bool(rules.row.equivalent) and rules.more_accurate is None,
        smaller_gap=rules.smaller_gap,
        survives_matched=rules.survives,
        detectable=rules.row.detectable,
    )


class _Rules:
    """The rules' outcomes for one pair, and the sentences that state them."""

    def __init__(
        self,
        pair: Pair,
        evaluation: Evaluation,
        gap_differences: Sequence[Difference],
        matched: Sequence[MatchedPair],
        arms: Mapping[str, ArmResult],
    ):
        self.pair, self.evaluation, self.arms = pair, evaluation, arms
        self.matched = next(iter(matched), None)
        self.row = evaluation.difference(pair, "balanced_accuracy")
        self.more_accurate = larger(self.row, pair)
        rows = final_gaps(gap_differences, pair)
        self.by_gap = {kind: smaller(row, pair) for kind, row in rows.items()}
        holders = {arm for arm in self.by_gap.values() if arm}
        self.smaller_gap = holders.pop() if len(holders) == 1 else None
        self.survives = survives_matched(self.smaller_gap, self.by_gap, self.matched)

    def name(self, arm: str) -> str:
        return self.arms[arm].label

    def headline(self) -> str:
        first = accuracy_outcome(self.row, {arm: self.name(arm) for arm in self.pair})
        if self.smaller_gap is None:
            return f"{first}; no difference in the gap shown."
        end = {
            True: "also at matched training accuracy",
            False: "consistent with underfitting",
            None: "underfitting is not ruled out",
        }[self.survives]
        if self.more_accurate == self.smaller_gap:
            return f"{first} and has the smaller gap, {end}."
        return f"{first}; {self.name(self.smaller_gap)} has the smaller gap, {end}."

    def sentences(self, folds: int) -> list[str]:
        return [
            *self._stand_in(),
            self._accuracy("out of fold" if folds else "on the test set"),
            self._gap(),
            *self._at_matched(),
            *self._control(),
            *self._both(),
            *self._pretrainings(folds),
        ]

    def _stand_in(self) -> list[str]:
        if self.pair == PRIMARY:
            return []
        a, b = (self.name(arm) for arm in self.pair)
        return [
            "The comparison named in advance, VAE − ImageNet, was not made here: "
            f"{a} − {b} takes its place."
            + "".join(
                f" The backbone of {self.name(arm)} was trained with labels."
                for arm in self.pair
                if arm.startswith("bundle:")
            )
        ]

    def _accuracy(self, where: str) -> str:
        row, names = self.row, [self.name(arm) for arm in self.pair]
        means = [self.evaluation.arms[arm]["balanced_accuracy"].mean for arm in self.pair]
        levels = f"{names[0]} {_percent(means[0])} and {names[1]} {_percent(means[1])}"
        text = (
            f"Balanced accuracy {where}: {levels}; {names[0]} − {names[1]} is {points(row.mean)} points "
            f"(95 % interval {points(row.low)} to {points(row.high)}{_sign_flip_p(row)})."
        )
        by_test = row.p_sign_flip is not None and row.p_sign_flip < 0.05
        if (row.primary or row.stand_in) and by_test != bool(self.more_accurate):
            text += (
                " The interval and the permutation test disagree near their limit; the verdict goes by the interval, "
                "which also carries the spread over seeds."
            )
        if self.more_accurate:
            return text
        if row.equivalent:
            return (
                f"{text} The whole interval lies within ±2 points: equivalent within that margin."
            )
        least = abs(row.detectable or 0) * 100
        return f"{text} No difference shown; one of about {least:.1f} points would be found in 80 % of such studies."

    def _gap(self) -> str:
        levels = "; ".join(f"{self.name(arm)}: {self._gaps_of(arm)}" for arm in self.pair)
        if self.smaller_gap:
            kinds = [f"{kind} gap" for kind, arm in self.by_gap.items() if arm == self.smaller_gap]
            outcome = f"{self.name(self.smaller_gap)} has the smaller {' and '.join(kinds)}."
        elif all(self.by_gap.values()) and self.by_gap:
            outcome = "The loss gap and the accuracy gap point opposite ways: neither arm has the smaller gap."
        else:
            outcome = "No difference in the gap shown."
        return f"At the final epoch, {levels}. {outcome}"

    def _gaps_of(self, arm: str) -> str:
        gaps = self.arms[arm].gaps
        return f"loss gap {number(gaps['loss'], sign=True)}, accuracy gap {points(gaps['accuracy'])} points"

    def _at_matched(self) -> list[str]:
        if self.smaller_gap is None:
            return []
        if self.survives is None or self.matched is None:
            why = "the arms are not comparable at matched training accuracy"
            if self.matched is not None and self.matched.comparable:
                why = "one seed cannot show whether that holds at matched training accuracy"
            name = self.name(self.smaller_gap)
            return [f"Whether {name} generalises better or has merely learned less is open: {why}."]
        level = f"matched training accuracy ({_percent(self.matched.level)})"
        if self.survives:
            return [f"That survives at {level}: not underfitting alone."]
        return [f"That does not survive at {level}: consistent with underfitting."]

    def _control(self) -> list[str]:
        if "random" in self.pair:
            return []
        if "random" not in self.arms:
            return [
                "This study has no random control: how small a gap is without any learning of features is not known."
            ]
        accuracy = self.evaluation.arms["random"]["balanced_accuracy"].mean
        text = (
            f"Control, {self.name('random')}: {self._gaps_of('random')} at a balanced accuracy of "
            f"{_percent(accuracy)}."
        )
        control, *losses = (self.arms[arm].gaps["loss"] for arm in ("random", *self.pair))
        if all(control is not None and loss is not None and control < loss for loss in losses):
            text += " Its loss gap is the smallest of all: a small gap by itself is no merit."
        return [text]

    def _both(self) -> list[str]:
        """Does the VAE add to ImageNet? Secondary: Holm-corrected."""
        rows = (row for row in self.evaluation.differences if row.metric == "balanced_accuracy")
        row = next((row for row in rows if {row.a, row.b} == {"both", "imagenet"}), None)
        if row is None or row.mean is None or row.p_holm is None or row.stand_in:
            return []
        gain = row.mean if row.a == "both" else -row.mean
        verb = "improve" if row.p_holm < 0.05 and gain > 0 else "are not shown to improve"
        p = "below 0.001" if row.p_holm < 0.001 else f"= {row.p_holm:.3f}"
        return [
            f"{self.name('both')} {verb} on {self.name('imagenet')} alone ({points(gain)} points, "
            f"Holm-corrected p {p})."
        ]

    def _pretrainings(self, folds: int) -> list[str]:
        if "vae" not in self.pair:
            return []
        if folds:
            return [
                f"The VAE was pretrained anew in each of {folds} folds: this speaks of the recipe, not of one set of "
                "weights."
            ]
        return [
            "One pretraining stands behind the VAE: this speaks of these weights, not of the recipe."
        ]


def _sign_flip_p(row: Difference) -> str:
    if row.p is None or not (row.primary or row.stand_in):
        return ""
    text = f", p = {row.p_sign_flip or 1:.4f} by sign flips over groups"
    if row.primary:
        return text
    return (
        f"{text}, {row.p_holm:.4f} Holm-corrected, since this test was not the one named in advance"
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.1f} %"


def points(share: float | None) -> str:
    """A share as percentage points with its sign."""
    return number(None if share is None else share * 100, 1, sign=True)
