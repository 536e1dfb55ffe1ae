"""Compare: what finished studies say. Verdict first, then what it rests on; nothing is recomputed here."""

from __future__ import annotations

import streamlit as st

from derm_core.arms import arm_style
from derm_core.report import tables
from pages.ui import cached, frame, words
from pages.ui.study import (
    about,
    calibration,
    classes,
    differences,
    overview,
    parts,
    questions,
    study_comparison,
)

SECTIONS = {
    "overview": ("Overview", overview.show),
    "differences": ("Differences", differences.show),
    "classes": ("Classes", classes.show),
    "labels": ("Fewer labels", questions.labels),
    "robustness": ("Robustness", questions.robustness),
    "external": ("Other sets", questions.external),
    "calibration": ("Calibration", calibration.calibration),
    "subgroups": ("Subgroups", calibration.subgroups),
    "method": ("Method", about.making),
}
TRAINED = (
    "labels",
    "robustness",
    "external",
    "calibration",
    "subgroups",
)  # not asked of published models


def finished(workspace) -> dict:
    """{run id: Run} of everything that left a study.json, newest first; leaves with an empty state where there is none."""
    found = {
        run.id: run
        for run in cached.runs(workspace, state="done")
        if run.kind not in ("pretrain", "embed") and cached.study(workspace, run.id)
    }
    if found:
        return found
    active = [run for run in cached.active_runs(workspace) if run.kind == "study"]
    if active:
        frame.empty(
            "The verdict, the learning curves and the paper’s table will stand here as soon as the study that is "
            "under way has finished.",
            title="A study is under way",
            icon=":material/hourglass_top:",
            action="Watch it",
            page="train",
            run=active[-1].id,
        )
    else:
        frame.empty(
            "A comparison of extractors under identical conditions will stand here: verdict, gap against accuracy, "
            "learning curves, the paper’s table. The demo makes one in about three minutes, from "
            "nothing.",
            title="No finished study yet",
            action="Run the demo",
            page="train",
            preset="demo",
        )
    st.stop()


def conditions(study: dict) -> None:
    """One line: under which conditions the arms were compared, and how often the test set was looked at."""
    config, data, split = study["config"], study["dataset"], study["split"]
    counts, looked = split["counts"], split.get("looked_before", 0)
    regime = {
        "frozen": "frozen extractors, identical two-layer head",
        "finetune": "fine-tuned end to end",
    }
    folds = split.get("folds")
    parts = (
        f"{folds} folds, every image tested once by models that never saw its group"
        if folds
        else ", ".join(
            f"{label} {counts[name]:,}"
            for name, label in (("train", "train"), ("val", "validation"), ("test", "test"))
            if counts.get(name)
        )
    )
    tested = "these folds" if folds else "test split"
    st.caption(
        " · ".join(
            filter(
                None,
                [
                    f"{data['name']}: {data['images']:,} images, {data['groups']:,} groups, {data['classes']} classes",
                    parts,
                    f"{config['backbone']['architecture']} to stage {config['backbone']['stage']} at {config['input_size']} px"
                    if "backbone" in config
                    else "",
                    regime.get(config.get("regime"), ""),
                    words.count(len(config["seeds"]), "seed") if config.get("seeds") else "",
                    f"{tested} not looked at before"
                    if not looked
                    else f"{tested} looked at {words.count(looked, 'time')} before",
                ],
            )
        )
    )


def notes(study: dict) -> None:
    """What changes how the result reads: arms left out or replaced, weights of other origin."""
    if study.get("notes"):
        st.info("  \n".join(words.plain(note) for note in study["notes"]), icon=":material/info:")


def verdict(study: dict) -> None:
    """What the headline rests on, and the paper's claims."""
    said = study["verdict"].get("sentences", [])
    cautions = [caution for caution in study.get("cautions") or [] if caution not in said]
    st.markdown("\n".join(f"- {words.plain(sentence)}" for sentence in [*said, *cautions]))
    claims = tables.claims(study)
    if len(claims):
        st.markdown("**The paper’s four claims, asked of this dataset**")
        st.markdown(
            "\n".join(
                f"- {row['Here']} **{row['The paper’s claim']}.** {row['Why']}"
                for _, row in claims.iterrows()
            )
        )


def arm_cards(study: dict) -> None:
    """Every arm: balanced accuracy and the accuracy gap, always together."""
    found = tables.arms(study)
    with st.grid(len(found), min_column_width=150):
        for key in found:
            result, arm = study["arms"][key], arm_style(key, tables.name(study, key))
            accuracy, gaps = result["test"]["balanced_accuracy"], result.get("gaps") or {}
            with st.container(border=True, height="stretch", gap="xsmall"):
                st.markdown(arm.badge, help=arm.about or None)
                st.metric("Balanced accuracy, test", words.percent(accuracy["mean"]))
                st.caption(
                    f"95 % interval {parts.whole(words.span(accuracy, 'accuracy'))}"
                    + (
                        f"  \nGap: accuracy {words.percent(gaps.get('accuracy'), sign=True)}, loss "
                        f"{words.number(gaps.get('loss'), sign=True)}"
                        if gaps
                        else ""
                    )
                )


workspace = frame.page("compare")
runs = finished(workspace)
labels = {key: frame.run_label(workspace, run) for key, run in runs.items()}
first, second = st.columns(2, gap="small")
with first:
    run_id = frame.linked(
        "Study", list(runs), "run", format_func=labels.get, label_visibility="collapsed"
    )
with second:
    beside = study_comparison.choose(labels, run_id) if len(runs) > 1 else []
study = cached.study(workspace, run_id)
if beside:
    chosen = [run_id, *beside]
    study_comparison.show(
        {key: cached.study(workspace, key) for key in chosen},
        {key: words.plain(labels[key]) for key in chosen},
    )
    st.subheader(words.plain(labels[run_id]), anchor=False)
conditions(study)
about.bar(workspace, runs[run_id], study)
about.said(runs[run_id])
notes(study)
st.header(words.plain(study["verdict"]["headline"]), anchor=False)
arm_cards(study)
offered = [name for name in SECTIONS if study.get("kind") != "evaluate" or name not in TRAINED]
section = frame.linked(
    "Section",
    offered,
    "section",
    widget=st.segmented_control,
    always=False,
    required=True,
    format_func=lambda key: SECTIONS[key][0],
    label_visibility="collapsed",
)
if section == "overview":
    verdict(study)
SECTIONS[section][1](workspace, run_id, study)
