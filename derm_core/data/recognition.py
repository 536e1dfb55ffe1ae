"""Which public data set an import reads, and what is then known of its classes, groups and licence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .facts import ListedImage
from .known_datasets import ARRAY_SETS, TABLE_SETS, KnownDataset, notes_on
from .layouts import Layout
from .listing import Listing
from .tables import Table

BY_NAME = {one.name: one for one in (*TABLE_SETS, *ARRAY_SETS)}

CLASS_DESCRIPTIONS = {
    "akiec": "actinic keratosis or intraepithelial carcinoma",
    "ak": "actinic keratosis",
    "ack": "actinic keratosis",
    "bcc": "basal cell carcinoma",
    "ben_oth": "other benign proliferation",
    "bkl": "benign keratosis-like lesion",
    "df": "dermatofibroma",
    "inf": "inflammatory or infectious condition",
    "mal_oth": "other malignant proliferation",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "nev": "melanocytic nevus",
    "scc": "squamous cell carcinoma",
    "sccka": "squamous cell carcinoma or keratoacanthoma",
    "sek": "seborrheic keratosis",
    "vasc": "vascular lesion",
}


def recognise(layout: Layout, listing: Listing) -> Listing:
    """The listing with what is known of the public data set that it is; as it was for others.

    A set is recognised where a table that was used, all image ids and all lesion ids fit.
    """
    images, tables = listing.images, _used_tables(layout, listing)
    ids = [image.image_id for image in images]
    lesions = {lesion for image in images if (lesion := image.known("lesion"))}
    fitting = (
        one
        for one in TABLE_SETS
        if any(map(one.has_table, tables)) and one.has_images(ids) and _has_lesions(one, lesions)
    )
    known = next(fitting, None) if images else None
    if known is None:
        return listing
    if known.case_is_lesion and not layout.options.group_columns:
        images = [_with_case_as_lesion(image) for image in images]
    if known.skin_types:
        images = [_with_skin_type(image, known.skin_types) for image in images]
    listing = replace(
        listing,
        images=images,
        notes=[*listing.notes, *notes_on(known)],
        source=replace(listing.source, known_as=known.name),
    )
    return _with_class_names(listing, known)


def terms_of_use(layout: Layout, listing: Listing) -> tuple[str | None, str | None]:
    """Licence and citation of a listing that was recognised; None where they are not known."""
    known = BY_NAME.get(listing.source.known_as or "")
    if known is None:
        return None, None
    rows = [row for table in _used_tables(layout, listing) for row in table.rows]
    names = sorted({row[known.license_column] for row in rows if row.get(known.license_column)})
    by_image = f"{', '.join(names)} (each image has its own)" if names else None
    return known.license or by_image, known.citation


def describe_classes(classes: Sequence[str]) -> dict[str, str]:
    """The meaning of those class codes that are known."""
    known = {name: CLASS_DESCRIPTIONS.get(name.lower()) for name in classes}
    return {name: meaning for name, meaning in known.items() if meaning}


def _used_tables(layout: Layout, listing: Listing) -> list[Table]:
    """The label tables, and those that gave groups or attributes."""
    joined = listing.source.companions
    return [*layout.tables, *(one for one in layout.companions if one.name in joined)]


def _has_lesions(known: KnownDataset, lesions: set[str]) -> bool:
    if not known.lesions:
        return True
    return bool(lesions) and all(re.fullmatch(known.lesions, lesion) for lesion in lesions)


def _with_case_as_lesion(image: ListedImage) -> ListedImage:
    facts = {**image.attributes, "patient": None, "lesion": image.known("patient")}
    return replace(image, attributes=facts)


def _with_skin_type(image: ListedImage, names: Mapping[str, str]) -> ListedImage:
    code = image.known("skin_type")
    facts = {**image.attributes, "skin_type": names.get(code, code) if code else None}
    return replace(image, attributes=facts)


def _with_class_names(listing: Listing, known: KnownDataset) -> Listing:
    """Classes by the names that a set has for their codes, such as benign for 0."""
    names = known.class_names
    codes = [name for name in listing.classes if name in names]
    if not codes or not set(listing.classes) <= {*names, *names.values()}:
        return listing
    images = [
        replace(one, label=names.get(one.label, one.label)) if one.label else one
        for one in listing.images
    ]
    spelled = ", ".join(f"{code} is {names[code]}" for code in codes)
    return replace(
        listing,
        images=images,
        classes=sorted({names.get(name, name) for name in listing.classes}),
        notes=[*listing.notes, f"Classes of {known.name}: {spelled}."],
    )
