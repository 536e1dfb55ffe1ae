"""The form of a new study: a preset and a dataset, and every setting behind them, folded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import streamlit as st

from derm_core.arms import arm_style
from derm_core.config import ARMS, CORRUPTIONS, BackboneConfig, PretrainConfig, Recipe, StudyConfig
from derm_core.config.recipes import RECIPES, describe, recipe
from derm_core.data.classmaps import class_map
from derm_core.data.embeddings import embedding_names
from derm_core.data.official_split import describe_unused, has_official_split
from derm_core.data.on_demand import is_missing_synth
from derm_core.errors import DermError
from derm_core.study.presets import (
    LABEL_FRACTIONS,
    PRESETS,
    SHORTCUT,
    find_preset_dataset,
    preset,
)
from derm_core.workspace import Workspace
from pages.ui import cached, cached_models, frame, words
from pages.ui.config_fields import number_field

OFFERED = ("demo", "laptop", "folds", "long", "paper")
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


def choose_study(workspace: Workspace) -> StudyConfig | None:
    """The form; None, with the reason shown, where the settings are not valid.

    ?preset=, ?data= and ?scale= in the address set what is chosen first.
    """
    left, right = st.columns(2, gap="medium")
    with left:
        name = frame.segments("Preset", {key: key.capitalize() for key in OFFERED}, "preset")
        st.caption(PRESETS[name].description)
    with right:
        dataset = _choose_dataset(workspace, name)
    full = st.toggle(
        "Full study",
        key="full",
        bind="query-params",
        help=(
            "Also measures fewer labels, corrupted images, a planted artefact and, where imported, external test sets. "
            "Takes about twice as long beyond the pretraining."
        ),
    )
    with st.expander("All settings", icon=":material/tune:", key="settings"):
        try:
            return _choose_settings(workspace, name, dataset, full)
        except DermError as error:
            frame.show_error(error)
            return None


def _choose_dataset(workspace: Workspace, name: str) -> str:
    """A dataset of the workspace or a synthetic one; first that which the preset `name` is made for, where it is here.

    Where it is not, the step that brings it stands first.
    """
    wanted = find_preset_dataset(workspace, name)
    if wanted is None:
        _draw_next_step(PRESETS[name].made_for)
    offered = {
        row.name: f"{row.name} · {row.images:,} images" for row in cached.datasets(workspace)
    }
    for synthetic in dict.fromkeys((wanted or "synth", "synth")):
        offered.setdefault(synthetic, f"{synthetic} · synthetic images, made when first needed")
    dataset: str = frame.linked(
        "Dataset" if wanted else "Or another dataset",
        offered,
        "data",
        default=wanted or "synth",
        key=f"data-{wanted}",
        always=False,
    )
    if is_missing_synth(workspace, dataset):
        st.caption("The run makes these images first; that takes 20 seconds at most.")
    return dataset


def _draw_next_step(made_for: str) -> None:
    """Where the data set that a preset is made for is not here: how to get it."""
    st.markdown(f"This preset is made for **{made_for}**, which is not imported here.")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.button(f"Get {made_for}", icon=":material/cloud_download:", key="get-dataset"):
            frame.go("data", get=made_for.lower())
        frame.link("data", "Import a copy that is here", icon=":material/database:")


def _choose_scale() -> float:
    try:
        start = min(1.0, max(0.05, float(st.query_params.get("scale", 1))))
    except ValueError:
        start = 1.0
    return st.slider(
        "Scale",
        0.05,
        1.0,
        start,
        0.05,
        key="scale-choice",
        help="The share of images, epochs, seeds and grid points that is kept. A scaled study shows that "
        "everything works; its numbers say little.",
    )


def _choose_settings(workspace: Workspace, name: str, dataset: str, full: bool) -> StudyConfig:
    scale = _choose_scale()
    base = preset(name, dataset, scale, full=full)
    tag = f"{name}-{dataset}-{scale}"  # in the widgets' keys: another preset brings other defaults
    left, middle, right = st.columns(3, gap="medium")
    with left:
        st.markdown("**Pretraining**")
        vae, pretraining = _choose_pretraining(workspace, base, tag)
    with middle:
        st.markdown("**Comparison**")
        comparison = _choose_comparison(workspace, base, tag)
    with right:
        st.markdown("**Extractor and machine**")
        shared = _choose_extractor(workspace, base, tag)
    st.markdown("**Additional analyses**")
    frozen = comparison["regime"] == "frozen"
    questions = _choose_questions(workspace, base, frozen, full, f"{tag}-{full}")
    pretrain = None
    if base.pretrain and not vae["vae"]:
        pretrain = dataclasses.replace(base.pretrain, **pretraining, **shared)
    return dataclasses.replace(base, **vae, pretrain=pretrain, **shared, **comparison, **questions)


def _choose_pretraining(workspace: Workspace, base: StudyConfig, tag: str) -> tuple[Fields, Fields]:
    """Where the VAE comes from, as fields of StudyConfig; and fields of PretrainConfig for a new pretraining."""
    runs = {run.id: run for run in cached.runs(workspace, kind="pretrain", state="done")}
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


def _choose_comparison(workspace: Workspace, base: StudyConfig, tag: str) -> Fields:
    models = [card.name for card in cached.cards(workspace)]
    offered = _offered_arms(base, models, embedding_names(workspace, base.dataset))
    arms = st.multiselect(
        "Arms",
        offered,
        list(base.arms),
        key=f"arms-{tag}",
        wrap=True,
        format_func=lambda key: arm_style(key).name,
    )
    regime = st.segmented_control(
        "Regime",
        list(REGIMES),
        default=base.regime,
        required=True,
        key=f"regime-{tag}",
        format_func=lambda key: REGIMES[key],
        help="Frozen: only the classifier is trained. Fine-tuned: the extractor is trained with it.",
    )
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
    epochs = number_field(
        StudyConfig,
        "epochs",
        "Head epochs",
        base.epochs,
        key=f"epochs-{tag}",
        disabled=regime != "frozen",
    )
    loss = st.selectbox(
        "Loss",
        list(LOSSES),
        index=list(LOSSES).index(base.loss),
        key=f"loss-{tag}",
        format_func=lambda key: LOSSES[key],
    )
    return {
        "arms": tuple(sorted(arms, key=offered.index)),
        "regime": regime,
        "seeds": tuple(range(int(seeds))),
        "epochs": epochs,
        "loss": loss,
        "labels": labels,
    }


def _choose_extractor(workspace: Workspace, base: StudyConfig, tag: str) -> Fields:
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


def _choose_questions(
    workspace: Workspace, base: StudyConfig, frozen: bool, full: bool, tag: str
) -> Fields:
    """Fewer labels, corruptions, a planted shortcut, a linear head, other sets. What trains heads: frozen alone."""
    fractions = base.label_fractions or LABEL_FRACTIONS
    shares = ", ".join(f"{100 * share:g}" for share in fractions)
    one_split = not base.folds
    with st.container(horizontal=True, gap="large", vertical_alignment="center"):
        labels = st.toggle(
            "Fewer labels",
            bool(base.label_fractions),
            key=f"fractions-{tag}",
            disabled=not frozen,
            help=f"Heads trained again with {shares} per cent of the training groups.",
        )
        corruptions = st.toggle(
            "Corruptions",
            bool(base.corruptions),
            key=f"corruptions-{tag}",
            disabled=not one_split,
            help=f"The test repeated under {len(CORRUPTIONS)} corruptions at five severities.",
        )
        shortcut = st.toggle(
            "Planted shortcut",
            bool(base.shortcut),
            key=f"shortcut-{tag}",
            disabled=not (frozen and one_split),
            help="Ink drawn on images, associated with one class in training and with the others in test.",
        )
        linear = st.toggle(
            "Linear head",
            base.linear_head,
            key=f"linear-{tag}",
            disabled=not frozen,
            help="Every arm also with a linear classifier: does the result depend on the two layers?",
        )
    others = _datasets_with_common_classes(workspace, base.dataset) if one_split else []
    none = "No other dataset with these classes here" if one_split else "Not in folds"
    external = st.multiselect(
        "External test sets",
        others,
        others if full else [],
        key=f"external-{tag}",
        disabled=not others,
        wrap=True,
        placeholder="Test the same models on other datasets" if others else none,
    )
    return {
        "label_fractions": fractions if labels and frozen else (),
        "corruptions": CORRUPTIONS if corruptions and one_split else (),
        "shortcut": SHORTCUT if shortcut and frozen and one_split else (),
        "linear_head": linear and frozen,
        "external": tuple(external),
    }


def _datasets_with_common_classes(workspace: Workspace, dataset: str) -> list[str]:
    """The workspace's other datasets that have at least one class of this one."""
    labelled = {row.name for row in cached.datasets(workspace) if not row.error and row.classes}
    if dataset not in labelled:
        return []
    classes, fitting = cached.dataset(workspace, dataset).classes, []
    for name in sorted(labelled - {dataset}):
        try:
            class_map(cached.dataset(workspace, name).classes, classes)
        except DermError:
            continue
        fitting.append(name)
    return fitting
