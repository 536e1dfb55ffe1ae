"""What images networks were pretrained on, as far as a timm tag or a description names them."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Corpus:
    """A collection of images that networks are pretrained on.

    Args:
        name: as its authors call it.
        pattern: in the tags of timm and in descriptions, in lower case.
        listed: whether it is known, image by image, and holds no dermatological data set; of the
            others, images of the open web or of companies, nobody outside can say.
    """

    name: str
    pattern: str
    listed: bool = False


CORPORA = (
    Corpus("ImageNet-1k", r"(?<![a-z0-9])in1k|imagenet[- ]?1k|ilsvrc", listed=True),
    Corpus("ImageNet-12k", r"(?<![a-z0-9])in12k|imagenet[- ]?12k", listed=True),
    Corpus("ImageNet-21k", r"(?<![a-z0-9])inw?2[12]k|imagenet[- ]?2[12]k", listed=True),
    Corpus("satellite images (SAT-493M)", r"sat493m", listed=True),
    Corpus("LAION", r"laion"),
    Corpus("400 million image-text pairs of OpenAI", r"openai"),
    Corpus("LVD-142M", r"lvd142m|lvd-142m"),
    Corpus("LVD-1689M", r"lvd1689m|lvd-1689m"),
    Corpus("WebLI", r"webli|pali"),
    Corpus("DataComp", r"datacomp"),
    Corpus("DFN", r"(?<![a-z])dfn"),
    Corpus("MetaCLIP", r"metaclip"),
    Corpus("Merged-2B", r"merged2b"),
    Corpus("Merged-38M", r"(?<![a-z0-9])m3[08]m"),
    Corpus("YFCC", r"yfcc"),
    Corpus("public images of Instagram", r"(?<![a-z])ig\d|swag|seer|swsl"),
    Corpus("JFT", r"(?<![a-z])jft"),
    Corpus("Conceptual 12M", r"cc12m"),
    Corpus("SA-1B", r"sa1b|sa-1b"),
    Corpus("image-text pairs of a CLIP", r"(?<![a-z])clip(?![a-z])"),
    Corpus("image-text pairs of BEiT-3", r"(?<![a-z])beit-?3"),
)
# Tags that name a method alone; its authors used ImageNet-1k.
BY_METHOD = re.compile(r"\((mae|dino|fcmae)\)|^(mae|dino|fcmae)$")


def corpora_in(text: str) -> list[Corpus]:
    """The collections that a timm tag or a description names, in the order of CORPORA.

    >>> [corpus.name for corpus in corpora_in("laion2b_ft_in12k_in1k")]
    ['ImageNet-1k', 'ImageNet-12k', 'LAION']
    """
    lower = text.lower()
    named = [corpus for corpus in CORPORA if re.search(corpus.pattern, lower)]
    return named or ([CORPORA[0]] if BY_METHOD.search(lower) else [])


def pretraining_of(tag: str, architecture: str = "") -> str:
    """What a timm tag says of the images of the pretraining, as a phrase.

    Args:
        tag: such as "a1_in1k".
        architecture: timm's name, which says it of the networks of BEiT-3 alone: their tags name ImageNet only.

    >>> pretraining_of("a1_in1k"), pretraining_of("c_radio")
    ('ImageNet-1k (a1_in1k)', 'not stated (c_radio)')
    """
    of_name = architecture if architecture.startswith("beit3") else ""
    names = " and ".join(corpus.name for corpus in corpora_in(f"{tag} {of_name}".strip()))
    return f"{names or 'not stated'} ({tag})" if tag else "not stated"
