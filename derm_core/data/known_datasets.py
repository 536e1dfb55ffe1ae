"""Public data sets that are recognised: their licence, citation, and what their class codes mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .layouts import Layout
from .listing import Listing


@dataclass(frozen=True)
class Terms:
    """The terms of use of a public data set."""

    license: str
    citation: str


HAM10000 = Terms(
    "CC BY-NC 4.0",
    "Tschandl, Rosendahl, Kittler: The HAM10000 dataset (2018), doi:10.7910/DVN/DBW86T",
)
PAD_UFES_20 = Terms("CC BY 4.0", "Pacheco et al.: PAD-UFES-20 (2020), doi:10.17632/zr7vgbcyr2.1")
ISIC_2018 = Terms(
    "CC BY-NC 4.0",
    "Codella et al.: ISIC 2018 (2019), arXiv:1902.03368; Tschandl et al. (2018), "
    "doi:10.7910/DVN/DBW86T",
)
DERMAMNIST = Terms(
    "CC BY-NC 4.0",
    "Yang et al.: MedMNIST v2 (2023), doi:10.1038/s41597-022-01721-8; Tschandl, Rosendahl, Kittler: "
    "The HAM10000 dataset (2018), doi:10.7910/DVN/DBW86T",
)

CLASS_DESCRIPTIONS = {
    "akiec": "actinic keratosis or intraepithelial carcinoma",
    "ak": "actinic keratosis",
    "ack": "actinic keratosis",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis-like lesion",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "nev": "melanocytic nevus",
    "scc": "squamous cell carcinoma",
    "sek": "seborrheic keratosis",
    "vasc": "vascular lesion",
}


def terms_of_use(layout: Layout, listing: Listing) -> Terms | None:
    """The terms of a data set that is known by its ids, columns or file name, else None."""
    first = listing.images[0]
    if str(first.attributes.get("lesion") or "").startswith("HAM_"):
        return HAM10000
    if layout.array is not None and layout.array.name.lower().startswith("dermamnist"):
        return DERMAMNIST
    if layout.tables and layout.name == "isic-one-hot":
        return ISIC_2018 if "isic2018" in layout.tables[0].path.name.lower() else None
    if layout.name == "pad-ufes-20" and first.image_id.startswith("PAT_"):
        return PAD_UFES_20
    return None


def notes_on(layout: Layout, listing: Listing) -> list[str]:
    """What is known of a public data set that its files do not say."""
    return []


def describe_classes(classes: Sequence[str]) -> dict[str, str]:
    """The meaning of those class codes that are known."""
    known = {name: CLASS_DESCRIPTIONS.get(name.lower()) for name in classes}
    return {name: meaning for name, meaning in known.items() if meaning}
