"""The arms of a comparison: how they are written, what each is called, its colour, and their order.

    arm_style("imagenet").name      'ImageNet'
    arm_style("imagenet").colour    '#D55E00', in charts
    arm_style("imagenet").badge     ':orange-badge[ImageNet]', in Streamlit's markdown
    in_order(study.arms)            the arms in the order of every table and chart
    arm_parts("imagenet+random")        ('imagenet', 'random'), whose features stand side by side
    arm_parts("metadata+vae")           ('vae', 'metadata'), a picture beside age, sex and site
    own_architecture("timm:vit_tiny_patch16_224@128")      name, input size and pooling of an arm with its own network

What an arm is called in one study depends on its recipes and sizes (`derm_core.config.labels`); a
result has these names. How the extractors of an arm are built stands in `derm_core.study.arms`.
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from .formatting import short

ORDER = (
    "recipe",
    "vae",
    "imagenet",
    "both",
    "joined",
    "timm",
    "hf-hub",
    "file",
    "embeddings",
    "bundle",
    "run",
    "scratch",
    "colour",
    "metadata",
    "random",
    "majority",
)
BOTH = ("vae", "imagenet")  # the parts of the arm `both`
METADATA = "metadata"
BESIDE_METADATA = f"{METADATA}+"  # and an arm: its features with the metadata beside them
GIVEN = (
    "timm",
    "hf-hub",
    "file",
    "embeddings",
    "bundle",
    "run",
)  # kinds whose arms stay in the order in which they are given
BRIEF_LETTERS = 24
POOLINGS = {
    "token": "class token",
    "mean": "mean of patches",
    "both": "class token and mean of patches",
}
_EMBEDDINGS = re.compile(r"embeddings:([a-z0-9][a-z0-9-]{0,39})")
_NAME = r"[A-Za-z0-9][\w.-]{0,95}"
_OWN = re.compile(
    rf"(?:(?P<timm>timm:{_NAME})|(?P<hub>hf-hub:{_NAME}/{_NAME})|(?P<file>file:{_NAME}\.safetensors\+{_NAME}))"
    r"(?:@(?P<size>[1-9]\d{1,3}))?(?:@(?P<tokens>token|mean|both))?",
    re.ASCII,
)


@dataclass(frozen=True)
class ArmStyle:
    """How an arm is named and drawn.

    Args:
        key: "vae", "imagenet", …, "bundle:NAME" or "run:ID".
        name: what the arm is called wherever it is shown.
        colour: hexadecimal colour in charts.
        colour_name: the colour's name in Streamlit's markdown.
        symbol, dash: plotly's marker and line.
        brief: the name where two arms stand in one label; shorter where it is long.
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
WITHOUT_LABELS = "pretrained on skin images without their labels"
PHOTOGRAPHS = "pretrained on everyday photographs with labels"
METADATA_LABEL = "Metadata ("  # and what of age, sex and site the dataset has
WIDTH_CONTROL = "as many features as the VAE and ImageNet side by side, without the VAE"
# fmt: off
ARM_STYLES = {style.key: style for style in (
    ArmStyle("vae", "VAE (from scratch)", "#1A7FC1", "blue", "circle", "VAE", WITHOUT_LABELS),
    ArmStyle("recipe:paper", "VAE (plain)", "#5A6FD0", "blue", "circle-open", "VAE (plain)", WITHOUT_LABELS),
    ArmStyle("recipe:masked", "VAE (masked input)", "#2E8FA8", "blue", "circle-dot", "VAE (masked input)",
             WITHOUT_LABELS),
    ArmStyle("recipe:views", "VAE + SimCLR", "#4A86D8", "blue", "circle-cross", "VAE + SimCLR", WITHOUT_LABELS),
    ArmStyle("vae@best", "VAE (best recipe)", "#3C6FA0", "blue", "circle-x", "VAE (best recipe)",
             "in each fold the VAE with the lowest validation loss"),
    ArmStyle("imagenet", "ImageNet", "#D55E00", "orange", "square", "ImageNet", PHOTOGRAPHS),
    ArmStyle("imagenet@best", "ImageNet (best input size)", "#B34A12", "orange", "square-x", "Best ImageNet",
             "in each fold the input size with the lowest validation loss"),
    ArmStyle("both", "VAE + ImageNet", "#B0609F", "violet", "diamond", "VAE + ImageNet",
             "both feature vectors side by side"),
    ArmStyle("imagenet+random", "ImageNet + random initialisation", "#9A7BB0", "violet", "diamond-open",
             "ImageNet + random", WIDTH_CONTROL),
    ArmStyle("scratch", "Supervised from scratch", "#8F6F00", "yellow", "triangle-up", "From scratch",
             "trained with labels, end to end"),
    ArmStyle("colour", "Colour histogram", "#008F68", "green", "star", "Colour",
             "a colour histogram: what needs no network"),
    ArmStyle("metadata", "Metadata (age, sex, site)", "#B0475F", "red", "bowtie", "Metadata",
             "age, sex and site alone: no picture"),
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
BROUGHT = "vectors from elsewhere, one for each image"
OWN_NETWORK = "a network of its own, with its own input size"
OWN_COLOURS = (
    ("#7A68C4", "violet"),
    ("#2A8C99", "primary"),
    ("#A0694B", "red"),
    ("#3F8F3A", "green"),
    ("#C2497D", "violet"),
    ("#5579A6", "blue"),
    ("#8A7A1F", "yellow"),
    ("#B3572F", "orange"),
)
OWN_SYMBOLS = ("hexagon", "pentagon", "triangle-down", "triangle-left", "hexagram", "star-square")
WITH_METADATA = ("#A65C9E", "violet", "hourglass", "the picture beside age, sex and site")
OTHER_SIZE = ("#D9752F", "orange", "square-open", PHOTOGRAPHS)
TWO_SIZES = ("#C0607A", "violet", "diamond-cross", WIDTH_CONTROL)


@dataclass(frozen=True)
class OwnArchitecture:
    """An arm with a network of its own, as it is written.

    Args:
        kind: "timm", "hf-hub" or "file".
        name: of the timm model, OWNER/NAME of the repository, or architecture of the file.
        file: name of the file in the weights folder; empty for the other kinds.
        size: side of the input, in pixels; None: that of its pretrained configuration.
        tokens: which are pooled, one of POOLINGS; empty: as its pretrained configuration says.
    """

    kind: str
    name: str
    file: str = ""
    size: int | None = None
    tokens: str = ""

    @property
    def label(self) -> str:
        """What the arm is called: the network, then what the name asks for beyond it."""
        name = f"{self.name} of {self.file}" if self.file else self.name
        size = f" at {self.size} px" if self.size else ""
        return f"{name}{size}" + (f", {POOLINGS[self.tokens]}" if self.tokens else "")


def own_architecture(arm: str) -> OwnArchitecture | None:
    """The parts of an arm timm:NAME, hf-hub:OWNER/NAME or file:FILE.safetensors+ARCHITECTURE; None for others.

    Input size and pooling may follow, each after an "@".

    >>> own_architecture("timm:vit_tiny_patch16_224@128@mean")
    OwnArchitecture(kind='timm', name='vit_tiny_patch16_224', file='', size=128, tokens='mean')
    >>> own_architecture("file:mine.safetensors+resnet18").label
    'resnet18 of mine.safetensors'
    """
    match = _OWN.fullmatch(arm)
    if match is None:
        return None
    kind, _, name = (match["timm"] or match["hub"] or match["file"]).partition(":")
    file, _, architecture = name.partition("+") if match["file"] else ("", "", name)
    size = int(match["size"]) if match["size"] else None
    return OwnArchitecture(kind, architecture, file, size, match["tokens"] or "")


def arm_parts(arm: str) -> tuple[str, ...]:
    """The arms whose features stand side by side in an arm; of most arms, the arm itself."""
    if arm == "both":
        return BOTH
    if arm.startswith(BESIDE_METADATA):
        return (*arm_parts(arm.removeprefix(BESIDE_METADATA)), METADATA)
    return (arm,) if own_architecture(arm) else tuple(arm.split("+"))


def arm_size(arm: str) -> int | None:
    """The side of the input, in pixels, that an arm names ("imagenet@96"); None: that of its study."""
    size = re.fullmatch(r"imagenet@([1-9]\d*)", arm)
    return int(size[1]) if size else None


def arm_recipe(arm: str) -> str | None:
    """The recipe of pretraining that an arm names ("recipe:paper"); None for other arms."""
    kind, _, name = arm.partition(":")
    return name if kind == "recipe" else None


def is_one_network(arm: str) -> bool:
    """Whether one network gives an arm's features, so that it can be fine-tuned and published."""
    return len(arm_parts(arm)) == 1 and arm != "colour" and reads_images_alone(arm)


def arm_embeddings(arm: str) -> str | None:
    """The name of the brought vectors that are an arm ("embeddings:clip"); None for other arms."""
    match = _EMBEDDINGS.fullmatch(arm)
    return match[1] if match else None


def reads_images_alone(arm: str) -> bool:
    """Whether an arm's features follow from an image alone, so that it can be asked about any other image."""
    return not any(part == METADATA or arm_embeddings(part) for part in arm_parts(arm))


def is_from_elsewhere(arm: str) -> bool:
    """Whether weights or vectors of an arm, or of a part of it, are no work of its study: one of the kinds GIVEN."""
    return any(arm_kind(part) in GIVEN for part in arm_parts(arm))


def arm_style(arm: str, name: str | None = None) -> ArmStyle:
    """Name and colour of an arm. Bundles, runs and other joined arms keep one colour, drawn from their name.

    Args:
        arm: the arm's key.
        name: what it is called here, in place of its usual name.
    """
    style = ARM_STYLES.get(arm) or _other_style(arm)
    if not name or name == style.name:
        return style
    return dataclasses.replace(style, name=name, brief=short(name, BRIEF_LETTERS))


def _other_style(arm: str) -> ArmStyle:
    name, about = arm_label(arm), ""
    drawn = zlib.crc32(arm.encode())
    if own_architecture(arm) or arm_embeddings(arm):
        colour, colour_name = OWN_COLOURS[drawn % len(OWN_COLOURS)]
        symbol = OWN_SYMBOLS[drawn // 16 % len(OWN_SYMBOLS)]
        about = OWN_NETWORK if own_architecture(arm) else BROUGHT
    elif arm.startswith(BESIDE_METADATA):
        colour, colour_name, symbol, about = WITH_METADATA
    elif arm_size(arm):
        colour, colour_name, symbol, about = OTHER_SIZE
    elif len(arm_parts(arm)) > 1 and {arm_kind(part) for part in arm_parts(arm)} == {"imagenet"}:
        colour, colour_name, symbol, about = TWO_SIZES
    else:
        colour, colour_name, symbol = OTHER_COLOURS[drawn % len(OTHER_COLOURS)]
    return ArmStyle(arm, name, colour, colour_name, symbol, short(name, BRIEF_LETTERS), about)


def arm_label(arm: str) -> str:
    """What an arm is usually called; bundles and runs under their own name.

    >>> arm_label("vae"), arm_label("bundle:mole-net"), arm_label("run:pretrain-1")
    ('VAE (from scratch)', 'mole-net', 'VAE of pretrain-1')
    >>> arm_label("imagenet@96"), arm_label("imagenet+imagenet@96")
    ('ImageNet at 96 px', 'ImageNet + ImageNet at 96 px')
    >>> arm_label("metadata+vae")
    'VAE + metadata'
    """
    if arm in ARM_STYLES:
        return ARM_STYLES[arm].name
    if len(arm_parts(arm)) > 1:
        return joined_label([arm_label(part) for part in arm_parts(arm)])
    if size := arm_size(arm):
        return f"{ARM_STYLES['imagenet'].name} at {size} px"
    if own := own_architecture(arm):
        return own.label
    if name := arm_embeddings(arm):
        return f"{name} (embeddings)"
    kind, _, name = arm.partition(":")
    return f"VAE of {name}" if kind == "run" else name


def joined_label(labels: Iterable[str]) -> str:
    """What arms side by side are called, from the names of their parts.

    >>> joined_label(["ImageNet at 64 px", "ImageNet at 96 px"])
    'ImageNet at 64 and 96 px'
    """
    labels = list(labels)
    sizes = [re.fullmatch(r"ImageNet at (\d+) px", label) for label in labels]
    if all(sizes):
        return f"ImageNet at {' and '.join(size[1] for size in sizes if size)} px"
    usual, control = ARM_STYLES["vae"].name, ARM_STYLES["random"].name
    shorter = {usual: ARM_STYLES["vae"].brief, control: control.lower()}
    shorter |= {label: METADATA for label in labels if label.startswith(METADATA_LABEL)}
    text = " + ".join(shorter.get(label, label) for label in labels)
    return text[0].upper() + text[1:] if labels[0] == control else text


def arm_kind(arm: str) -> str:
    """The kind of an arm, one of ORDER, such as "vae", "imagenet", "joined", "timm" or "bundle"."""
    if own := own_architecture(arm):
        return own.kind
    return "joined" if "+" in arm else re.split("[:@]", arm)[0]


def in_order(arms: Iterable[str]) -> list[str]:
    """Arms in the order of every table and chart: VAEs, ImageNet, both, named ones, the controls."""
    return sorted(arms, key=_place)


def _place(arm: str) -> tuple[int, bool, int, bool, str]:
    """Of one kind: the plain VAE first, sizes ascending, what was chosen among them last."""
    kind = arm_kind(arm)
    named = arm if kind not in GIVEN else ""
    chosen, size = arm.endswith("@best"), max(arm_size(part) or 0 for part in arm_parts(arm))
    place = ORDER.index(
        "timm" if kind in ("hf-hub", "file", "embeddings") else kind
    )  # other extractors stay together
    return place, chosen, size, named != "recipe:paper", named


def arm_file(arm: str) -> str:
    """The arm as part of a file name; of two different arms they differ."""
    return arm.replace(":", "_").replace("/", "~")
