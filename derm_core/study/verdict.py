"""The verdict of a comparison in words, from rules.

The plain VAE, which is what the paper trained, against the opponent and random weights, with the
scope; the improved recipe; VAE and ImageNet side by side; the overfitting gap; picture or patient. What
each may say stands in `conclusions`: nothing wider than its test, with own and shared settings alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..formatting import NBSP, THIN, count, listed, number, percent
from ..stats.intervals import Difference
from ..stats.paired import Pair
from .conclusions import ACCURACY, CLAIMED, GAPS, about_gap, conclusions, row_of
from .extractor_words import best_extractor, what_differs
from .families import METRIC
from .metadata_words import picture_or_patient
from .roles import (
    BEST_IMAGENET,
    BOTH,
    IMAGENET,
    PLAIN,
    RANDOM,
    VAE,
    choose_pair,
    is_primary,
    opponent,
    own_networks,
    width_controls,
)
from .study_result import Conclusion, StudyResult, Verdict
from .verdict_details import details

PLAIN_LABEL, RANDOM_NAME = "VAE (plain)", "random weights"
MASKED = "recipe:masked"
OWN_WORDS = (*"no |of |whether |which |the |on |at |side |overfitting".split("|"), RANDOM_NAME)
DEMONSTRATION = "Demonstration, not evidence: "
DEPENDS = "as that depends on how the classifier is tuned"  # one way may just show nothing
MATCHED = "at matched training accuracy"


def accuracy_outcome(row: Difference, names: Mapping[str, str], where: str = "") -> str:
    """Which of two models is more accurate, in words. names: {arm: its name}."""
    a, b = names[row.a], names[row.b]
    if row.claimed:
        better, worse = (a, b) if row.claimed > 0 else (b, a)
        return f"{better} is more accurate than {worse}{where}"
    if row.equivalent:
        return f"{a} and {b} are equally accurate{where} within 2 points"
    return f"No difference in accuracy shown between {a} and {b}{where}"


def verdict(result: StudyResult) -> Verdict:
    """The verdict of a comparison, whose differences have their correction (`families`)."""
    pair = choose_pair(result.counted)
    if pair is None:
        return _one_arm(result)
    words = _Words(result, pair, conclusions(result))
    row = row_of(result.differences, pair, metric=METRIC)
    main = words.claim(*pair)
    return Verdict(
        headline=words.headline(),
        sentences=words.sentences(),
        claims=tuple(words.claims),
        details=details(result, pair, words.claims),
        pair=pair,
        more_accurate=_ahead(main, "higher"),
        equivalent=main is not None and main.says == "equivalent",
        smaller_gap=words.smaller_gap(),
        survives_matched=words.survives_matched(),
        detectable=row.detectable if row else None,
    )


def _one_arm(result: StudyResult) -> Verdict:
    arm = next(iter(result.counted or result.arms))
    accuracy = (entry := result.arms[arm]).test["balanced_accuracy"]
    ends = f"95{THIN}% interval {percent(accuracy.low)} to {percent(accuracy.high)}"
    text = f"Balanced accuracy of {entry.label} on the test set: {percent(accuracy.mean)} ({ends})."
    others = " has not seen these images" * (len(result.arms) > 1)
    headline = f"One arm alone{others}, {entry.label}: nothing is compared."
    return Verdict(headline=headline, sentences=(text,), details=details(result, (arm, arm), []))


def _ahead(claim: Conclusion | None, better: str) -> str | None:
    """The arm of a claim that is better, which is the first where it is `better`; None without a claim."""
    if claim is None or claim.says not in CLAIMED:
        return None
    return claim.arms[0 if claim.says == better else 1]


class _Words:
    """The sentences of one verdict."""

    def __init__(self, result: StudyResult, pair: Pair, claims: list[Conclusion]):
        self.result, self.pair, self.claims, self.rival = result, pair, claims, pair[1]
        self.by_pair = {(claim.about, claim.arms): claim for claim in claims}
        vaes = [arm for arm in (PLAIN, VAE) if arm in result.arms]
        self.vaes = vaes or [pair[0]]
        self.is_plain = {
            arm: arm == PLAIN or result.arms[arm].label == PLAIN_LABEL for arm in self.vaes
        }
        self.demonstration = result.config.get("preset") == "demo"

    def name(self, arm: str) -> str:
        return RANDOM_NAME if arm == RANDOM else self.result.arms[arm].label

    def claim(self, a: str, b: str, about: str = ACCURACY) -> Conclusion | None:
        return self.by_pair.get((about, (a, b)))

    def level(self, arm: str) -> str:
        return percent(self.result.arms[arm].test["balanced_accuracy"].mean)

    def headline(self) -> str:
        best = best_extractor(self.result, self.claims)
        parts = [] if best and not is_primary(self.pair) else self._accuracy_parts()
        text = "; ".join(filter(None, [*parts, best, self._gap_part()]))
        if self.demonstration:
            return f"{DEMONSTRATION}{text}."
        return f"{_capitalised(text)}."

    def _accuracy_parts(self) -> list[str]:
        """Every VAE, and both side by side, against the opponent; arms of one outcome together."""
        outcomes: dict[str, list[str]] = {}
        for arm in (*self.vaes, BOTH):
            if claim := self.claim(arm, self.rival):
                outcomes.setdefault(claim.says, []).append(self.name(arm))
        rival = self.name(self.rival)
        parts = []
        for says, arms in outcomes.items():
            names, verb = listed(arms), "are" if len(arms) > 1 else "is"
            parts.append(
                {
                    "higher": f"{names} {verb} more accurate than {rival}",
                    "lower": f"{rival} is more accurate than {names}",
                    "equivalent": f"{names} {verb} as accurate as {rival} within 2 points",
                    "not shown": f"no difference in accuracy from {rival} is shown for {' or '.join(arms)}",
                    "depends on tuning": f"{names} {verb} not clearly better or worse than {rival}, {DEPENDS}",
                }[says]
            )
        return parts

    def _gap_part(self) -> str:
        claims = [claim for kind in GAPS if (claim := self.claim(*self.pair, about_gap(kind)))]
        arm = self.smaller_gap()
        if not claims:
            return ""
        if arm is not None:
            end = {
                True: f"also {MATCHED}",
                False: f"but {MATCHED} this is not shown",
                None: f"{MATCHED} in one of the two alone"
                if self._at_matched(arm)
                else "underfitting is not ruled out",
            }[self.survives_matched()]
            return f"{self.name(arm)} has the smaller overfitting gap{self._shown_in(arm)}, {end}"
        if any(claim.says == "depends on tuning" for claim in claims):
            return f"the overfitting gap is not clearly smaller for either, {DEPENDS}"
        if any(claim.says in CLAIMED for claim in claims):
            return "the two overfitting gaps point opposite ways"
        return "no difference in the overfitting gap is shown"

    def _shown_in(self, arm: str) -> str:
        """Which of the two gaps is shown to be smaller, where the other is not."""
        shown = [k for k in GAPS if _ahead(self.claim(*self.pair, about_gap(k)), "lower") == arm]
        others = [kind for kind in GAPS if kind not in shown]
        return f" in {shown[0]} (not shown in {others[0]})" if others else ""

    def sentences(self) -> tuple[str, ...]:
        parts = (self._lead(), self._recipe(), self._side_by_side(), self._gaps())
        patient = picture_or_patient(self.result, self.claims)
        return tuple(f"{_capitalised(part)}." for part in (*parts, patient) if part)

    def _scope(self) -> str:
        config, data = self.result.config, self.result.dataset
        size, backbone = config["input_size"], config["backbone"]
        source = ""
        if data.source_size:
            source = f" of typically {data.source_size[0]} × {data.source_size[1]} pixels"
        folds = self.result.split.folds
        split = count(folds, "fold") if folds else "one split"
        what = "made-up images" if data.name.startswith("synth") else "images"
        read = what_differs(self.result) or f"read at {size} × {size} by {backbone['architecture']}"
        return f"on {data.name} ({data.images:,} {what}{source}, {read}; {split})"

    def _lead(self) -> str:
        if (best := best_extractor(self.result, self.claims)) and not is_primary(self.pair):
            return f"{self._scope()}, {best}"
        lead = self.vaes[0]
        name = self.name(lead)
        if self.is_plain[lead]:
            name += ", the paper’s method in our settings,"
        rivals = dict.fromkeys((self.rival, RANDOM))
        outcomes = [
            (claim, f"{self.name(rival)} ({self.level(rival)}{self._chosen(rival)})")
            for rival in rivals
            if (claim := self.claim(lead, rival))
        ]
        text = f"{self._scope()}, {name} has a balanced accuracy of {self.level(lead)}: {_phrase(outcomes)}"
        if self.demonstration:
            text += "; a VAE pretrained so briefly shows how the app works, not what such weights are worth"
        elif not opponent(list(self.result.arms)):
            text += "; ImageNet itself was not compared"
        elif lead == opponent(list(self.result.arms)):
            text += "; no VAE was compared"
        elif lead == VAE and not self.is_plain[lead]:
            text += "; the plain VAE, which the paper trained, was not compared"
        return f"{text}; {best}" if best else text

    def _chosen(self, rival: str) -> str:
        """That validation chose the opponent's input size, where its name does not have it."""
        chosen = rival == BEST_IMAGENET and "best" not in self.name(rival)
        return ", its best input size" if chosen else ""

    def _recipe(self) -> str:
        """The changed recipe under its own name; also at the same input size, where that is not the opponent's."""
        arm = self.vaes[-1]
        rivals = [self.rival] if len(self.vaes) > 1 else []
        rivals += [IMAGENET] if self.rival != IMAGENET else []
        outcomes = [
            (claim, f"{self.name(rival)} ({_points(claim)})")
            for rival in rivals
            if (claim := self.claim(arm, rival))
        ]
        if not outcomes:
            return ""
        if len(self.vaes) == 1:
            return f"at the same input size, {self.name(arm)} is {_phrase(outcomes)}"
        masked = ""
        if MASKED in self.result.arms:
            masked = f"; with masked input the VAE has {self.level(MASKED)}"
        return f"the changed recipe, {self.name(arm)}, has {self.level(arm)} and is {_phrase(outcomes)}{masked}"

    def _side_by_side(self) -> str:
        main = self.claim(BOTH, self.rival)
        counted = self.result.counted
        if main is None and BOTH in counted and own_networks(counted):
            return (
                f"side by side, {self.name(BOTH)} has {self.level(BOTH)}; the tests named in advance do not "
                "compare it with single networks, the leaderboard does"
            )
        if main is None:
            return ""
        text = (
            f"side by side, {self.name(BOTH)} has {self.level(BOTH)} and is "
            f"{_phrase([(main, f'{self.name(self.rival)} alone ({_points(main)})')])}"
        )
        controls = [
            (claim, f"{self.name(arm)} ({_points(claim)})")
            for arm in width_controls(list(self.result.arms))
            if (claim := self.claim(BOTH, arm))
        ]
        if controls:
            return f"{text}; compared with models of the same number of features, it is {_phrase(controls)}"
        if main.says == "higher":
            return f"{text}; how much of this the larger number of features gives was not tested"
        return text

    def _gaps(self) -> str:
        """Both gaps with their sizes; what is alike of them in one part."""
        outcomes: dict[tuple[str, str], list[str]] = {}
        for kind in GAPS:
            if claim := self.claim(*self.pair, about_gap(kind)):
                outcomes.setdefault(self._gap(kind, claim), []).append(kind)
        parts = []
        for (ahead, text), kinds in outcomes.items():
            arms = sorted(self.pair, key=lambda arm: arm != ahead)
            sizes = {k: " against ".join(self._gap_of(arm, k) for arm in arms) for k in kinds}
            if ahead:
                gaps = [f"a smaller {kind} gap ({sizes[kind]})" for kind in kinds]
                name, other = map(self.name, arms)
                parts.append(f"{name} has {listed(gaps)} than {other}, {text}")
            else:
                parts.append(
                    f"{text} ({'; '.join(f'{k} gap {size}' for k, size in sizes.items())})"
                )
        if not parts:
            return ""
        return f"overfitting, the gap between training and validation: {'; '.join(parts)}"

    def _gap(self, kind: str, claim: Conclusion) -> tuple[str, str]:
        """Of one gap, without its size: the arm shown to have the smaller one, or "", and what is said."""
        names = " and ".join(map(self.name, self.pair))
        arm = _ahead(claim, "lower")
        if arm is None:
            return "", {
                "equivalent": f"{names} are equal within the margin",
                "not shown": f"{names} are not shown to differ",
                "depends on tuning": f"{names} do not clearly differ, {DEPENDS}",
            }[claim.says]
        return arm, {
            True: f"also {MATCHED}",
            False: f"but {MATCHED} this is not shown",
            None: f"but no comparison {MATCHED} could be made",
        }[self._matched(kind, arm)]

    def _gap_of(self, arm: str, kind: str) -> str:
        value = self.result.arms[arm].gaps.get(kind)
        if kind == "loss" or value is None:
            return number(value, 3, sign=True)
        return f"{points(value)} points"

    def _matched(self, kind: str, arm: str) -> bool | None:
        """Whether the arm's gap is shown to be smaller at matched training accuracy; None where not comparable."""
        claim = self.claim(*self.pair, about_gap(kind, "matched"))
        return None if claim is None or claim.tuned.p is None else _ahead(claim, "lower") == arm

    def smaller_gap(self) -> str | None:
        holders = {
            arm
            for kind in GAPS
            if (arm := _ahead(self.claim(*self.pair, about_gap(kind)), "lower"))
        }
        return holders.pop() if len(holders) == 1 else None

    def _at_matched(self, arm: str) -> set[bool]:
        """What matched training accuracy says of the gaps in which an arm is the smaller."""
        answers = [
            self._matched(kind, arm)
            for kind in GAPS
            if _ahead(self.claim(*self.pair, about_gap(kind)), "lower") == arm
        ]
        return {answer for answer in answers if answer is not None}

    def survives_matched(self) -> bool | None:
        arm = self.smaller_gap()
        answers = self._at_matched(arm) if arm else set()
        return answers.pop() if len(answers) == 1 else None


def _capitalised(text: str) -> str:
    """A sentence with a capital first letter; the name of an arm in front stays as it is."""
    return text[:1].upper() + text[1:] if text.startswith(OWN_WORDS) else text


def _phrase(outcomes: Sequence[tuple[Conclusion, str]]) -> str:
    """What claims say of their first arm, to stand behind "is".

    outcomes: each claim with the name of its other arm; those that say the same stand together.
    """
    others: dict[str, list[str]] = {}
    for claim, other in outcomes:
        others.setdefault(claim.says, []).append(other)
    parts = []
    for says, names in others.items():
        either = " or ".join(names)
        parts.append(
            {
                "higher": f"more accurate than {' and than '.join(names)}",
                "lower": f"less accurate than {' and than '.join(names)}",
                "equivalent": f"as accurate as {listed(names)}, within 2 points",
                "not shown": f"not shown to differ in accuracy from {either}",
                "depends on tuning": f"not clearly better or worse than {either}, {DEPENDS}",
            }[says]
        )
    return listed(parts)


def _points(claim: Conclusion) -> str:
    ends = f"{points(claim.tuned.low)}{NBSP}to{NBSP}{points(claim.tuned.high)}"
    return f"{points(claim.tuned.mean)} points, {ends}"


def points(share: float | None) -> str:
    """A share as percentage points with its sign."""
    return number(None if share is None else share * 100, 1, sign=True)
