"""Home: what this is, the two things to do first, the latest comparison, the library, the machine."""

from __future__ import annotations

import streamlit as st

from derm_core.arms import arm_style, in_order
from derm_core.bundles.library import ListedBundle
from derm_core.report.sections.gaps import gap_against_accuracy
from derm_core.workspace import Workspace
from pages.ui import cached, frame, words
from pages.ui.section import draw


def draw_latest_comparison(workspace: Workspace) -> None:
    """The verdict of the newest study and its gap against accuracy."""
    st.subheader("Latest comparison", anchor=False)
    done = (
        (run, result)
        for run in cached.runs(workspace, kind="study", state="done")
        if (result := cached.study(workspace, run.id))
    )
    run, result = next(done, (None, None))
    if run is None or result is None:
        frame.empty(
            "The verdict of your latest study will stand here. The demo makes its own synthetic images, pretrains "
            "a VAE on them and compares it with ImageNet and with random weights: about three minutes on two cores.",
            title="No comparison yet",
            icon=":material/compare:",
            action="Run the demo",
            page="train",
            preset="demo",
            key="empty-demo",
            primary=False,
        )
        return
    with st.container(border=True):
        st.markdown(f"**{words.plain(result.verdict.headline)}**")
        draw(gap_against_accuracy(result, "accuracy"))
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        ):
            st.caption(words.plain(frame.run_label(workspace, run)), width="content")
            frame.link(
                "compare", "The whole comparison", icon=":material/arrow_forward:", run=run.id
            )


def shelf(workspace) -> None:
    st.subheader("Models in the library", anchor=False)
    bundles = cached.bundles(workspace)
    if not bundles:
        frame.empty(
            "Published models stand here and serve the Classify page. Train a study, then publish its arms.",
            title="The library is empty",
            icon=":material/deployed_code:",
            action="Train a study",
            page="train",
            key="empty-shelf",
            primary=False,
        )
        return
    with st.container(border=True, gap="small"):
        order = in_order({bundle.card.arm for bundle in bundles if bundle.card})
        for bundle in sorted(
            bundles,
            key=lambda bundle: order.index(bundle.card.arm) if bundle.card else len(order),
        ):
            model(bundle)
        frame.link("models", "All cards", icon=":material/arrow_forward:")


def model(bundle: ListedBundle) -> None:
    """One line a model: name, arm, balanced accuracy with its interval; or why it cannot be used."""
    card = bundle.card
    if card is None:
        st.markdown(f"**{words.plain(bundle.name)}** :red-badge[:material/error: Refused]")
        st.caption(words.plain(bundle.error))
        return
    accuracy = card.metrics.get("balanced_accuracy")
    st.markdown(f"**{card.name}** {arm_style(card.arm).badge}")
    if isinstance(accuracy, dict):
        st.caption(f"Balanced accuracy {words.interval(accuracy)} on its test split")


def machine(workspace) -> None:
    st.subheader("This machine", anchor=False)
    here = cached.machine()
    size = here.memory_bytes
    memory = f", {size / 1e9:.0f}{words.THIN}GB memory" if size else ""
    rows = {
        "Device": here.gpu or f"CPU only, {words.count(here.cores, 'thread')}",
        "Processor": f"{here.cpu}{memory}",
        "Software": f"Python {here.python}, PyTorch {here.torch or 'not installed'}",
        "ImageNet weights": imagenet(),
        "Datasets": ", ".join(
            f"{found.name} ({found.images:,} images)" for found in cached.datasets(workspace)
        )
        or "none yet; synthetic images are made on first need",
        "Workspace": f"{words.plain(workspace.root.name)}/, {words.size(cached.folder_bytes(str(workspace.root)))}",
    }
    st.table(rows, border="horizontal", alt="The machine, its software and its data")


SOURCES = {"folder": "from the weights folder", "cache": "from the Hugging Face cache"}


def imagenet() -> str:
    """Where the ImageNet weights of the default backbone come from, or what to do."""
    status = cached.imagenet_status("resnet18", 3)
    if status["available"]:
        return f"ResNet-18, {SOURCES.get(status['source'], status['source'])}"
    if status["source"] == "hub":
        return "not here yet; fetched when first used, if online"
    return "not here, and offline: put them into weights/"


workspace = frame.page(
    "home",
    title="Skin images or ImageNet?",
    intro=(
        "Does a feature extractor that learned from **skin images without labels** serve diagnosis better than one that "
        "learned from **ImageNet**? A paper ([arXiv 2505.16773](https://arxiv.org/abs/2505.16773)) says that it overfits less. "
        "This app asks again under identical conditions: the same architecture, the same images, the same small classifier on "
        "top, and random weights as the control. It says who is more accurate, who overfits less, and how sure that is."
    ),
)
with st.container(horizontal=True):
    if st.button("Classify an image", type="primary", icon=":material/image_search:"):
        frame.go("classify")
    if st.button("Run the demo", icon=":material/play_arrow:"):
        frame.go("train", preset="demo")
left, right = st.columns([3, 2], gap="large")
with left:
    draw_latest_comparison(workspace)
with right:
    shelf(workspace)
    machine(workspace)
