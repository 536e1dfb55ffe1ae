"""A study as one HTML file that loads nothing: verdict, tables, figures, method, and how to repeat it.

    text = report_html(result, run_folder)               no image of the dataset
    text = report_html(result, run_folder, images=24)    and 24 test images, drawn at random

Its policy forbids the browser to load anything. jinja2 escapes what users wrote (name, tags and
note in the run's about.json, class names, attributes); `figure_text` does so in the figures.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..files import read_json
from ..formatting import NOTICE
from ..study.study_result import StudyResult
from ..workspace import RunFiles, Workspace
from . import sections
from .figure_text import with_plain_texts
from .images import report_images
from .reproduce import commands, reproducible_config
from .section import Section
from .templating import rendered

# plotly.js with the traces of flat axes (scatter, bar, heatmap …) as its makers publish it; the whole
# of it, in the package plotly, is three times as large.
PLOTLY_JS = Path(__file__).parent / "plotlyjs" / "plotly-cartesian.min.js"


@dataclass(frozen=True)
class Plot:
    """A figure's place in the page."""

    id: str
    heading: str
    alt: str
    height: int
    spec: dict[str, Any]


def report_html(result: StudyResult, run_folder: Path | str, *, images: int = 0) -> str:
    """The report of a finished study or evaluation, 1.5 MB of it plotly.js.

    Args:
        result: study.json.
        run_folder: the run's folder, with its curves and about.json.
        images: number of test images to show. The file then holds data whose licence may forbid
            passing it on, and says so.

    Raises:
        NotFound: images were wanted, and the dataset or the predictions are gone.
    """
    folder = Path(run_folder)
    about = _about(folder)
    results = sections.all_sections(result, read_curves(result, folder))
    how = [*sections.method_sections(result), *sections.checklist_sections(result)]
    parts = _with_plots(results)
    method = _with_plots([*how, sections.terms_section([*results, *how])])
    workspace = Workspace(folder.resolve().parents[1])
    figures = {plot.id: plot.spec for _, plots in (*parts, *method) for plot in plots}
    layout = take_shared_layout(figures)
    shown, terms = report_images(result, workspace, folder, images) if images > 0 else ([], "")
    return rendered(
        "report.html",
        title=about["name"] or f"{result.dataset.name}, {result.run_id}",
        tags=about["tags"],
        note=about["note"],
        notice=NOTICE,
        conditions=f"Run {result.run_id} · {sections.conditions(result)}",
        sections=parts,
        method=method,
        images=shown,
        image_terms=terms,
        is_study=result.kind == "study",
        commands=commands(result),
        config=json.dumps(reproducible_config(result, folder), indent=1, ensure_ascii=False),
        plotly=PLOTLY_JS.read_text(encoding="utf-8"),
        figures=figures,
        layout=layout,
    )


def read_curves(result: StudyResult, run_folder: Path) -> dict[str, pd.DataFrame]:
    """{arm: its learning curves}, of the arms that have some."""
    paths = {arm: RunFiles(run_folder).curves(arm) for arm in result.arms}
    return {arm: pd.read_csv(path) for arm, path in paths.items() if path.exists()}


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = read_json(RunFiles(folder).about)
    except (OSError, ValueError):
        about = {}
    return {"name": "", "tags": [], "note": ""} | about


def _with_plots(parts: Iterable[Section]) -> list[tuple[Section, list[Plot]]]:
    return [(section, _plots(section)) for section in parts]


def _plots(section: Section) -> list[Plot]:
    panels, plots = section.panels(), []
    for number, (arm, figure) in enumerate(panels):
        with_plain_texts(figure)
        title = arm.name if arm else (figure.layout.title.text or "")
        figure.update_layout(title=None, template=None)
        plots.append(
            Plot(
                id=f"{section.key}-{number}",
                heading=title,
                alt=f"{arm.name}. {section.alt}" if arm else section.alt,
                height=figure.layout.height,
                spec=json.loads(figure.to_json(), parse_float=_four_digits),
            )
        )
    return plots


def take_shared_layout(figures: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What the layouts of all figures have in common, taken out of each; report.js puts it back."""
    layouts = [figure["layout"] for figure in figures.values()]
    shared = _take_shared(layouts)
    for axis in ("xaxis", "yaxis"):
        if axis not in shared and all(axis in layout for layout in layouts):
            shared[axis] = _take_shared([layout[axis] for layout in layouts])
    return shared


def _take_shared(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first = dict(parts[0]) if parts else {}
    shared = {
        key: value
        for key, value in first.items()
        if all(key in part and part[key] == value for part in parts)
    }
    for part in parts:
        for key in shared:
            del part[key]
    return shared


def _four_digits(number: str) -> float | int:
    """A number as precise as a figure shows it: a third of the bytes."""
    value = float(f"{float(number):.4g}")
    return int(value) if value.is_integer() else value
