"""Arms that validation chooses among others: ImageNet at its best input size, and the best VAE.

A study with ImageNet at two input sizes has the arm `imagenet@best`: the size with the lowest
validation loss, at its own setting. With two or more VAEs it has `vae@best` likewise. In a fold the
chosen arm stands beside the others under the role's name, so that folds which chose differently can
be put together. Where all folds chose alike, and on one split, no arm stands twice: the role is
played by the arm that has it, which takes the role's name if it is ImageNet at another size than the
study's (`roles.opponent`) and keeps its own name otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ..arms import arm_kind, arm_label, arm_parts, in_order

BEST_IMAGENET, BEST_VAE = "imagenet@best", "vae@best"
KINDS = {BEST_IMAGENET: ("imagenet",), BEST_VAE: ("vae", "recipe")}
QUALITIES = {BEST_IMAGENET: "input size", BEST_VAE: "recipe"}
Chosen = Mapping[str, tuple[str, ...]]  # {role: the arm that was chosen for it, one a fold}


def candidates(arms: Iterable[str]) -> dict[str, list[str]]:
    """{role: the arms among which it is chosen}, of the roles that two arms or more could play.

    >>> candidates(["vae", "imagenet", "imagenet@96", "imagenet+random"])
    {'imagenet@best': ['imagenet', 'imagenet@96']}
    """
    single = [arm for arm in in_order(arms) if len(arm_parts(arm)) == 1 and arm not in KINDS]
    every = {
        role: [arm for arm in single if arm_kind(arm) in kinds] for role, kinds in KINDS.items()
    }
    return {role: of_role for role, of_role in every.items() if len(of_role) > 1}


def choose_arms(losses: Mapping[str, float]) -> dict[str, str]:
    """{role: the arm with the lowest validation loss}. losses: {arm: loss at its own setting}."""
    return {
        role: min(of_role, key=lambda arm: losses[arm])
        for role, of_role in candidates(losses).items()
    }


def settle(arms: Sequence[str], chosen: Chosen) -> dict[str, str]:
    """{name of each arm of a result: the arm or role behind it}, in the order of every table.

    Args:
        arms: of the study, without roles.
        chosen: of every fold, or of the one split.
    """
    sources = {arm: arm for arm in arms}
    for role, of_folds in chosen.items():
        first = of_folds[0]
        if len(set(of_folds)) > 1:
            sources[role] = role
        elif role == BEST_IMAGENET and first != "imagenet":
            sources[role] = sources.pop(first)
    return {name: sources[name] for name in in_order(sources)}


def role_label(role: str, chosen: Sequence[str], labels: Mapping[str, str]) -> str:
    """What the arm of a role is called: as the arm that every fold chose, else as the role."""
    return labels[chosen[0]] if len(set(chosen)) == 1 else arm_label(role)


def describe(chosen: Chosen, labels: Mapping[str, str]) -> list[str]:
    """A sentence on every role: which arm was chosen for it, and by how many folds. labels: {arm: its name}."""
    return [_sentence(role, of_folds, labels.__getitem__) for role, of_folds in chosen.items()]


def _sentence(role: str, of_folds: Sequence[str], label: Callable[[str], str]) -> str:
    arms = dict.fromkeys(of_folds)
    if len(of_folds) == 1:
        return f"{label(of_folds[0])} has the lowest validation loss: the best {QUALITIES[role]}."
    if len(arms) == 1:
        return (
            f"{label(of_folds[0])} has the lowest validation loss in all {len(of_folds)} folds: the best "
            f"{QUALITIES[role]}."
        )
    counts = ", ".join(f"{label(arm)} in {of_folds.count(arm)}" for arm in arms)
    return f"{arm_label(role)} has in each fold the lowest validation loss: {counts} of {len(of_folds)}."
