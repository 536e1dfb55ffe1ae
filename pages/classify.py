"""Classify: two opinions on one lesion. Choose the images, see both models side by side."""

from __future__ import annotations

import hashlib
import json

import pandas as pd
import streamlit as st

from derm_core.data.decode import MAX_BYTES
from pages.ui import cached, charts, frame, words

SAMPLES = 8
TYPES = ["jpg", "jpeg", "png", "webp", "bmp"]


def choose_models(workspace) -> list[dict]:
    """Cards of the models to ask: the shelf's first VAE and ImageNet bundles unless told otherwise."""
    shelf = {card["name"]: card for card in cached.bundles(workspace) if card["ok"]}
    if not shelf:
        frame.empty("Two published models will classify your images side by side here. There is none on the shelf: "
                    "finish a study and publish its models, or import a bundle.", title="No model to ask yet",
                    action="Go to the models", page="models")
        st.stop()
    names = words.ordered(shelf[name]["arm"] for name in shelf)
    default = sorted(shelf, key=lambda name: names.index(shelf[name]["arm"]))[:2]
    if len(shelf) > 2:
        chosen = st.multiselect("Models", list(shelf), default=default, key="models",
                                format_func=lambda name: shelf[name]["label"] + f" · {name}")
    else:
        chosen = default
    return [shelf[name] for name in chosen]


def say_what_differs(cards: list[dict]) -> None:
    """Models stand side by side as a comparison only where regime, split, classes and size are the same."""
    fields = {"regime": lambda c: c["regime"], "training split": lambda c: c["split"].get("fingerprint"),
              "classes": lambda c: tuple(c["classes"]), "input size": lambda c: c["input_size"],
              "architecture": lambda c: (c["architecture"], c["stage"])}
    differ = [name for name, of in fields.items() if len({of(card) for card in cards}) > 1]
    if differ:
        st.warning("Not a like-for-like comparison: these models differ in " + ", ".join(differ) + ".",
                   icon=":material/compare_arrows:")


def choose_images(workspace) -> list[tuple[str, bytes]]:
    """(name, bytes) of what is to be classified, kept in this session's memory only."""
    source = frame.linked("Images from", ["upload", "samples", "camera"], "from", widget=st.segmented_control,
                          label_visibility="collapsed", format_func={
                              "upload": ":material/upload: Upload", "samples": ":material/palette: Generated samples",
                              "camera": ":material/photo_camera: Camera"}.get)
    if source == "samples":
        return choose_sample(workspace)
    if source == "camera":
        photo = st.camera_input("Photograph one lesion, in the middle of the picture", key="camera")
        return [(photo.name, photo.getvalue())] if photo else []
    files = st.file_uploader("Dermatoscopic images with the lesion in the middle", TYPES, accept_multiple_files=True, key="files",
                             max_upload_size=MAX_BYTES // 2**20,
                             help="JPEG, PNG, WEBP or BMP. Images stay in this session's memory and are never written to disk.")
    return [(file.name, file.getvalue()) for file in files]


def choose_sample(workspace) -> list[tuple[str, bytes]]:
    found = cached.samples(workspace, SAMPLES, 0)
    st.caption("No patient's image is among these: half are painted by the product's generator, half are drawn from the "
               "shipped VAE's decoder.")
    with st.container(horizontal=True, gap="small"):
        for number, (_, data, about) in enumerate(found, 1):
            with st.container(width=104, gap="xsmall"):
                st.image(data, width=104, alt=about)
                if st.button(f"Sample {number}", key=f"sample-{number}", help=about, width="stretch"):
                    st.query_params["sample"] = str(number)
    wanted = st.query_params.get("sample", "")
    if not wanted.isdigit() or not 1 <= int(wanted) <= len(found):
        return []
    name, data, _ = found[int(wanted) - 1]
    return [(name, data)]


def classify(workspace, cards: list[dict], chosen: list[tuple[str, bytes]]) -> tuple[dict, list[bytes]]:
    """What `predict --json` prints, and the bytes of each accepted image; each is computed once a session."""
    from derm_core.serve.predictor import predict_images

    predictors = {card["name"]: cached.predictor(workspace, card["name"]) for card in cards}
    known = st.session_state.setdefault("predictions", {})
    models = tuple(card["sha256"] for card in cards)
    result: dict = {"images": [], "errors": []}
    accepted: list[bytes] = []
    bar = st.progress(0.0, "Classifying…") if len(chosen) > 4 else None
    for number, (name, data) in enumerate(chosen, 1):
        key = (hashlib.sha256(data).hexdigest(), models)
        if key not in known:
            known[key] = predict_images(workspace, None, [(name, data)], predictors)
        result["images"] += [{**row, "path": name} for row in known[key]["images"]]
        accepted += [data] * len(known[key]["images"])
        result["errors"] += [{**row, "path": name} for row in known[key]["errors"]]
        if bar:
            bar.progress(number / len(chosen), f"Classifying: {number} of {len(chosen)}")
    if bar:
        bar.empty()
    return result, accepted


def overview(result: dict, cards: list[dict]) -> int:
    """All images in one table; a click on a row opens it below. Returns the row to show."""
    rows = result["images"]
    table = pd.DataFrame([{
        "Image": row["path"],
        **{f"{label(card)}": row["arms"][card["name"]]["top"] for card in cards},
        **{f"{label(card)}, probability": max(row["arms"][card["name"]]["probabilities"].values()) for card in cards},
        **({"Agree": row["agree"]} if row["agree"] is not None else {})} for row in rows])
    picked = 0
    if len(rows) > 1:
        agreed = [row["agree"] for row in rows if row["agree"] is not None]
        st.subheader(f"{len(rows)} images" + (f", the models agree on {sum(agreed)}" if agreed else ""), anchor=False)
        event = st.dataframe(table, hide_index=True, on_select="rerun", selection_mode="single-row", key="overview",
                             alt="Predictions of every image", column_config={
                                 name: st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)
                                 for name in table if name.endswith("probability")})
        picked = event.selection.rows[0] if event.selection.rows and event.selection.rows[0] < len(rows) else 0
        st.caption("Click a row to see that image below.")
    return picked


def label(card: dict) -> str:
    return words.arm(card["arm"], card["label"]).name if card["arm"] in words.KNOWN else card["label"]


def opinion(row: dict, data: bytes, cards: list[dict]) -> None:
    """One image and what each model says of it."""
    from derm_core.data.decode import read_image

    order = list(dict.fromkeys(name for card in cards for name in card["classes"]))
    left, right = st.columns([1, 3], gap="medium")
    with left:
        st.image(read_image(data, 224, row["path"]), alt=f"{row['path']}, centre square as the models see it")
        st.caption(f"{row['path']}: the centre square, all that the models see "
                   f"(at {' and '.join(sorted({str(card['input_size']) for card in cards}))} px).")
    with right:
        agreement(row, cards)
        with st.grid(len(cards), min_column_width=280):
            for card in cards:
                with st.container(border=True, height="stretch", gap="xsmall"):
                    one_model(row["arms"][card["name"]], card, order)


def agreement(row: dict, cards: list[dict]) -> None:
    if row["agree"] is None:
        return
    tops = [row["arms"][card["name"]]["top"] for card in cards]
    if row["agree"]:
        st.markdown(f":material/check: **The models agree: {describe(cards[0], tops[0])}.** "
                    "Agreement is not correctness: both learned from the same images.")
    else:
        said = ", ".join(f"{label(card)} says {describe(card, top)}" for card, top in zip(cards, tops, strict=True))
        st.markdown(f":material/call_split: **The models disagree:** {said}.")


def describe(card: dict, name: str) -> str:
    return card["class_descriptions"].get(name, name)


def one_model(said: dict, card: dict, order: list[str]) -> None:
    arm = words.arm(card["arm"], card["label"])
    st.markdown(arm.badge, help=f"{card['name']}: {arm.about or card['label']}")
    st.metric(describe(card, said["top"]), words.percent(said["probabilities"][said["top"]]))
    accuracy = card["metrics"].get("balanced_accuracy") or {}
    shown = [name for name in order if name in said["probabilities"]]
    names = {name: describe(card, name) for name in shown}
    figure = charts.probability_bars(said["probabilities"], colour=arm.colour, order=shown, names=names)
    figure.update_layout(title=None)
    st.plotly_chart(figure, key=f"bars-{card['name']}", config=frame.CHART_CONFIG, alt=f"{arm.name}: " + ", ".join(
        f"{names[name]} {words.percent(said['probabilities'][name])}" for name in shown))
    st.caption(f"{'Calibrated probabilities' if card.get('temperature') else 'Softmax probabilities'}. On its test split: "
               f"balanced accuracy {words.interval(accuracy, 'balanced_accuracy')}.")


def downloads(result: dict) -> None:
    flat = pd.DataFrame([{"path": row["path"], "model": name, "top": said["top"], **said["probabilities"]}
                         for row in result["images"] for name, said in row["arms"].items()])
    with st.container(horizontal=True):
        frame.download_table(flat, "Download CSV", name="predictions")
        st.download_button("Download JSON", json.dumps(result, indent=1).encode(), file_name="predictions.json",
                           mime="application/json", icon=":material/download:", type="tertiary", on_click="ignore")


workspace = frame.page("classify")
cards = choose_models(workspace)
chosen = choose_images(workspace)
if not cards:
    st.info("Choose at least one model.", icon=":material/deployed_code:")
elif not chosen:
    st.caption(f"{' and '.join(label(card) for card in cards)} will each give their class probabilities here, side by side.")
else:
    say_what_differs(cards)
    with frame.errors():
        result, accepted = classify(workspace, cards, chosen)
        for row in result["errors"]:
            st.error(f"{row['path']}: {row['error']}", icon=":material/block:")
        if result["images"]:
            shown = overview(result, cards)
            opinion(result["images"][shown], accepted[shown], cards)
            downloads(result)
with frame.errors():  # after the page stands: the first answer should not wait for the models
    for card in cards:
        cached.predictor(workspace, card["name"])
