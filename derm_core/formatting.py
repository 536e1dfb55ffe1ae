"""Numbers, intervals, p values, durations and sizes as text: the one place where they are written.

percent(0.7123)             '71.2 %'
interval({"mean": …})       '71.2 % (68.0–74.1)'
duration(200)               '3 min 20 s'
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import TypeIs

THIN = "\u202f"  # narrow no-break space, between a number and its unit
NBSP = "\u00a0"
Estimate = Any  # has mean, low and high, as attributes or as keys; or None
NOTICE = "Research use only. Not for diagnosis."


QUANTITIES = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_auroc": "Macro-AUROC",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "ece": "Calibration error",
}
DECISIONS = {  # a model's two decisions, by the field that holds each (stats.decisions)
    "most_probable": "Most probable class",
    "adjusted": "Adjusted for class frequency",
}
OF_A_DECISION = ("accuracy", "balanced_accuracy")
SHARES = ("accuracy", "balanced_accuracy", "ece", "recall")  # written as percentages


def family(name: str) -> str:
    """A family of corruptions as it is shown: 'Defocus', 'JPEG'."""
    return {"jpeg": "JPEG"}.get(name, name.replace("_", " ").capitalize())


def short(text: str, letters: int) -> str:
    """A text of at most so many letters, its end left out: 'actinic keratosis or intraepith…'."""
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"


def missing(value: float | None) -> TypeIs[None]:
    """Whether there is nothing to write: None, NaN or infinity."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """0.0613 → '0.061', with a true minus sign; '–' where there is no value."""
    if missing(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def percent(value: float | None, sign: bool = False) -> str:
    """A share as a percentage with one decimal."""
    return "–" if missing(value) else number(100 * value, 1, sign) + THIN + "%"


def quantity(value: float | None, name: str) -> str:
    """A metric's value: a percentage where the metric `name` is a share, else a number."""
    return percent(value) if name in SHARES else number(value)


def interval(value: Estimate, name: str = "accuracy") -> str:
    """A mean with its 95 % interval: '71.2 % (68.0–74.1)'.

    Args:
        value: what has a mean and, where they are known, the ends low and high.
        name: the metric, which decides between percentages and plain numbers.
    """
    mean, low, high = _numbers(value)
    if missing(mean) or missing(low) or missing(high):
        return quantity(mean, name)
    scale, digits = (100, 1) if name in SHARES else (1, 3)
    ends = _between(number(scale * low, digits), number(scale * high, digits))
    return f"{quantity(mean, name)}{NBSP}({ends})"


def span(value: Estimate, name: str = "accuracy") -> str:
    """The 95 % interval alone: '68.0–74.1 %'; '–' where there is none."""
    _, low, high = _numbers(value)
    if missing(low) or missing(high):
        return "–"
    if name in SHARES:
        return _between(number(100 * low, 1), percent(high))
    return _between(number(low), number(high))


def points(difference: Estimate) -> str:
    """A difference of shares in percentage points with its interval: '−16.0 (−20.8 to −11.2)'."""
    return _signed([None if missing(x) else 100 * x for x in _numbers(difference)], 1)


def signed_interval(difference: Estimate) -> str:
    """A difference that is no share, with its interval: '−0.160 (−0.208 to −0.112)'."""
    return _signed(_numbers(difference), 3)


def _signed(numbers: Sequence[float | None], digits: int) -> str:
    mean, low, high = (number(x, digits, sign=True) for x in numbers)
    if missing(numbers[1]) or missing(numbers[2]):
        return mean
    return f"{mean}{NBSP}({low}{NBSP}to{NBSP}{high})"


def _numbers(value: Estimate) -> tuple[float | None, float | None, float | None]:
    """mean, low, high of a record or of its JSON."""
    if isinstance(value, Mapping):
        return value.get("mean"), value.get("low"), value.get("high")
    return getattr(value, "mean", None), getattr(value, "low", None), getattr(value, "high", None)


def _between(low: str, high: str) -> str:
    return f"{low}{NBSP}to{NBSP}{high}" if "−" in low + high else f"{low}–{high}"


def p_value(p: float | None) -> str:
    """'0.012'; '< 0.001' below that."""
    return "–" if missing(p) else "<\u00a00.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float | None) -> str:
    """'8 s', '3 min 20 s', '2 h 5 min'; '–' where unknown."""
    if missing(seconds):
        return "–"
    seconds = int(max(0, round(seconds)))
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if hours:
        return f"{hours}{THIN}h {minutes}{THIN}min"
    if minutes:
        return f"{minutes}{THIN}min" + (f" {seconds % 60}{THIN}s" if minutes < 10 else "")
    return f"{seconds}{THIN}s"


def ago(moment: float | None, now: float | None = None) -> str:
    """How long ago a moment (seconds since 1970) was: 'just now', '5 min ago', '3 days ago'."""
    if missing(moment):
        return "–"
    elapsed = max(0.0, (time.time() if now is None else now) - moment)
    if elapsed < 60:
        return "just now"
    if elapsed < 3600:
        return f"{elapsed // 60:.0f}{THIN}min ago"
    if elapsed < 86400:
        return f"{elapsed // 3600:.0f}{THIN}h ago"
    days = int(elapsed // 86400)
    return f"{days}{THIN}{'day' if days == 1 else 'days'} ago"


def count(value: float, one: str) -> str:
    """'1 lesion', '7,470 lesions'."""
    return f"{value:,.0f} {one if value == 1 else one + 's'}"


def listed(parts: list[str], last: str = " and ") -> str:
    """'split', 'split and classes', 'split, classes and regime'; `last` stands before the last part."""
    return last.join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def size(byte_count: float) -> str:
    """'512 B', '3.4 MB'."""
    if byte_count < 1000:
        return f"{byte_count:.0f}{THIN}B"
    for unit, scale in (("kB", 1e3), ("MB", 1e6)):
        if byte_count < 1000 * scale:
            return f"{byte_count / scale:.1f}{THIN}{unit}"
    return f"{byte_count / 1e9:.1f}{THIN}GB"
