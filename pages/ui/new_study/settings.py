"""Settings of a new study: pretraining, arms and their comparison, extractor and machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from derm_core.arms import arm_style
from derm_core.config import ARMS, BackboneConfig, PretrainConfig, Recipe, StudyConfig
from derm_core.config.recipes import RECIPES, describe, recipe
from derm_core.data.embeddings import embedding_names
from derm_core.data.official_split import describe_unused, has_official_split
from derm_core.data.on_demand import is_missing_synth
from derm_core.workspace import Workspace
from pages.ui import cached, cached_models, frame, run_choice, words
from pages.ui.config_fields import number_field
from pages.ui.new_study.finetuning import choose_schedule
from pages.ui.new_study.networks import add_to_arms

ARCHITECTURES = (
    "resnet18",
    "resnet50",
    "convnext_tiny",
    "convnext_atto",
    "mobilenetv2_100",
    "efficientnet_b0",
    "regnetx_002",
)
REGIMES = {"frozen": "Frozen", "finetune": "Fine-tuned"}
LABELS = {"classes": "Classes", "priority": "Priority"}
SPLITS = {"grouped": "Grouped", "official": "Official"}
LOSSES = {"cross_entropy": "Cross-entropy", "focal": "Focal", "brier": "Brier"}
DEVICES = {"auto": "Automatic", "cpu": "CPU", "cuda": "GPU"}
MAX_SEEDS = 20
IMAGENET_SIZES = (96, 64, 224)  # at which ImageNet's features can be compared, in pixels
Fields = dict[str, Any]  # of a configuration


def choose_pretraining(workspace: Workspace, base: StudyConfig, tag: str) -> tuple[Fields, Fields]:
    """Where the VAE comes from, as fields of StudyConfig; and fields of PretrainConfig for a new pretraining."""
    chosen = (st.session_state.get(f"vae-{tag}"),)
    pretrainings = run_choice.offered_runs(workspace, ("pretrain",), f"vae-{tag}", also=chosen)
    runs = {run.id: run for run in pretrainings}
    library = {f"shelf:{card.name}": card.name for card in cached.cards(workspace, "extractor")}
    labels = {
        "": "Pretrain (or reuse an identical run)",
        **{run_id: frame.run_label(workspace, run) for run_id, run in runs.items()},
        **{key: f"{name} (extractor in the library)" for key, name in library.items()},
    }
    source = st.selectbox(
        "VAE", list(labels), key=f"vae-{tag}", format_func=lambda key: labels[key]
    )
    start = base.pretrain.recipe if base.pretrain else Recipe()
    name = st.selectbox(
        "Recipe",
        list(RECIPES),
        index=list(RECIPES).index(start.name),
        key=f"recipe-{tag}",
        disabled=bool(source),
    )
    st.caption(describe(name))
    epochs = number_field(
        Recipe,
        "epochs",
        "Pretraining epochs",
        start.epochs,
        key=f"pretrain-epochs-{tag}",
        disabled=bool(source),
    )
    transductive = st.toggle(
        "Transductive",
        key=f"transductive-{tag}",
        disabled=bool(source),
        help=(
            "The VAE also sees the pixels, never the labels, of validation and test images. Results state this."
        ),
    )
    vae = {"vae_run": source if source in runs else None, "vae": library.get(source)}
    images = "all" if transductive else "train"
    return vae, {"recipe": recipe(name, epochs=epochs), "images": images}


def _offered_arms(base: StudyConfig, models: Sequence[str], embeddings: Sequence[str]) -> list[str]:
    """Usual arms, recipes, input sizes, controls of width, arms beside metadata, embeddings, models of the library."""
    own = base.pretrain.recipe.name if base.pretrain else None
    sizes = [f"imagenet@{size}" for size in IMAGENET_SIZES if size != base.input_size]
    recipes = [f"recipe:{name}" for name in RECIPES if base.pretrain and name != own]
    controls = ["imagenet+random", f"imagenet+{sizes[0]}", "metadata+vae", "metadata+imagenet"]
    others = [f"embeddings:{name}" for name in embeddings] + [f"bundle:{name}" for name in models]
    return list(dict.fromkeys([*ARMS, *recipes, *sizes, *controls, *base.arms, *others]))


def choose_comparison(
    workspace: Workspace, base: StudyConfig, backbone: BackboneConfig, tag: str
) -> Fields:
    """The arms, their regime and what is trained. backbone: of the arms without a network of their own."""
    arms, offered = _choose_arms(workspace, base, tag)
    regime = st.segmented_control(
        "Regime",
        list(REGIMES),
        default=base.regime,
        required=True,
        key=f"regime-{tag}",
        format_func=lambda key: REGIMES[key],
        help="Frozen: only the classifier is trained. Fine-tuned: the network is trained with it, whole or, where it "
        "has attention, by LoRA.",
    )
    epochs = base.epochs
    if regime == "frozen":
        epochs = number_field(StudyConfig, "epochs", "Head epochs", epochs, key=f"epochs-{tag}")
    finetune = choose_schedule(workspace, base.finetune, regime, arms, backbone, tag)
    labels = st.segmented_control(
        "Labels",
        list(LABELS),
        default=base.labels,
        required=True,
        key=f"labels-{tag}",
        format_func=lambda key: LABELS[key],
        help="Priority: high, medium and low, as the dataset's classes are mapped on Data.",
    )
    seeds = st.number_input("Seeds", 1, MAX_SEEDS, len(base.seeds), key=f"seeds-{tag}")
    loss = st.selectbox(
        "Loss",
        list(LOSSES),
        index=list(LOSSES).index(base.loss),
        key=f"loss-{tag}",
        format_func=lambda key: LOSSES[key],
    )
    return {
        "arms": tuple(sorted(arms, key=[*offered, *arms].index)),
        "regime": regime,
        "finetune": finetune,
        "seeds": tuple(range(int(seeds))),
        "epochs": epochs,
        "loss": loss,
        "labels": labels,
    }


def _choose_arms(workspace: Workspace, base: StudyConfig, tag: str) -> tuple[list[str], list[str]]:
    """The arms, and all that are offered, in their order."""
    models = [card.name for card in cached.cards(workspace)]
    added, default = add_to_arms(f"arms-{tag}", base.arms)
    usual = _offered_arms(base, models, embedding_names(workspace, base.dataset))
    names = {arm: arm_style(arm).name for arm in (*usual, *added)}
    # What was typed is offered from then on, by the text that was typed: the browser knows a selected option by its
    # label, and another one would have to be set, which empties the field.
    offered = list(dict.fromkeys([*names, *st.session_state.get(f"arms-{tag}", [])]))
    arms = st.multiselect(
        "Arms",
        offered,
        default=default,
        key=f"arms-{tag}",
        wrap=True,
        accept_new_options=True,
        format_func=lambda key: names.get(key, key),
        help="Also any network by its name: `timm:NAME`, `hf-hub:OWNER/NAME`, `file:FILE.safetensors+ARCHITECTURE`, "
        "`bundle:NAME`, `run:ID`. *Add networks* above lists them.",
    )
    return arms, offered


def choose_extractor(workspace: Workspace, base: StudyConfig, tag: str) -> Fields:
    """Fields that the pretraining and the study share."""
    architecture = st.selectbox(
        "Architecture",
        list(dict.fromkeys([base.backbone.architecture, *ARCHITECTURES])),
        key=f"architecture-{tag}",
        accept_new_options=True,
        help="Any timm backbone with feature stages; type its name.",
    )
    stage = number_field(
        BackboneConfig, "stage", "Up to stage", base.backbone.stage, key=f"stage-{tag}"
    )
    size = number_field(
        PretrainConfig,
        "input_size",
        "Input size, pixels",
        base.input_size,
        step=16,
        key=f"size-{tag}",
    )
    device = st.selectbox(
        "Device", list(DEVICES), key=f"device-{tag}", format_func=lambda key: DEVICES[key]
    )
    split_seed = number_field(
        StudyConfig,
        "split_seed",
        "Split seed",
        base.split_seed,
        key=f"split-{tag}",
        help="Another split tests other images of the same dataset. Every study counts how often each of its "
        "test images was tested before.",
    )
    splits = _choose_splits(workspace, base.dataset, tag)
    status = cached_models.imagenet_status(architecture, stage)
    if not status["available"]:
        st.caption(f":material/info: ImageNet weights: {status['detail']}")
    return {
        "backbone": BackboneConfig(architecture=architecture, stage=stage),
        "input_size": size,
        "device": device,
        "split_seed": split_seed,
        "splits": splits,
    }


def _choose_splits(workspace: Workspace, dataset: str, tag: str) -> str:
    """The grouped split, or the official one where the dataset names one, with what crosses that."""
    if is_missing_synth(workspace, dataset):
        return "grouped"
    data = cached.dataset(workspace, dataset)
    if not has_official_split(data):
        return "grouped"
    splits: str = st.segmented_control(
        "Split",
        list(SPLITS),
        default="grouped",
        required=True,
        key=f"splits-{tag}",
        format_func=lambda key: SPLITS[key],
        help="Grouped: 70 / 15 / 15, no group in two parts. Official: that which the dataset names.",
    )
    st.caption(words.plain(describe_unused(data)))
    return splits
