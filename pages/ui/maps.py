"""Maps of the latent space: what they can be made with, and which of their dots are chosen."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from . import cached, frame, words


def extractors(workspace) -> dict[str, dict]:
    """What a map can be made with: label → fields of EmbedConfig. Own VAEs first, then the shelf, then the references."""
    found: dict[str, dict] = {}
    settings = {("resnet18", 3, 64): {}}
    for run in cached.runs(workspace, state="done"):
        config = cached.config(workspace, run.id)
        if run.kind not in ("pretrain", "study") or not config:
            continue
        fields = {key: config[key] for key in ("backbone", "input_size", "split_seed")}
        settings.setdefault((config["backbone"]["architecture"], config["backbone"]["stage"], config["input_size"]), fields)
        if run.kind == "pretrain":
            found[f"VAE · {frame.run_label(workspace, run)}"] = {
                **fields, "arm": "vae", "vae_run": run.id, "dataset": config["dataset"]}
    shelf = [card for card in cached.bundles(workspace) if card["ok"]]
    arms = words.ordered({card["arm"] for card in shelf})
    for card in sorted(shelf, key=lambda card: arms.index(card["arm"])):
        found[f"Model · {card['name']}"] = {
            "arm": f"bundle:{card['name']}", "input_size": card["input_size"],
            "backbone": {"architecture": card["architecture"], "stage": card["stage"]}}
    for (architecture, stage, size), fields in settings.items():
        for arm in ("imagenet", "random"):
            if arm == "random" or cached.imagenet_status(architecture, stage)["available"]:
                found[f"{words.arm(arm).name} · {architecture} to stage {stage} at {size} px"] = {**fields, "arm": arm}
    return found


def clicked(key: str) -> list[int]:
    """Manifest rows that are selected in the chart `key`."""
    points = st.session_state.get(key, {}).get("selection", {}).get("points", [])
    values = [point["customdata"] for point in points if "customdata" in point]
    return [int(value[0] if isinstance(value, (list, tuple)) else value) for value in values]


def listed(run_id: str, points: pd.DataFrame) -> list[int]:
    """Manifest rows that are ticked in the map's table, or were when it was folded."""
    ticked = st.session_state.get(f"points-{run_id}", {}).get("selection", {}).get("rows")
    ticked = st.session_state.get(f"listed-{run_id}", []) if ticked is None else ticked
    return [int(points["row"].iloc[index]) for index in ticked if index < len(points)]


def linked_row(points: pd.DataFrame) -> list[int]:
    """The row that ?image= names, if it is on this map."""
    return [int(row) for row in points.loc[points["image_id"] == st.query_params.get("image", ""), "row"]]
