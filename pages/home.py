"""Home: what this is, the two things to do first, the latest comparison, the library, the machine."""

from __future__ import annotations

import streamlit as st

from derm_core.arms import arm_style
from derm_core.jobs.published import PublishedRun
from derm_core.report.sections import verdict
from derm_core.report.sections.gaps import gap_against_accuracy
from derm_core.workspace import Workspace
from pages.ui import cached, cached_models, demo, frame, model_card, words
from pages.ui.glossary import heading
from pages.ui.section import draw
from pages.ui.space import draw_space_button

LOOKED_AT = 50  # of the newest studies, for one with a result
WEIGHT_SOURCES = {"folder": "from the weights folder", "cache": "from the Hugging Face cache"}


def draw_latest_comparison(workspace: Workspace) -> None:
    """The verdict and the gaps of the latest finished study, else of the published one."""
    heading("Latest comparison", terms=("balanced-accuracy", "confidence-interval", "gap"))
    own = cached.newest_runs(workspace, LOOKED_AT, "study")
    for run in [*own, *frame.published("study")]:
        if result := cached.study(workspace, run.id):
            break
    else:
        if frame.empty(
            f"The verdict of your latest study will stand here. {demo.ABOUT}",
            title="No comparison yet",
            icon=":material/compare:",
            action=demo.LABEL,
            key="empty-demo",
            primary=False,
        ):
            demo.run_demo(workspace)
        return
    with st.container(border=True):
        st.markdown(f"**{words.plain(result.verdict.headline)}**")
        draw(verdict.sentences(result))
        if result.at_shared_setting:
            st.caption(words.plain(verdict.AT_SHARED_SETTING))
        draw(gap_against_accuracy(result, "accuracy"))
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        ):
            label = frame.run_label(workspace, run)
            label += f" · {result.dataset.marks}" if result.dataset.marks else ""
            if isinstance(run, PublishedRun):
                label += f" · {run.about.dataset.attribution} · {run.about.licence}"
            st.caption(words.plain(label), width="stretch")
            frame.link(
                "compare", "The whole comparison", icon=":material/arrow_forward:", run=run.id
            )


def draw_library(workspace: Workspace) -> None:
    """A line for each model: name, arm, balanced accuracy with its interval; or why it cannot be used."""
    heading("Models in the library", terms=("library", "model-card", "two-decisions"))
    bundles = cached.bundles(workspace)
    if not bundles:
        frame.empty(
            "Published models are listed here; the page Classify uses them. Train a study, then publish its arms.",
            title="The library is empty",
            icon=":material/deployed_code:",
            action="Train a study",
            page="train",
            key="empty-library",
            primary=False,
        )
        return
    with st.container(border=True, gap="small"):
        for card in cached.cards(workspace):
            st.markdown(f"**{card.name}** {arm_style(card.arm, card.label).badge}")
            st.caption(f"On its test split:  \n{model_card.describe_decisions(card)}")
        for bundle in bundles:
            if bundle.error:
                refused = ":red-badge[:material/error: Refused]"
                st.markdown(f"**{words.plain(bundle.name)}** {refused}")
                st.caption(words.plain(bundle.error))
        frame.link("models", "All cards", icon=":material/arrow_forward:")


def draw_machine(workspace: Workspace) -> None:
    """The machine, its software and its data."""
    st.subheader("This machine", anchor=False)
    machine, memory = cached.machine(), ""
    if machine.memory_bytes:
        memory = f", {machine.memory_bytes / 1e9:.0f}{words.THIN}GB memory"
    datasets = ", ".join(
        f"{row.name} ({row.images:,} images)" for row in cached.datasets(workspace)
    )
    name = "yours alone" if workspace.shared_root else f"{words.plain(workspace.root.name)}/"
    used = words.size(cached.folder_bytes(str(workspace.root)))
    rows = {
        "Device": machine.gpu or f"CPU only, {words.count(machine.cores, 'thread')}",
        "Processor": f"{machine.cpu}{memory}",
        "Software": f"Python {machine.python}, PyTorch {machine.torch or 'not installed'}",
        "ImageNet weights": imagenet_text(),
        "Datasets": datasets or "none yet; synthetic images are generated when first needed",
        "Workspace": f"{name}, {used}",
    }
    st.table(rows, border="horizontal", alt="The machine, its software and its data")
    draw_space_button(workspace)


def imagenet_text() -> str:
    """Where the ImageNet weights of the default backbone come from, or what to do."""
    status = cached_models.imagenet_status("resnet18", 3)
    if status["available"]:
        return f"ResNet-18, {WEIGHT_SOURCES.get(status['source'], status['source'])}"
    if status["source"] == "hub":
        return "not here yet; fetched when first used, if online"
    return "not here, and offline: put them into weights/"


workspace = frame.page(
    "home",
    title="Skin images or ImageNet?",
    intro=(
        "Compare pretrained feature extractors for skin-lesion diagnosis, and ask published models about an image. "
        "Does an extractor that learned from **skin images without labels** serve diagnosis better than one that "
        "learned from **ImageNet**? A paper ([arXiv 2505.16773](https://arxiv.org/abs/2505.16773)) reports that it "
        "overfits less. Here all arms get the same images, splits and classifier on top, with random weights as the "
        "control; where their networks differ, that is said, and every number has its interval."
    ),
)
with st.container(horizontal=True):
    if st.button("Classify an image", type="primary", icon=":material/image_search:"):
        frame.go("classify")
    if st.button(demo.LABEL, icon=":material/play_arrow:"):
        demo.run_demo(workspace)
left, right = st.columns([3, 2], gap="large")
with left:
    draw_latest_comparison(workspace)
with right:
    draw_library(workspace)
    draw_machine(workspace)
