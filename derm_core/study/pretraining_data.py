"""Has a pretraining seen a dataset? From its record, or from what is said of it; needs no network."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Literal

from ..arms import own_architecture
from ..data.embeddings import NOTHING
from ..data.known_datasets import ARRAY_SETS, TABLE_SETS, share_an_archive
from ..data.manifest import Dataset
from ..nets.corpora import CORPORA, corpora_in
from ..nets.timm_models import timm_models

Seen = Literal["yes", "no", "unknown"]
OF_ARCHIVE = re.compile(
    r"ham ?-?10000|isic|bcn ?-?20000"
)  # in a name or description, in lower case
UNTRAINED = ("random", "scratch", "colour", "metadata")
# Words beside listed collections that name no images.
NO_IMAGES = frozenset(
    "and then plus or on of the with without labels fine tuned finetuned pretrained trained supervised self ft "
    "imagenet 2012".split()
)
# A dataset whose name has these words alone is not named by a text that has them.
COMMON = frozenset(
    "data dataset derm dermoscopy clinic clinical image images lesion lesions network photos pretrained skin test "
    "train weights".split()
)


@dataclass(frozen=True)
class Training:
    """What weights of ours were trained on; fingerprints are empty where they were not recorded.

    Args:
        dataset: its name.
        fingerprint: of its content.
        split: fingerprint of the split whose training images were used.
        labels: whether labels were used.
        transductive: whether validation and test images were used as well.
        known_as: the public data set that it is; empty where it is none, or that is not recorded.
    """

    dataset: str
    fingerprint: str = ""
    split: str = ""
    labels: bool = False
    transductive: bool = False
    known_as: str = ""

    def __str__(self) -> str:
        return f"{self.dataset or 'data that is not stated'}, {'with' if self.labels else 'without'} labels"


@dataclass(frozen=True)
class Stage:
    """One training behind an extractor's weights; a published model has several, one after the other.

    Args:
        pretrained_on: its images, as they are stated.
        training: of weights of ours, what they were trained on.
        names: of files and repositories. They can say that a dataset was used, never that none was.
    """

    pretrained_on: str
    training: Training | None = None
    names: str = ""

    def seen(self, dataset: Dataset, split: str) -> Seen:
        """Whether it saw images of a dataset; split: the fingerprint of the split that tests."""
        if self.training:
            return seen_in_training(self.training, dataset, split)
        if self.pretrained_on == NOTHING:
            return "no"
        return seen_in(self.pretrained_on, dataset, self.names)


def stage_of(training: Training) -> Stage:
    """The stage of a training of ours."""
    return Stage(str(training), training)


def together(answers: Set[Seen]) -> Seen:
    """Of several trainings or networks: one that has seen the images is enough."""
    if "yes" in answers:
        return "yes"
    return "unknown" if "unknown" in answers else "no"


def seen_in_stages(stages: Sequence[Stage], dataset: Dataset, split: str) -> Seen:
    """Whether any of the stages saw images of a dataset; networks without training saw none.

    Args:
        stages: the trainings behind an extractor.
        dataset: of the study.
        split: fingerprint of the study's split.
    """
    answer = together({stage.seen(dataset, split) for stage in stages})
    drawn_here = dataset.info.layout == "synthetic"
    return "no" if drawn_here and answer == "unknown" else answer


def in_words(stages: Sequence[Stage]) -> str:
    """What an extractor was pretrained on: "nothing", "ImageNet-1k (a1_in1k), then ham10000, with labels"."""
    return ", then ".join(dict.fromkeys(stage.pretrained_on for stage in stages)) or NOTHING


def seen_in_training(training: Training, dataset: Dataset, split: str) -> Seen:
    """From what weights of ours were trained on; split: the fingerprint of the split that tests."""
    name, theirs = known_name(dataset), training.known_as or training.dataset
    if training.split and training.split == split:
        return "yes" if training.transductive else "no"
    if training.dataset == dataset.name or training.fingerprint == dataset.fingerprint:
        return "yes"
    if _letters(theirs) == _letters(name) or share_an_archive(theirs, name):
        return "yes"
    made_up = training.dataset.startswith("synth") or dataset.info.layout == "synthetic"
    return "no" if made_up or {_letters(theirs), _letters(name)} <= PUBLIC else "unknown"


def seen_in(about: str, dataset: Dataset, names: str = "") -> Seen:
    """From a description of a pretraining: "no" where it names nothing but collections known image by image.

    Args:
        about: what is stated of its images.
        dataset: that may have been among them.
        names: of files and repositories, which count for "yes" alone.

    >>> from types import SimpleNamespace as Record
    >>> info = Record(layout="table", imported=None)
    >>> ham = Record(name="ham10000", info=info)
    >>> [seen_in(text, ham) for text in ("ImageNet-1k", "LAION and ImageNet-1k", "ISIC 2019", "")]
    ['no', 'unknown', 'yes', 'unknown']
    >>> seen_in("ImageNet-1k and images of eleven clinics", ham)
    'unknown'
    """
    text, name = f"{about} {names}".lower(), known_name(dataset)
    if _is_named(name, text):
        return "yes"
    if OF_ARCHIVE.search(text) and share_an_archive(name, "HAM10000"):
        return "yes"
    apart = (
        _PUBLIC_NAMES if _letters(name) in PUBLIC else ()
    )  # two public sets share an archive, or nothing
    return "no" if listed_alone(about, apart) else "unknown"


def names_in(arm: str, file: str = "") -> str:
    """The names of an arm with its own network that may tell its images: of repository, file and tag.

    Architectures tell none, and are left out.

    >>> names_in("timm:vit_tiny_patch16_224.mine@96"), names_in("file:moles.safetensors+resnet18")
    ('mine', 'moles')
    """
    own = own_architecture(arm)
    if own and own.kind == "hf-hub":
        return own.name
    architecture, _, tag = own.name.partition(".") if own else ("", "", "")
    files = [name for name in (tag, own.file if own else "", file) if name]
    text = " ".join(dict.fromkeys(name.removesuffix(".safetensors") for name in files))
    return text.replace(architecture, "").strip(" .") if architecture else text


def known_name(dataset: Dataset) -> str:
    """The public data set that a dataset is, else its own name."""
    imported = dataset.info.imported
    return (imported.known_as if imported else None) or dataset.name


def _is_named(name: str, text: str) -> bool:
    """Whether a text in lower case has the name of a dataset as words of its own, however they are joined."""
    letters = _letters(name)
    common = len(letters) < 4 or COMMON.issuperset(_words(name))
    return bool(letters in PUBLIC or not common) and bool(re.search(_pattern(name), text))


def _pattern(name: str) -> str:
    """Finds a name in a text in lower case as words of its own, however they are joined."""
    joined = r"[\W_]*".join(map(re.escape, _words(name)))
    return rf"(?<![a-z0-9]){joined}(?![a-z0-9])"


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+", name.lower())


def listed_alone(about: str, others: Sequence[str] = ()) -> bool:
    """Whether a description names collections that are known image by image, and nothing else.

    Args:
        about: what is stated of a pretraining.
        others: names of collections that may be named as well.
    """
    named = corpora_in(about)
    if not named or not all(corpus.listed for corpus in named):
        return False
    text = re.sub(r"\w+", lambda word: "" if word[0] in _listed_tags() else word[0], about.lower())
    for name in others:
        text = re.sub(_pattern(name), " ", text)
    for corpus in CORPORA:
        if corpus.listed:
            text = re.sub(corpus.pattern, " ", text.replace(corpus.name.lower(), " "))
    return NO_IMAGES.issuperset(re.findall(r"[^\W_]+", text))


@functools.cache
def _listed_tags() -> frozenset[str]:
    """The tags of timm that name listed collections alone: what else is in them names a recipe."""
    tags = {model.name.partition(".")[2] for model in timm_models().values()}
    named = {tag: corpora_in(tag) for tag in tags}
    return frozenset(tag for tag, of in named.items() if of and all(one.listed for one in of))


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_PUBLIC_NAMES = tuple(known.name for known in (*TABLE_SETS, *ARRAY_SETS))
PUBLIC = frozenset(map(_letters, _PUBLIC_NAMES))
