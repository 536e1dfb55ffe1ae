"""Latent space: a map of one extractor's features; a click or a lasso shows the images behind the dots."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from derm_core.config import EmbedConfig, from_dict
from derm_core.data.manifest import CORE
from derm_core.jobs import supervisor
from pages.ui import cached, charts, frame, images, words

METHODS = {"umap": "UMAP", "pca": "PCA"}
SHOWN = 36


# ---- making a map ------------------------------------------------------------------------------


def sources(workspace) -> dict[str, dict]:
    """What a map can be made of: label → EmbedConfig fields. Finished pretrainings and studies, newest first."""
    found: dict[str, dict] = {}
    for run in cached.runs(workspace, state="done"):
        config = cached.config(workspace, run.id)
        shared = {key: config.get(key) for key in ("dataset", "input_size", "split_seed", "max_images")}
        backbone = config.get("backbone")
        if run.kind == "pretrain":
            found.setdefault(f"VAE of {frame.run_label(workspace, run)}",
                             {**shared, "backbone": backbone, "arm": "vae", "vae_run": run.id})
        elif run.kind == "study":
            for arm in words.ordered((cached.study(workspace, run.id) or {}).get("arms", {})):
                if arm not in ("both", "vae"):
                    found.setdefault(f"{words.arm(arm).name} on {config.get('dataset')} at {config.get('input_size')} px",
                                     {**shared, "backbone": backbone, "arm": arm})
    return found


def untrained(workspace) -> dict[str, dict]:
    """Maps that need no run: ImageNet or random weights on a dataset that is here."""
    return {f"{words.arm(arm).name} on {row['name']} at 64 px": {"dataset": row["name"], "arm": arm}
            for row in cached.datasets(workspace) for arm in ("imagenet", "random")
            if arm == "random" or cached.imagenet_status("resnet18", 3)["available"]}


def new_map(workspace, expanded: bool) -> None:
    offers = {**sources(workspace), **untrained(workspace)}
    with st.expander("New map", icon=":material/add_chart:", expanded=expanded):
        if not offers:
            st.markdown("A map needs an extractor and images: run the demo on the Train page first.")
            frame.link("train", "Go to Train", icon=":material/model_training:", preset="demo")
            return
        with st.form("map", border=False):
            chosen = st.selectbox("Extractor and images", list(offers))
            left, right = st.columns(2)
            neighbours = left.slider("UMAP neighbours", 2, 100, 15, help="Small: local detail. Large: the broad layout.")
            min_dist = right.slider("UMAP minimum distance", 0.0, 1.0, 0.1, help="Small: tight clumps.")
            pressed = st.form_submit_button("Make the map", type="primary")
        if pressed:
            with frame.errors():
                fields = {key: value for key, value in offers[chosen].items() if value is not None}
                config = from_dict({**fields, "neighbours": neighbours, "min_dist": min_dist}, EmbedConfig)
                st.query_params["run"] = supervisor.submit(workspace, config)
                st.rerun()


def choose(workspace) -> str | None:
    found = {run.id: run for run in cached.runs(workspace, kind="embed") if run.state not in ("cancelled", "failed")
             or cached.map_of(workspace, run.id)}
    failed = [run for run in cached.runs(workspace, kind="embed") if run.state == "failed"]
    if failed and failed[0].id not in found and (not found or failed[0].seq > max(run.seq for run in found.values())):
        st.error(failed[0].error or "The last map failed; its log stands on the Train page.", icon=":material/error:")
    if not found:
        frame.empty("A dot for every image, near its neighbours in the eyes of one extractor; coloured by class, split or "
                    "any attribute. Make the first map below: the PCA stands in seconds, UMAP after about half a minute.",
                    title="No map yet", icon=":material/scatter_plot:")
        return None
    return frame.linked("Map", list(found), "run", format_func=lambda key: frame.run_label(workspace, found[key]),
                        label_visibility="collapsed")


# ---- one map -----------------------------------------------------------------------------------


def wait_for(workspace, run_id: str) -> None:
    """Progress of a map that is being made; the page follows when there is more to see."""
    run = cached.run(workspace, run_id)
    if run is None or run.final:
        st.rerun()
    cached.active_runs(workspace)
    seen = charts_ready(workspace, run_id)
    if seen != st.session_state.get(f"ready-{run_id}"):
        st.session_state[f"ready-{run_id}"] = seen
        st.rerun()
    done = run.progress or {}
    share = min(1.0, done.get("done", 0) / done["total"]) if done.get("total") else 0.0
    st.progress(share, f"{words.STATES[run.state][0]}: {done.get('what') or 'waiting for its turn'}")
    if st.button("Cancel", icon=":material/stop_circle:", key="cancel-map"):
        with frame.errors():
            supervisor.cancel(workspace, run_id)


def charts_ready(workspace, run_id: str) -> str:
    found = cached.map_of(workspace, run_id)
    if found is None:
        return "nothing"
    return "umap" if found[0]["umap_x"].notna().any() else "pca"


def show_map(workspace, run_id: str) -> None:
    points, about = cached.map_of(workspace, run_id)
    config = cached.config(workspace, run_id)
    has_umap = bool(points["umap_x"].notna().any())
    colours = ["label", "split", *sorted(c for c in points.columns if c not in (
        *CORE, "row", "split", "umap_x", "umap_y", "pca_x", "pca_y"))]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = frame.linked("Method", [m for m in METHODS if m == "pca" or has_umap], "method", widget=st.segmented_control,
                              format_func=METHODS.get)
        colour = frame.linked("Colour by", colours, "colour", width=220, format_func=lambda c: {
            "label": "Class", "split": "Split"}.get(c, c.removeprefix("factor_").replace("_", " ").capitalize()))
    drawn = sample(points)
    arm = words.arm(config.get("arm", "vae"))
    figure = charts.map_scatter(drawn, x=f"{method}_x", y=f"{method}_y", colour_by=colour,
                                title=f"{METHODS[method]} of the {arm.name} features of {config.get('dataset')}")
    left, right = st.columns([5, 3], gap="medium")
    with left:
        event = frame.show_chart(
            figure, points, key=f"map-{run_id}-{method}-{colour}", on_select="rerun", caption=caption(about, drawn, points),
            alt=f"Scatter of {len(drawn):,} images; the same points stand in the table below it.")
    rows = [int(point["customdata"][0] if isinstance(point["customdata"], (list, tuple)) else point["customdata"])
            for point in event.selection.points if "customdata" in point]
    with right:
        dataset = cached.dataset(workspace, config["dataset"])
        by_table = pick_from_table(points)
        rows = rows or by_table
        if not rows:
            st.markdown(":material/touch_app: **Click a dot** to see its image and nearest neighbours, or draw a **box or lasso** "
                        "(in the chart's toolbar) to see all images inside.")
        elif len(rows) == 1:
            one_image(workspace, run_id, points, dataset, rows[0])
        else:
            many_images(points, dataset, rows)


def sample(points: pd.DataFrame) -> pd.DataFrame:
    """At most charts.MAP_LIMIT points, each class in proportion."""
    if len(points) <= charts.MAP_LIMIT:
        return points
    return points.groupby("label", group_keys=False, dropna=False).sample(frac=charts.MAP_LIMIT / len(points), random_state=0)


def caption(about: dict, drawn: pd.DataFrame, points: pd.DataFrame) -> str:
    quality = about.get("quality") or {}
    parts = []
    if len(drawn) < len(points):
        parts.append(f"{len(drawn):,} of {len(points):,} points shown, each class in proportion.")
    if not words.missing(quality.get("trustworthiness")):
        parts.append(f"Trustworthiness {words.number(quality['trustworthiness'])}.")
    if not words.missing(quality.get("knn_accuracy")):
        parts.append(f"Nearest neighbours in the original space share the class in {words.percent(quality['knn_accuracy'])}.")
    parts.append("Near dots are alike to this extractor; distances between clusters of a UMAP mean little.")
    return " ".join(parts)


def pick_from_table(points: pd.DataFrame) -> list[int]:
    """The same choice by keyboard and screen reader: a sortable table of all points."""
    with st.popover("Choose from a table", icon=":material/table_rows:", type="tertiary", key="points", on_change="rerun") as box:
        pass
    if not box.open:
        return st.session_state.get("table-rows", [])
    with box:
        event = st.dataframe(points[["image_id", "label", "split", "group"]], hide_index=True, on_select="rerun", height=320,
                             selection_mode="multi-row", key="points-table", alt="All points of the map")
    st.session_state["table-rows"] = [int(points["row"].iloc[index]) for index in event.selection.rows]
    return st.session_state["table-rows"]


def one_image(workspace, run_id: str, points: pd.DataFrame, dataset, row: int) -> None:
    found = dataset.frame.iloc[row]
    picture = images.thumbnail(dataset, row, 320)
    if picture is not None:
        st.image(picture, width=260, alt=f"Image {found['image_id']}")
    st.markdown(f"**{found['image_id']}** · {describe(dataset, found['label'])}")
    split = points.loc[points["row"] == row, "split"].iloc[0]
    facts = {"Split": split, "Group": found["group"], **{name: found[name] for name in dataset.attributes}}
    st.caption(" · ".join(f"{name} {value}" for name, value in facts.items()
                          if not (value is None or value != value or str(name).startswith("factor_"))))
    near = cached.neighbours(workspace, run_id)
    position = np.flatnonzero(points["row"].to_numpy() == row)
    if near is not None and len(position):
        st.markdown("**Nearest in feature space**")
        images.gallery(dataset, [int(other) for other in near[int(position[0])] if other >= 0][:6], width=88)


def many_images(points: pd.DataFrame, dataset, rows: list[int]) -> None:
    chosen = points[points["row"].isin(rows)]
    st.markdown(f"**{words.count(len(chosen), 'image')} selected**")
    mix = chosen["label"].astype(object).fillna("no label").value_counts()
    st.caption(" · ".join(f"{name} {words.percent(count / len(chosen))}" for name, count in mix.items()))
    images.gallery(dataset, list(chosen["row"])[:SHOWN], width=88)
    if len(chosen) > SHOWN:
        st.caption(f"The first {SHOWN} are shown.")
    frame.download_table(chosen, "Download CSV", name="selection")


def describe(dataset, label: str | None) -> str:
    return "no label" if label is None else (dataset.info.get("class_descriptions") or {}).get(label, label)


workspace = frame.page("latent")
run_id = choose(workspace)
if run_id is not None:
    run = cached.run(workspace, run_id)
    if not run.final:
        st.session_state[f"ready-{run_id}"] = charts_ready(workspace, run_id)
        st.fragment(wait_for, run_every=1.0)(workspace, run_id)
    elif run.error:
        st.error(run.error, icon=":material/error:")
    if cached.map_of(workspace, run_id) is not None:
        with frame.errors():
            show_map(workspace, run_id)
new_map(workspace, expanded=run_id is None)
