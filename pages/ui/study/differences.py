"""Differences: every arm's test metrics, and how sure the distances between them are."""

from __future__ import annotations

import streamlit as st

from derm_core.report import question_figures, tables

from .. import frame, words
from . import parts


def show(workspace, run_id: str, study: dict) -> None:
    st.subheader("Test metrics", anchor=False)
    parts.table(
        study,
        *tables.test_metrics(study),
        file="test-metrics",
        alt="Test metrics of every arm with 95 % intervals",
        caption="Mean over seeds with 95 % intervals that resample whole groups and include the seeds’ spread. "
        "Balanced accuracy uses the prior-adjusted decision; probabilities come from the plain softmax.",
    )
    offered = list(dict.fromkeys(row["metric"] for row in study.get("differences") or []))
    if not offered:
        return
    st.subheader("Differences between arms", anchor=False)
    metric = frame.linked(
        "Metric",
        offered,
        "metric",
        widget=st.segmented_control,
        always=False,
        required=True,
        default="balanced_accuracy",
        format_func=words.QUANTITIES.get,
    )
    rows, share = (
        tables.difference_rows(study, study["differences"], metric),
        metric in words.SHARES,
    )
    quantity = words.QUANTITIES[metric].lower()
    side = "Left" if metric in ("log_loss", "brier", "ece") else "Right"
    frame.show_chart(
        question_figures.forest(rows, quantity, share=share),
        None,
        key=f"forest-{metric}",
        caption=f"{side} of the dashed line the first arm is better. A line that does not meet it shows a difference; one "
        f"that does shows none, not that there is "
        "none." + (" Diamond: the one test named in advance." if rows[0]["primary"] else ""),
        alt=f"Paired differences in {quantity}. "
        + " ".join(f"{row['name']}: {row['text']}." for row in rows),
    )
    parts.table(
        study,
        *tables.differences(study, metric),
        file="differences",
        alt=f"Paired differences in test {quantity} between arms",
        caption="Paired on the same test groups. One test was named in advance; all others are corrected for their "
        "number. Last column: the smallest difference this test set shows with 80 % power. The CSV holds "
        "every metric.",
    )
    mcnemar(study)


def mcnemar(study: dict) -> None:
    """Images that one arm alone gets right: descriptive."""
    rows = study.get("mcnemar") or []
    if rows:
        import pandas as pd

        with st.expander("One image a group: McNemar’s test", icon=":material/compare_arrows:"):
            text = pd.DataFrame(
                [
                    {
                        "Difference": tables.pair(study, row),
                        "Images": f"{row['n']:,}",
                        "Only the first right": f"{row['a_only']:,}",
                        "Only the second right": f"{row['b_only']:,}",
                        "p": words.p_value(row["p"]),
                    }
                    for row in rows
                ]
            )
            parts.table(
                study,
                pd.DataFrame(rows),
                text,
                file="mcnemar",
                alt="McNemar's test for every pair",
                caption="Descriptive: decisions of the seed ensemble on one image of each group.",
            )
