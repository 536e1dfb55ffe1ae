"""The arms of a new study in one line, and the searchable list from which networks are added to them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from derm_core.arms import arm_style
from derm_core.config import StudyConfig
from derm_core.config.labels import study_labels, vae_label
from derm_core.data.manifest import Dataset
from derm_core.data.on_demand import is_missing_synth
from derm_core.data.used_images import SplitRule, used_images
from derm_core.errors import DermError
from derm_core.jobs.queries import RunFilter
from derm_core.jobs.store import RunStore
from derm_core.machine import pick_device
from derm_core.report.sections.networks import SEEN
from derm_core.study.network_list import ListedNetwork, arm_bytes, search
from derm_core.workspace import Workspace
from pages.ui import cached, cached_models, frame, words
from pages.ui.brought_embeddings import describe, draw_bring_form
from pages.ui.cached_models import LISTED_RUNS

ADDED = "added-networks"  # in the session: to be added to the arms when the form is drawn next
SHOWN = 200  # rows of the list; more are found by a narrower search
MEMORY_SHARE = 0.85  # of the machine's memory: what an extraction may take
NOT_IN_FOLDS = ("library", "run")  # they may have seen the images of a fold
COLUMNS = (
    "Network",
    "Parameters",
    "Pixels",
    "Weights",
    "Saw these images",
    "Memory",
    "Fits",
    "Pretrained on",
    "Licence",
)
PLACES = {
    "library": "Here, library",
    "run": "Here, run",
    "folder": "Here, weights folder",
    "cache": "Here, Hugging Face cache",
    "none": "Not here, offline",
}
ABOUT = (
    "Each brings its own network, input size and pooling; head, images, splits, seeds and statistics stay the same. "
    "Type a name into *Arms* (All settings) for what is not listed: `hf-hub:OWNER/NAME`, "
    "`file:FILE.safetensors+ARCHITECTURE`; `@128` and `@mean` behind a name change input size and pooling. A file of "
    "the weights folder is listed where the .json beside it names its architecture."
)
READING = (
    "Parameters: without the classifier. Memory: about what extracting features takes on the CPU. Fits: that is at "
    "most 85 % of this machine’s memory. Saw these images: whether the pretraining used images that this study tests; "
    "such an arm is marked and takes no part in the verdict. Licence: of the weights, as stated."
)


def draw_arms(workspace: Workspace, config: StudyConfig) -> None:
    """The arms, and the button that opens the list of networks."""
    vae = vae_label(config.pretrain.recipe) if config.pretrain else None
    names = study_labels(config.arms, config.input_size, vae)
    badges = [
        f":{style.colour_name}-badge[{words.plain(style.name)}]"
        for style in (arm_style(arm, names[arm]) for arm in config.arms)
    ]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"Arms: {' '.join(badges)}", width="content")
        if st.button(
            "Add networks",
            icon=":material/add:",
            type="tertiary",
            help="Networks that are on this machine, then all of timm’s.",
        ):
            title = "Add networks to the study"
            st.dialog(title, width="large", icon=":material/hub:")(draw_list)(workspace, config)
        missing = is_missing_synth(workspace, config.dataset)
        if st.button(
            "Bring embeddings",
            icon=":material/upload_file:",
            type="tertiary",
            disabled=missing,
            help="The run makes these images first: generate them on Data before you bring vectors of them."
            if missing
            else f"Vectors of {config.dataset}’s images from elsewhere, as an arm.",
        ):
            title = f"Embeddings of {config.dataset}"
            dialog = st.dialog(title, width="large", icon=":material/scatter_plot:")
            dialog(_bring_embeddings)(workspace, config.dataset)


def _bring_embeddings(workspace: Workspace, dataset: str) -> None:
    """The form that registers a file of vectors, which become an arm."""
    if info := draw_bring_form(workspace, cached.dataset(workspace, dataset)):
        st.session_state[ADDED] = [f"embeddings:{info.name}"]
        frame.announce(words.plain(" ".join([describe(info), *info.notes])))
        st.rerun()


def draw_memory_warning(config: StudyConfig) -> None:
    """Says which arms need more memory than this machine has for a run on its CPU, and what to do."""
    available = cached.machine().memory_bytes
    if available is None:
        return
    needs = {arm: need for arm in config.arms if (need := arm_bytes(arm)) is not None}
    too_large = {arm: need for arm, need in needs.items() if need > MEMORY_SHARE * available}
    if not too_large or pick_device(config.device) != "cpu":
        return
    tuning = config.regime == "finetune"
    work = "Fine-tuning takes at least" if tuning else "Extracting features takes about"
    listed = ", ".join(
        f"{words.size(need)} for {words.plain(arm)}" for arm, need in too_large.items()
    )
    st.warning(
        f"{work} {listed}, and this machine has "
        f"{words.size(available)} of memory: choose a smaller network or a smaller input size "
        "(`@128` behind the name), or a machine with more.",
        icon=":material/memory:",
    )


def draw_list(workspace: Workspace, config: StudyConfig) -> None:
    """Search, the list, and the button that adds the selected rows to the arms."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    text = left.text_input(
        "Search", placeholder="dinov2 small, apache, webli", key="networks-search"
    )
    here = right.toggle("On this machine", key="networks-here")
    networks = [one for one in _offered(workspace, config) if one.is_here or not here]
    matches = search(networks, text)
    table = list_table(matches[:SHOWN], *_tested(workspace, config))
    event = st.dataframe(
        table,
        hide_index=True,
        height=380,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"networks-{text}-{here}",
        alt="Networks that can be arms",
        column_config={"Parameters": st.column_config.NumberColumn(format="%.1f M")},
    )
    picked = [matches[row].arm for row in event.selection.rows]
    with st.container(horizontal=True, vertical_alignment="center"):
        label = f"Add {words.count(len(picked), 'network')}" if picked else "Add"
        if st.button(label, type="primary", icon=":material/add:", disabled=not picked):
            st.session_state[ADDED] = picked
            st.rerun()
        more = f", the first {SHOWN} shown: narrow the search" if len(matches) > SHOWN else ""
        st.caption(
            f"{len(matches):,} of {words.count(len(networks), 'network')}{more}.", width="content"
        )
        frame.download_table(table, "CSV", name="networks")
    pretrainings = RunFilter(kinds=("pretrain",), states=("done",), archived=False)
    total = RunStore(workspace).count(pretrainings)
    if total > LISTED_RUNS:
        st.caption(
            f"Of the pretrainings here the newest {LISTED_RUNS} of {total:,} are listed; others are typed into "
            "*Arms* as run:ID, with the id that *Runs* has."
        )
    st.caption(READING)
    st.caption(ABOUT)


def list_table(
    networks: Sequence[ListedNetwork], dataset: Dataset | None, split: str
) -> pd.DataFrame:
    """The list as a table.

    Args:
        networks: its rows.
        dataset, split: what the study tests, see `ListedNetwork.seen`.
    """
    memory = cached.machine().memory_bytes
    rows = [
        {
            "Network": one.arm,
            "Parameters": None if one.parameters is None else one.parameters / 1e6,
            "Pixels": one.pixels,
            "Weights": _place(one),
            "Saw these images": SEEN[one.seen(dataset, split)],
            "Memory": "Not known" if one.memory_bytes is None else words.size(one.memory_bytes),
            "Fits": _fits(one, memory),
            "Pretrained on": one.pretrained_on,
            "Licence": one.license,
        }
        for one in networks
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def add_to_arms(key: str, arms: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Put the networks that were added into the choice of arms with this key.

    Args:
        key: of the widget.
        arms: its value as long as nobody has changed it.

    Returns:
        all that were ever added; the widget's default, none in a run that sets its value. Only a run that changes the
        choice sets it: the browser empties a field whose value is set, whatever is being typed into it.
    """
    added = st.session_state.pop(ADDED, [])
    ever = list(dict.fromkeys([*st.session_state.get(f"{ADDED}-ever", []), *added]))
    st.session_state[f"{ADDED}-ever"] = ever
    before = list(st.session_state.get(key, arms))
    chosen = list(dict.fromkeys([*before, *added]))
    if chosen == before:
        return ever, list(arms)
    st.session_state[key] = chosen
    return ever, None


def _offered(workspace: Workspace, config: StudyConfig) -> list[ListedNetwork]:
    """The networks that are no arms yet; in folds none whose weights were trained here."""
    return [
        one
        for one in cached_models.networks(workspace)
        if one.arm not in config.arms and not (config.folds and one.weights in NOT_IN_FOLDS)
    ]


def _tested(workspace: Workspace, config: StudyConfig) -> tuple[Dataset | None, str]:
    """The dataset and its split; no dataset where it is made by the run, no split where it cannot be known yet."""
    if is_missing_synth(workspace, config.dataset):
        return None, ""
    dataset, rule = cached.dataset(workspace, config.dataset), SplitRule.of(config)
    if config.all_folds:
        return dataset, ""
    key = ("split", str(workspace.root), config.dataset, dataset.fingerprint, rule)
    try:
        return dataset, cached.built_once(
            key, lambda: used_images(dataset, rule).fingerprint(dataset)
        )
    except DermError as error:
        frame.show_error(error)
        return dataset, ""


def _place(network: ListedNetwork) -> str:
    """Where the weights are, or how much a download would be."""
    if network.weights != "hub":
        return PLACES[network.weights]
    size = network.download_bytes
    return "Download" if size is None else f"Download, {words.size(size)}"


def _fits(network: ListedNetwork, available: int | None) -> str:
    """Whether extracting features leaves enough of this machine's memory to others."""
    if network.memory_bytes is None or available is None:
        return "Not known"
    return "Yes" if network.memory_bytes <= MEMORY_SHARE * available else "No"
