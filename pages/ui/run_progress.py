"""What a run reports while it works: progress bar, learning curves, pretraining charts and images, log."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import streamlit as st

from derm_core.arms import arm_style
from derm_core.bundles.card import pretrained_label
from derm_core.config.labels import recorded_label, study_labels
from derm_core.jobs import supervisor
from derm_core.jobs.store import Run
from derm_core.report.run_events import RunEvents
from derm_core.report.sections.curves import learning_curves
from derm_core.workspace import Workspace
from pages.ui import cached, charts, frame, glossary, live_run, words
from pages.ui.section import draw

IMAGE_CAPTIONS = {  # by image event
    "reconstruction": "Validation images and their reconstructions; with a masking recipe then the clean image, the "
    "masked input and the reconstruction",
    "likenesses": "Decoded from latent codes distributed like those of training images",
    "samples": "Decoded from samples of the VAE’s prior",
}


class PretrainChart(NamedTuple):
    """A chart of a pretraining: its title, {line: series}, how to read it, whether its values are shares."""

    title: str
    series: dict[str, str]
    caption: str
    share: bool = False


PRETRAIN_CHARTS = (
    PretrainChart(
        "Negative ELBO, nats per image",
        {"Training": "train/loss", "Validation": "val/loss"},
        "Training is measured on augmented input while the weight of the KL divergence still rises, validation on "
        "clean input with its full weight: the distance between the lines is not the overfitting gap.",
    ),
    PretrainChart(
        "Reconstruction, nats per image",
        {"Training": "train/reconstruction", "Validation": "val/reconstruction"},
        "Reconstruction error: how far the output is from the input.",
    ),
    PretrainChart(
        "KL divergence, nats per image",
        {"Training": "train/kl", "Validation": "val/kl"},
        "KL divergence: information in the latent code.",
    ),
    PretrainChart(
        "Agreement of two views (NT-Xent), nats",
        {"Training": "train/consistency"},
        "Cross-entropy of finding an image’s other view among all in the batch.",
    ),
    PretrainChart(
        "Active latent units",
        {"Validation": "val/active_units"},
        "Latent dimensions that the VAE uses.",
    ),
    PretrainChart(
        "Linear probe, balanced accuracy",
        {"Validation": "probe/balanced_accuracy"},
        "Measured only: labels do not train the VAE.",
        share=True,
    ),
)


def draw_progress(workspace: Workspace, run: Run, before: Run | None, waiting: int = 0) -> None:
    """Progress, charts and log of a run.

    Args:
        before: the run that it waits for, or that it came after.
        waiting: how many runs it waits for.
    """
    events = live_run.follow(workspace, run.id)
    if run.error:
        frame.show_error(run.error)
    if before is not None and not run.final and before.state != "done":
        if waiting > 1:
            name = words.plain(frame.run_name(workspace, before))
            step = f"First of {waiting} runs that come before it: {name}"
        else:
            step = "Step 1 of 2: pretraining"
        st.markdown(f"**{step}** {words.state_badge(before.state)}")
        earlier = live_run.follow(workspace, before.id)
        _draw_bar(workspace, before, earlier)
        if before.kind == "pretrain":
            _draw_pretraining(workspace, before.id, earlier)
        last = "The comparison" if waiting > 1 else "**Step 2 of 2: comparison**"
        st.markdown(f"{last} starts by itself afterwards.")
        return
    _draw_bar(workspace, run, events)
    if run.kind == "study":
        _draw_study(workspace, run.id, events)
        if before is not None and before.kind == "pretrain":
            _draw_earlier(workspace, before.id)
    elif run.kind == "pretrain":
        _draw_pretraining(workspace, run.id, events)
    elif run.kind == "embed":
        frame.link("latent", "Open the map", icon=":material/scatter_plot:", run=run.id)
    _draw_log(workspace, run.id, events)


def _queue_text(workspace: Workspace, run: Run) -> str:
    if supervisor.waits_for_another_user(workspace, run):
        return "Queued: another user's run is on the device."
    return "Queued: waits for the device or for the run before it."


def _draw_bar(workspace: Workspace, run: Run, events: RunEvents) -> None:
    """What is being done, how far it is, how fast it goes and how long it still takes."""
    progress = events.progress or run.progress
    if run.final:
        return
    if run.state == "queued":
        st.progress(0.0, text=_queue_text(workspace, run))
    elif progress:
        st.progress(live_run.share(progress), text=live_run.progress_text(progress))
    else:
        st.progress(0.0, text="Starting…")


def _draw_study(workspace: Workspace, run_id: str, events: RunEvents) -> None:
    """While it runs, the curves of its events; once it is done, those of the setting that was chosen."""
    result = cached.study(workspace, run_id)
    final = {
        arm: table
        for arm in (result.arms if result else ())
        if (table := cached.curves(workspace, run_id, arm)) is not None
    }
    curves = final or events.curves()
    if not curves:
        st.caption("The learning curves appear here once the heads are being trained.")
        return
    known = [
        name
        for name in words.QUANTITIES
        if any(f"val_{name}" in table for table in curves.values())
    ]
    quantity = st.segmented_control(
        "Curves of",
        known,
        default=known[0],
        required=True,
        key=f"live-{run_id}",
        format_func=lambda name: words.QUANTITIES[name],
    )
    labels = _arm_labels(workspace, run_id)
    styles = {arm: arm_style(arm, labels.get(arm)) for arm in curves}
    draw(learning_curves(curves, quantity, styles))
    if not final:
        st.caption(
            "While the heads train: at each epoch the setting with the lowest validation loss so far, all seeds. The "
            "comparison uses the one with the lowest at the last epoch."
        )


def _arm_labels(workspace: Workspace, run_id: str) -> dict[str, str]:
    """What the arms of a study are called: as its result has it, before that after its pretraining."""
    if result := cached.study(workspace, run_id):
        return {arm: one.label for arm, one in result.arms.items()}
    config = cached.config(workspace, run_id)
    vae = recorded_label(config.get("pretrain"))
    extractors = {
        f"bundle:{card.name}": pretrained_label(card)
        for card in cached.cards(workspace, "extractor")
    }
    return study_labels(config.get("arms", []), config.get("input_size", 0), vae, extractors)


def _draw_earlier(workspace: Workspace, run_id: str) -> None:
    """The pretraining that a study came after, folded."""
    with st.expander(
        "Pretraining of this study",
        icon=":material/layers:",
        key="its-pretraining",
        on_change="rerun",
    ) as folded:
        if folded.open:
            _draw_pretraining(workspace, run_id, live_run.follow(workspace, run_id))


def _draw_pretraining(workspace: Workspace, run_id: str, events: RunEvents) -> None:
    """Loss and its parts, active units and the probe; the last reconstructions."""
    glossary.explain(terms=("vae", "elbo", "kl-divergence", "active-units", "nt-xent", "probe"))
    with st.grid(3, min_column_width=250):
        for chart in PRETRAIN_CHARTS:
            points = {name: _pretrain_series(events, key) for name, key in chart.series.items()}
            lines = {name: values for name, values in points.items() if values[0]}
            if lines:
                with st.container():
                    frame.show_chart(
                        charts.lines(lines, chart.title, share=chart.share),
                        _series_table(lines),
                        key=f"{run_id}-{chart.title}",
                        caption=chart.caption,
                        alt=f"{chart.title} by epoch.",
                    )
    folder = workspace.run(run_id).artefacts
    with st.grid(2, min_column_width=300):
        for kind, caption in IMAGE_CAPTIONS.items():
            file, epoch = events.images.get(kind, (None, None))
            if file and (folder / file).exists():
                when = f" (epoch {epoch:.0f})" if epoch is not None else ""
                st.image(str(folder / file), caption=f"{caption}{when}.")


def _pretrain_series(events: RunEvents, key: str) -> tuple[list[float], list[float]]:
    """A series; in place of the loss the ELBO in it, where the recipe adds something to it."""
    elbo = events.series(key.replace("/loss", "/elbo"))
    return elbo if elbo[0] else events.series(key)


def _series_table(lines: dict[str, tuple[list[float], list[float]]]) -> pd.DataFrame:
    return pd.concat(
        [
            pd.DataFrame({"epoch": epochs, "series": name, "value": values})
            for name, (epochs, values) in lines.items()
        ],
        ignore_index=True,
    )


def _draw_log(workspace: Workspace, run_id: str, events: RunEvents) -> None:
    with st.expander("Log", icon=":material/notes:", key="log", on_change="rerun") as folded:
        if folded.open:
            path = workspace.run(run_id).log
            lines = "\n".join(line for _, line in events.log)
            tail = path.read_text(errors="replace")[-6000:] if path.exists() else ""
            text = "\n".join(filter(None, (lines, tail))) or "Nothing yet."
            st.code(text, language=None, wrap_lines=True, height=260)
