"""What was chosen: one image with what is known of it and its neighbours, or many with what mixture they are."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from derm_core.arms import arm_style
from derm_core.insight.saved_map import neighbours_in
from derm_core.insight.selection import accuracies, categories, class_mix, sample
from pages.ui import frame, images, words
from pages.ui.latent import selection
from pages.ui.latent.loaded_map import LoadedMap

SHOWN, NEAREST = 36, 8


def draw_selection(first: LoadedMap, second: LoadedMap | None, rows: list[int], wide: bool) -> None:
    """wide: whether the whole width of the page is there, or a column beside the map."""
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
            on_click=selection.take,
            args=(first, [], selection.CLEARED),
        )
        if len(rows) > 1:
            frame.download_table(
                first.points[first.points["row"].isin(rows)], "Download CSV", name="selection"
            )
    if len(rows) > 1 and (counted := selection.among()):
        st.caption(
            f"Counted among the {counted[0]:,} points that are drawn, of {counted[1]:,}: a box or lasso chooses no "
            "others."
        )
    if len(rows) == 1:
        one_image(first, second, rows[0], wide)
    else:
        many_images(first, rows, wide)


# ---- one image ---------------------------------------------------------------------------------


def one_image(first: LoadedMap, second: LoadedMap | None, row: int, wide: bool) -> None:
    """The image, its row, the models' answers, and its neighbours in feature space, in both spaces where there are two."""
    point = first.points[first.points["row"] == row].iloc[0]
    left, right = st.columns([2, 5], gap="medium") if wide else (st.container(), st.container())
    with left:
        picture = images.thumbnail(first.dataset, row, 256)
        if picture is not None:
            st.image(images.data_url(picture), width=256, alt=f"Image {point['image_id']}")
        else:
            st.caption(":material/broken_image: Its file is gone or has changed.")
        st.markdown(
            f"**{words.plain(point['image_id'])}** · {words.plain(describe(first.dataset, point['label']))}"
        )
        st.caption(" · ".join(facts(first, point)))
        answers(first, point)
    with right:
        spaces = [first] if second is None or second.features == first.features else [first, second]
        near = [
            list(neighbours_in(map_.saved, point["image_id"], NEAREST)["row"]) for map_ in spaces
        ]
        for map_, found in zip(spaces, near, strict=True):
            st.markdown(
                f"**Nearest in feature space** · {words.plain(map_.name)}"
                if second
                else "**Nearest in feature space**"
            )
            images.gallery(first.dataset, found, columns=8 if wide else 4, min_width=72)
        if len(near) == 2:
            both = len(set(near[0]) & set(near[1]))
            st.caption(
                f"{both} of these {NEAREST} are the same in both spaces. Neighbours are looked up among the "
                "features, not on the map."
            )


def facts(first: LoadedMap, point: pd.Series) -> list[str]:
    """What the dataset says of the image, in words: "Split test", "Age 45"."""
    names = {
        "split": "Split",
        "group": "Group",
        **{
            name: name.replace("_", " ").capitalize()
            for name in first.dataset.attributes
            if not name.startswith("factor_")
        },
    }
    known = {
        name: point[column]
        for column, name in names.items()
        if column in point and pd.notna(point[column])
    }
    return [
        f"{words.plain(name)} {words.plain(f'{value:.3g}' if isinstance(value, float) else value)}"
        for name, value in known.items()
    ]


def answers(first: LoadedMap, point: pd.Series) -> None:
    """What each model says of the image, whether that is right, and how far the image lies from its training images."""
    for opinion in first.opinions:
        slot = opinion["slot"]
        said, sure, right, away = (
            point.get(f"{name}_{slot}")
            for name in ("prediction", "confidence", "correct", "outlier")
        )
        if pd.isna(said):
            continue
        verdict = (
            ""
            if pd.isna(right)
            else " :material/check: right"
            if right
            else " :material/close: wrong"
        )
        unlike = (
            ""
            if pd.isna(away) or away <= 1
            else (f" · unlike its training images ({words.number(away, 2)} times the limit)")
        )
        st.markdown(
            f"{arm_style(opinion['arm'], opinion['name']).badge} **{words.plain(said)}** "
            f"{words.chance(sure)}{verdict}{unlike}"
        )
    if first.opinions and point["split"] == "train":
        st.caption("The models may have been trained on this image.")


def describe(dataset, label: str | None) -> str:
    told = dataset.info.class_descriptions or {}
    return "no label" if label is None or pd.isna(label) else told.get(label, label)


# ---- many images -------------------------------------------------------------------------------


def many_images(first: LoadedMap, rows: list[int], wide: bool) -> None:
    """A gallery, the class mix, and how right both models are inside."""
    points = first.points
    found = points[points["row"].isin(rows)]
    left, right = st.columns([2, 5], gap="medium") if wide else (st.container(), st.container())
    with left:
        mixture(points, rows)
        inside(first, rows)
    with right:
        order = {row: place for place, row in enumerate(rows)}
        shown = sorted(
            sample(found, SHOWN)["row"], key=order.get
        )  # a lasso's images come class by class
        images.gallery(first.dataset, shown, columns=9 if wide else 6, min_width=64)
        if len(found) > SHOWN:
            st.caption(
                f"{SHOWN} of {len(found):,} are shown, each class in proportion; all of them stand in the CSV."
            )


def mixture(points: pd.DataFrame, rows: list[int]) -> None:
    """Classes inside the selection beside their share of the whole map."""
    mix = class_mix(points, rows)
    st.table(
        pd.DataFrame(
            {
                "Class": [words.plain(label) for label in mix["label"]],
                "Inside": [f"{count:,}" for count in mix["images"]],
                "Share": mix["share"].map(words.percent),
                "Of the map": mix["share_of_map"].map(words.percent),
            }
        ),
        border="horizontal",
        hide_index=True,
        alt="Classes inside the selection and on the whole map",
    )
    splits = categories(points.loc[points["row"].isin(rows), "split"]).value_counts()
    st.caption(
        "Splits inside: "
        + " · ".join(f"{words.plain(name)} {number:,}" for name, number in splits.items())
    )


def inside(first: LoadedMap, rows: list[int]) -> None:
    """Accuracy of each model inside the selection and on the whole map, images it may have been trained on apart."""
    found = accuracies(first.points, rows, first.opinions)
    if not found:
        return
    shown = {opinion["name"]: opinion["shown"] for opinion in first.opinions}
    table = pd.DataFrame(
        [
            {
                "Model": shown[one["name"]],
                "Validation and test": written(one["unseen"]),
                "Whole map": words.percent(one["unseen"]["overall"]),
                "Training": written(one["train"]),
            }
            for one in found
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
        "on all of its validation and test images."
    )


def written(part: dict) -> str:
    """'71.2 % of 40' or '–'."""
    return (
        "–"
        if part["accuracy"] is None
        else f"{words.percent(part['accuracy'])} of {part['images']:,}"
    )
