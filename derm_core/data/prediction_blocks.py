"""The scores of each model of a table: which columns are the classes of one model, and their numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from .prediction_names import ClassNames, ColumnName
from .prediction_scores import ROUNDED, as_numbers, stack_lists
from .prediction_table import PredictionTable

MOST_CLASSES = 200


@dataclass(frozen=True, eq=False)
class ScoreBlock:
    """The scores of one model.

    Attributes:
        model: as columns name it, "" where the file has one model.
        tokens: of the classes: numbers, or names as the file spells them.
        scores: (n, C) float64, a row for each of the table's, NaN where blank.
        is_logit: whether the columns are called logits.
    """

    model: str
    tokens: tuple[str, ...]
    scores: np.ndarray
    are_numbers: bool
    is_logit: bool


def score_blocks(table: PredictionTable, names: ClassNames) -> list[ScoreBlock]:
    """The scores of every model of a table, [] where it has predicted labels alone.

    Raises:
        DataError: a row of a column of lists holds something else, or a class has several columns.
    """
    blocks = _of_columns(table, names)
    if blocks or table.lists is None:
        return blocks
    stacked = stack_lists(table.frame[table.lists].tolist())
    if stacked is None:
        raise DataError(
            f"{table.path.name}: the lists in {table.lists} have different lengths or hold no numbers; one number a "
            "class is needed."
        )
    tokens, scores, are_numbers = stacked
    return [ScoreBlock("", tuple(tokens), scores, are_numbers, "logit" in table.lists.lower())]


def one_hot_truth(table: PredictionTable, names: ClassNames) -> np.ndarray | None:
    """True labels (n,) from one column a class, such as true_mel; None where there are none."""
    _, columns = _scores_and_truth(table, names)
    if len(columns) < 2:
        return None
    values = np.nan_to_num(_numbers(table, list(columns)))
    tokens = np.array([names.find(name.token) for name in columns.values()], dtype=object)
    labels = tokens[values.argmax(1)]
    labels[(values.sum(1) != 1) | (values.max(1) != 1)] = ""
    return labels


def _scores_and_truth(
    table: PredictionTable, names: ClassNames
) -> tuple[dict[str, ColumnName], dict[str, ColumnName]]:
    """Columns of scores, and one-hot columns of true labels: called so, or `mel` beside `prob_mel`."""
    called = {names.find(name.token) for name in table.scores.values() if name.known and name.kind}
    scores: dict[str, ColumnName] = {}
    truth: dict[str, ColumnName] = {}
    for column, name in table.scores.items():
        is_bare = name.known and not name.kind and names.find(name.token) in called
        (truth if is_bare or name.kind == "truth" else scores)[column] = name
    return scores, {column: name for column, name in truth.items() if name.known}


def _of_columns(table: PredictionTable, names: ClassNames) -> list[ScoreBlock]:
    columns, _ = _scores_and_truth(table, names)
    models = {name.model for name in columns.values() if name.known}
    if sum(name.known for name in columns.values()) > 1 or (models and len(names.classes) == 2):
        return _named_blocks(table, columns, models)
    numbered: dict[str, dict[str, ColumnName]] = defaultdict(dict)
    for column, name in columns.items():
        if name.is_number:
            numbered[name.model][column] = name
    blocks = []
    for model, of in numbered.items():
        is_sure = not model or any(name.kind for name in of.values())
        block = _block(table, model, of, True)
        if 2 <= len(block.tokens) <= MOST_CLASSES and (is_sure or _sums_to_one(block.scores)):
            blocks.append(block)
    return _without_lone_name(blocks) or _single(table, columns, names)


def _named_blocks(
    table: PredictionTable, columns: Mapping[str, ColumnName], models: set[str]
) -> list[ScoreBlock]:
    """Blocks of columns whose names are classes, with columns beside them that name further classes."""
    blocks = []
    for model in sorted(models):
        own = {c: name for c, name in columns.items() if name.known and name.model == model}
        others = {
            c: name
            for c, name in columns.items()
            if not (name.known or name.is_number) and name.token
        }
        if model and len(models) > 1:
            others = {
                c: ColumnName(rest, False, False, model, name.kind)
                for c, name in others.items()
                if (rest := name.token.removeprefix(model).removesuffix(model).strip("_-. "))
                and rest != name.token
            }
        called = {c: name for c, name in others.items() if name.kind}
        choices = [_block(table, model, {**own, **more}, False) for more in (called, {}, others)]
        blocks.append(next((one for one in choices if _sums_to_one(one.scores)), choices[0]))
    largest = max(len(block.tokens) for block in blocks)
    return _without_lone_name([block for block in blocks if len(block.tokens) * 2 > largest])


def _without_lone_name(blocks: list[ScoreBlock]) -> list[ScoreBlock]:
    """One model is called after its file: what its columns have in common may be anything."""
    if len(blocks) != 1:
        return blocks
    (one,) = blocks
    return [ScoreBlock("", one.tokens, one.scores, one.are_numbers, one.is_logit)]


def _single(
    table: PredictionTable, columns: Mapping[str, ColumnName], names: ClassNames
) -> list[ScoreBlock]:
    """The one score of a file of two classes, that of the second (number 1)."""
    generic = [
        c for c, name in columns.items() if not name.token or (name.is_number and name.token == "1")
    ]
    if len(names.classes) != 2 or len(generic) != 1:
        return []
    scores = _numbers(table, generic)
    return [ScoreBlock("", ("1",), scores, True, columns[generic[0]].kind == "logit")]


def _block(
    table: PredictionTable, model: str, columns: Mapping[str, ColumnName], are_numbers: bool
) -> ScoreBlock:
    """One column a class; of probabilities and logits of the same classes the probabilities."""
    logits = {name.token: c for c, name in columns.items() if name.kind == "logit"}
    scores = {name.token: c for c, name in columns.items() if name.kind != "logit"}
    if len(logits) + len(scores) < len(columns):
        tokens = [name.token for name in columns.values()]
        twice = sorted({token for token in tokens if tokens.count(token) > 1})
        if set(twice) - (set(logits) & set(scores)):
            raise DataError(
                f"{table.path.name} has several columns of scores of the class {', '.join(twice)}; keep one each."
            )
    is_logit = len(logits) > len(scores)
    chosen = logits if is_logit else scores
    tokens = sorted(chosen, key=int) if are_numbers else list(chosen)
    values = _numbers(table, [chosen[token] for token in tokens])
    return ScoreBlock(model, tuple(tokens), values, are_numbers, is_logit)


def _numbers(table: PredictionTable, columns: list[str]) -> np.ndarray:
    values = [as_numbers(table.frame[column]) for column in columns]
    return np.stack([value for value in values if value is not None], 1)


def _sums_to_one(scores: np.ndarray) -> bool:
    known = scores[np.isfinite(scores).all(1)]
    return bool(len(known)) and bool((np.abs(known.sum(1) - 1) <= ROUNDED).mean() > 0.9)
