"""One dataset: its facts, its splits, the priorities of its classes, its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from derm_core.data.audit import AttributeValue, Audit
from derm_core.data.cautions import groups_known, known_group_kinds, sort_notes
from derm_core.data.dataset_facts import Resolution
from derm_core.data.manifest import Dataset, DatasetSummary, PriorityMap
from derm_core.data.official_split import describe_unused
from derm_core.data.splits import SPLITS
from derm_core.data.triage import PRIORITIES, default_map, describe_map, save_map
from derm_core.report.dataset_html import dataset_html
from derm_core.workspace import Workspace
from pages.ui import cached, charts, frame, glossary, image_marks, images, lesion_masks, words

GALLERY = 24  # images on one page


def draw_facts(
    workspace: Workspace, dataset: Dataset, row: DatasetSummary, cautions: Sequence[str]
) -> None:
    """Size, source and terms of a dataset, what limits it, and the files that its import skipped.

    cautions: of the audit, which `draw_splits` shows.
    """
    info = dataset.info
    with st.grid(4, min_column_width=150):
        st.metric("Images", f"{len(dataset):,}", border=True)
        st.metric("Classes", len(dataset.classes), border=True)
        st.metric(
            "Groups",
            f"{row.groups:,}" if groups_known(known_group_kinds(dataset)) else "Unknown",
            border=True,
            help="A patient where known, else a lesion, else an image; known duplicates and equal files share one.",
        )
        st.metric(
            "Disk use",
            words.size(row.disk_bytes or 0),
            border=True,
            help="Manifest and decoded copies below the workspace. Your own files are not moved.",
        )
    facts = cached.facts(workspace, dataset.name)
    taken = " · ".join(f"{name}: {value}" for name, value in facts.taken())
    st.caption(words.plain(taken[:1].upper() + taken[1:]))
    resolution = facts.resolution
    terms = [
        f"From {facts.imported_from}" if facts.imported_from else "",
        f"shorter side before resizing: {_sides(resolution)}",
        f"licence: {facts.license or 'not known'}",
        facts.citation,
    ]
    st.caption(" · ".join(map(words.plain, filter(None, terms))))
    limits, notes = sort_notes(info.notes)
    for note in notes:
        st.caption(words.plain(note))
    limits = [limit for limit in limits if limit not in cautions]
    if limits:
        st.warning("\n\n".join(map(words.plain, limits)), icon=":material/warning:")
    if skipped := info.skipped:
        with st.expander(
            f"{words.count(len(skipped), 'file')} skipped, each with its reason",
            icon=":material/warning:",
        ):
            frame.show_table(
                pd.DataFrame(list(skipped)), title=f"Skipped files of {dataset.name}", key="skipped"
            )


def _sides(resolution: Resolution) -> str:
    """'150 px', or 'median 450 px, from 300 to 1200 px'."""
    low, high = resolution.smallest_side, resolution.largest_side
    return (
        f"{low} px"
        if low == high
        else f"median {resolution.median_side} px, from {low} to {high} px"
    )


def draw_splits(workspace: Workspace, dataset: Dataset) -> None:
    """Whether groups or equal images cross splits, and the classes in each split."""
    glossary.heading("Splits", terms=("split", "group", "leakage"))
    audit = cached.audit(workspace, dataset.name)
    crossing = audit.groups_across_splits or len(audit.crossing.groups)
    twice = audit.duplicate_images_across_splits
    if crossing or twice:
        st.error(
            f"{words.count(crossing, 'group')} and {words.count(twice, 'equal image')} stand in "
            "more than one split: results on this dataset would be too optimistic. Import it again.",
            icon=":material/error:",
        )
    elif audit.groups_known:
        st.success(
            "No group and no equal image stands in two splits, counted over all "
            f"{len(dataset):,} images.",
            icon=":material/verified:",
        )
    cautions = [words.plain(sentence) for sentence in audit.cautions]
    if not audit.groups_known and not twice:
        counted = "No equal image stands in two splits, counted over all"
        cautions[0] += f" {counted} {len(dataset):,} images."
    if cautions:
        st.warning("\n\n".join(cautions), icon=":material/warning:")
    if unused := describe_unused(dataset):
        st.caption(words.plain(unused))
    if not dataset.classes:
        st.caption(
            "This dataset has no labels: it can be pretrained on, and mapped, but not compared."
        )
        return
    _draw_classes(dataset, audit)
    if audit.attributes:
        _draw_attributes(audit.attributes)


def _draw_classes(dataset: Dataset, audit: Audit) -> None:
    counts = pd.DataFrame(
        {
            split: [audit.splits[split].classes.get(name, 0) for name in dataset.classes]
            for split in SPLITS
        },
        index=list(dataset.classes),
    )
    total = counts.sum(axis=1)
    frame.show_chart(
        charts.balance_bars(counts, names=dataset.info.class_descriptions),
        counts.rename_axis("class").reset_index(),
        key="balance",
        caption="70 / 15 / 15 by group, stratified by each group's rarest class. The most frequent class has "
        f"{words.percent(total.max() / max(total.sum(), 1))} of the labelled images: accuracy alone says little.",
        alt=f"Bars of {len(dataset.classes)} classes, stacked by split. Largest: {total.idxmax()}, "
        f"{total.max():,} images.",
    )


def _draw_attributes(attributes: Mapping[str, Sequence[AttributeValue]]) -> None:
    """One attribute's values as shares of each split: a difference here can explain one in results."""
    with st.expander("Balance of attributes", icon=":material/balance:"):
        name = st.selectbox(
            "Attribute", list(attributes), key="attribute", format_func=words.attribute
        )
        splits = {"share": "All", "train": "Training", "val": "Validation", "test": "Test"}
        formats = {
            split: st.column_config.NumberColumn(label, format="percent")
            for split, label in splits.items()
        }
        frame.show_table(
            pd.DataFrame(list(attributes[name])),
            title=f"{name} by split",
            key=f"attribute-{name}",
            formats={
                "value": "Value",
                "images": st.column_config.NumberColumn("Images", format="localized"),
                **formats,
            },
        )
        st.caption(
            "Share of each split's images; groups stay together, so small differences are chance."
        )


def draw_priorities(workspace: Workspace, dataset: Dataset) -> None:
    """A form for the priority of each class, as studies of the paper's task use it."""
    if len(dataset.classes) < 2:
        return
    default = default_map(dataset.classes)
    known = dataset.info.priority or default or {}
    with st.expander("Priority triage", icon=":material/format_list_numbered:"):
        st.markdown(
            "The paper sorts lesions by priority. A study with these labels sees three classes instead of "
            f"{len(dataset.classes)}; its split stays the same."
        )
        if known:
            st.caption(words.plain(describe_map(PriorityMap(known, known == default))))
        with st.form("priority", border=False):
            with st.grid(3, min_column_width=200):
                chosen = {
                    name: st.segmented_control(
                        words.plain(name),
                        PRIORITIES,
                        default=known.get(name),
                        format_func=str.capitalize,
                        key=f"priority-{dataset.name}-{name}",
                    )
                    for name in dataset.classes
                }
            pressed = st.form_submit_button("Save priorities", disabled=dataset.paths.is_shared)
        if pressed:
            with frame.errors():
                save_map(workspace, dataset.name, {k: v for k, v in chosen.items() if v})
                frame.announce(f"Priorities of {dataset.name} saved.")
                st.rerun()


def draw_gallery(workspace: Workspace, dataset: Dataset) -> None:
    """Images in random order, of all classes or of the chosen ones; those of a page can be marked."""
    st.subheader("Gallery", anchor=False)
    outlines = lesion_masks.choose_outlines(workspace, dataset)
    chosen: list[str] = []
    if dataset.classes:
        chosen = st.pills(
            "Classes",
            dataset.classes,
            selection_mode="multi",
            format_func=words.plain,
            key=f"classes-{dataset.name}",
            label_visibility="collapsed",
        )
    rows = np.random.default_rng(0).permutation(len(dataset))
    if chosen:
        rows = rows[np.isin(dataset.labels[rows], [dataset.classes.index(name) for name in chosen])]
    pages = max(1, -(-len(rows) // GALLERY))
    place, page = st.container(), 1
    if pages > 1:
        page = st.pagination(pages, key=f"page-{dataset.name}-{'-'.join(chosen)}")
    shown = rows[(page - 1) * GALLERY : page * GALLERY]
    marks = cached.marks(workspace, dataset.name)
    names = dataset.frame["image_id"].iloc[shown].tolist()
    labels = dataset.frame["label"].iloc[shown].tolist()
    captions = [
        f"{words.plain(name)} · {words.plain(label or 'no label')}"
        + (f" · :material/flag: {words.plain(marks[name])}" if name in marks else "")
        + (" · no mask" if outlines and name not in outlines else "")
        for name, label in zip(names, labels, strict=True)
    ]
    with place:
        images.gallery(dataset, shown, captions=captions, masks=outlines)
    _draw_marking(workspace, dataset, names)


def _draw_marking(workspace: Workspace, dataset: Dataset, names: Sequence[str]) -> None:
    """Mark images of the page of the gallery."""
    image_marks.draw_undo(workspace, dataset, "gallery")
    chosen = st.multiselect(
        "Mark images of this page",
        names,
        key=f"gallery-chosen-{dataset.name}",
        placeholder="Choose images by their ids",
        wrap=True,
    )
    chosen = [name for name in chosen if name in names]
    if chosen:
        with st.container(border=True, gap="small"):
            image_marks.draw_marks(workspace, dataset, chosen, "gallery")
            image_marks.draw_form(dataset, chosen, "gallery")


def draw_report_button(dataset: Dataset) -> None:
    """The report of the import as a file, made when the button is pressed."""
    frame.download(
        "Report of the import (HTML)",
        lambda: dataset_html(dataset).encode(),
        name=f"{dataset.name}.html",
        key="dataset-report",
        icon="description",
        mime="text/html",
        type="tertiary",
        help="Counts, sample images, cautions, audit and data statement in one file. It holds "
        "images of the dataset; `data show --out FILE --images 0` makes one without.",
    )
