"""One name, one colour, one order for every arm; one way to write a number.

words.arm("imagenet").name          'ImageNet'
words.arm("imagenet").colour        '#D55E00', in charts
words.arm("imagenet").badge         ':orange-badge[ImageNet]', in text
words.ordered(study["arms"])        the arms in the order in which they always stand
words.percent(0.7123)               '71.2 %'
words.interval({"mean": …})         '71.2 % (68.0–74.1)'
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from .study.arms import arm_label, in_order

THIN = "\u202f"  # narrow no-break space, between a number and its unit
NBSP = "\u00a0"
NOTICE = "Research use only. Not for diagnosis."


@dataclass(frozen=True)
class Arm:
    """How an arm is named and drawn. word: the colour's name in Streamlit's markdown."""

    key: str
    name: str
    colour: str
    word: str
    symbol: str = "circle"
    dash: str = "solid"
    about: str = ""

    @property
    def badge(self) -> str:
        return f":{self.word}-badge[{self.name}]"

    @property
    def brief(self) -> str:
        """One word where two arms stand in one label."""
        return BRIEF.get(self.key) or short(self.name, 16)


BRIEF = {
    "vae": "VAE",
    "both": "Both",
    "random": "Random",
    "scratch": "From scratch",
    "colour": "Colour",
    "majority": "Majority",
}


# Okabe and Ito's (lightened) blue, vermilion and (darkened) reddish purple: apart from one another under
# protanopia, deuteranopia and tritanopia, at least 3:1 against the light and the dark page.
KNOWN = {
    arm.key: arm
    for arm in (
        Arm(
            "vae",
            arm_label("vae"),
            "#1A7FC1",
            "blue",
            "circle",
            about="pretrained on skin images without their labels",
        ),
        Arm(
            "imagenet",
            arm_label("imagenet"),
            "#D55E00",
            "orange",
            "square",
            about="pretrained on everyday photographs with labels",
        ),
        Arm(
            "both",
            arm_label("both"),
            "#B0609F",
            "violet",
            "diamond",
            about="both feature vectors side by side",
        ),
        Arm(
            "scratch",
            arm_label("scratch"),
            "#8F6F00",
            "yellow",
            "triangle-up",
            about="trained with labels, end to end",
        ),
        Arm(
            "colour",
            arm_label("colour"),
            "#008F68",
            "green",
            "star",
            about="a colour histogram: what needs no network",
        ),
        Arm(
            "random",
            arm_label("random"),
            "#7F8587",
            "gray",
            "x",
            about="never trained: the control",
        ),
        Arm(
            "majority",
            arm_label("majority"),
            "#8C8F90",
            "gray",
            "line-ew",
            "dash",
            about="always the commonest class",
        ),
    )
}
OTHER_COLOURS = (
    ("#7A68C4", "violet", "hexagon"),
    ("#2A8C99", "primary", "pentagon"),
    ("#A0694B", "red", "triangle-down"),
)


def arm(key: str, name: str | None = None) -> Arm:
    """The arm called `key`. Bundles and runs as arms keep one colour, drawn from their name."""
    if key in KNOWN:
        return KNOWN[key]
    colour, word, symbol = OTHER_COLOURS[zlib.crc32(key.encode()) % len(OTHER_COLOURS)]
    return Arm(key, name or arm_label(key), colour, word, symbol)


def ordered(keys: Iterable[str]) -> list[str]:
    """Arms in the order in which they always stand: VAE, ImageNet, both, others, the controls, majority."""
    return in_order(keys)


QUANTITIES = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_auroc": "Macro-AUROC",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "ece": "Calibration error",
}
SHARES = ("accuracy", "balanced_accuracy", "ece", "recall")  # written as percentages


def family(name: str) -> str:
    """A family of corruptions as it is shown: 'Defocus', 'JPEG'."""
    return {"jpeg": "JPEG"}.get(name, name.replace("_", " ").capitalize())


def short(text: str, letters: int) -> str:
    """A text of at most so many letters, its end left out: 'actinic keratosis or intraepith…'."""
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"


def missing(value: object) -> bool:
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
    return percent(value) if name in SHARES else number(value)


def interval(metric: dict | None, name: str = "accuracy") -> str:
    """A mean with its 95 % interval: '71.2 % (68.0–74.1)'."""
    if not metric or missing(metric.get("mean")):
        return "–"
    low, high = metric.get("low"), metric.get("high")
    if missing(low) or missing(high):
        return quantity(metric["mean"], name)
    scale, digits = (100, 1) if name in SHARES else (1, 3)
    return f"{quantity(metric['mean'], name)}{NBSP}({_between(number(scale * low, digits), number(scale * high, digits))})"


def _between(low: str, high: str) -> str:
    return f"{low}{NBSP}to{NBSP}{high}" if "−" in low + high else f"{low}–{high}"


def span(metric: dict | None, name: str = "accuracy") -> str:
    """The 95 % interval alone: '68.0–74.1 %'; '–' where there is none."""
    low, high = (metric or {}).get("low"), (metric or {}).get("high")
    if missing(low) or missing(high):
        return "–"
    return (
        _between(number(100 * low, 1), percent(high))
        if name in SHARES
        else _between(number(low), number(high))
    )


def points(difference: dict) -> str:
    """A difference of shares in percentage points with its interval: '−16.0 (−20.8 to −11.2)'."""
    low, high = difference.get("low"), difference.get("high")
    mean = number(
        None if missing(difference.get("mean")) else 100 * difference["mean"], 1, sign=True
    )
    return (
        mean
        if missing(low) or missing(high)
        else (
            f"{mean}{NBSP}({number(100 * low, 1, sign=True)}{NBSP}to{NBSP}{number(100 * high, 1, sign=True)})"
        )
    )


def signed_interval(found: dict) -> str:
    """A difference that is no share, with its interval: '−0.160 (−0.208 to −0.112)'."""
    low, high = found.get("low"), found.get("high")
    mean = number(found.get("mean"), sign=True)
    return (
        mean
        if missing(low) or missing(high)
        else (f"{mean}{NBSP}({number(low, sign=True)}{NBSP}to{NBSP}{number(high, sign=True)})")
    )


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
        return (
            f"{minutes}{THIN}min {seconds % 60}{THIN}s" if minutes < 10 else f"{minutes}{THIN}min"
        )
    return f"{seconds}{THIN}s"


def ago(moment: float | None, now: float | None = None) -> str:
    """How long ago a moment (seconds since 1970) was: 'just now', '5 min ago', '3 days ago'."""
    if missing(moment):
        return "–"
    elapsed = max(0.0, (time.time() if now is None else now) - moment)
    for limit, unit, word in (
        (60, 1, ""),
        (3600, 60, "min"),
        (86400, 3600, "h"),
        (math.inf, 86400, "days"),
    ):
        if elapsed < limit:
            count = int(elapsed // unit)
            return (
                "just now"
                if not word
                else f"{count}{THIN}{'day' if word == 'days' and count == 1 else word} ago"
            )
    return "–"


def count(value: float, one: str, many: str | None = None) -> str:
    """'1 lesion', '7,470 lesions'."""
    return f"{value:,.0f} {one if value == 1 else many or one + 's'}"


def listed(parts: list[str]) -> str:
    """'split', 'split and classes', 'split, classes and regime'."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def size(byte_count: float) -> str:
    """'512 B', '3.4 MB'."""
    for unit in ("B", "kB", "MB", "GB"):
        if byte_count < 1000 or unit == "GB":
            return (
                f"{byte_count:.0f}{THIN}{unit}" if unit == "B" else f"{byte_count:.1f}{THIN}{unit}"
            )
        byte_count /= 1000
    return ""
