"""What the pages say beside derm_core.formatting, whose names are here as well: states, kinds, foreign text."""

from __future__ import annotations

import re

from derm_core.formatting import (  # noqa: F401  (pages take them from here)
    NBSP,
    NOTICE,
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
    """A model's probability as a percentage, which never says 0 or 100: '<0.1 %', '34.6 %', '>99.9 %'."""
    return (
        f"<{percent(0.001)}"
        if probability < 0.0005
        else f">{percent(0.999)}"
        if probability >= 0.9995
        else percent(probability)
    )


def attribute(column: str) -> str:
    """'Hair density' for a dataset's column "factor_hair_density"."""
    return column.removeprefix("factor_").replace("_", " ").capitalize()


def state_badge(state: str) -> str:
    word, icon, colour = STATES.get(state, (state, "", "gray"))
    return f":{colour}-badge[{icon} {word}]"


def aside(said: str) -> str:
    """A sentence within markdown that looks like a caption."""
    return f":small[:gray[{said}]]"


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

    Icons (:material/delete:), emoji (:smile:) and bare addresses are found after backslashes are gone; a
    character of no width keeps them apart.
    """
    escaped = re.sub(r"([\\\\!\[\]<>`*_$~#|&])", r"\\\1", str(text))
    escaped = re.sub(
        r"(?m)^\s*([-+=]|\d+(?=[.)](?:\s|$)))",
        lambda found: (
            ("" if found[1].isdigit() else "\\") + found[1] + (JOINER if found[1].isdigit() else "")
        ),
        escaped,
    )
    return re.sub(r"(?<=:)(?=[a-zA-Z/+-]|\d+:)|(?i:(?<=www)(?=\.))|(?<=@)", JOINER, escaped)
