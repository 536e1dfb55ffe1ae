"""The arms of a comparison: what each is called, its colour, and the order in which they stand.

    arm_style("imagenet").name      'ImageNet'
    arm_style("imagenet").colour    '#D55E00', in charts
    arm_style("imagenet").badge     ':orange-badge[ImageNet]', in Streamlit's markdown
    in_order(study.arms)            the arms in the order of every table and chart

How the extractors of an arm are built stands in `derm_core.study.arms`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from .formatting import short

ORDER = ("vae", "imagenet", "both", "bundle", "run", "scratch", "colour", "random", "majority")


@dataclass(frozen=True)
class ArmStyle:
    """How an arm is named and drawn.

    Args:
        key: "vae", "imagenet", …, "bundle:NAME" or "run:ID".
        name: what the arm is called wherever it is shown.
        colour: hexadecimal colour in charts.
        colour_name: the colour's name in Streamlit's markdown.
        symbol, dash: plotly's marker and line.
        brief: one word where two arms stand in one label.
        about: how the arm's features came about, after a colon.
    """

    key: str
    name: str
    colour: str
    colour_name: str
    symbol: str
    brief: str
    about: str = ""
    dash: str = "solid"

    @property
    def badge(self) -> str:
        """The name as a coloured badge in Streamlit's markdown."""
        return f":{self.colour_name}-badge[{self.name}]"


# Okabe and Ito's (lightened) blue, vermilion and (darkened) reddish purple: distinguishable under
# protanopia, deuteranopia and tritanopia, with a contrast of at least 3:1 on the light and on the
# dark page.
# fmt: off
ARM_STYLES = {style.key: style for style in (
    ArmStyle("vae", "VAE (from scratch)", "#1A7FC1", "blue", "circle", "VAE",
             "pretrained on skin images without their labels"),
    ArmStyle("imagenet", "ImageNet", "#D55E00", "orange", "square", "ImageNet",
             "pretrained on everyday photographs with labels"),
    ArmStyle("both", "VAE + ImageNet", "#B0609F", "violet", "diamond", "Both",
             "both feature vectors side by side"),
    ArmStyle("scratch", "Supervised from scratch", "#8F6F00", "yellow", "triangle-up", "From scratch",
             "trained with labels, end to end"),
    ArmStyle("colour", "Colour histogram", "#008F68", "green", "star", "Colour",
             "a colour histogram: what needs no network"),
    ArmStyle("random", "Random initialisation", "#7F8587", "gray", "x", "Random",
             "never trained: the control"),
    ArmStyle("majority", "Majority class", "#8C8F90", "gray", "line-ew", "Majority",
             "always the commonest class", "dash"),
)}
# fmt: on
OTHER_COLOURS = (
    ("#7A68C4", "violet", "hexagon"),
    ("#2A8C99", "primary", "pentagon"),
    ("#A0694B", "red", "triangle-down"),
)


def arm_style(arm: str, name: str | None = None) -> ArmStyle:
    """Name and colour of an arm. Bundles and runs as arms keep one colour, drawn from their name.

    Args:
        arm: the arm's key.
        name: what a bundle or run is called in place of its own name.
    """
    if arm in ARM_STYLES:
        return ARM_STYLES[arm]
    colour, colour_name, symbol = OTHER_COLOURS[zlib.crc32(arm.encode()) % len(OTHER_COLOURS)]
    name = name or arm_label(arm)
    return ArmStyle(arm, name, colour, colour_name, symbol, short(name, 16))


def arm_label(arm: str) -> str:
    """What an arm is called wherever it is shown; bundles and runs under their own name.

    >>> arm_label("vae"), arm_label("bundle:mole-net"), arm_label("run:pretrain-1")
    ('VAE (from scratch)', 'mole-net', 'VAE of pretrain-1')
    """
    if arm in ARM_STYLES:
        return ARM_STYLES[arm].name
    kind, _, name = arm.partition(":")
    return f"VAE of {name}" if kind == "run" else name


def arm_kind(arm: str) -> str:
    """vae, imagenet, both, scratch, colour, random, majority, bundle or run."""
    return arm.partition(":")[0]


def in_order(arms: Iterable[str]) -> list[str]:
    """Arms in the order of every table and chart: VAE, ImageNet, both, named ones, the controls."""
    return sorted(arms, key=lambda arm: ORDER.index(arm_kind(arm)))


def arm_file(arm: str) -> str:
    """The arm as part of a file name."""
    return arm.replace(":", "_")
