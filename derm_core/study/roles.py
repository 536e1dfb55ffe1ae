"""What each arm of a study stands for, and the pairs of arms that the headline compares.

The opponent is ImageNet at the input size that validation chose, where several were tried. The
plain VAE is what the paper trained. Arms that join ImageNet with random weights, or with itself at
another size, are as wide as `both` and show what width alone brings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from ..arms import (
    BESIDE_METADATA,
    GIVEN,
    METADATA,
    arm_embeddings,
    arm_kind,
    arm_parts,
    is_from_elsewhere,
    own_architecture,
)
from ..stats.paired import Pair, arm_pairs

VAE, PLAIN, BOTH, RANDOM, IMAGENET = "vae", "recipe:paper", "both", "random", "imagenet"
BEST_IMAGENET = "imagenet@best"


def counted(seen: Mapping[str, str | None], count_seen: bool = False) -> list[str]:
    """The arms that take part in the verdict: not those from elsewhere whose pretraining saw the dataset's images.

    Args:
        seen: {arm: "yes", "no", "unknown" or None}.
        count_seen: whether these take part as well.
    """
    return [
        arm
        for arm, answer in seen.items()
        if count_seen or answer != "yes" or not is_from_elsewhere(arm)
    ]


def own_networks(arms: Sequence[str]) -> list[str]:
    """The arms with a network of their own: timm:NAME, hf-hub:OWNER/NAME, file:FILE+ARCHITECTURE, embeddings:NAME."""
    return [arm for arm in arms if own_architecture(arm) or arm_embeddings(arm)]


def opponent(arms: Sequence[str]) -> str | None:
    """ImageNet at its best input size where one was chosen, else at the study's; None without ImageNet."""
    sizes = [arm for arm in arms if arm.startswith("imagenet@") and "+" not in arm]
    return next((arm for arm in (BEST_IMAGENET, IMAGENET, *sizes) if arm in arms), None)


def choose_pair(arms: Sequence[str]) -> Pair | None:
    """The pair (a, b) of the primary comparison a − b: VAE against ImageNet, or what stands in for one of them.

    Another backbone takes the place of a missing one, else the random control; None with fewer than
    two arms to compare.
    """
    rival = opponent(arms)
    named = [arm for arm in (VAE, rival) if arm in arms]
    others = [
        arm for arm in arms if arm_kind(arm) in (*GIVEN, "recipe") and len(arm_parts(arm)) == 1
    ]
    joined = [arm for arm in arms if len(arm_parts(arm)) > 1 and arm != BOTH]
    controls = [
        arm for arm in (RANDOM, BOTH, *joined, "colour", "scratch", METADATA) if arm in arms
    ]
    if rival and named == [rival] and others:
        return others[0], rival
    pair = [arm for arm in [*named, *others, *controls] if arm][:2]
    return (pair[0], pair[1]) if len(pair) == 2 else None


def is_primary(pair: Pair) -> bool:
    """Whether a pair is the comparison named in advance, VAE − ImageNet, and none that takes its place."""
    return pair[0] == VAE and pair[1].partition("@")[0] == IMAGENET


def chosen_pairs(arms: Sequence[str]) -> list[Pair]:
    """Every pair of arms once, that of the primary comparison first."""
    return arm_pairs(arms, choose_pair(arms))


def width_controls(arms: Sequence[str]) -> list[str]:
    """The arms as wide as `both` in which no VAE takes part."""
    controls = (IMAGENET, RANDOM)
    return [
        arm
        for arm in arms
        if len(arm_parts(arm)) > 1
        and arm != BOTH
        and all(part.partition("@")[0] in controls for part in arm_parts(arm))
    ]


def headline_pairs(arms: Sequence[str]) -> list[Pair]:
    """The pairs (a, b) that the headline speaks of, the primary one first.

    The plain VAE and the study's VAE against the opponent, ImageNet at the same input size and
    random weights; both side by side against the opponent, ImageNet at the same size and the
    controls of width. Arms with a network of their own against each other and all of these. The picture
    against the patient, see `metadata_pairs`.
    """
    primary = choose_pair(arms)
    if primary is None:
        return []
    rivals = dict.fromkeys(arm for arm in (opponent(arms), IMAGENET) if arm and arm in arms)
    pairs = [primary]
    for arm in (PLAIN, VAE):
        pairs += [(arm, rival) for rival in (*rivals, RANDOM)]
    pairs += [(BOTH, rival) for rival in (*rivals, *width_controls(arms))]
    own, compared = own_networks(arms), {frozenset(pair) for pair in pairs}
    of_own = [*combinations(own, 2)]
    of_own += [(arm, rival) for arm in own for rival in (PLAIN, VAE, *rivals, RANDOM)]
    pairs += [pair for pair in of_own if frozenset(pair) not in compared]
    compared = {frozenset(pair) for pair in pairs}
    pairs += [
        pair
        for pair in metadata_pairs(arms, [PLAIN, VAE, *rivals, BOTH, *own])
        if frozenset(pair) not in compared
    ]
    return [(a, b) for a, b in dict.fromkeys(pairs) if a in arms and b in arms]


def metadata_pairs(arms: Sequence[str], pictures: Sequence[str]) -> list[Pair]:
    """The pairs that ask whether it is the picture or the patient; empty without an arm of metadata.

    Arms of a picture against age, sex and site alone; a picture beside these against the picture alone,
    and against them alone.
    """
    beside = [arm for arm in arms if arm.startswith(BESIDE_METADATA)]
    shown = [*pictures, *(arm.removeprefix(BESIDE_METADATA) for arm in beside)]
    pairs = [(arm, METADATA) for arm in dict.fromkeys([*shown, *beside])]
    return [*pairs, *((arm, arm.removeprefix(BESIDE_METADATA)) for arm in beside)]


def gap_pairs(arms: Sequence[str]) -> list[Pair]:
    """The pairs whose overfitting gaps the headline compares: the primary one, and the plain VAE and the opponent."""
    pairs, rival = [choose_pair(arms)], opponent(arms)
    if rival and PLAIN in arms:
        pairs.append((PLAIN, rival))
    return list(dict.fromkeys(pair for pair in pairs if pair))
