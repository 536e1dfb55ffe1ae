"""Additional analyses of a new study: fewer labels, corruptions, a shortcut, a linear head, saliency, other sets."""

from __future__ import annotations

from typing import Any

import streamlit as st

from derm_core.config import CORRUPTIONS, StudyConfig
from derm_core.data.classmaps import class_map
from derm_core.data.on_demand import will_have_masks
from derm_core.errors import DermError
from derm_core.study.presets import LABEL_FRACTIONS, SALIENCY_IMAGES, SHORTCUT
from derm_core.workspace import Workspace
from pages.ui import cached


def choose_questions(
    workspace: Workspace, base: StudyConfig, frozen: bool, full: bool, tag: str
) -> dict[str, Any]:
    """The answers to what a study can be asked beyond its main table. What trains heads: frozen alone."""
    fractions = base.label_fractions or LABEL_FRACTIONS
    shares = ", ".join(f"{100 * share:g}" for share in fractions)
    one_split = not base.folds
    with st.container(horizontal=True, gap="large", vertical_alignment="center"):
        labels = st.toggle(
            "Fewer labels",
            bool(base.label_fractions),
            key=f"fractions-{tag}",
            disabled=not frozen,
            help=f"Heads trained again with {shares} per cent of the training groups.",
        )
        corruptions = st.toggle(
            "Corruptions",
            bool(base.corruptions),
            key=f"corruptions-{tag}",
            disabled=not one_split,
            help=f"The test repeated under {len(CORRUPTIONS)} corruptions at five severities.",
        )
        shortcut = st.toggle(
            "Planted shortcut",
            bool(base.shortcut),
            key=f"shortcut-{tag}",
            disabled=not (frozen and one_split),
            help="Ink drawn on images, associated with one class in training and with the others in test.",
        )
        linear = st.toggle(
            "Linear head",
            base.linear_head,
            key=f"linear-{tag}",
            disabled=not frozen,
            help="Every arm also with a linear classifier: does the result depend on the two layers?",
        )
        masks = will_have_masks(workspace, base.dataset)
        saliency = st.toggle(
            "Saliency in lesions",
            bool(base.saliency_images) or (full and masks and one_split),
            key=f"saliency-{tag}-{masks}",
            disabled=not (masks and one_split),
            help=f"How much of each arm's saliency lies inside the lesion, on {SALIENCY_IMAGES} test images with a "
            "mask. Transformers take sixteen passes for each image."
            + ("" if masks else " This dataset has no lesion masks: add them on Data."),
        )
    others = _datasets_with_common_classes(workspace, base.dataset) if one_split else []
    none = "No other dataset with these classes here" if one_split else "Not in folds"
    external = st.multiselect(
        "External test sets",
        others,
        others if full else [],
        key=f"external-{tag}",
        disabled=not others,
        wrap=True,
        placeholder="Test the same models on other datasets" if others else none,
    )
    return {
        "label_fractions": fractions if labels and frozen else (),
        "corruptions": CORRUPTIONS if corruptions and one_split else (),
        "shortcut": SHORTCUT if shortcut and frozen and one_split else (),
        "linear_head": linear and frozen,
        "saliency_images": SALIENCY_IMAGES if saliency and masks and one_split else 0,
        "external": tuple(external),
    }


def _datasets_with_common_classes(workspace: Workspace, dataset: str) -> list[str]:
    """The workspace's other datasets that have at least one class of this one."""
    labelled = {row.name for row in cached.datasets(workspace) if not row.error and row.classes}
    if dataset not in labelled:
        return []
    classes, fitting = cached.dataset(workspace, dataset).classes, []
    for name in sorted(labelled - {dataset}):
        try:
            class_map(cached.dataset(workspace, name).classes, classes)
        except DermError:
            continue
        fitting.append(name)
    return fitting
