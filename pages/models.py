"""Models: the library, each model with its card; publish from a finished study, import, export, delete."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from derm_core.arms import arm_style, in_order, is_one_network
from derm_core.bundles.card import Card
from derm_core.bundles.model_library import ListedBundle
from derm_core.config import PublishConfig
from derm_core.jobs import supervisor
from derm_core.jobs.preflight import submit
from derm_core.jobs.queries import RunFilter
from derm_core.jobs.store import Run, RunStore
from derm_core.workspace import Workspace
from pages.ui import cached, frame, live_run, run_choice, words
from pages.ui.model_card import describe_decisions, draw_classifier_card, draw_extractor_card

# ---- the library -------------------------------------------------------------------------------


def draw_library(workspace: Workspace) -> bool:
    """The published classifiers, or what will be here. Returns whether there is an intact one."""
    bundles = cached.bundles(workspace)
    if not bundles:
        frame.empty(
            "Published models will stand here, each with its card: training data, metrics with intervals, terms. "
            "Finish a study, then publish its models.",
            title="The library is empty",
            action="Train a study",
            page="train",
        )
    return draw_bundles(workspace, "classifier", draw_classifier)


def draw_extractors(workspace: Workspace) -> None:
    """Published VAEs without a classifier."""
    if cached.bundles(workspace, "extractor"):
        st.subheader("Extractors", anchor=False)
        st.caption(
            "Pretrained VAEs without a classifier: weights for an arm of a comparison, or for Python by "
            "`load_extractor`."
        )
        draw_bundles(workspace, "extractor", draw_extractor)


def draw_bundles(workspace: Workspace, kind: str, draw: Callable[[Card], None]) -> bool:
    """A box for each intact model, an error for each refused one. Returns whether there is an intact one."""
    bundles = {bundle.name: bundle for bundle in cached.bundles(workspace, kind)}
    cards = cached.cards(workspace, kind)
    view = draw_classifier_card if kind == "classifier" else draw_extractor_card
    if cards:
        with st.grid(2, min_column_width=340):
            for card in cards:
                with st.container(border=True, height="stretch"):
                    draw(card)
                    dataset = card.training_data.dataset or "data its card does not name"
                    st.caption(f"Trained on {words.plain(dataset)}. {words.plain(card.license)}.")
                    draw_actions(workspace, bundles[card.name], card, view)
    for bundle in bundles.values():
        if bundle.error:
            st.error(
                f"**{words.plain(bundle.name)}** is refused: {words.plain(bundle.error)}",
                icon=":material/gpp_bad:",
            )
    return bool(cards)


def draw_classifier(card: Card) -> None:
    """Name, arm, test metrics and network."""
    st.markdown(f"**{card.name}** {arm_style(card.arm, card.label).badge}")
    with st.grid(2, min_column_width=175):  # below each other on a phone
        balanced = card.decision_scores.adjusted.balanced_accuracy
        for name, of, measured in (
            ("balanced_accuracy", "adjusted", balanced),
            ("macro_auroc", "test", card.metrics.get("macro_auroc")),
        ):
            value = measured or {}
            st.metric(
                f"{words.QUANTITIES[name]}, {of}",
                words.quantity(value.get("mean"), name),
                delta=f"95{words.THIN}% interval {words.span(value, name)}",
                delta_color="off",
                delta_arrow="off",
            )
    st.caption(f"On its test split:  \n{describe_decisions(card)}")
    end_to_end = card.regime == "finetune"
    draw_network(card, "fine-tuned" if end_to_end else "frozen, with a two-layer head")


def draw_extractor(card: Card) -> None:
    """Name and network."""
    st.markdown(f"**{card.name}**")
    if card.decoder:
        draw_network(card, f"{card.decoder.latent_dim} latent dimensions")


def draw_network(card: Card, detail: str) -> None:
    """Architecture, input, size of the file. detail: what is particular to the model's kind."""
    st.markdown(
        f"{card.network.replace(' px', f'{words.THIN}px')}, {detail}, "
        f"{card.parameters / 1e6:.1f} M parameters, {words.size(card.file_bytes)}"
    )


def draw_actions(
    workspace: Workspace, bundle: ListedBundle, card: Card, view: Callable[[Card], None]
) -> None:
    """What can be done with a model. view: draws its card."""
    with st.container(horizontal=True):
        if st.button("Card", icon=":material/badge:", key=f"card-{card.name}"):
            st.dialog(card.name, width="large", icon=":material/badge:")(view)(card)
        draw_export(workspace, card)
        if bundle.shelf == "workspace":
            draw_delete(workspace, bundle)


def draw_export(workspace: Workspace, card: Card) -> None:
    """The model as one file; what it holds of single private images is part of it only after confirmation."""
    name, private, confirm = card.name, False, card.holds_private_images
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
            private = st.checkbox(
                "Include them: I have the right to share them", key=f"pass-on-{name}"
            )
        st.download_button(
            "Download" if confirm else "Export",
            lambda: export_bytes(workspace, name, private),
            file_name=f"{name}.zip",
            mime="application/zip",
            icon=":material/download:",
            key=f"export-{name}",
            on_click="ignore",
        )


def export_bytes(workspace: Workspace, name: str, private: bool) -> bytes:
    """The model as a zip file."""
    from derm_core.bundles.archive import export_bundle  # loads torch

    data = export_bundle(workspace, name, private=private)
    return data if isinstance(data, bytes) else data.read_bytes()


def draw_delete(workspace: Workspace, bundle: ListedBundle) -> None:
    """A button that deletes the model after confirmation."""
    with st.popover("Delete", icon=":material/delete:", key=f"delete-{bundle.name}"):
        st.markdown(f"Delete **{bundle.name}** from this workspace's library?")
        if st.button("Delete the model", type="primary", key=f"really-{bundle.name}"):
            with frame.errors():
                workspace.remove(bundle.folder)
                st.rerun()


# ---- publication and import --------------------------------------------------------------------


def draw_publications(workspace: Workspace) -> None:
    """Publications at work, each with its progress; and the last one where it failed."""
    store = RunStore(workspace)
    for last in store.select(RunFilter(kinds=("publish",), archived=False), 1):
        if last.state not in ("failed", "interrupted"):
            continue
        frame.show_error(f"{frame.run_name(workspace, last)}: {last.error or last.state}")
        frame.link("train", "Open the run", icon=":material/arrow_forward:", run=last.id)
    active = tuple(run.id for run in store.active() if run.kind == "publish")
    if active:
        st.fragment(frame.errors()(watch), run_every=1.0)(workspace, active)


def watch(workspace: Workspace, active: tuple[str, ...]) -> None:
    """Runs every second; when a publication ends, the whole page runs again."""
    cached.active_runs(workspace)  # marks runs whose worker died
    for run in filter(None, (cached.run(workspace, run_id) for run_id in active)):
        if run.final:
            if run.state == "done":
                frame.announce(f"{(run.summary or {}).get('name')} is in the library.")
            st.rerun()
        else:
            draw_publication(workspace, run)


def draw_publication(workspace: Workspace, run: Run) -> None:
    """Progress of one publication."""
    progress = live_run.follow(workspace, run.id).progress or run.progress
    name = words.plain(frame.run_name(workspace, run))
    text = f"{name}: {'reading the study' if run.state == 'running' else 'queued'}…"
    if (
        progress and progress.complete
    ):  # the last part, after all images, has no progress of its own
        text = f"{name}: all {progress.total:,} images are measured; the numbers of its card are being computed…"
    elif progress:
        text = live_run.progress_text(progress)
    with st.container(border=True):
        st.progress(live_run.share(progress), text)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                "Goes on when this window is closed; the model then stands here.", width="content"
            )
            frame.link("train", "Open the run", icon=":material/arrow_forward:", run=run.id)
            if st.button(
                "Cancel",
                key=f"cancel-{run.id}",
                icon=":material/stop_circle:",
                disabled=run.cancel_requested,
            ):
                with frame.errors():
                    supervisor.cancel(workspace, run.id)
                    st.rerun()


def draw_publish(workspace: Workspace) -> None:
    """The form of a publication."""
    labels = {}
    with st.expander("Publish from a finished study", icon=":material/publish:"):
        chosen = (st.session_state.get("publish-study"),)
        for run in run_choice.offered_runs(workspace, ("study",), "publish-study", also=chosen):
            config = cached.config(workspace, run.id)
            if cached.study_is_there(workspace, run.id) and not config.get("folds"):
                # Without its age: a choice is lost when its label changes ("9 min ago").
                name, dataset = frame.run_name(workspace, run), config.get("dataset", "")
                labels[run.id] = f"{name} · {dataset} · {run.id[-4:]}"
        if not labels:
            st.markdown("A finished study's classifiers can be put in the library here.")
            frame.link("train", "Go to Train", icon=":material/model_training:")
            return
        run_id = st.selectbox(
            "Study", list(labels), key="publish-study", format_func=lambda key: labels[key]
        )
        study = cached.study(workspace, run_id)
        arm_labels = {arm: one.label for arm, one in study.arms.items()} if study else {}
        with st.form("publish", border=False):
            arm = st.selectbox(
                "Arm",
                in_order(filter(is_one_network, arm_labels)),
                key="publish-arm",
                format_func=lambda key: arm_labels.get(key, key),
            )
            name = st.text_input(
                "Name",
                placeholder="my-model",
                key="publish-name",
                help="1 to 40 lower-case letters, digits and hyphens.",
            )
            st.caption(
                "Measures what the card states on the study's own images: prediction sets, outlier "
                "limits, near-duplicates. A few minutes on 10,000 images."
            )
            pressed = st.form_submit_button("Publish", type="primary")
        if pressed and arm:
            with frame.errors():
                publish(workspace, run_id, arm, name.strip())


def publish(workspace: Workspace, run_id: str, arm: str, name: str) -> None:
    """Queue the publication of a study's arm."""
    config = cached.config(workspace, run_id)
    dataset, seed = config["dataset"], config["seeds"][0]
    submit(workspace, PublishConfig(dataset=dataset, run=run_id, arm=arm, name=name, seed=seed))
    st.rerun()


def draw_import(workspace: Workspace) -> None:
    """The form of an import."""
    with st.expander("Import a model", icon=":material/upload_file:"):
        st.markdown(
            "A bundle exported here or elsewhere, as one zip file. Size, tensors and hash are checked against its "
            "card before anything is loaded; nothing in it is executed. A file of more than "
            f"{st.get_option('server.maxUploadSize')}{words.THIN}MB is imported by `python -m derm_core models "
            "import FILE`."
        )
        file = st.file_uploader("Bundle", ["zip"], key="bundle")
        if file is not None and st.button("Import", type="primary"):
            from derm_core.bundles.archive import import_bundle  # loads torch

            with frame.errors():
                folder = import_bundle(workspace, file.getvalue())
                frame.announce(f"{folder.name} is in the library.")
                st.rerun()


workspace = frame.page("models")
draw_publications(workspace)
if draw_library(workspace):
    frame.link("classify", "Classify an image with them", icon=":material/image_search:")
draw_extractors(workspace)
draw_publish(workspace)
draw_import(workspace)
