"""From the numbers of a file of predictions to probabilities: what kind they are is recognised, and stated."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

ROUNDING = 1e-6
ROUNDED = 0.05  # by which rounded probabilities may miss a sum of 1
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf", re.IGNORECASE)

_COMMA = r"[-+]?\d*,?\d+(?:[eE][-+]?\d+)?"  # 0,25 and 1


def as_numbers(cells: pd.Series) -> np.ndarray | None:
    """Cells as float64 (n,), NaN where blank; None where one is no number. Decimal commas are read.

    Decimals that are the shortest form of float32 numbers are read as these, which is what a network gave.
    """
    if pd.api.types.is_bool_dtype(cells):
        return None
    if pd.api.types.is_numeric_dtype(cells):
        return cells.to_numpy(np.float64, na_value=np.nan)
    texts = cells.map(lambda value: value.strip() if isinstance(value, str) else value)
    blank = texts.isna() | texts.isin(["", "nan", "NaN", "NA", "None"])
    values = pd.to_numeric(texts.where(~blank), errors="coerce")
    if (values.isna() & ~blank).any():
        as_text = texts.where(~blank).astype(str)
        if not (as_text.str.fullmatch(_COMMA) | blank).all():
            return None
        values = pd.to_numeric(as_text.str.replace(",", ".").where(~blank), errors="coerce")
    numbers = values.to_numpy(np.float64)
    return _float32(numbers)


def _float32(numbers: np.ndarray) -> np.ndarray:
    known = numbers[np.isfinite(numbers)]
    with np.errstate(over="ignore"):
        short = known.astype(np.float32)
    if not np.isfinite(short).all() or any(
        float(str(one)) != value for one, value in zip(short, known, strict=True)
    ):
        return numbers
    return np.where(np.isfinite(numbers), numbers.astype(np.float32), np.nan).astype(np.float64)


def read_list(cell: Any) -> list[float] | dict[str, float] | None:
    """The numbers of a cell that holds a list, an array as text, or an object of names; None where it holds none."""
    if cell is None or isinstance(cell, float | int | bool):
        return None
    if isinstance(cell, dict):
        pairs = {str(name): value for name, value in cell.items() if value is not None}
        return _floats(pairs)
    if isinstance(cell, list | tuple | np.ndarray):
        values = np.asarray(cell, dtype=object).ravel().tolist()
        return None if any(isinstance(value, str) for value in values) else list(map(float, values))
    text = str(cell).strip()
    if text.startswith("{"):
        try:
            value = json.loads(text.replace("'", '"'))
        except ValueError:
            return None
        return _floats(value) if isinstance(value, dict) else None
    body = re.sub(r"^(?:tensor|array)\(|,?\s*(?:dtype|device)=[^)]*\)?$|\)$", "", text).strip()
    if re.fullmatch(_COMMA, body):
        return None
    if body[:1] not in "[(" and not re.fullmatch(r"[-+.\deE]+(?:[\s;,|]+[-+.\deE]+)+", body):
        return None
    rest = re.sub(r"[\s,;|\[\]()]", "", _NUMBER.sub("", body))
    return None if rest else [float(number) for number in _NUMBER.findall(body)]


def _floats(pairs: dict[str, Any]) -> dict[str, float] | None:
    try:
        return {name: float(value) for name, value in pairs.items()}
    except (TypeError, ValueError):
        return None


def to_probabilities(
    scores_nc: np.ndarray, is_logit: bool, what: str
) -> tuple[np.ndarray, list[str]]:
    """Probabilities (n, C) that sum to 1, and what was assumed.

    Args:
        scores_nc: finite, C at least 2.
        is_logit: whether the columns are called logits.
        what: the file and model, for the notes.
    """
    if -ROUNDING < scores_nc.min() < 0:
        scores_nc = np.maximum(scores_nc, 0)
    sums = scores_nc.sum(1)
    low, high = float(scores_nc.min()), float(scores_nc.max())
    if low >= 0 and high <= 1 + 1e-6 and np.abs(sums - 1).max() <= ROUNDED:
        notes = (
            [f"{what}: columns called logits sum to 1 and were read as probabilities."]
            if is_logit
            else []
        )
        miss = float(np.abs(sums - 1).max())
        if miss > 1e-3:
            notes.append(
                f"{what}: rounded probabilities, which sum to {sums.min():.3g} to {sums.max():.3g}, were scaled to 1."
            )
        # a softmax in float32 is left alone to its last digit
        return (scores_nc if miss < 1e-5 else scores_nc / sums[:, None]), notes
    if low >= 0 and 1 < high <= 100 + 1e-6 and np.abs(sums - 100).max() <= 100 * ROUNDED:
        return scores_nc / sums[:, None], [
            f"{what}: percentages that sum to 100 were divided by 100."
        ]
    if high <= 1e-6 and np.abs(np.exp(scores_nc).sum(1) - 1).max() <= ROUNDED:
        return softmax(scores_nc, 1), [f"{what}: logarithms of probabilities were read."]
    if low < 0 or high > 1 or is_logit:
        return softmax(scores_nc, 1), [
            f"{what}: logits ({low:.3g} to {high:.3g}) were made probabilities by a softmax."
        ]
    positive = np.maximum(scores_nc, 1e-12)
    return positive / positive.sum(1, keepdims=True), [
        f"{what}: scores from 0 to 1 that do not sum to 1 (of one class against the rest) were divided by their "
        "sum: AUROC and calibration are those of the result."
    ]


def two_classes(scores_n: np.ndarray, is_logit: bool, what: str) -> tuple[np.ndarray, list[str]]:
    """Probabilities (n, 2) from the score of the second class alone."""
    if is_logit or scores_n.min() < 0 or scores_n.max() > 1:
        pairs = np.stack([np.zeros_like(scores_n), scores_n], 1)
        return softmax(pairs, 1), [
            f"{what}: the logit of one class was made a probability (sigmoid)."
        ]
    return np.stack([1 - scores_n, scores_n], 1), []


def stack_lists(cells: Sequence[Any]) -> tuple[list[str], np.ndarray, bool] | None:
    """Names, numbers (n, C) and whether names are numbers, of a column of lists or objects; None for others."""
    values = [read_list(cell) for cell in cells]
    known = [value for value in values if value is not None]
    if len(known) < max(1, 0.9 * len(values)):
        return None
    objects = [value for value in values if isinstance(value, dict)]
    if objects:
        names = list(dict.fromkeys(name for value in objects for name in value))
        by_name = [value if isinstance(value, dict) else {} for value in values]
        rows = [[value.get(name, np.nan) for name in names] for value in by_name]
        return names, np.array(rows, np.float64), all(name.isdecimal() for name in names)
    lengths = {len(value) for value in known}
    if len(lengths) != 1 or min(lengths) < 2:
        return None
    count = lengths.pop()
    rows = [[*value] if isinstance(value, list) else [np.nan] * count for value in values]
    return [str(place) for place in range(count)], np.array(rows, np.float64), True
