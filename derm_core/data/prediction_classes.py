"""Which class each number of a file of predictions stands for: as given, or as labels confirm; never guessed.

The order of classes in a file is not part of it. It is taken from --classes, from a table of class
numbers among the files, from the file's true labels, which are compared with those of the dataset,
or from predicted names beside numbered probabilities; what contradicts the labels is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import DataError
from ..formatting import percent
from .prediction_blocks import ScoreBlock
from .prediction_names import ClassNames, numbered

Evidence = tuple[str, np.ndarray, np.ndarray]
AGREEMENT = 0.9  # share of labels that must agree for an order to count as confirmed


@dataclass(frozen=True)
class ClassOrder:
    """What is known of class numbers from outside the file.

    Attributes:
        given: the names of --classes, in the order of their numbers.
        listed: number → name, from a table of class numbers; source: its file.
    """

    given: tuple[str, ...] = ()
    listed: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def names_of(self, tokens: Sequence[str], where: str) -> tuple[Mapping[str, str], str]:
        """Number → name and where it is from; empty where nothing is given."""
        if self.given:
            return numbered(self.given, tokens, where), "--classes"
        missing = [token for token in tokens if token not in self.listed]
        return ({}, "") if missing or not self.listed else (self.listed, self.source)


def is_number(token: str) -> bool:
    """Whether a label is a whole number."""
    return token.lstrip("-").isdecimal()


def class_map(
    where: str,
    blocks: Sequence[ScoreBlock],
    predicted: Mapping[str, np.ndarray],
    truth: np.ndarray | None,
    labels: np.ndarray,
    names: ClassNames,
    order: ClassOrder,
) -> tuple[dict[str, str], list[str]]:
    """What every number and name of a file stands for: token → class of the dataset, or a further one.

    Args:
        where: the file's name.
        blocks: scores of its models.
        predicted: model → predicted labels (n,).
        truth: (n,) true labels of the file.
        labels: (n,) those of the dataset, "" for unknown.
        names: of the dataset.
        order: what is given of class numbers.

    Returns:
        The map, and what was assumed.
    """
    tokens = {token for block in blocks for token in block.tokens}
    for texts in (*predicted.values(), *([] if truth is None else [truth])):
        tokens |= set(texts) - {""}
    numbers = sorted((token for token in tokens if is_number(token)), key=int)
    to_class = {token: names.find(token) or token for token in tokens if not is_number(token)}
    if truth is not None:
        to_class |= _learnt_names(to_class, truth, labels, names)
    if len(names.classes) == 2 and numbers == ["1"]:
        numbers = ["0", "1"]
    if not numbers:
        return to_class, []
    evidence = _evidence(blocks, predicted, truth, labels, to_class)
    by_number, notes = resolve_numbers(numbers, order, names, evidence, where)
    return {**to_class, **by_number}, notes


def as_classes(tokens: np.ndarray, to_class: Mapping[str, str]) -> np.ndarray:
    """Class names (n,) of tokens (n,), "" where there is none."""
    return np.array([to_class.get(token, "") for token in tokens], dtype=object)


def _learnt_names(
    to_class: Mapping[str, str], truth: np.ndarray, labels: np.ndarray, names: ClassNames
) -> dict[str, str]:
    """Names that are none of the dataset's, but that its true labels give to one class of it that has no other."""
    free = set(names.classes) - set(to_class.values())
    learnt, _ = _by_majority(truth, labels)
    return {
        token: learnt[token]
        for token, name in to_class.items()
        if name not in names.classes
        and learnt.get(token) in free
        and np.mean(labels[(truth == token) & (labels != "")] == learnt[token]) >= AGREEMENT
    }


def _evidence(
    blocks: Sequence[ScoreBlock],
    predicted: Mapping[str, np.ndarray],
    truth: np.ndarray | None,
    labels: np.ndarray,
    to_class: Mapping[str, str],
) -> list[Evidence]:
    """What says which number is which class: true labels, and names beside numbers."""
    evidence = []

    def numbered_only(texts: np.ndarray) -> np.ndarray:
        return np.array([text if is_number(text) else "" for text in texts], dtype=object)

    if truth is not None and any(map(is_number, truth)):
        evidence.append(("true labels", numbered_only(truth), labels))
    for block in blocks:
        decided = predicted.get(block.model, predicted.get(""))
        if decided is None or len(block.tokens) < 2:
            continue
        whole = np.isfinite(block.scores).all(1)
        place = np.nan_to_num(block.scores, nan=-np.inf).argmax(1)
        likely = np.where(whole, np.array(block.tokens, dtype=object)[place], "").astype(object)
        if block.are_numbers and not any(map(is_number, decided)):
            evidence.append(("predicted names", likely, as_classes(decided, to_class)))
        elif not block.are_numbers and any(map(is_number, decided)):
            named = as_classes(likely, to_class)
            evidence.append(("class names of its scores", numbered_only(decided), named))
    return evidence


def resolve_numbers(
    tokens: Sequence[str],
    order: ClassOrder,
    names: ClassNames,
    evidence: Sequence[Evidence],
    where: str,
) -> tuple[dict[str, str], list[str]]:
    """Class number → class name (of the dataset, or another), and what was assumed.

    Args:
        tokens: the numbers that the file uses.
        order: what is given.
        names: of the dataset.
        evidence: what it is, numbers (n,) and names of classes (n,) of the same images; "" for unknown.
        where: the file's name.

    Raises:
        DataError: the order is not known, or contradicts the labels.
    """
    stated, source = order.names_of(tokens, where)
    by_labels = {what: _by_majority(numbers, labels) for what, numbers, labels in evidence}
    if stated:
        chosen = {token: names.find(stated[token]) or stated[token] for token in tokens}
        _check(chosen, source, evidence, names, where)
        confirmed = f"; its {next(iter(by_labels))} confirm it" if by_labels else ""
        return chosen, [f"{where}: class numbers are in the order of {source}{confirmed}."]
    if all(token in names.classes for token in tokens):
        return {token: token for token in tokens}, []
    for what, *_ in evidence:
        learnt, agree = by_labels[what]
        free = [name for name in names.classes if name not in learnt.values()]
        left = [token for token in tokens if token not in learnt]
        if len(set(learnt.values())) < len(learnt) or agree < AGREEMENT:
            raise DataError(
                f"{where}: the {what} agree with the dataset's classes for {percent(agree)} of the images at best, "
                "so that its classes are not those of the dataset; give their names with --classes, in order."
            )
        if len(left) == 1 and len(free) == 1:
            learnt = {**learnt, left[0]: free[0]}
        elif left:
            continue
        listed = ", ".join(f"{token} {learnt[token]}" for token in sorted(learnt, key=int))
        return learnt, [f"{where}: the order of its classes is that of its {what}: {listed}."]
    raise DataError(
        f"{where} numbers its classes ({', '.join(tokens[:12])}) and does not say which is which: name them in "
        f"the order of their numbers (--classes, or the field on the page), such as {','.join(names.classes)}."
    )


def _by_majority(numbers: np.ndarray, labels: np.ndarray) -> tuple[dict[str, str], float]:
    """Each number's commonest class, and the share of images for which it is right."""
    known = (numbers != "") & (labels != "")
    learnt, right = {}, 0
    for token in sorted(set(numbers[known])):
        names, counts = np.unique(
            labels[known & (numbers == token)].astype(str), return_counts=True
        )
        learnt[token] = str(names[counts.argmax()])
        right += int(counts.max())
    return learnt, right / max(int(known.sum()), 1)


def _check(
    chosen: Mapping[str, str],
    source: str,
    evidence: Sequence[Evidence],
    names: ClassNames,
    where: str,
) -> None:
    """Refuse an order that the labels contradict."""
    for what, numbers, labels in evidence:
        known = (numbers != "") & (labels != "")
        if not known.any():
            continue
        agree = np.mean([chosen.get(n) == c for n, c in zip(numbers[known], labels[known])])
        if agree < AGREEMENT:
            learnt, best = _by_majority(numbers, labels)
            better = ", ".join(f"{token} {learnt[token]}" for token in sorted(learnt, key=int))
            hint = f"; they fit {better} for {percent(best)}" if best >= AGREEMENT else ""
            raise DataError(
                f"{where}: the order of {source} contradicts its {what}, which agree with it for {percent(agree)} "
                f"of the images{hint}."
            )
