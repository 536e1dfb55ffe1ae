"""Text of the pages: states, kinds of runs, foreign text in markdown; and the names of derm_core.formatting."""

from __future__ import annotations

import re

from derm_core.formatting import (  # noqa: F401  (pages take them from here)
    DECISIONS,
    NBSP,
    NOTICE,
    OF_A_DECISION,
    QUANTITIES,
    SHARES,
    THIN,
    ago,
    count,
    duration,
    family,
    interval,
    listed,
    missing,
    number,
    p_value,
    percent,
    points,
    quantity,
    short,
    signed_interval,
    size,
    span,
)

STATES = {  # state: (word, icon, colour name)
    "queued": ("Queued", ":material/schedule:", "gray"),
    "running": ("Running", ":material/play_circle:", "blue"),
    "done": ("Done", ":material/check_circle:", "green"),
    "failed": ("Failed", ":material/error:", "red"),
    "cancelled": ("Cancelled", ":material/cancel:", "gray"),
    "interrupted": ("Interrupted", ":material/pause_circle:", "yellow"),
}
KINDS = {
    "pretrain": "Pretraining",
    "study": "Study",
    "embed": "Map",
    "evaluate": "Evaluation",
    "publish": "Publication",
}


def chance(probability: float) -> str:
    """A model's probability as a percentage, never 0 or 100: '<0.1 %', '34.6 %', '>99.9 %'."""
    if probability < 0.0005:
        return f"<{percent(0.001)}"
    return f">{percent(0.999)}" if probability >= 0.9995 else percent(probability)


def attribute(column: str) -> str:
    """'Hair density' for a dataset's column "factor_hair_density"."""
    return column.removeprefix("factor_").replace("_", " ").capitalize()


def state_badge(state: str) -> str:
    """A run's state as a coloured badge in markdown."""
    word, icon, colour = STATES.get(state, (state, "", "gray"))
    return f":{colour}-badge[{icon} {word}]"


def aside(sentence: str) -> str:
    """A sentence within markdown that looks like a caption."""
    return f":small[:gray[{sentence}]]"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in markdown, of cells in markdown, whose lines run on."""
    lines = [
        [re.sub(r" *[\r\n]+", " ", cell) for cell in line]
        for line in (head, ["---"] * len(head), *rows)
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


JOINER = "\u2060"  # as wide as nothing, and no part of a word, an address or the name of an icon


def plain(text: object) -> str:
    """Foreign text that markdown shows letter by letter: no image, link, tag, heading, list, formula, colour or icon.

    Icons (:material/delete:), emoji (:smile:) and bare addresses are recognised after backslashes are removed; a
    character of no width keeps them apart.
    """
    escaped = re.sub(r"([\\\\!\[\]<>`*_$~#|&])", r"\\\1", str(text))
    escaped = re.sub(r"(?m)^\s*([-+=])", r"\\\1", escaped)
    escaped = re.sub(r"(?m)^\s*(\d+)(?=[.)](?:\s|$))", rf"\1{JOINER}", escaped)
    return re.sub(r"(?<=:)(?=[a-zA-Z/+-]|\d+:)|(?i:(?<=www)(?=\.))|(?<=@)", JOINER, escaped)
