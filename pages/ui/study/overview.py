"""Overview: gap against accuracy, learning curves, the paper's table."""

from __future__ import annotations

import streamlit as st

from derm_core.report import figures, tables

from .. import cached, frame, words
from . import parts

PAPER = "Matas et al., [arXiv 2505.16773](https://arxiv.org/abs/2505.16773)"


def show(workspace, run_id: str, study: dict) -> None:
    paper(study)
    curves(workspace, run_id, study)
    gaps(study)


def paper(study: dict) -> None:
    if not study.get("paper_table"):
        return
    st.subheader("The paper’s table", anchor=False)
    numbers, text = tables.paper_table(study)
    st.markdown(
        f"The quantities of {PAPER}, for our arms and beside its own. **In the paper ImageNet wins on validation "
        "accuracy and on validation loss; its claim is about the gap.** Its loss is not plain cross-entropy and its "
        "images are not public: losses are not compared in size, only signs and relative changes."
    )
    parts.table(
        study,
        numbers,
        text,
        file="paper-table",
        alt="Start, final and relative change for each arm beside the paper",
        caption=f"Ours: mean over seeds, from the end of the first epoch to the last. {tables.DERIVED} computed "
        f"back from the paper’s percentages.",
    )
    folded = st.expander(
        "How to read the paper’s numbers",
        icon=":material/menu_book:",
        key="notes",
        on_change="rerun",
    )
    if folded.open:
        from derm_core.study.paper import NOTES  # loads scipy: only where it is read

        folded.markdown("\n".join(f"- {note}" for note in NOTES))


def curves(workspace, run_id: str, study: dict) -> None:
    found = {
        arm: table
        for arm in tables.arms(study)
        if (table := cached.curves(workspace, run_id, arm)) is not None
    }
    if not found:
        return
    st.subheader("Learning curves", anchor=False)
    quantity = st.segmented_control(
        "Curves of",
        ["loss", "accuracy", "balanced_accuracy"],
        default="loss",
        required=True,
        key="curve",
        format_func=words.QUANTITIES.get,
    )
    frame.show_curves(
        found, quantity, {arm: tables.name(study, arm) for arm in found}, key=f"curves-{quantity}"
    )


def gaps(study: dict) -> None:
    """Both gaps: against accuracy, between arms, and at every moment at which they are taken."""
    if not tables.gap_rows(study, "loss"):
        return
    st.subheader("Gap against accuracy", anchor=False)
    quantity = st.segmented_control(
        "Gap in",
        ["accuracy", "loss"],
        default="accuracy",
        required=True,
        key="gap",
        format_func=str.capitalize,
    )
    rows, share = tables.gap_rows(study, quantity), quantity == "accuracy"
    figure = figures.gap_against_accuracy(
        rows,
        gap_is_share=share,
        y="Training − validation accuracy" if share else "Validation − training loss",
    )
    figure.update_layout(
        title=f"{quantity.capitalize()} gap at the final epoch against test accuracy"
    )
    frame.show_chart(
        figure,
        tables.gap_rows_table(rows),
        key=f"gap-{quantity}",
        caption="Right is more accurate, low is less overfitted. A small gap far to the left is underfitting: random "
        "weights show how small a gap can be without any learning. Bars: 95 % intervals.",
        alt=f"Scatter of {words.count(len(rows), 'arm')}: {quantity} gap by balanced accuracy. "
        + " ".join(
            f"{row['name']}: accuracy {words.percent(row['x'])}, gap {words.number(row['y'])}."
            for row in rows
        ),
    )
    differences(study, quantity)
    detail = tables.gap_table(study)
    if len(detail):
        with st.expander("Gaps at other moments", icon=":material/timeline:"):
            parts.table(
                study,
                detail,
                detail,
                alt="Both gaps of every arm at several moments",
                file="gaps",
                caption="Larger is more overfitted. "
                + (
                    "Intervals are over folds, which share most of their training images."
                    if "folds" in study
                    else "Intervals resample images and seeds where both are known, else seeds alone."
                ),
            )


def differences(study: dict, kind: str) -> None:
    """Between arms: at the final epoch, and where training accuracy is the same."""
    from derm_core.report import question_figures

    numbers, rows = tables.gap_differences(study, kind)
    if rows:
        share = kind == "accuracy"
        figure = question_figures.forest(rows, f"{kind} gap", share=share)
        frame.show_chart(
            figure,
            numbers,
            key=f"gap-forest-{kind}",
            caption=(
                "Left of the dashed line the first arm overfits less. All at the final epoch, with 95 % intervals; p values, "
                "corrected for their number, are in the table."
            ),
            alt=f"Differences in {kind} gap. "
            + " ".join(f"{row['name']}: {row['text']}." for row in rows),
        )
    found, text = tables.matched(study)
    if found:
        st.markdown("**Gaps at matched training accuracy**")
        st.markdown(
            "An arm that has learned less has had less chance to overfit. Here both arms stand where they first "
            "reach the same training accuracy, "
            f"{words.percent(found['level'])}."
            + (
                ""
                if found["comparable"]
                else f" **Not comparable:** {words.plain(found['reason'])}"
            )
        )
        st.table(
            text,
            border="horizontal",
            hide_index=True,
            alt="Gaps of both arms at matched training accuracy",
        )
