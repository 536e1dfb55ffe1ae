"""Compare: what finished studies say. Verdict first, then what it rests on; nothing is recomputed here."""

from __future__ import annotations

import streamlit as st

from derm_core.jobs.published import PublishedRun
from derm_core.jobs.queries import RunFilter
from derm_core.jobs.store import Run, RunStore
from derm_core.report.sections import conditions, pooled, verdict
from derm_core.report.sections.parts import styles
from derm_core.study.leaderboard import LEAST_ARMS
from derm_core.study.study_result import StudyResult
from derm_core.workspace import Workspace
from pages.ui import cached, demo, frame, glossary, run_choice, words
from pages.ui.section import draw, unbroken
from pages.ui.study import about, classes, leaderboard, side_by_side, tabs

KINDS = ("study", "evaluate")
TABS = {
    "leaderboard": ("Leaderboard", leaderboard.leaderboard_tab),  # of three arms or more
    "overview": ("Overview", tabs.overview_tab),
    "differences": ("Differences", tabs.differences_tab),
    "classes": ("Classes", classes.classes_tab),
    "labels": ("Fewer labels", tabs.labels_tab),
    "robustness": ("Robustness", tabs.robustness_tab),
    "external": ("External sets", tabs.external_tab),
    "calibration": ("Calibration", tabs.calibration_tab),
    "subgroups": ("Subgroups", tabs.subgroups_tab),
    "method": ("Method", about.method_tab),
}
POOLED_FROM = 100  # of the newest studies, each of which is read
MOST_CARDS = 6  # of arms above the sections: a row in a window, three on a phone
# An evaluation of published models has no more.
OF_PUBLISHED_MODELS = ("leaderboard", "overview", "differences", "classes", "method")


def finished_runs(workspace: Workspace) -> dict[str, Run]:
    """{run id: Run} of those on offer that have a study.json, newest first, then published ones.

    Stops the page where there is none.
    """
    named = (st.query_params.get("run"), *st.query_params.get("with", "").split(","))
    own = run_choice.offered_runs(workspace, KINDS, "compare", also=named)
    runs = {
        run.id: run
        for run in [*own, *frame.published("study")]
        if cached.study_is_there(workspace, run.id)
    }
    if runs:
        return runs
    active = [run for run in cached.active_runs(workspace) if run.kind == "study"]
    if active:
        frame.empty(
            "The verdict, the learning curves and the paper’s table will stand here as soon as the "
            "study that is under way has finished.",
            title="A study is under way",
            icon=":material/hourglass_top:",
            action="Watch it",
            page="train",
            run=active[-1].id,
        )
    elif frame.empty(
        "A comparison of extractors under identical conditions will stand here: verdict, gap "
        f"against accuracy, learning curves, the paper’s table. {demo.ABOUT}",
        title="No finished study yet",
        action=demo.LABEL,
    ):
        demo.run_demo(workspace)
    return st.stop()


def offer_own(workspace: Workspace, runs: dict[str, Run]) -> None:
    """The demo, where every study is a published one."""
    if all(isinstance(run, PublishedRun) for run in runs.values()):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption("Studies of your own will stand before it.", width="content")
            if st.button(demo.LABEL, icon=":material/play_arrow:", type="tertiary"):
                demo.run_demo(workspace)


def draw_arm_cards(result: StudyResult) -> None:
    """Every arm: balanced accuracy and the accuracy gap, always together. Of many arms the leaderboard says it."""
    if len(result.arms) > MOST_CARDS:
        return
    arms = styles(result)
    with st.grid(len(arms), min_column_width=165):  # two beside each other on a phone
        for key, arm in arms.items():
            accuracy, gaps = result.arms[key].test["balanced_accuracy"], result.arms[key].gaps
            with st.container(border=True, height="stretch", gap="xsmall"):
                name = f":{arm.colour_name}-background[{words.plain(arm.name)}]"  # wraps, unlike a badge
                st.markdown(name, help=arm.about or None)
                st.metric(
                    "Balanced accuracy",
                    words.percent(accuracy.mean),
                    help=f"On the test images. {glossary.text('balanced-accuracy')} {glossary.text('two-decisions')}",
                )
                st.caption(
                    f"95 % interval {unbroken(words.span(accuracy, 'accuracy'))}"
                    + (
                        f"  \nGap: accuracy {words.percent(gaps.get('accuracy'), sign=True)}, loss "
                        f"{words.number(gaps.get('loss'), sign=True)}"
                        if gaps
                        else ""
                    ),
                    help=f"{glossary.text('confidence-interval')} {glossary.text('gap')}",
                )


def draw_pooled(workspace: Workspace, result: StudyResult) -> None:
    """The study with the finished ones of its protocol on other datasets, archived ones too."""
    own = cached.newest_runs(workspace, POOLED_FROM, *KINDS, archived=None)
    runs = [*own, *frame.published("study")]
    every = [study for run in runs if (study := cached.study(workspace, run.id)) is not None]
    draw(pooled.pooled(result, every), file=result.run_id)
    total = RunStore(workspace).count(RunFilter(kinds=KINDS, states=("done",)))
    if total > POOLED_FROM:
        st.caption(
            f"Looked for in the newest {POOLED_FROM} of {total:,} finished studies of this workspace; older ones are "
            "not pooled."
        )


workspace = frame.page("compare")
runs = finished_runs(workspace)
labels = {key: frame.run_label(workspace, run) for key, run in runs.items()}
frame.say_if_missing(runs)
first, second = st.columns(2, gap="small")
with first:
    run_id = frame.linked(
        "Study", list(runs), "run", format_func=labels.get, label_visibility="collapsed"
    )
with second:
    others = side_by_side.choose_others(labels, run_id) if len(runs) > 1 else []
results = {
    key: study for key in (run_id, *others) if (study := cached.study(workspace, key)) is not None
}
result = results[run_id]
if others:
    side_by_side.draw_side_by_side(results, {key: labels[key] for key in results})
    st.subheader(words.plain(labels[run_id]), anchor=False)
st.caption(words.plain(conditions(result)))
about.draw_actions(workspace, runs[run_id], result)
st.header(words.plain(result.verdict.headline), anchor=False)
draw(verdict.sentences(result))
draw(verdict.notes(result))
about.draw_tags_and_note(runs[run_id])
offer_own(workspace, runs)
draw_arm_cards(result)
offered = [name for name in TABS if result.kind != "evaluate" or name in OF_PUBLISHED_MODELS]
if len(result.arms) < LEAST_ARMS:
    offered.remove("leaderboard")
tab = frame.linked(
    "Section",
    offered,
    "section",
    widget=st.segmented_control,
    always=False,
    required=True,
    format_func=lambda key: TABS[key][0],
    label_visibility="collapsed",
)
TABS[tab][1](workspace, result)
if tab == "external":
    draw_pooled(workspace, result)
