"""Arms ranked by balanced accuracy: the places that the paired tests leave open, and ties.

    board = leaderboard(result)
    board.places[0].arm, board.places[0].first, board.places[0].last      'both', 1, 5

A rank is not read from intervals of single arms, whose overlap says little of a difference measured on
the same images. Two arms are told apart where a claim of a verdict would stand: with corrected p below
0.05, each arm at its own best setting and with one setting for all alike (see `conclusions`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from string import ascii_lowercase

from ..stats.ties import tied_groups
from .arm_networks import ArmNetwork, arm_network
from .conclusions import CLAIMED, accuracy_claims
from .families import METRIC
from .study_result import StudyResult

LEAST_ARMS = 3  # of fewer there is a comparison, and nothing to rank
MILLIONS = (1, 3, 10, 30, 100, 300, 1000)  # parameters: the limits that a filter offers


@dataclass(frozen=True, kw_only=True)
class ArmFilter:
    """Which arms are ranked; None: all. An arm of which the fact is not known passes no filter on it.

    Args:
        pixels: sides of the input up to this one.
        millions: of parameters, up to this many.
        pretrained_on: as `ArmNetwork` has it.
        seen: "yes", "no" or "unknown".
    """

    pixels: int | None = None
    millions: int | None = None
    pretrained_on: str | None = None
    seen: str | None = None

    def admits(self, network: ArmNetwork) -> bool:
        """Whether an arm with this network is ranked."""
        millions = None if network.parameters is None else network.parameters / 1e6
        return (
            _up_to(network.input_size, self.pixels)
            and _up_to(millions, self.millions)
            and self.pretrained_on in (None, network.pretrained_on)
            and self.seen in (None, network.seen)
        )


@dataclass(frozen=True, kw_only=True)
class FilterChoices:
    """Values that split the arms of a result, for each field of `ArmFilter`; empty where none does."""

    pixels: tuple[int, ...]
    millions: tuple[int, ...]
    pretrained_on: tuple[str, ...]
    seen: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Place:
    """An arm's place.

    Args:
        first, last: the best and the worst rank that the tests leave open.
        ties: letters; arms that share one are not told apart.
        network: what it is.
    """

    arm: str
    first: int
    last: int
    ties: str
    network: ArmNetwork


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """Arms by falling balanced accuracy.

    Args:
        places: of the arms that were ranked together.
        groups: {letter: arms that the tests do not tell apart}.
        seen: places of the arms that the verdict leaves out, as their pretraining saw the dataset's images, among
            themselves.
        left_out: number of arms that the filter left out.
    """

    places: tuple[Place, ...]
    groups: dict[str, tuple[str, ...]]
    seen: tuple[Place, ...]
    left_out: int


def leaderboard(result: StudyResult, chosen: ArmFilter | None = None) -> Leaderboard:
    """The arms of a result in their order; those that the verdict leaves out, as they saw its images, apart."""
    admitted = chosen or ArmFilter()
    networks = {arm: arm_network(result, arm) for arm in result.arms}
    arms = [arm for arm, network in networks.items() if admitted.admits(network)]
    arms.sort(key=lambda arm: _falling(result.arms[arm].test[METRIC].mean))
    apart = [arm for arm in arms if arm not in result.counted]
    places, groups = _places(result, [arm for arm in arms if arm not in apart], networks)
    of_seen, _ = _places(result, apart, networks)
    return Leaderboard(
        places=places, groups=groups, seen=of_seen, left_out=len(result.arms) - len(arms)
    )


def filter_choices(result: StudyResult) -> FilterChoices:
    """What a filter can ask of the arms of a result: values that keep some of them and leave out others."""
    networks = [arm_network(result, arm) for arm in result.arms]
    pixels = sorted({one.input_size for one in networks if one.input_size})
    sizes = [one.parameters / 1e6 for one in networks if one.parameters]
    limits = [limit for limit in MILLIONS if sizes and min(sizes) <= limit < max(sizes)]
    trained = dict.fromkeys(one.pretrained_on for one in networks if one.pretrained_on)
    answers = dict.fromkeys(one.seen for one in networks if one.seen)
    return FilterChoices(
        pixels=tuple(pixels[:-1]),
        millions=tuple(limits),
        pretrained_on=tuple(trained) if len(trained) > 1 else (),
        seen=tuple(answers) if len(answers) > 1 else (),
    )


def _places(
    result: StudyResult, ranked: Sequence[str], networks: dict[str, ArmNetwork]
) -> tuple[tuple[Place, ...], dict[str, tuple[str, ...]]]:
    """The places of arms, best first, and their ties by letter."""
    better = dict.fromkeys(ranked, 0)  # how many arms are shown to be more accurate
    worse = dict.fromkeys(ranked, 0)
    different: set[frozenset[str]] = set()
    for claim in accuracy_claims(result, list(combinations(ranked, 2))):
        if claim.says not in CLAIMED:
            continue
        winner, loser = claim.arms if claim.says == "higher" else claim.arms[::-1]
        better[loser] += 1
        worse[winner] += 1
        different.add(frozenset(claim.arms))
    tied = tied_groups(ranked, different)
    groups = {_letter(place): group for place, group in enumerate(tied)}
    return tuple(
        Place(
            arm=arm,
            first=1 + better[arm],
            last=len(ranked) - worse[arm],
            ties=" ".join(letter for letter, group in groups.items() if arm in group),
            network=networks[arm],
        )
        for arm in ranked
    ), groups


def _letter(place: int) -> str:
    """The letter of a place, from 0: a, b, …, z, aa, ab and so on."""
    rest, last = divmod(place, len(ascii_lowercase))
    return (_letter(rest - 1) if rest else "") + ascii_lowercase[last]


def _falling(value: float | None) -> float:
    """A key that sorts values downwards, unknown ones last."""
    return math.inf if value is None or math.isnan(value) else -value


def _up_to(value: float | None, limit: float | None) -> bool:
    return limit is None or (value is not None and value <= limit)
