"""What is known about public data sets: licence, citation and the meaning of their class codes."""

from __future__ import annotations

from collections.abc import Sequence

from .layouts import Found, Listing

HAM10000 = {
    "license": "CC BY-NC 4.0",
    "citation": "Tschandl, Rosendahl, Kittler: The HAM10000 dataset (2018), doi:10.7910/DVN/DBW86T",
}
PAD_UFES_20 = {
    "license": "CC BY 4.0",
    "citation": "Pacheco et al.: PAD-UFES-20 (2020), doi:10.17632/zr7vgbcyr2.1",
}
ISIC_2018 = {
    "license": "CC BY-NC 4.0",
    "citation": "Codella et al.: ISIC 2018 (2019), arXiv:1902.03368; Tschandl et al. (2018), "
    "doi:10.7910/DVN/DBW86T",
}

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


def terms(found: Found, listing: Listing) -> dict:
    """{license, citation} of a data set that is known by its ids or file name, else empty."""
    first = listing.rows[0]
    if str(first.get("lesion") or "").startswith("HAM_"):
        return HAM10000
    if found.layout == "medmnist" and found.array.name.lower().startswith("dermamnist"):
        return HAM10000
    if found.layout == "isic-one-hot" and "isic2018" in found.table.path.name.lower():
        return ISIC_2018
    if found.layout == "pad-ufes-20" and str(first["image_id"]).startswith("PAT_"):
        return PAD_UFES_20
    return {}


def describe(classes: Sequence[str]) -> dict[str, str]:
    """Plain words for the class codes that are known."""
    return {
        name: CLASS_DESCRIPTIONS[name.lower()]
        for name in classes
        if name.lower() in CLASS_DESCRIPTIONS
    }
