"""The form of a new study: a preset, and every setting behind it, folded. Returns a StudyConfig.

config = launch.form(workspace)      None where the settings are not valid (the reason is shown)
"""

from __future__ import annotations

import dataclasses
from typing import Any

import streamlit as st

from derm_core.arms import arm_style
from derm_core.config import ARMS, CORRUPTIONS, BackboneConfig, StudyConfig
from derm_core.data.classmaps import class_map
from derm_core.data.on_demand import is_missing_synth
from derm_core.errors import DermError
from derm_core.records import bounds
from derm_core.study.presets import LABEL_FRACTIONS, PRESETS, SHORTCUT, preset
from derm_core.training.recipes import RECIPES, describe, recipe
from derm_core.workspace import Workspace
from pages.ui import cached, frame

OFFERED = ("demo", "laptop", "long", "paper")
ARCHITECTURES = (
    "resnet18",
    "resnet50",
    "convnext_tiny",
    "convnext_atto",
    "mobilenetv2_100",
    "efficientnet_b0",
    "regnetx_002",
)
LOSSES = {"cross_entropy": "Cross-entropy", "focal": "Focal", "brier": "Brier"}


def submit(workspace: Workspace, config: Any) -> str:
    """Check a run of any kind, queue it and start its worker; returns its id. Raises DermError."""
    from derm_core.jobs.preflight import submit  # loads what a page does without

    return submit(workspace, config)


def form(workspace: Workspace) -> StudyConfig | None:
    """Preset and dataset in sight, the rest folded; ?preset=, ?data= and ?scale= set what is chosen first."""
    left, right = st.columns(2, gap="medium")
    with left:
        name = frame.linked(
            "Preset",
            OFFERED,
            "preset",
            widget=st.segmented_control,
            format_func=str.capitalize,
            required=True,
            always=False,
        )
        st.caption(PRESETS[name].description)
    with right:
        dataset = _dataset(workspace, PRESETS[name].study.dataset)
    full = st.toggle(
        "Full study",
        key="full",
        bind="query-params",
        help=(
            "Also asks about fewer labels, corrupted images, a planted artefact and, where imported, other test sets. "
            "Takes about twice as long beyond the pretraining."
        ),
    )
    with st.expander("All settings", icon=":material/tune:", key="settings"):
        try:
            return _settings(workspace, name, dataset, full)
        except DermError as error:
            frame.show_error(error)
            return None


def _dataset(workspace: Workspace, wanted: str) -> str:
    here = {
        found.name: f"{found.name} · {found.images:,} images"
        for found in cached.datasets(workspace)
    }
    offered = {
        **here,
        **(
            {} if "synth" in here else {"synth": "synth · synthetic images, made when first needed"}
        ),
    }
    missing = wanted not in offered
    name = frame.linked(
        "Dataset",
        list(offered),
        "data",
        default="synth" if missing else wanted,
        key=f"data-{wanted}",
        always=False,
        format_func=offered.get,
    )
    if missing:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(
                f"This preset is made for {wanted}, which is not imported here.", width="content"
            )
            frame.link("data", "Import it", icon=":material/database:")
    elif is_missing_synth(workspace, name):
        st.caption("The run makes these images first; that takes about 20 seconds.")
    return name


def _scale() -> float:
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


def _settings(workspace: Workspace, name: str, dataset: str, full: bool) -> StudyConfig:
    scale = _scale()
    base = preset(name, dataset, scale, full=full)
    tag = f"{name}-{dataset}-{scale}"
    left, middle, right = st.columns(3, gap="medium")
    with left:
        st.markdown("**Pretraining**")
        given, made = _pretraining(workspace, base, tag)
    with middle:
        st.markdown("**Comparison**")
        compared = _comparison(workspace, base, tag)
    with right:
        st.markdown("**Extractor and machine**")
        shared = _extractor(base, tag)
    st.markdown("**Further questions**")
    asked = _questions(workspace, base, compared["regime"], full, tag)
    pretrain = None if given["vae"] else dataclasses.replace(base.pretrain, **made, **shared)
    return dataclasses.replace(base, **given, pretrain=pretrain, **shared, **compared, **asked)


def _questions(workspace: Workspace, base: StudyConfig, regime: str, full: bool, tag: str) -> dict:
    """Fewer labels, corruptions, a planted shortcut, other test sets; the first and third train heads: frozen alone."""
    frozen, tag = regime == "frozen", f"{tag}-{full}"
    shares = ", ".join(f"{100 * share:g}" for share in LABEL_FRACTIONS)
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
            help=f"The test repeated under {len(CORRUPTIONS)} corruptions at five severities.",
        )
        shortcut = st.toggle(
            "Planted shortcut",
            bool(base.shortcut),
            key=f"shortcut-{tag}",
            disabled=not frozen,
            help="Ink painted on images, tied to one class in training and reversed in test.",
        )
    others = _other_sets(workspace, base.dataset)
    external = st.multiselect(
        "Other test sets",
        others,
        others if full else [],
        key=f"external-{tag}",
        disabled=not others,
        wrap=True,
        placeholder="Test the same models elsewhere"
        if others
        else "No other dataset with these classes here",
    )
    return {
        "label_fractions": LABEL_FRACTIONS if labels and frozen else (),
        "corruptions": CORRUPTIONS if corruptions else (),
        "shortcut": SHORTCUT if shortcut and frozen else (),
        "external": tuple(external),
    }


def _other_sets(workspace: Workspace, dataset: str) -> list[str]:
    """Datasets of the workspace with at least one class that this one has too."""
    known = {
        found.name for found in cached.datasets(workspace) if not found.error and found.classes
    }
    if dataset not in known:
        return []
    ours, fitting = cached.dataset(workspace, dataset).classes, []
    for name in sorted(known - {dataset}):
        try:
            class_map(cached.dataset(workspace, name).classes, ours)
        except DermError:
            continue
        fitting.append(name)
    return fitting


def _pretraining(workspace: Workspace, base: StudyConfig, tag: str) -> tuple[dict, dict]:
    """Where the VAE comes from, a run or the library, in a study's terms; and what a new pretraining would be."""
    finished = {found.id: found for found in cached.runs(workspace, kind="pretrain", state="done")}
    shelf = {f"shelf:{card.name}": card.name for card in cached.cards(workspace, "extractor")}

    def told(key: str) -> str:
        if key in shelf:
            return f"{shelf[key]} (extractor in the library)"
        return (
            frame.run_label(workspace, finished[key])
            if key
            else "Pretrain (or reuse an identical run)"
        )

    chosen = st.selectbox("VAE", ["", *finished, *shelf], key=f"vae-{tag}", format_func=told)
    start = base.pretrain.recipe
    named = st.selectbox(
        "Recipe",
        list(RECIPES),
        index=list(RECIPES).index(start.name),
        key=f"recipe-{tag}",
        disabled=bool(chosen),
    )
    st.caption(describe(named))
    epochs = st.number_input(
        "Pretraining epochs",
        1,
        2000,
        start.epochs,
        key=f"pretrain-epochs-{tag}",
        disabled=bool(chosen),
    )
    everything = st.toggle(
        "Transductive",
        key=f"transductive-{tag}",
        disabled=bool(chosen),
        help=(
            "The VAE also sees the pixels, never the labels, of validation and test images. Said wherever results are shown."
        ),
    )
    given = {"vae_run": chosen if chosen in finished else None, "vae": shelf.get(chosen)}
    return given, {
        "recipe": recipe(named, epochs=int(epochs)),
        "images": "all" if everything else "train",
    }


def _comparison(workspace: Workspace, base: StudyConfig, tag: str) -> dict:
    bundles = [f"bundle:{card.name}" for card in cached.cards(workspace)]
    offered = [*ARMS, *bundles]
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
        ["frozen", "finetune"],
        default=base.regime,
        required=True,
        key=f"regime-{tag}",
        format_func={"frozen": "Frozen", "finetune": "Fine-tuned"}.get,
    )
    labels = st.segmented_control(
        "Labels",
        ["classes", "priority"],
        default=base.labels,
        required=True,
        key=f"labels-{tag}",
        format_func={"classes": "Classes", "priority": "Priority"}.get,
        help="Priority: high, medium and low, as the dataset's classes are mapped on Data.",
    )
    seeds = st.number_input("Seeds", 1, 20, len(base.seeds), key=f"seeds-{tag}")
    epochs = st.number_input(
        "Head epochs", 1, 1000, base.epochs, key=f"epochs-{tag}", disabled=regime != "frozen"
    )
    loss = st.selectbox(
        "Loss",
        list(LOSSES),
        index=list(LOSSES).index(base.loss),
        key=f"loss-{tag}",
        format_func=LOSSES.get,
    )
    return {
        "arms": tuple(sorted(arms, key=offered.index)),
        "regime": regime,
        "seeds": tuple(range(int(seeds))),
        "epochs": int(epochs),
        "loss": loss,
        "labels": labels,
    }


def _limits(cls: type, field: str) -> tuple[int, int]:
    """The least and the largest whole number that a field of a config allows."""
    limits = bounds(cls, field)
    assert limits is not None and limits.low is not None and limits.high is not None
    return int(limits.low), int(limits.high)


def _extractor(base: StudyConfig, tag: str) -> dict:
    known = list(dict.fromkeys([base.backbone.architecture, *ARCHITECTURES]))
    architecture = st.selectbox(
        "Architecture",
        known,
        key=f"architecture-{tag}",
        accept_new_options=True,
        help="Any timm backbone with feature stages; type its name.",
    )
    stage = st.number_input(
        "Up to stage", *_limits(BackboneConfig, "stage"), base.backbone.stage, key=f"stage-{tag}"
    )
    size = st.number_input(
        "Input size, pixels",
        *_limits(StudyConfig, "input_size"),
        base.input_size,
        16,
        key=f"size-{tag}",
    )
    device = st.selectbox(
        "Device",
        ["auto", "cpu", "cuda"],
        key=f"device-{tag}",
        format_func={"auto": "Automatic", "cpu": "CPU", "cuda": "GPU"}.get,
    )
    split_seed = st.number_input(
        "Split seed",
        0,
        10_000,
        base.split_seed,
        key=f"split-{tag}",
        help="Another split is another test set; every study counts how often its own was looked at.",
    )
    backbone = BackboneConfig(architecture=architecture, stage=int(stage))
    status = cached.imagenet_status(backbone.architecture, backbone.stage)
    if not status["available"]:
        st.caption(f":material/info: ImageNet weights: {status['detail']}")
    return {
        "backbone": backbone,
        "input_size": int(size),
        "device": device,
        "split_seed": int(split_seed),
    }
