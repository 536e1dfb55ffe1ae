"""Models: the library, each model with its card; publish from a finished study, import, export, delete."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from derm_core.arms import arm_style, in_order
from derm_core.bundles.card import Card
from derm_core.bundles.library import ListedBundle
from derm_core.config import PublishConfig
from derm_core.events import Progress
from derm_core.jobs import supervisor
from pages.ui import cached, frame, launch_form, live_run, words
from pages.ui.model_card import draw_classifier_card, draw_extractor_card

NO_NETWORK = ("both", "colour")  # two networks, and none: not one model to publish


def shelf(workspace) -> list[ListedBundle]:
    bundles = cached.bundles(workspace)
    if not bundles:
        frame.empty(
            "Published models will stand here, each with its card: training data, metrics with intervals, terms. "
            "Finish a study, then publish its models.",
            title="The library is empty",
            action="Train a study",
            page="train",
        )
    good = [bundle for bundle in bundles if bundle.card]
    arms = in_order({bundle.card.arm for bundle in good})
    if good:
        with st.grid(2, min_column_width=340):
            for bundle in sorted(good, key=lambda bundle: arms.index(bundle.card.arm)):
                with st.container(border=True, height="stretch"):
                    summary(workspace, bundle)
    refusals(bundles)
    return good


def summary(workspace, bundle: ListedBundle) -> None:
    """One model: who it is, how well it does, what it may be used for, and what can be done with it."""
    card = bundle.card
    arm, metrics = arm_style(card.arm, card.label), card.metrics
    st.markdown(f"**{card.name}** {arm.badge}")
    with st.grid(2, min_column_width=130):
        for name in ("balanced_accuracy", "macro_auroc"):
            value = metrics.get(name) or {}
            st.metric(
                f"{words.QUANTITIES[name]}, test",
                words.quantity(value.get("mean"), name),
                delta=f"95{words.THIN}% interval {words.span(value, name)}",
                delta_color="off",
                delta_arrow="off",
            )
    st.markdown(
        f"{card.architecture} to stage {card.stage}, {card.input_size}{words.THIN}px, "
        f"{'fine-tuned end to end' if card.regime == 'finetune' else 'frozen, with a two-layer head'}, "
        f"{card.parameters / 1e6:.1f} M parameters, {words.size(card.file_bytes)}"
    )
    trained_on(card)
    actions(workspace, bundle, draw_classifier_card)


def trained_on(card: Card) -> None:
    dataset = card.training_data.dataset or "data its card does not name"
    st.caption(f"Trained on {words.plain(dataset)}. {words.plain(card.license)}.")


def extractors(workspace) -> None:
    """Published VAEs without a classifier: the weights of an arm, or for Python."""
    found = cached.bundles(workspace, "extractor")
    if not found:
        return
    st.subheader("Extractors", anchor=False)
    st.caption(
        "Pretrained VAEs without a classifier: weights for an arm of a comparison, or for Python by `load_extractor`."
    )
    with st.grid(2, min_column_width=340):
        for bundle in (bundle for bundle in found if bundle.card):
            with st.container(border=True, height="stretch"):
                card = bundle.card
                st.markdown(f"**{card.name}**")
                st.markdown(
                    f"{card.architecture} to stage {card.stage}, {card.input_size}{words.THIN}px, "
                    f"{card.decoder.latent_dim} latent dimensions, "
                    f"{card.parameters / 1e6:.1f} M parameters, {words.size(card.file_bytes)}"
                )
                trained_on(card)
                actions(workspace, bundle, draw_extractor_card)
    refusals(found)


def refusals(bundles: list[ListedBundle]) -> None:
    for bundle in bundles:
        if bundle.error:
            st.error(
                f"**{words.plain(bundle.name)}** is refused: {words.plain(bundle.error)}",
                icon=":material/gpp_bad:",
            )


def actions(workspace, bundle: ListedBundle, view: Callable[[Card], None]) -> None:
    card = bundle.card
    with st.container(horizontal=True):
        if st.button("Card", icon=":material/badge:", key=f"card-{card.name}"):
            st.dialog(card.name, width="large", icon=":material/badge:")(view)(card)
        export(workspace, card)
        if bundle.shelf == "workspace":
            delete(workspace, bundle)


def export(workspace, card: Card) -> None:
    """One file to hand on; what it says of single images of private data goes with it only where that is confirmed."""
    from derm_core.bundles.archive import export_bundle

    name, private = card.name, False
    confirm = card.holds_private_images
    with (
        st.popover("Export", icon=":material/download:", key=f"private-{name}")
        if confirm
        else st.container(width="content")
    ):
        if confirm:
            st.markdown(
                "Its training data is private. The features, labels and ids of its training images stay here, and "
                "who imports it sees no nearest training images."
            )
            private = st.checkbox("Pass them on: I have the right to", key=f"pass-on-{name}")
        st.download_button(
            "Download" if confirm else "Export",
            lambda: export_bundle(workspace, name, private=private),
            file_name=f"{name}.zip",
            mime="application/zip",
            icon=":material/download:",
            key=f"export-{name}",
            on_click="ignore",
        )


def delete(workspace, bundle: ListedBundle) -> None:
    with st.popover("Delete", icon=":material/delete:", key=f"delete-{bundle.name}"):
        st.markdown(f"Delete **{bundle.name}** from this workspace's library?")
        if st.button("Delete the model", type="primary", key=f"really-{bundle.name}"):
            with frame.errors():
                workspace.remove(bundle.folder)
                st.rerun()


def publications(workspace) -> None:
    """Publications at work, each with its progress; and the last one where it came to nothing."""
    found = cached.runs(workspace, kind="publish")
    if found and found[0].state in ("failed", "interrupted"):
        frame.show_error(
            f"{frame.run_name(workspace, found[0])}: {found[0].error or found[0].state}"
        )
        frame.link("train", "Its run", icon=":material/arrow_forward:", run=found[0].id)
    moving = tuple(run.id for run in found if not run.final)
    if moving:
        st.fragment(frame.errors()(watch), run_every=1.0)(workspace, moving)


def watch(workspace, moving: tuple[str, ...]) -> None:
    """The moving part; when one of them ends, the whole page follows."""
    cached.active_runs(workspace)  # repairs what died
    for run in filter(None, (cached.run(workspace, run_id) for run_id in moving)):
        if run.final:
            if run.state == "done":
                st.session_state["message"] = f"{run.summary['name']} is in the library."
            st.rerun()
        feed = live_run.follow(workspace, run.id)
        now = feed.progress or run.progress
        with st.container(border=True):
            st.progress(
                live_run.share(now), how_far(run, now, words.plain(frame.run_name(workspace, run)))
            )
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(
                    "Goes on when this window is closed; the model then stands here.",
                    width="content",
                )
                frame.link("train", "Its run", icon=":material/arrow_forward:", run=run.id)
                if st.button(
                    "Cancel",
                    key=f"cancel-{run.id}",
                    icon=":material/stop_circle:",
                    disabled=run.cancel_requested,
                ):
                    with frame.errors():
                        supervisor.cancel(workspace, run.id)
                        st.rerun()


def how_far(run, now: Progress | None, name: str) -> str:
    """What stands on a publication's bar; its last part, after all images, does not say how far it is."""
    if now and now.complete:
        return f"{name}: all {now.total:,} images are measured; the figures of its card are being worked out…"
    return (
        live_run.progress_text(now)
        if now
        else f"{name}: {'reading the study' if run.state == 'running' else 'queued'}…"
    )


def study_label(workspace, run) -> str:
    """A study without its age: a choice is lost when its label changes under it ("9 min ago")."""
    dataset = cached.config(workspace, run.id).get("dataset", "")
    return f"{frame.run_name(workspace, run)} · {dataset} · {run.id[-4:]}"


def publish_section(workspace) -> None:
    studies = {
        run.id: run
        for run in cached.runs(workspace, kind="study", state="done")
        if cached.study(workspace, run.id) and not cached.config(workspace, run.id).get("folds")
    }
    with st.expander("Publish from a finished study", icon=":material/publish:"):
        if not studies:
            st.markdown("A finished study's classifiers can be put in the library here.")
            frame.link("train", "Go to Train", icon=":material/model_training:")
            return
        run_id = st.selectbox(
            "Study",
            list(studies),
            key="publish-study",
            format_func=lambda key: study_label(workspace, studies[key]),
        )
        study = cached.study(workspace, run_id)
        with st.form("publish", border=False):
            arm = st.selectbox(
                "Arm",
                in_order(arm for arm in study.arms if arm not in NO_NETWORK),
                key="publish-arm",
                format_func=lambda key: arm_style(key).name,
            )
            name = st.text_input(
                "Name",
                placeholder="my-model",
                key="publish-name",
                help="1 to 40 lower-case letters, digits and hyphens.",
            )
            st.caption(
                "Measures on the study's own images what the card says of the model: prediction sets, outlier "
                "limits, near-duplicates. A few minutes on 10,000 images."
            )
            pressed = st.form_submit_button("Publish", type="primary")
        if pressed:
            with frame.errors():
                config = cached.config(workspace, run_id)
                launch_form.submit(
                    workspace,
                    PublishConfig(
                        dataset=config["dataset"],
                        run=run_id,
                        arm=arm,
                        name=name.strip(),
                        seed=config["seeds"][0],
                    ),
                )
                st.rerun()


def import_section(workspace) -> None:
    from derm_core.bundles.archive import import_bundle

    with st.expander("Import a model", icon=":material/upload_file:"):
        st.markdown(
            "A bundle exported here or elsewhere, as one zip file. Size, tensors and hash are checked against its "
            "card before anything is loaded; nothing in it is executed. A file of more than "
            f"{st.get_option('server.maxUploadSize')}{words.THIN}MB is imported by `python -m derm_core models import FILE`."
        )
        file = st.file_uploader("Bundle", ["zip"], key="bundle")
        if file is not None and st.button("Import", type="primary"):
            with frame.errors():
                folder = import_bundle(workspace, file.getvalue())
                st.session_state["message"] = f"{folder.name} is in the library."
                st.rerun()


workspace = frame.page("models")
if message := st.session_state.pop("message", None):
    st.toast(message, icon=":material/check_circle:")
publications(workspace)
if shelf(workspace):
    frame.link("classify", "Classify an image with them", icon=":material/image_search:")
extractors(workspace)
publish_section(workspace)
import_section(workspace)
