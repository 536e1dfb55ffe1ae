"""Models: the shelf, each model with its card; publish from a finished study, import, export, delete."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.ui import cached, frame, words

ARCHIVE_MB = 200


def shelf(workspace) -> list[dict]:
    cards = cached.bundles(workspace)
    if not cards:
        frame.empty("Published models will stand here, each with its card: training data, metrics with intervals, terms. "
                    "Finish a study, then publish its models.", title="The shelf is empty", action="Train a study", page="train")
    good = [card for card in cards if card["ok"]]
    arms = words.ordered({card["arm"] for card in good})
    if good:
        with st.grid(2, min_column_width=340):
            for card in sorted(good, key=lambda card: arms.index(card["arm"])):
                with st.container(border=True, height="stretch"):
                    summary(workspace, card)
    for card in cards:
        if not card["ok"]:
            st.error(f"**{card['name']}** is refused: {card['error']}", icon=":material/gpp_bad:")
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
    st.caption(f"Trained on {words.plain(card['training_data'].get('dataset', 'data its card does not name'))}. {words.plain(card['license'])}.")
    with st.container(horizontal=True):
        if st.button("Card", icon=":material/badge:", key=f"card-{card['name']}"):
            st.dialog(card["name"], width="large", icon=":material/badge:")(show_card)(card)
        export(workspace, card)
        if card["shelf"] == "workspace":
            delete(workspace, card)


def show_card(card: dict) -> None:
    """What a reader must know before using a model; the whole card folded below."""
    st.markdown(f"{words.arm(card['arm'], card['label']).badge} {words.plain(card['intended_use'])}")
    st.markdown("\n".join(f"- {words.plain(limit)}" for limit in card["limits"]))
    shown = {words.QUANTITIES.get(name, name): words.interval(value, name) for name, value in card["metrics"].items()
             if isinstance(value, dict) and "mean" in value}
    if shown:
        st.markdown(f"**Test split, 95{words.THIN}% intervals**")
        st.table(shown, border="horizontal", alt="Test metrics")
        st.caption(words.plain(card.get("metrics_note") or ""))
    st.markdown("**Classes**")
    st.table({words.plain(name): words.plain(card["class_descriptions"].get(name, "")) for name in card["classes"]}, border="horizontal", alt="Classes")
    for title, key in (("Training data", "training_data"), ("Initial weights", "initial_weights"), ("Split", "split")):
        facts = {name.replace("_", " ").capitalize(): words.plain(tell(value)) for name, value in card[key].items()
                 if value not in (None, "", []) and name not in ("config", "data")}
        if facts:
            st.markdown(f"**{title}**")
            st.table(facts, border="horizontal", alt=title)
    st.markdown(f"**Terms.** {words.plain(card['license'])}")
    st.markdown("**Made by**")
    st.code("\n".join(card["commands"]), language="bash", wrap_lines=True)
    st.caption(f"SHA-256 {card['sha256']}")
    with st.expander("The whole card", icon=":material/data_object:"):
        st.json({key: value for key, value in card.items() if key not in ("tensors", "ok", "error", "folder", "shelf")}, expanded=1)


def tell(value: object) -> str:
    """A fact of a card as words: 10015 → '10,015', a dict as its parts."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {tell(part)}" for name, part in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def export(workspace, card: dict) -> None:
    from derm_core.serve.archive import export_bundle

    st.download_button("Export", lambda: export_bundle(workspace, card["name"]), file_name=f"{card['name']}.zip",
                       mime="application/zip", icon=":material/download:", key=f"export-{card['name']}", on_click="ignore")


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
            with frame.errors(), st.spinner("Fitting the temperature and checking the bundle…"):
                publish(workspace, run_id, arm, name.strip())
                st.session_state["message"] = f"{name.strip()} is on the shelf."
                st.rerun()


def import_section(workspace) -> None:
    from derm_core.serve.archive import import_bundle

    with st.expander("Import a model", icon=":material/upload_file:"):
        st.markdown("A bundle exported here or elsewhere, as one zip file. Size, tensors and hash are checked against its card "
                    "before anything is loaded; nothing in it is executed.")
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
publish_section(workspace)
import_section(workspace)
