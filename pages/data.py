"""Data: what is on this machine, whether its splits can be trusted, and the way to more of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from derm_core.data.import_roots import check_root
from derm_core.data.manifest import DatasetSummary, PriorityMap
from derm_core.data.splits import SPLITS
from derm_core.data.triage import PRIORITIES, default_map, describe_map, save_map
from derm_core.errors import RunError
from derm_core.workspace import check_id
from pages.ui import cached, charts, frame, images, live_run, words

GALLERY = 24


def choose(workspace, found: dict[str, DatasetSummary]) -> str | None:
    """The dataset that the address or the reader names; None where there is none yet. found: the table's rows by name."""
    if not found:
        pressed = frame.empty(
            "Your images will be listed here with their classes, groups and splits. Import a folder below, or start "
            "with 2,000 synthetic lesions that the product generates itself: no download, half a minute.",
            title="No dataset yet",
            action="Make the synthetic images",
        )
        if pressed:
            make_synthetic(workspace)
        return None
    return frame.linked(
        "Dataset",
        list(found),
        "dataset",
        widget=st.segmented_control if len(found) <= 6 else st.selectbox,
        format_func=lambda name: f"{name} · {found[name].images:,}",
    )


def make_synthetic(workspace) -> None:
    from derm_core.data.synth.dataset import make_synth

    bar = st.progress(0.0, "Generating synthetic images…")
    with frame.errors():
        make_synth(workspace, progress=live_run.counter(bar, "Generating synthetic images"))
        st.rerun()


def facts(dataset, row: DatasetSummary) -> None:
    info = dataset.info
    with st.grid(4, min_column_width=150):
        st.metric("Images", f"{len(dataset):,}", border=True)
        st.metric("Classes", len(dataset.classes), border=True)
        st.metric(
            "Groups",
            f"{row.groups:,}",
            border=True,
            help="A patient where known, else a lesion, else an image; known duplicates and equal files share one.",
        )
        st.metric(
            "Disk use",
            words.size(row.disk_bytes),
            border=True,
            help="Manifest and decoded copies below the workspace. Your own files are not moved.",
        )
    terms = filter(None, [f"Layout: {info.layout}", info.license, info.citation])
    st.caption(" · ".join(map(words.plain, terms)))
    for note in info.notes:
        st.caption(words.plain(note))
    if skipped := info.skipped:
        with st.expander(
            f"{words.count(len(skipped), 'file')} skipped, each with its reason",
            icon=":material/warning:",
        ):
            frame.show_table(
                pd.DataFrame(list(skipped)), title=f"Skipped files of {dataset.name}", key="skipped"
            )


def audit_section(workspace, dataset) -> None:
    """Whether the splits can be trusted, and what each of them holds."""
    st.subheader("Splits", anchor=False)
    audit = cached.audit(workspace, dataset.name)
    crossing, twice = audit.groups_across_splits, audit.duplicate_images_across_splits
    if crossing or twice:
        st.error(
            f"{words.count(crossing, 'group')} and {words.count(twice, 'equal image')} stand in more than one split: "
            "results on this dataset would be too good. Import it again.",
            icon=":material/error:",
        )
    else:
        st.success(
            "No group and no equal image stands in two splits, counted over all "
            f"{len(dataset):,} images.",
            icon=":material/verified:",
        )
    if not dataset.classes:
        st.caption(
            "This dataset has no labels: it can be pretrained on, and mapped, but not compared."
        )
        return
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
        caption="70 / 15 / 15 by group, stratified by each group's rarest class. The commonest class holds "
        f"{words.percent(total.max() / max(total.sum(), 1))} of the labelled images: accuracy alone says little.",
        alt=f"Bars of {len(dataset.classes)} classes, stacked by split. Largest: {total.idxmax()}, {total.max():,} images.",
    )
    if audit.attributes:
        attribute_balance(audit.attributes)


def attribute_balance(attributes: dict) -> None:
    """One attribute's values as shares of each split: a difference here can explain one in results."""
    with st.expander("Balance of attributes", icon=":material/balance:"):
        name = st.selectbox(
            "Attribute",
            list(attributes),
            key="attribute",
            format_func=lambda key: key.removeprefix("factor_").replace("_", " ").capitalize(),
        )
        share = st.column_config.NumberColumn(format="percent")
        frame.show_table(
            pd.DataFrame(list(attributes[name])),
            title=f"{name} by split",
            key=f"attribute-{name}",
            formats={
                "value": "Value",
                "images": st.column_config.NumberColumn("Images", format="localized"),
                **{
                    key: {**share, "label": text}
                    for key, text in (
                        ("share", "All"),
                        ("train", "Training"),
                        ("val", "Validation"),
                        ("test", "Test"),
                    )
                },
            },
        )
        st.caption(
            "Share of each split's images; groups stay together, so small differences are chance."
        )


def priority_section(workspace, dataset) -> None:
    """Which class has which priority, for studies of the paper's task; a set with other names starts empty."""
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
            pressed = st.form_submit_button("Save priorities")
        if pressed:
            with frame.errors():
                save_map(
                    workspace,
                    dataset.name,
                    {name: level for name, level in chosen.items() if level},
                )
                st.session_state["imported"] = f"Priorities of {dataset.name} saved."
                st.rerun()


def gallery_section(dataset) -> None:
    """Images at random, or those of the classes that are asked for."""
    st.subheader("Gallery", anchor=False)
    chosen = (
        st.pills(
            "Classes",
            dataset.classes,
            selection_mode="multi",
            format_func=words.plain,
            key=f"classes-{dataset.name}",
            label_visibility="collapsed",
        )
        if dataset.classes
        else []
    )
    rows = np.random.default_rng(0).permutation(len(dataset))
    if chosen:
        rows = rows[np.isin(dataset.labels[rows], [dataset.classes.index(name) for name in chosen])]
    pages = max(1, -(-len(rows) // GALLERY))
    place = st.empty()
    page = 1
    if pages > 1:
        page = st.pagination(pages, key=f"page-{dataset.name}-{'-'.join(chosen)}")
    with place.container():
        images.gallery(dataset, rows[(page - 1) * GALLERY : page * GALLERY])


def import_section(workspace, expanded: bool) -> None:
    with st.expander("Import images", icon=":material/upload_file:", expanded=expanded):
        st.markdown(
            "A folder or file on this machine. HAM10000 and ISIC tables, ISIC one-hot ground truth, PAD-UFES-20, "
            "MedMNIST `.npz`, one folder per class, or a CSV with a path and a label column are recognised. "
            "Your files stay where they are; unreadable ones are skipped and listed."
        )
        with st.form("import", border=False):
            path = st.text_input("Path", placeholder="/home/me/HAM10000")
            name = st.text_input(
                "Name",
                placeholder="ham10000",
                help="1 to 40 lower-case letters, digits and hyphens.",
            )
            size = st.select_slider(
                "Decoded size",
                [32, 64, 96, 128, 192, 224],
                value=64,
                help="Side of the square copies in pixels. Others are made when a run needs them.",
            )
            pressed = st.form_submit_button("Import", type="primary")
        if pressed:
            run_import(workspace, path.strip(), name.strip(), size)


def run_import(workspace, path: str, name: str, size: int) -> None:
    from derm_core.data.importers import import_dataset

    if not path or not name:
        st.error("Give a path and a name.", icon=":material/error:")
        return
    bar = st.progress(0.0, "Reading the listing…")
    with frame.errors():
        name = check_id(name, "dataset name")
        result = import_dataset(
            workspace,
            check_root(path),
            name,
            sizes=(size,),
            progress=live_run.counter(bar, "Importing"),
        )
        st.session_state["imported"] = (
            f"Imported {result.images:,} images of {result.classes} classes in "
            f"{words.duration(result.seconds)}; {words.count(len(result.skipped), 'file')} skipped."
        )
        st.query_params["dataset"] = name
        st.rerun()


def delete_section(workspace, dataset) -> None:
    with st.popover("Delete this dataset", icon=":material/delete:", type="tertiary"):
        st.markdown(
            f"Deletes the manifest, the decoded copies and cached features of **{dataset.name}**. "
            "Files outside the workspace stay; finished studies keep their results."
        )
        if st.button("Delete", type="primary", key="delete"):
            from derm_core.data.manifest import delete_dataset
            from derm_core.jobs.dependencies import dataset_users

            with frame.errors():
                if users := dataset_users(workspace, dataset.name):
                    raise RunError(
                        f"{dataset.name} is in use by {', '.join(users)}: wait for it, or cancel it on Train first."
                    )
                freed = delete_dataset(workspace, dataset.name)
                st.session_state["imported"] = f"Deleted {dataset.name}; {words.size(freed)} freed."
                st.query_params.clear()
                st.rerun()


workspace = frame.page("data")
if message := st.session_state.pop("imported", None):
    st.toast(message, icon=":material/check_circle:")
rows = {row.name: row for row in cached.datasets(workspace, disk=True)}
name = choose(workspace, rows)
if name is not None:
    with frame.errors():
        dataset = cached.dataset(workspace, name)
        facts(dataset, rows[name])
        audit_section(workspace, dataset)
        priority_section(workspace, dataset)
        gallery_section(dataset)
import_section(workspace, expanded=name is None)
if name is not None:
    with st.container(horizontal=True):
        if not any(found.startswith("synth") for found in workspace.dataset_names()) and st.button(
            "Make the synthetic images", icon=":material/palette:", type="tertiary"
        ):
            make_synthetic(workspace)
        delete_section(workspace, dataset)
