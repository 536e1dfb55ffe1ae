"""Classify: two opinions on one lesion. Choose the images, see both models side by side."""

from __future__ import annotations

import hashlib
import json

import pandas as pd
import streamlit as st

from derm_core.data.decode import MAX_BYTES
from pages.ui import cached, charts, frame, images, words

SAMPLES = 8
SQUARE = 256
TYPES = ["jpg", "jpeg", "png", "webp", "bmp"]
BARE = {"displayModeBar": False}


# ---- which models, which images ----------------------------------------------------------------


def choose_models(workspace) -> list[dict]:
    """Cards of the models to ask: one of each arm, those that ship first, unless the reader or ?models= says otherwise."""
    shelf = {card["name"]: card for card in cached.bundles(workspace) if card["ok"]}
    if not shelf:
        frame.empty("Two published models will classify your images side by side here. There is none on the shelf: "
                    "finish a study and publish its models, or import a bundle.", title="No model to ask yet",
                    icon=":material/deployed_code:", action="Go to the models", page="models")
        st.stop()
    one_each: dict[str, str] = {}
    for name, card in shelf.items():
        one_each.setdefault(card["arm"], name)
    default = [one_each[arm] for arm in words.ordered(one_each)][:2]
    asked = [name for name in st.query_params.get("models", "").split(",") if name in shelf]
    if len(shelf) == len(default):
        return [shelf[name] for name in default]
    chosen = st.multiselect("Models", list(shelf), default=asked or default, key="models", wrap=True,
                            format_func=lambda name: f"{label(shelf[name])} · {name}")
    if chosen == default:
        st.query_params.pop("models", None)
    else:
        st.query_params["models"] = ",".join(chosen)
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
                          label_visibility="collapsed", required=True, always=False, format_func={
                              "upload": ":material/upload: Upload", "samples": ":material/palette: Generated samples",
                              "camera": ":material/photo_camera: Camera"}.get)
    if source == "samples":
        return choose_sample(workspace)
    if source == "camera":
        photo = st.camera_input("Photograph one lesion, in the middle of the picture", key="camera", width=480)
        return [(photo.name, photo.getvalue())] if photo else []
    files = st.file_uploader("Dermatoscopic images with the lesion in the middle", TYPES, accept_multiple_files=True, key="files",
                             max_upload_size=MAX_BYTES // 2**20,
                             help="JPEG, PNG, WEBP or BMP. Images stay in this session's memory and are never written to disk.")
    return [(file.name, file.getvalue()) for file in files]


def choose_sample(workspace) -> list[tuple[str, bytes]]:
    """Generated images with a button each; ?sample= says which one is shown."""
    found = cached.samples(workspace, SAMPLES, 0)
    drawn = any("decoder" in about for _, _, about in found)
    st.caption("No patient's image is among these: " + (
        "half are painted by the product's generator, half are drawn from a VAE's decoder." if drawn
        else "all are painted by the product's generator."))
    wanted = st.query_params.get("sample", "")
    with st.grid(SAMPLES, min_column_width=84, gap="small"):
        for number, (_, data, about) in enumerate(found, 1):
            with st.container(gap="xsmall"):
                st.image(data, width="stretch", alt=about)
                st.button(f"Sample {number}", key=f"sample-{number}", help=about, width="stretch",
                          type="primary" if wanted == str(number) else "secondary",
                          on_click=st.query_params.update, args=({"sample": str(number)},))
    if not wanted.isdigit() or not 1 <= int(wanted) <= len(found):
        return []
    name, data, _ = found[int(wanted) - 1]
    return [(name, data)]


# ---- what the models say -----------------------------------------------------------------------


def classify(workspace, cards: list[dict], chosen: list[tuple[str, bytes]]) -> tuple[dict, list[bytes]]:
    """What `predict --json` prints, and the square (WEBP) of each accepted image.

    Each image is computed once and forgotten when it is no longer among those chosen.
    """
    predictors = {card["name"]: cached.predictor(workspace, card["name"]) for card in cards}
    models = tuple(card["sha256"] for card in cards)
    before, known = st.session_state.get("predictions", {}), {}
    bar = st.progress(0.0, "Classifying…") if len(chosen) > 4 else None
    for number, (name, data) in enumerate(chosen, 1):
        key = (name, hashlib.sha256(data).hexdigest(), models)
        known[key] = before.get(key) or one_image(workspace, predictors, name, data)
        if bar:
            bar.progress(number / len(chosen), f"Classifying: {number} of {len(chosen)}")
    if bar:
        bar.empty()
    st.session_state["predictions"] = known
    found = list(known.values())
    return ({"images": [row for part in found for row in part["images"]],
             "errors": [row for part in found for row in part["errors"]]},
            [part["square"] for part in found if part["images"]])


def one_image(workspace, predictors: dict, name: str, data: bytes) -> dict:
    """{images, errors, square}: what the predictors say, and the centre square that they see."""
    from PIL import Image

    from derm_core.data.decode import read_image
    from derm_core.serve.predictor import predict_images

    result = predict_images(workspace, None, [(name, data)], predictors)
    square = images.webp(Image.fromarray(read_image(data, SQUARE, name))) if result["images"] else b""
    return {**result, "square": square}


def show_errors(errors: list[dict]) -> None:
    """Files that were refused, each with its reason, in one box."""
    if len(errors) == 1:
        st.error(errors[0]["error"], icon=":material/block:")
    elif errors:
        st.error(f"{len(errors)} files were refused.\n" + "\n".join(f"- {row['error']}" for row in errors),
                 icon=":material/block:")


def overview(rows: list[dict], accepted: list[bytes], cards: list[dict]) -> int:
    """All images in one table; a click on a row opens it below. Returns the row to show."""
    if len(rows) < 2:
        return 0
    agreed = [row["agree"] for row in rows if row["agree"] is not None]
    st.subheader(f"{len(rows)} images" + (f", the models agree on {sum(agreed)}" if agreed else ""), anchor=False)
    table = pd.DataFrame([{
        "Image": images.data_url(data),
        **{column(card, cards): said(row, card) for card in cards},
        **({"Agree": "Yes" if row["agree"] else "No"} if row["agree"] is not None else {}),
        "File": row["path"]} for row, data in zip(rows, accepted, strict=True)])
    event = st.dataframe(
        table, hide_index=True, on_select="rerun", selection_mode="single-row", key="overview", row_height=44,
        selection_default={"selection": {"rows": [0]}}, alt="Predictions of every image",
        height="content" if len(table) <= 8 else 400,
        column_config={"Image": st.column_config.ImageColumn(width=56), "Agree": st.column_config.TextColumn(width=64)})
    st.caption("Choose a row to see that image below.")
    picked = event.selection.rows
    return picked[0] if picked and picked[0] < len(rows) else 0


def said(row: dict, card: dict) -> str:
    """'mel 64.1%': one model's most probable class."""
    answer = row["arms"][card["name"]]
    return f"{answer['top']} {words.percent(answer['probabilities'][answer['top']])}"


def column(card: dict, cards: list[dict]) -> str:
    """A model's heading: its arm, and its name where two of them share the arm."""
    same = sum(label(other) == label(card) for other in cards) > 1
    return f"{label(card)} · {card['name']}" if same else label(card)


def label(card: dict) -> str:
    return words.arm(card["arm"], card["label"]).name


def opinion(row: dict, data: bytes, cards: list[dict]) -> None:
    """One image and what each model says of it."""
    order = list(dict.fromkeys(name for card in cards for name in card["classes"]))
    left, right = st.columns([1, 3], gap="medium")
    with left:
        st.image(data, width=SQUARE, alt=f"{row['path']}, centre square as the models see it")
        sizes = " and ".join(str(size) for size in sorted({card["input_size"] for card in cards}))
        st.caption(f"{row['path']}: the centre square, all that the models see, at {sizes}{words.THIN}px.")
    with right:
        agreement(row, cards)
        with st.grid(min(len(cards), 3), min_column_width=250):
            for card in cards:
                with st.container(border=True, height="stretch", gap="xsmall"):
                    one_model(row["arms"][card["name"]], card, order, cards)


def agreement(row: dict, cards: list[dict]) -> None:
    if row["agree"] is None:
        return
    tops = [row["arms"][card["name"]]["top"] for card in cards]
    if row["agree"]:
        st.markdown(f":material/check: **The models agree: {describe(cards[0], tops[0])}.** Agreement is not correctness.")
    else:
        each = ", ".join(f"{column(card, cards)} says {describe(card, top)}" for card, top in zip(cards, tops, strict=True))
        st.markdown(f":material/call_split: **The models disagree:** {each}.")


def describe(card: dict, name: str) -> str:
    return card["class_descriptions"].get(name, name)


def one_model(answer: dict, card: dict, order: list[str], cards: list[dict]) -> None:
    arm = words.arm(card["arm"], card["label"])
    st.markdown(arm.badge + (f" {card['name']}" if column(card, cards) != arm.name else ""),
                help=f"{card['name']}: {arm.about or card['label']}")
    probabilities = answer["probabilities"]
    st.metric(describe(card, answer["top"]), words.percent(probabilities[answer["top"]]))
    shown = [name for name in order if name in probabilities]
    names = {name: describe(card, name) for name in shown}
    st.plotly_chart(
        frame.readable(charts.probability_bars(probabilities, colour=arm.colour, order=shown, names=names)),
        key=f"bars-{card['name']}", config=BARE, alt=f"{arm.name}: " + ", ".join(
            f"{names[name]} {words.percent(probabilities[name])}" for name in shown))
    metrics = card["metrics"]
    st.caption(f"{'Calibrated' if card.get('temperature') else 'Uncalibrated'} probabilities; the most probable class is named. "
               f"On its test split that was right for {words.interval(metrics.get('accuracy'), 'accuracy')} of the images. "
               "Balanced accuracy, with decisions adjusted for how common each class is: "
               f"{words.interval(metrics.get('balanced_accuracy'), 'balanced_accuracy')}.")


def downloads(result: dict) -> None:
    flat = pd.DataFrame([{"path": row["path"], "model": name, "top": answer["top"], **answer["probabilities"]}
                         for row in result["images"] for name, answer in row["arms"].items()])
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
    st.caption(f"{' and '.join(column(card, cards) for card in cards)} will each give their class probabilities here, side by "
               "side. Your images stay in this session's memory.")
else:
    say_what_differs(cards)
    with frame.errors():
        result, accepted = classify(workspace, cards, chosen)
        show_errors(result["errors"])
        if result["images"]:
            shown = overview(result["images"], accepted, cards)
            opinion(result["images"][shown], accepted[shown], cards)
            downloads(result)
with frame.errors():  # after the page stands: the first answer should not wait for the models
    for card in cards:
        cached.predictor(workspace, card["name"])
