"""Which part of a file of vectors holds the vectors: its name says it, else whoever brings the file."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ..errors import DataError

NAMED = 8
OPTION = "--vectors"  # of `derm data embeddings`
VECTORS = frozenset(
    "activations emb embed embedding embeddings feat feats feature features hidden latent latents pooled "
    "representation representations vec vecs vector vectors".split()
)
# What is known of an image, or predicted of it, and no feature.
ABOUT = frozenset(
    "age benign biopsy cancer class classes diagnosis diagnostic dx fold gender ground gt histology hot index idx "
    "label labels logit logits malignancy malignant melanoma nevus onehot pathology patient pred predicted "
    "prediction predictions preds prob proba probabilities probability probs score scores seed sex split target "
    "targets truth unnamed y".split()
)
# Ends of names that are no features, such as lesion_id, imagewidth.
ENDS = re.compile(
    r"(label|target|class|fold|split|group|patient|lesion|width|height|(^|[^a-z]|case|image|lesion|patient)id)$"
)


def is_about(name: str, classes: Collection[str] = ()) -> bool:
    """Whether a name is of what is known of an image or predicted of it, such as "dx_code", "is_melanoma", a class.

    Args:
        name: of a column or an array.
        classes: names of the dataset's classes.
    """
    lower = name.lower()
    known = {one.lower() for one in classes}
    return bool(lower in known or ENDS.search(lower) or ABOUT.intersection(_words(name)))


def choose_vectors(
    where: str, candidates: Mapping[str, int], wanted: str | None, classes: Collection[str] = ()
) -> str:
    """The part of a file that holds the vectors: the one that is asked for, else the one whose name says it best.

    Args:
        where: the file's name.
        candidates: {name: length of its vectors}, one at least.
        wanted: the name that is asked for.
        classes: names of the dataset's classes.

    Raises:
        DataError: none has the name that is asked for, or names do not say which it is.
    """
    each = [f"{name or '(no name)'} ({size:,} numbers)" for name, size in candidates.items()]
    names = ", ".join(each[:NAMED]) + (", …" if len(each) > NAMED else "")
    if wanted is not None:
        if wanted in candidates:
            return wanted
        raise DataError(f"{where} has no vectors called {wanted}; there are: {names}.")
    ranks = {name: rank(name, classes) for name in candidates}
    best = [name for name in candidates if ranks[name] == min(ranks.values())]
    if len(best) > 1:
        raise DataError(
            f"{where} has several parts that may be the vectors ({names}): say which with "
            f"`derm data embeddings DATASET FILE {OPTION} NAME`."
        )
    return best[0]


def rank(name: str, classes: Collection[str] = ()) -> int:
    """0 for a name that vectors have, 2 for that of something else, 1 for one that says neither, or both."""
    of_vectors, about = bool(VECTORS.intersection(_words(name))), is_about(name, classes)
    return 1 if of_vectors == about else 0 if of_vectors else 2


def _words(name: str) -> list[str]:
    """The words of a name in lower case, also where capitals part them."""
    parted = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return re.findall(r"[a-z]+", parted.lower())
