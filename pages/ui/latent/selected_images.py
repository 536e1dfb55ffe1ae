"""The selected images: one with its metadata, predictions and neighbours, or many with their classes and accuracy."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from derm_core.data.manifest import Dataset
from derm_core.insight.saved_map import neighbours_in
from derm_core.insight.selection import PartAccuracy, accuracies, categories, class_mix, sample
from derm_core.workspace import Workspace
from pages.ui import frame, images, words
from pages.ui.latent import marking, selection
from pages.ui.latent.loaded_map import LoadedMap

MAX_SHOWN, NEAREST = 36, 8


def draw_selection(
    workspace: Workspace,
    first: LoadedMap,
    second: LoadedMap | None,
    rows: list[int],
    wide: bool,
) -> None:
    """wide: whether the selection has the whole width of the page, or a column beside the map."""
    if not rows:
        st.markdown(
            ":material/touch_app: **Click a dot** to see its image and those nearest to it. To see all images of "
            "a region, draw a **box or lasso** with the chart's tools. A click on the legend hides or shows a "
            "class."
        )
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{words.count(len(rows), 'image')} chosen**")
        st.button(
            "Clear",
            icon=":material/close:",
            type="tertiary",
            key="clear",
            on_click=selection.select,
            args=(first, [], selection.CLEARED),
        )
        if len(rows) > 1:
            table = first.points[first.points["row"].isin(rows)]
            frame.download_table(table, "Download CSV", name="selection")
    chosen = first.points.loc[first.points["row"].isin(rows), "image_id"]
    marking.draw_marking(workspace, first, chosen.tolist())
    if len(rows) == 1:
        _draw_image(first, second, rows[0], wide)
        return
    if selection.current().beyond:
        st.caption("All images inside are chosen, also those that the map does not draw.")
    _draw_images(first, rows, wide)


# ---- one image ---------------------------------------------------------------------------------


def _draw_image(first: LoadedMap, second: LoadedMap | None, row: int, wide: bool) -> None:
    point = first.points[first.points["row"] == row].iloc[0]
    left, right = st.columns([2, 5], gap="medium") if wide else (st.container(), st.container())
    with left:
        [picture] = images.pictures(first.dataset, [row], 256, first.reconstruct)
        if picture is None:
            st.caption(":material/broken_image: Its file is gone or has changed.")
        else:
            about = f", {images.RECONSTRUCTED}" if picture.is_reconstruction else ""
            alt = f"Image {point['image_id']}{about}"
            st.image(images.data_url(picture.webp), width=256, alt=alt)
            if picture.is_reconstruction:
                st.caption(f":material/blur_on: R{images.RECONSTRUCTED[1:]}.")
        label = words.plain(_class_name(first.dataset, point["label"]))
        st.markdown(f"**{words.plain(point['image_id'])}** · {label}")
        st.caption(" · ".join(_metadata(first, point)))
        _draw_predictions(first, point)
    with right:
        _draw_neighbours(first, second, str(point["image_id"]), wide)


def _draw_neighbours(first: LoadedMap, second: LoadedMap | None, image_id: str, wide: bool) -> None:
    """The nearest images in feature space; in both spaces where the two maps have different features."""
    spaces = [first] if second is None or second.features == first.features else [first, second]
    nearest = []
    for loaded in spaces:
        name = f" · {words.plain(loaded.name)}" if second else ""
        st.markdown(f"**Nearest in feature space**{name}")
        rows = list(neighbours_in(loaded.saved, image_id, NEAREST)["row"])
        columns = 8 if wide else 4
        images.gallery(
            first.dataset, rows, columns=columns, min_width=72, reconstruct=first.reconstruct
        )
        if not rows:
            st.caption("They are looked up once the PCA of all images is there.")
        nearest.append(set(rows))
    if any(loaded.info.approximate_neighbours for loaded in spaces):
        st.caption(
            "With so many images neighbours are looked up approximately: now and then one of the nearest is missing."
        )
    if len(nearest) == 2:
        st.caption(
            f"{len(nearest[0] & nearest[1])} of these {NEAREST} are the same in both spaces. Neighbours are looked up "
            "among the features, not on the map."
        )


def _metadata(first: LoadedMap, point: pd.Series) -> list[str]:
    """What the dataset has about the image, in words: "Split test", "Age 45"."""
    attributes = [name for name in first.dataset.attributes if not name.startswith("factor_")]
    return [
        f"{words.plain(column.replace('_', ' ').capitalize())} "
        f"{words.plain(f'{value:.3g}' if isinstance(value, float) else value)}"
        for column in ("split", "group", *attributes)
        if column in point and pd.notna(value := point[column])
    ]


def _draw_predictions(first: LoadedMap, point: pd.Series) -> None:
    """Each model's prediction, whether it is right, and whether the image is unlike the model's training images."""
    for model in first.models:
        label, confidence, correct, distance, adjusted, adjusted_correct = (
            point.get(f"{column}_{model.slot}")
            for column in (
                "prediction",
                "confidence",
                "correct",
                "outlier",
                "adjusted",
                "adjusted_correct",
            )
        )
        if pd.isna(label):
            continue
        other = unlike = ""
        if pd.notna(adjusted) and adjusted != label:
            other = (
                f" · {words.DECISIONS['adjusted'].lower()}: **{words.plain(adjusted)}**"
                f"{_verdict(adjusted_correct)}"
            )
        if pd.notna(distance) and distance > 1:
            unlike = f" · unlike its training images ({words.number(distance, 2)} times the limit)"
        st.markdown(
            f"{model.style.badge} **{words.plain(label)}** "
            f"{words.chance(confidence)}{_verdict(correct)}{other}{unlike}"
        )
    if first.models and point["split"] == "train":
        st.caption("The models may have been trained on this image.")


def _verdict(correct: bool | None) -> str:
    """' ✓ right' or ' ✗ wrong'; empty where it is not known."""
    if pd.isna(correct):
        return ""
    return " :material/check: right" if correct else " :material/close: wrong"


def _class_name(dataset: Dataset, label: str | None) -> str:
    names = dataset.info.class_descriptions or {}
    return "no label" if label is None or pd.isna(label) else names.get(label, label)


# ---- many images -------------------------------------------------------------------------------


def _draw_images(first: LoadedMap, rows: list[int], wide: bool) -> None:
    """A gallery, the classes, and the accuracy of the models inside the selection."""
    left, right = st.columns([2, 5], gap="medium") if wide else (st.container(), st.container())
    with left:
        _draw_classes(first.points, rows)
        _draw_accuracy(first, rows)
    with right:
        part = first.points[first.points["row"].isin(rows)]
        order = {row: place for place, row in enumerate(rows)}
        shown = sorted(sample(part, MAX_SHOWN)["row"], key=lambda row: order[row])
        columns = 9 if wide else 6
        images.gallery(
            first.dataset, shown, columns=columns, min_width=64, reconstruct=first.reconstruct
        )
        if len(part) > MAX_SHOWN:
            st.caption(
                f"{MAX_SHOWN} of {len(part):,} are shown, each class in proportion; all of them stand in the CSV."
            )


def _draw_classes(points: pd.DataFrame, rows: list[int]) -> None:
    """Classes inside the selection beside their share of the whole map."""
    mix = class_mix(points, rows)
    table = pd.DataFrame(
        {
            "Class": mix["label"].map(words.plain),
            "Inside": mix["images"].map("{:,}".format),
            "Share": mix["share"].map(words.percent),
            "Of the map": mix["share_of_map"].map(words.percent),
        }
    )
    st.table(
        table,
        border="horizontal",
        hide_index=True,
        alt="Classes inside the selection and on the whole map",
    )
    splits = categories(points.loc[points["row"].isin(rows), "split"]).value_counts()
    counts = [f"{words.plain(name)} {number:,}" for name, number in splits.items()]
    st.caption("Splits inside: " + " · ".join(counts))


def _draw_accuracy(first: LoadedMap, rows: list[int]) -> None:
    """Accuracy of each model's decisions inside the selection and on the whole map, training images apart."""
    measured = accuracies(first.points, rows, first.info.opinions)
    if not measured:
        return
    names = {model.name: model.short_name for model in first.models}
    table = pd.DataFrame(
        [
            {
                "Model": names[model.name],
                "Class": words.DECISIONS[model.decision],
                "Validation and test": _accuracy_text(model.unseen),
                "Whole map": words.percent(model.unseen.overall),
                "Whole map, balanced": words.percent(model.unseen.balanced),
                "Training": _accuracy_text(model.train),
            }
            for model in measured
        ]
    )
    st.markdown("**Accuracy inside the selection**")
    st.table(
        table,
        border="horizontal",
        hide_index=True,
        alt="Accuracy of each model inside the selection",
    )
    st.caption(
        "Images of the training split say little: a model may have been trained on them. “Whole map” is the accuracy "
        "on all of its validation and test images, “balanced” the mean over their classes."
    )


def _accuracy_text(part: PartAccuracy) -> str:
    """'71.2 % of 40' or '–'."""
    if part.accuracy is None:
        return "–"
    return f"{words.percent(part.accuracy)} of {part.images:,}"
