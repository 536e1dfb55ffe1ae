"""Latent space: a map of one extractor's features; a click or a lasso shows the images behind the dots."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from derm_core.config import EmbedConfig, from_dict
from derm_core.data.manifest import CORE
from derm_core.jobs import supervisor
from pages.ui import cached, charts, frame, images, live, maps, words

METHODS = {"umap": "UMAP", "pca": "PCA"}
SHOWN, NEAREST = 36, 8


# ---- making a map ------------------------------------------------------------------------------


def new_map(workspace, expanded: bool) -> None:
    offers = maps.extractors(workspace)
    here = {row["name"]: f"{row['name']} · {row['images']:,} images" for row in cached.datasets(workspace)}
    here.setdefault("synth", "synth · synthetic images, made when first needed")
    with st.expander("New map", icon=":material/add_chart:", expanded=expanded), st.form("map", border=False):
        left, right = st.columns(2)
        extractor = left.selectbox("Extractor", list(offers), key="map-extractor")
        likely = next(iter(offers.values())).get("dataset")
        dataset = right.selectbox("Images", list(here), list(here).index(likely) if likely in here else 0, format_func=here.get)
        left, right = st.columns(2)
        neighbours = left.slider("UMAP neighbours", 2, 100, 15, key="map-neighbours",
                                 help="Small: local detail. Large: the broad layout.")
        min_dist = right.slider("UMAP minimum distance", 0.0, 1.0, 0.1, help="Small: tight clumps.")
        if st.form_submit_button("Make the map", type="primary", icon=":material/play_arrow:"):
            with frame.errors():
                config = from_dict({**offers[extractor], "dataset": dataset, "neighbours": neighbours, "min_dist": min_dist},
                                   EmbedConfig)
                st.query_params.from_dict({"run": supervisor.submit(workspace, config)})
                st.rerun()


def choose(workspace) -> str | None:
    """The map that the address or the reader names; None where there is none yet."""
    runs = cached.runs(workspace, kind="embed")
    found = {run.id: run for run in runs if not run.final or cached.map_of(workspace, run.id)}
    if runs and runs[0].id not in found:
        st.error(runs[0].error or f"The last map was {words.STATES[runs[0].state][0].lower()} before there was anything to see.",
                 icon=":material/error:")
    if not found:
        frame.empty("A dot for every image, near its neighbours in the eyes of one extractor; coloured by class, split or "
                    "any attribute. Make the first map below: the PCA stands in seconds, UMAP after about half a minute.",
                    title="No map yet", icon=":material/scatter_plot:")
        return None
    return frame.linked("Map", list(found), "run", format_func=lambda key: frame.run_label(workspace, found[key]),
                        label_visibility="collapsed")


# ---- one map -----------------------------------------------------------------------------------


def wait_for(workspace, run_id: str, seen: str) -> None:
    """Progress of a map that is being made; the page follows when there is more to see."""
    cached.active_runs(workspace)
    run = cached.run(workspace, run_id)
    if run is None or run.final or ready(workspace, run_id) != seen:
        st.rerun()
    share, what = live.share(run.progress), live.progress_text(run.progress) if run.progress else "Starting…"
    if run.state == "queued":
        share, what = 0.0, "Waits for its turn…"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(share, what, width="stretch")
        if st.button("Cancel", icon=":material/stop_circle:", key="cancel-map"):
            with frame.errors():
                supervisor.cancel(workspace, run_id)


def ready(workspace, run_id: str) -> str:
    """How much of a map there is: "nothing", "pca" or "umap"."""
    found = cached.map_of(workspace, run_id)
    if found is None:
        return "nothing"
    return "umap" if found[0]["umap_x"].notna().any() else "pca"


def show_map(workspace, run_id: str, methods: list[str]) -> None:
    points, about = cached.map_of(workspace, run_id)
    dataset = cached.dataset(workspace, about["dataset"])
    colours = ["label", "split", *sorted(c for c in points.columns if c not in (
        *CORE, "row", "split", "umap_x", "umap_y", "pca_x", "pca_y"))]
    with st.container(horizontal=True):
        method = frame.linked("Method", methods, "method", widget=st.segmented_control, required=True, always=False,
                              key=f"method-{len(methods)}", format_func=METHODS.get)
        colour = frame.linked("Colour by", colours, "colour", width=200, always=False, format_func=column_name)
    left, right = st.columns([5, 3], gap="medium")
    with left:
        draw(run_id, points, about, method, colour)
        table(run_id, points)
    with right:
        rows = chosen(points, maps.clicked(chart_key(run_id, method, colour)), maps.listed(run_id, points))
        if not rows:
            st.markdown(":material/touch_app: **Click a dot** to see its image and those nearest to it. To see all images of "
                        "a region, draw a **box or lasso** with the chart's tools.")
        elif len(rows) == 1:
            one_image(workspace, run_id, points, dataset, rows[0])
        else:
            many_images(points, dataset, rows)


def column_name(column: str) -> str:
    return {"label": "Class"}.get(column, column.removeprefix("factor_").replace("_", " ").capitalize())


def chart_key(run_id: str, method: str, colour: str) -> str:
    return f"map-{run_id}-{method}-{colour}"


def draw(run_id: str, points: pd.DataFrame, about: dict, method: str, colour: str) -> None:
    """The chart. A ring marks what is ticked in the table, else the image that the page was opened with.

    What is selected in the chart must not change the figure: that would end the selection.
    """
    opened_with = st.session_state.setdefault(f"opened-{run_id}", maps.linked_row(points))
    drawn = points if len(points) <= charts.MAP_LIMIT else points.groupby("label", dropna=False).sample(
        frac=charts.MAP_LIMIT / len(points), random_state=0)
    arm, key = words.arm(about["arm"], about.get("label")), chart_key(run_id, method, colour)
    figure = charts.map_scatter(
        drawn, x=f"{method}_x", y=f"{method}_y", colour_by=colour, height=560, equal=method == "umap",
        chosen=maps.listed(run_id, points) or opened_with,
        title=f"{METHODS[method]} of {about['dataset']} · {arm.name}")
    frame.show_chart(
        figure, None, key=key, on_select="rerun", caption=caption(about, drawn, points, method),
        alt=f"{METHODS[method]} scatter of {len(drawn):,} images coloured by {column_name(colour).lower()}; the table below it "
            "holds the same points.")


def caption(about: dict, drawn: pd.DataFrame, points: pd.DataFrame, method: str) -> str:
    quality, parts = about.get("quality") or {}, []
    if len(drawn) < len(points):
        parts.append(f"{len(drawn):,} of {len(points):,} points shown, each class in proportion.")
    if method == "pca" and about.get("pca_explained"):
        parts.append(f"These two axes hold {words.percent(sum(about['pca_explained']))} of the variance.")
    trust = quality.get("trustworthiness" if method == "umap" else "trustworthiness_pca")
    if not words.missing(trust):
        parts.append(f"Trustworthiness {words.number(trust)} (1: neighbours on the map are neighbours in feature space).")
    if not words.missing(quality.get("knn_balanced_accuracy")):
        parts.append("Voting of the nearest training images finds the class of validation images with balanced accuracy "
                     f"{words.percent(quality['knn_balanced_accuracy'])}.")
    outside = pd.concat([~drawn[axis].between(*charts.core_range(drawn[axis])) for axis in (f"{method}_x", f"{method}_y")],
                        axis=1).any(axis=1).sum()
    if outside:
        parts.append(f"{words.count(outside, 'far image')} outside the frame: drag the map to see more.")
    if method == "umap":
        parts.append("Distances between clusters of a UMAP mean little.")
    return " ".join(parts)


def table(run_id: str, points: pd.DataFrame) -> None:
    """All points as a sortable table, to read, to download and to choose from without a mouse."""
    with st.expander("Table", icon=":material/table:", key="table", on_change="rerun") as box:
        if not box.open:
            return
        event = st.dataframe(points.drop(columns="row"), hide_index=True, on_select="rerun", height=320, key=f"points-{run_id}",
                             selection_mode="multi-row", alt="All points of the map", column_order=[
                                 "image_id", "label", "split", "group", "umap_x", "umap_y", "pca_x", "pca_y"])
        frame.download_table(points, "Download CSV", name="map")
    st.session_state[f"listed-{run_id}"] = event.selection.rows


# ---- what is chosen ----------------------------------------------------------------------------


def chosen(points: pd.DataFrame, clicked: list[int], listed: list[int]) -> list[int]:
    """Rows to show: those of the chart, else of the table, else the one in the address, which is kept up to date."""
    rows = [row for row in clicked or listed if row in set(points["row"])]
    had, st.session_state["had-rows"] = st.session_state.get("had-rows", False), bool(rows)
    if not rows and not had:
        return maps.linked_row(points)
    if len(rows) == 1:
        st.query_params["image"] = str(points.loc[points["row"] == rows[0], "image_id"].iloc[0])
    else:
        st.query_params.pop("image", None)
    return rows


def one_image(workspace, run_id: str, points: pd.DataFrame, dataset, row: int) -> None:
    """The image, what is known of it, and its neighbours in feature space."""
    found = dataset.frame.iloc[row]
    picture = images.thumbnail(dataset, row, 320)
    if picture is not None:
        st.image(picture, width=256, alt=f"Image {found['image_id']}")
    else:
        st.caption(":material/broken_image: Its file is gone or has changed.")
    st.markdown(f"**{words.plain(found['image_id'])}** · {words.plain(describe(dataset, found['label']))}")
    facts = {"Split": points.loc[points["row"] == row, "split"].iloc[0], "Group": found["group"],
             **{column_name(name): found[name] for name in dataset.attributes if not name.startswith("factor_")}}
    st.caption(" · ".join(f"{words.plain(name)} {words.plain(tidy(value))}" for name, value in facts.items() if not (value is None or value != value)))
    near = cached.neighbours(workspace, run_id)
    position = np.flatnonzero(points["row"].to_numpy() == row)
    if near is not None and len(position):
        st.markdown("**Nearest in feature space**")
        images.gallery(dataset, [int(other) for other in near[int(position[0])] if other >= 0][:NEAREST], columns=4,
                       min_width=72)


def many_images(points: pd.DataFrame, dataset, rows: list[int]) -> None:
    """The images of a region, and what mixture of classes it is."""
    found = points[points["row"].isin(rows)]
    st.markdown(f"**{words.count(len(found), 'image')} chosen**")
    mix = found["label"].astype(object).where(found["label"].notna(), "no label").value_counts()
    st.caption(" · ".join(f"{words.plain(name)} {words.percent(count / len(found))}" for name, count in mix.items()))
    images.gallery(dataset, list(found["row"])[:SHOWN], columns=6, min_width=64)
    if len(found) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(found):,} are shown.")
    frame.download_table(found, "Download CSV", name="selection")


def describe(dataset, label: str | None) -> str:
    return "no label" if label is None else (dataset.info.get("class_descriptions") or {}).get(label, label)


def tidy(value: object) -> str:
    """45.0 → '45', 0.12345 → '0.123'."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


workspace = frame.page("latent")
run_id = choose(workspace)
if run_id is not None:
    run, there = cached.run(workspace, run_id), ready(workspace, run_id)
    if not run.final:
        st.fragment(wait_for, run_every=1.0)(workspace, run_id, there)
    elif run.error:
        st.error(run.error, icon=":material/error:")
    if there != "nothing":
        with frame.errors():
            show_map(workspace, run_id, ["umap", "pca"] if there == "umap" else ["pca"])
new_map(workspace, expanded=run_id is None)
