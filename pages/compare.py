"""Compare: what a finished study says. Verdict first, then what it rests on; nothing is recomputed here."""

from __future__ import annotations

import json

import pandas as pd
import streamlit as st

from derm_core.report import figures, tables
from pages.ui import cached, frame, words

PAPER = "Matas et al., [arXiv 2505.16773](https://arxiv.org/abs/2505.16773)"


def choose(workspace) -> tuple[str, dict]:
    """The study that the address or the reader names; leaves with an empty state where there is none."""
    finished = {run.id: run for run in cached.runs(workspace, kind="study", state="done")
                if cached.study(workspace, run.id)}
    if not finished:
        active = [run for run in cached.active_runs(workspace) if run.kind == "study"]
        if active:
            frame.empty("The verdict, the learning curves and the paper’s table will stand here as soon as the study "
                        "that is under way has finished.", title="A study is under way", icon=":material/hourglass_top:",
                        action="Watch it", page="train", run=active[-1].id)
        else:
            frame.empty("A comparison of extractors under identical conditions will stand here: verdict, gap against "
                        "accuracy, learning curves, the paper’s table. The demo makes one in about three minutes, "
                        "from nothing.", title="No finished study yet", action="Run the demo", page="train", preset="demo")
        st.stop()
    run_id = frame.linked("Study", list(finished), "run", format_func=lambda key: frame.run_label(workspace, finished[key]),
                          label_visibility="collapsed")
    return run_id, cached.study(workspace, run_id)


def conditions(study: dict) -> None:
    """One line: under which conditions the arms were compared, and how often the test set was looked at."""
    config, data, split = study["config"], study["dataset"], study["split"]
    counts, looked = split["counts"], split.get("looked_before", 0)
    st.caption(" · ".join([
        f"{data['name']}: {data['images']:,} images, {data['groups']:,} groups, {data['classes']} classes",
        f"train {counts['train']:,}, validation {counts['val']:,}, test {counts['test']:,}",
        f"{config['backbone']['architecture']} to stage {config['backbone']['stage']} at {config['input_size']} px",
        {"frozen": "frozen extractors, identical two-layer head", "finetune": "fine-tuned end to end"}[config["regime"]],
        words.count(len(config["seeds"]), "seed"),
        "test split not looked at before" if not looked else
        f"test split looked at {words.count(looked, 'time')} before"]))


def notes(study: dict) -> None:
    """What changes how the result reads: arms left out or replaced, weights of other origin."""
    if study.get("notes"):
        st.info("  \n".join(words.plain(note) for note in study["notes"]), icon=":material/info:")


def verdict(study: dict) -> None:
    """The headline, every arm's numbers, then the sentences that the headline rests on."""
    said = study["verdict"]
    st.header(said["headline"], anchor=False)
    arm_cards(study)
    st.markdown("\n".join(f"- {sentence}" for sentence in said.get("sentences", [])))


def arm_cards(study: dict) -> None:
    """Every arm: balanced accuracy and the accuracy gap, always together."""
    found = tables.arms(study)
    with st.grid(len(found), min_column_width=200):
        for key in found:
            result, arm = study["arms"][key], words.arm(key, tables.name(study, key))
            accuracy = result["test"]["balanced_accuracy"]
            with st.container(border=True, height="stretch", gap="xsmall"):
                st.markdown(arm.badge, help=arm.about or None)
                st.metric("Balanced accuracy, test", words.percent(accuracy["mean"]))
                st.caption(f"95 % interval {words.span(accuracy, 'accuracy')}  \n"
                           f"Gap: accuracy {words.percent(result['gaps']['accuracy'], sign=True)}, "
                           f"loss {words.number(result['gaps']['loss'], sign=True)}")


def gap_section(study: dict) -> None:
    st.subheader("Gap against accuracy", anchor=False)
    quantity = st.segmented_control("Gap in", ["accuracy", "loss"], default="accuracy", required=True, key="gap",
                                    format_func=lambda key: {"accuracy": "Accuracy", "loss": "Loss"}[key])
    rows, share = tables.gap_rows(study, quantity), quantity == "accuracy"
    figure = figures.gap_against_accuracy(
        rows, gap_is_share=share, y="Training − validation accuracy" if share else "Validation − training loss")
    figure.update_layout(title=f"{quantity.capitalize()} gap at the final epoch against test accuracy")
    frame.show_chart(
        figure, tables.gap_table(rows), key=f"gap-{quantity}",
        caption="Right is more accurate, low is less overfitted. A small gap far to the left is underfitting: "
                "random weights show how small a gap can be without any learning. Bars: 95 % intervals.",
        alt=f"Scatter of {words.count(len(rows), 'arm')}: {quantity} gap by balanced accuracy. " + " ".join(
            f"{row['name']}: accuracy {words.percent(row['x'])}, gap {words.number(row['y'])}." for row in rows))


def curves_section(workspace, run_id: str, study: dict) -> None:
    st.subheader("Learning curves", anchor=False)
    tables_of = {arm: table for arm in tables.arms(study) if (table := cached.curves(workspace, run_id, arm)) is not None}
    if not tables_of:
        st.caption("This study wrote no curves.")
        return
    quantity = st.segmented_control("Curves of", ["loss", "accuracy", "balanced_accuracy"], default="loss", required=True,
                                    key="curve", format_func=words.QUANTITIES.get)
    names = {arm: tables.name(study, arm) for arm in tables_of}
    frame.show_curves(tables_of, quantity, names, key=f"curves-{quantity}")


def paper_section(study: dict) -> None:
    st.subheader("The paper’s table", anchor=False)
    numbers, text = tables.paper_table(study)
    st.markdown(f"The quantities of {PAPER}, for our arms and beside its own. **In the paper ImageNet wins on validation "
                "accuracy and on validation loss; its claim is about the gap.** Its loss is not plain cross-entropy and its "
                "images are not public: losses are not compared in size, only signs and relative changes.")
    st.table(text, border="horizontal", hide_index=True, alt="Start, final and relative change for each arm beside the paper")
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", wrap=False):
        st.caption(f"Ours: mean over seeds, from the end of the first epoch to the last. {tables.DERIVED} computed back from "
                   "the paper’s percentages.", width="stretch")
        frame.download_table(numbers, "CSV", name=f"{study['run_id']}-paper-table")
    folded = st.expander("How to read the paper’s numbers", icon=":material/menu_book:", key="notes", on_change="rerun")
    if folded.open:
        from derm_core.study.paper import NOTES  # loads scipy: only where it is read

        folded.markdown("\n".join(f"- {note}" for note in NOTES))


def differences_section(study: dict) -> None:
    """Paired differences, and the gaps where training accuracy is the same."""
    numbers, text = tables.differences(study)
    if len(text):
        st.subheader("Differences in balanced accuracy", anchor=False)
        st.table(text, border="horizontal", hide_index=True, alt="Paired differences in test balanced accuracy between arms")
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", wrap=False):
            st.caption("Paired on the same test groups. One test was named in advance; all others are corrected for their "
                       "number. Last column: the smallest difference this test set shows with 80 % power.", width="stretch")
            frame.download_table(numbers, "CSV", name=f"{study['run_id']}-differences")
    at_level = tables.matched(study)
    if len(at_level):
        found = study["matched"]
        with st.expander("Gaps at matched training accuracy", icon=":material/balance:"):
            st.markdown("An arm that has learned less has had less chance to overfit. Here both arms stand where they first reach "
                        f"the same training accuracy, {words.percent(found['level'])}."
                        + ("" if found["comparable"] else f" **Not comparable:** {found['reason']}"))
            st.table(at_level, border="horizontal", hide_index=True, alt="Gaps of both arms at matched training accuracy")


def metrics_section(study: dict) -> None:
    st.subheader("Test metrics", anchor=False)
    numbers, text = tables.test_metrics(study)
    st.table(text, border="horizontal", hide_index=True, alt="Test metrics of every arm with 95 % intervals")
    st.caption("Mean over seeds with 95 % intervals that resample whole groups and include the seeds’ spread. Balanced "
               "accuracy uses the prior-adjusted decision; probabilities come from the plain softmax.")
    frame.download_table(numbers, "Download CSV", name=f"{study['run_id']}-test-metrics")


def classes_section(study: dict) -> None:
    rows = tables.class_rows(study)
    if rows:
        st.subheader("Classes", anchor=False)
        table = pd.DataFrame(rows)[["class", "n", "name", "mean", "low", "high"]]
        frame.show_chart(
            figures.per_class(rows), table, key="classes", alt="Recall of each class for each arm, with 95 % intervals.",
            caption="Share of each class that is recognised, with 95 % intervals; after each class, its test images. "
                    "Wide bars mean few lesions: do not rank arms by them.")
    matrices = study.get("confusion") or {}
    if matrices:
        with st.expander("Confusion", icon=":material/grid_on:"):
            with st.grid(2, min_column_width=340):
                for arm in words.ordered(matrices):
                    with st.container():
                        confusion(study, arm, matrices[arm])


def confusion(study: dict, arm: str, matrix: list) -> None:
    classes = study["classes"]
    frame.show_chart(
        figures.confusion(matrix, classes, arm, tables.name(study, arm)),
        pd.DataFrame(matrix, index=pd.Index(classes, name="is"), columns=classes).reset_index(), key=f"confusion-{arm}",
        caption="Per cent of the images of a class (row) that are called each class (column).",
        alt=f"Confusion matrix of {tables.name(study, arm)}, {len(classes)} classes.")


def making_section(workspace, run_id: str, study: dict) -> None:
    """How the study was made, what to note, and its files."""
    with st.expander("How this study was made", icon=":material/receipt_long:"):
        st.markdown(f"Took {words.duration(study.get('seconds'))} with "
                    + ", ".join(f"{key} {value}" for key, value in study.get("versions", {}).items()) + ".")
        left, right = st.columns(2)
        with left:
            st.markdown("**Settings**")
            st.table(tables.settings(study), border="horizontal", hide_index=True, alt="Common and own best setting of every arm")
            st.caption("One setting for all arms is the primary comparison, each arm at its own best the secondary; both chosen on "
                       "validation loss.")
            st.json(study.get("grid", {}), expanded=False)
        with right:
            st.markdown("**Configuration**")
            st.json(study["config"], expanded=1)
    artefacts = workspace.run(run_id).artefacts
    with st.container(horizontal=True):
        st.download_button("study.json", json.dumps(study, indent=1).encode(), file_name=f"{run_id}.json",
                           mime="application/json", icon=":material/download:", on_click="ignore")
        predictions = artefacts / "predictions.parquet"
        if predictions.exists():
            st.download_button("Predictions (Parquet)", predictions.read_bytes, file_name=f"{run_id}-predictions.parquet",
                               icon=":material/download:", on_click="ignore")
        frame.link("train", "The run and its log", icon=":material/model_training:", run=run_id)


workspace = frame.page("compare")
run_id, study = choose(workspace)
conditions(study)
notes(study)
verdict(study)
gap_section(study)
curves_section(workspace, run_id, study)
paper_section(study)
metrics_section(study)
differences_section(study)
classes_section(study)
making_section(workspace, run_id, study)
