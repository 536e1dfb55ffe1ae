"""Train: set a study up, launch it, watch it. One click queues the pretraining and the comparison."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from derm_core.arms import arm_style
from derm_core.jobs import supervisor
from derm_core.report.sections.curves import learning_curves
from pages.ui import cached, charts, frame, launch_form, live_run, words
from pages.ui.section import draw

PICTURES = {  # image event: what its rows are
    "reconstruction": "Validation images and what the VAE makes of them; with a masking recipe then the clean view, what the "
    "encoder sees of it, and the VAE’s answer",
    "likenesses": "Drawn from latents spread as those of training images",
    "samples": "Drawn from the VAE’s prior",
}
PRETRAIN_CHARTS = (  # title, {line: series}, what to read, share
    (
        "Negative ELBO, nats per image",
        {"Training": "train/loss", "Validation": "val/loss"},
        "Training sees augmented input while the KL still warms up, validation clean input and the whole KL: the "
        "distance between the lines is no overfitting gap.",
        False,
    ),
    (
        "Reconstruction, nats per image",
        {"Training": "train/reconstruction", "Validation": "val/reconstruction"},
        "Reconstruction error: how far the output is from the input.",
        False,
    ),
    (
        "KL divergence, nats per image",
        {"Training": "train/kl", "Validation": "val/kl"},
        "KL divergence: information in the latent code.",
        False,
    ),
    (
        "Agreement of two views, nats",
        {"Training": "train/consistency"},
        "Cross-entropy of finding an image’s other view among all in the batch.",
        False,
    ),
    ("Active latent units", {"Validation": "val/active_units"}, "Dimensions that are used.", False),
    (
        "Probe, balanced accuracy",
        {"Validation": "probe/balanced_accuracy"},
        "Only watches: labels never train.",
        True,
    ),
)


# ---- set up and launch -------------------------------------------------------------------------


def new_study(workspace) -> None:
    st.subheader("New study", anchor=False)
    with st.container(border=True):
        config = launch_form.form(workspace)
        with st.container(horizontal=True, vertical_alignment="center"):
            pressed = st.button(
                "Launch", type="primary", icon=":material/play_arrow:", disabled=config is None
            )
            st.caption(
                "Queues the pretraining and, after it, the comparison. Both go on when this window is closed.",
                width="content",
            )
    if pressed and config is not None:
        with frame.errors():
            select(launch_form.submit(workspace, config))
            st.rerun()


def select(run_id: str | None) -> None:
    """Make a run the page's own, in the address too."""
    if run_id is None:
        st.query_params.pop("run", None)
    else:
        st.query_params["run"] = run_id


def queue(workspace, selected: str | None) -> None:
    """All runs, newest first; a click on a row opens it."""
    found = cached.runs(workspace)
    if not found:
        return
    st.subheader("Runs", anchor=False)
    table = pd.DataFrame(
        [
            {
                "State": words.STATES[run.state][0],
                "Run": frame.run_name(workspace, run),
                "Dataset": dataset_of(workspace, run),
                "Progress": live_run.share(run.progress)
                if not run.final
                else (1.0 if run.state == "done" else None),
                "Created": pd.Timestamp(run.created, unit="s", tz="UTC"),
                "Took": words.duration((run.finished or run.started or 0) - run.started)
                if run.started and run.final
                else "",
                "Id": run.id,
            }
            for run in found
        ]
    )
    picked = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="runs",
        alt="Runs, newest first",
        height="content" if len(table) <= 10 else 380,
        column_config={
            "Progress": st.column_config.ProgressColumn(format="percent", width="small"),
            "Created": st.column_config.DatetimeColumn(format="distance"),
        },
    )
    frame.download_table(table, "Download CSV", name="runs")
    rows = picked.selection.rows
    if rows and found[rows[0]].id not in (selected, st.session_state.get("picked")):
        st.session_state["picked"] = found[rows[0]].id
        select(found[rows[0]].id)
        st.rerun()
    st.session_state["picked"] = found[rows[0]].id if rows else None


def dataset_of(workspace, run) -> str:
    return cached.config(workspace, run.id).get("dataset", "")


# ---- one run -----------------------------------------------------------------------------------


def show_run(workspace, run_id: str) -> None:
    run = cached.run(workspace, run_id)
    if run is None:
        st.warning(
            "There is no run of that name in this workspace; it may have been deleted.",
            icon=":material/search_off:",
        )
        return
    st.subheader(words.plain(frame.run_name(workspace, run)), anchor=False)
    actions(workspace, run)
    before = cached.run(workspace, run.depends_on) if run.depends_on else None
    moving = not run.final
    st.fragment(frame.errors()(watch), run_every=1.0 if moving else None)(
        workspace, run_id, run.state, before.state if before else None
    )


def actions(workspace, run) -> None:
    """State, what can be done now, and the run's id."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(words.state_badge(run.state), width="content")
        st.caption(
            f"{dataset_of(workspace, run)} · {words.ago(run.created)} · `{run.id}`", width="content"
        )
        st.space("stretch")
        compared = run.kind in ("study", "evaluate") and run.state == "done"
        if compared and st.button("Compare", type="primary", icon=":material/compare:"):
            frame.go("compare", run=run.id)
        if run.kind == "publish" and run.state == "done":
            frame.link("models", "The library", icon=":material/deployed_code:")
        if not run.final and st.button(
            "Cancel", icon=":material/stop_circle:", disabled=run.cancel_requested
        ):
            act(supervisor.cancel, workspace, run.id)
        if (
            run.final
            and run.state != "done"
            and st.button("Resume", type="primary", icon=":material/play_arrow:")
        ):
            act(supervisor.resume, workspace, run.id)
        if run.final:
            delete(workspace, run)


def act(action, workspace, run_id: str) -> None:
    with frame.errors():
        action(workspace, run_id)
        st.rerun()


def delete(workspace, run) -> None:
    with st.popover("Delete", icon=":material/delete:"):
        st.markdown(
            f"Delete this run and its files, {words.size(supervisor.run_bytes(workspace, run.id))}? "
            "This cannot be undone."
        )
        if st.button("Delete the run", type="primary", key="delete-run"):
            with frame.errors():
                supervisor.delete_run(workspace, run.id)
                select(None)
                st.rerun()


def watch(workspace, run_id: str, state: str, state_before: str | None) -> None:
    """The moving part: reads only what is new; when a state changes, the whole page follows."""
    if state in ("queued", "running"):
        cached.active_runs(workspace)
    run = cached.run(workspace, run_id)
    before = cached.run(workspace, run.depends_on) if run and run.depends_on else None
    if run is None or run.state != state or (before.state if before else None) != state_before:
        st.rerun()
    feed = live_run.follow(workspace, run_id)
    if run.error:
        frame.show_error(run.error)
    if before is not None and not run.final and before.state != "done":
        st.markdown(f"**Step 1 of 2: pretraining** {words.state_badge(before.state)}")
        earlier = live_run.follow(workspace, before.id)
        progress_bar(before, earlier)
        pretraining(workspace, before.id, earlier)
        st.markdown("**Step 2 of 2: comparison** starts by itself afterwards.")
        return
    progress_bar(run, feed)
    {"study": study, "pretrain": pretraining, "embed": embedding}.get(run.kind, lambda *_: None)(
        workspace, run_id, feed
    )
    if run.kind == "study" and before is not None:
        with st.expander(
            "Its pretraining", icon=":material/layers:", key="its-pretraining", on_change="rerun"
        ) as folded:
            if folded.open:
                pretraining(workspace, before.id, live_run.follow(workspace, before.id))
    log(workspace, run_id, feed)


def progress_bar(run, feed: live_run.Feed) -> None:
    """What is being done, how far it is, how fast it goes and how long it still takes."""
    if run.state == "queued":
        st.progress(0.0, text="Queued: waits for the device or for the run before it.")
        return
    if run.final:
        return
    now = feed.progress or run.progress
    if not now:
        st.progress(0.0, text="Starting…")
        return
    st.progress(live_run.share(now), text=live_run.progress_text(now))


def study(workspace, run_id: str, feed: live_run.Feed) -> None:
    """While it runs, the curves of its events; once it is done, those of the setting that was chosen."""
    result = cached.study(workspace, run_id)
    final = {
        arm: table
        for arm in (result.arms if result else ())
        if (table := cached.curves(workspace, run_id, arm)) is not None
    }
    curves = final or feed.curves()
    if not curves:
        st.caption("The learning curves appear here once the heads are being trained.")
        return
    found = [
        name
        for name in words.QUANTITIES
        if any(f"val_{name}" in table for table in curves.values())
    ]
    quantity = st.segmented_control(
        "Curves of",
        found,
        default=found[0],
        required=True,
        key=f"live-{run_id}",
        format_func=words.QUANTITIES.get,
    )
    draw(learning_curves(curves, quantity, {arm: arm_style(arm) for arm in curves}))
    if not final:
        st.caption(
            "Until the study is done: the middle setting of its grid. The comparison uses the one chosen on validation."
        )


def pretraining(workspace, run_id: str, feed: live_run.Feed) -> None:
    """Loss and its two parts, active units and the probe; the last reconstructions."""
    with st.grid(3, min_column_width=250):
        for title, series, reading, is_share in PRETRAIN_CHARTS:
            lines = {
                name: points
                for name, source in series.items()
                if (points := pretrain_series(feed, source))[0]
            }
            if lines:
                with st.container():
                    frame.show_chart(
                        charts.lines(lines, title, share=is_share),
                        series_table(lines),
                        key=f"{run_id}-{title}",
                        caption=reading,
                        alt=f"{title} by epoch.",
                    )
    folder = workspace.run(run_id).artefacts
    with st.grid(2, min_column_width=300):
        for kind, meaning in PICTURES.items():
            file, epoch = feed.images.get(kind, (None, None))
            if file and (folder / file).exists():
                st.image(
                    str(folder / file),
                    caption=f"{meaning}{f' (epoch {epoch:.0f})' if epoch is not None else ''}.",
                )


def pretrain_series(feed: live_run.Feed, source: str) -> tuple[list[float], list[float]]:
    """A series; in place of the loss the ELBO in it, where the recipe adds something to it."""
    elbo = feed.series(source.replace("/loss", "/elbo"))
    return elbo if elbo[0] else feed.series(source)


def series_table(lines: dict) -> pd.DataFrame:
    return pd.concat(
        [
            pd.DataFrame({"epoch": xs, "series": name, "value": ys})
            for name, (xs, ys) in lines.items()
        ],
        ignore_index=True,
    )


def embedding(workspace, run_id: str, feed: live_run.Feed) -> None:
    frame.link("latent", "Open the map", icon=":material/scatter_plot:", run=run_id)


def log(workspace, run_id: str, feed: live_run.Feed) -> None:
    with st.expander("Log", icon=":material/notes:", key="log", on_change="rerun") as folded:
        if folded.open:
            path = workspace.run(run_id).log
            said = "\n".join(message for _, message in feed.log)
            tail = path.read_text(errors="replace")[-6000:] if path.exists() else ""
            st.code(
                "\n".join(filter(None, (said, tail))) or "Nothing yet.",
                language=None,
                wrap_lines=True,
                height=260,
            )


workspace = frame.page("train")
selected = st.query_params.get("run")
first, second, third = st.container(), st.container(), st.container()
with first if selected is None else second:
    new_study(workspace)
with second if selected is None else first:
    if selected is not None:
        show_run(workspace, selected)
with third:
    queue(workspace, selected)
