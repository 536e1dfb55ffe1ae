"""Models: the shelf, each model with its card; publish from a finished study, import, export, delete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from pages.ui import cached, frame, words
from pages.ui.card import show, show_extractor

ARCHIVE_MB = 200


def shelf(workspace) -> list[dict]:
    cards = cached.bundles(workspace)
    if not cards:
        frame.empty("Published models will stand here, each with its card: training data, metrics with intervals, terms. "
                    "Finish a study, then publish its models.", title="The shelf is empty", action="Train a study",
                    page="train")
    good = [card for card in cards if card["ok"]]
    arms = words.ordered({card["arm"] for card in good})
    if good:
        with st.grid(2, min_column_width=340):
            for card in sorted(good, key=lambda card: arms.index(card["arm"])):
                with st.container(border=True, height="stretch"):
                    summary(workspace, card)
    refusals(cards)
    return good


def summary(workspace, card: dict) -> None:
    """One model: who it is, how well it does, what it may be used for, and what can be done with it."""
    arm, metrics = words.arm(card["arm"], card["label"]), card["metrics"]
    st.markdown(f"**{card['name']}** {arm.badge}")
    with st.grid(2, min_column_width=130):
        for name in ("balanced_accuracy", "macro_auroc"):
            value = metrics.get(name) or {}
            st.metric(f"{words.QUANTITIES[name]}, test", words.quantity(value.get("mean"), name),
                      delta=f"95{words.THIN}% interval {words.span(value, name)}", delta_color="off", delta_arrow="off")
    st.markdown(
        f"{card['architecture']} to stage {card['stage']}, {card['input_size']}{words.THIN}px, "
        f"{'fine-tuned end to end' if card['regime'] == 'finetune' else 'frozen, with a two-layer head'}, "
        f"{card['parameters'] / 1e6:.1f} M parameters, {words.size(card['file_bytes'])}")
    trained_on(card)
    actions(workspace, card, show)


def trained_on(card: dict) -> None:
    dataset = card["training_data"].get("dataset", "data its card does not name")
    st.caption(f"Trained on {words.plain(dataset)}. {words.plain(card['license'])}.")


def extractors(workspace) -> None:
    """Published VAEs without a classifier: the weights of an arm, or for Python."""
    found = cached.bundles(workspace, "extractor")
    if not found:
        return
    st.subheader("Extractors", anchor=False)
    st.caption("Pretrained VAEs without a classifier: weights for an arm of a comparison, or for Python by `load_extractor`.")
    with st.grid(2, min_column_width=340):
        for card in (card for card in found if card["ok"]):
            with st.container(border=True, height="stretch"):
                st.markdown(f"**{card['name']}**")
                st.markdown(f"{card['architecture']} to stage {card['stage']}, {card['input_size']}{words.THIN}px, "
                            f"{card['decoder']['latent_dim']} latent dimensions, "
                            f"{card['parameters'] / 1e6:.1f} M parameters, {words.size(card['file_bytes'])}")
                trained_on(card)
                actions(workspace, card, show_extractor)
    refusals(found)


def refusals(cards: list[dict]) -> None:
    for card in cards:
        if not card["ok"]:
            st.error(f"**{card['name']}** is refused: {words.plain(card['error'])}", icon=":material/gpp_bad:")


def actions(workspace, card: dict, view: Callable[[dict], None]) -> None:
    with st.container(horizontal=True):
        if st.button("Card", icon=":material/badge:", key=f"card-{card['name']}"):
            st.dialog(card["name"], width="large", icon=":material/badge:")(view)(card)
        export(workspace, card)
        if card["shelf"] == "workspace":
            delete(workspace, card)


def export(workspace, card: dict) -> None:
    """One file to hand on; what it says of single images of private data goes with it only where that is confirmed."""
    from derm_core.serve.archive import export_bundle, holds_private_images

    name, private = card["name"], False
    confirm = holds_private_images(card)
    with st.popover("Export", icon=":material/download:", key=f"private-{name}") if confirm else st.container(width="content"):
        if confirm:
            st.markdown("Its training data is private. The features, labels and ids of its training images stay here, and "
                        "who imports it sees no nearest training images.")
            private = st.checkbox("Pass them on: I have the right to", key=f"pass-on-{name}")
        st.download_button("Download" if confirm else "Export", lambda: export_bundle(workspace, name, private=private),
                           file_name=f"{name}.zip", mime="application/zip", icon=":material/download:",
                           key=f"export-{name}", on_click="ignore")


def delete(workspace, card: dict) -> None:
    with st.popover("Delete", icon=":material/delete:", key=f"delete-{card['name']}"):
        st.markdown(f"Delete **{card['name']}** from this workspace's shelf?")
        if st.button("Delete the model", type="primary", key=f"really-{card['name']}"):
            with frame.errors():
                workspace.remove(Path(card["folder"]))
                st.rerun()


def publish_section(workspace) -> None:
    from derm_core.serve.publish import publish

    studies = {run.id: run for run in cached.runs(workspace, kind="study", state="done") if cached.study(workspace, run.id)}
    with st.expander("Publish from a finished study", icon=":material/publish:"):
        if not studies:
            st.markdown("A finished study's classifiers can be put on the shelf here.")
            frame.link("train", "Go to Train", icon=":material/model_training:")
            return
        run_id = st.selectbox("Study", list(studies), format_func=lambda key: frame.run_label(workspace, studies[key]))
        study = cached.study(workspace, run_id)
        with st.form("publish", border=False):
            arm = st.selectbox("Arm", words.ordered(arm for arm in study["arms"] if arm != "both"), key="publish-arm",
                               format_func=lambda key: words.arm(key).name)
            name = st.text_input("Name", placeholder="my-model", key="publish-name",
                                 help="1 to 40 lower-case letters, digits and hyphens.")
            pressed = st.form_submit_button("Publish", type="primary")
        if pressed:
            bar = st.progress(0.0, "Reading the study…")
            with frame.errors():
                publish(workspace, run_id, arm, name.strip(), progress=lambda done, total: bar.progress(
                    done / total, f"Measuring the model: {done:,} of {total:,} images. Leaving this page gives it up."))
                st.session_state["message"] = f"{name.strip()} is on the shelf."
                st.rerun()
            bar.empty()


def import_section(workspace) -> None:
    from derm_core.serve.archive import import_bundle

    with st.expander("Import a model", icon=":material/upload_file:"):
        st.markdown("A bundle exported here or elsewhere, as one zip file. Size, tensors and hash are checked against its "
                    "card before anything is loaded; nothing in it is executed.")
        file = st.file_uploader("Bundle", ["zip"], max_upload_size=ARCHIVE_MB, key="bundle")
        if file is not None and st.button("Import", type="primary"):
            with frame.errors():
                folder = import_bundle(workspace, file.getvalue())
                st.session_state["message"] = f"{folder.name} is on the shelf."
                st.rerun()


workspace = frame.page("models")
if message := st.session_state.pop("message", None):
    st.toast(message, icon=":material/check_circle:")
if shelf(workspace):
    frame.link("classify", "Classify an image with them", icon=":material/image_search:")
extractors(workspace)
publish_section(workspace)
import_section(workspace)
