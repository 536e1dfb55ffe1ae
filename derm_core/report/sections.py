"""The sections of the report: what a study found, first to last. Each returns HTML, empty where there is nothing.

study: study.json as it is, for words and tables (escaped when they are written); safe: the same with
every text escaped, for figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .. import formatting
from ..arms import in_order
from . import figures, question_figures, question_tables, shortcut_text, tables
from . import html_parts as html

Study = Mapping[str, Any]
AT = 0.9  # specificity at which the operating point is shown


def verdict(study: Study) -> str:
    said = study["verdict"]
    notes = [
        *study.get("notes", []),
        *(text for text in study.get("cautions", []) if text not in said.get("sentences", [])),
    ]
    return html.section(
        "Verdict",
        html.paragraph(said["headline"], "verdict"),
        html.bullets(said.get("sentences", [])),
        "".join(html.paragraph(note, "note") for note in notes),
    )


def claims(study: Study) -> str:
    return html.section(
        "The paper’s four claims, on this dataset",
        html.table(tables.claims(study), "The paper’s claims"),
    )


def gaps(study: Study, safe: Study) -> str:
    parts = [
        _gap(rows, kind) for kind in ("accuracy", "loss") if (rows := tables.gap_rows(safe, kind))
    ]
    first, matched = tables.matched(study)
    level = ""
    if first:
        level = f"Gaps where both arms first reach a training accuracy of {formatting.percent(first['level'])}"
        level += "." if first["comparable"] else f"; not comparable: {first['reason']}"
    every = html.table(tables.gap_table(study), "All gaps with 95 % intervals", True)
    return html.section(
        "Gap against accuracy", *parts, every, html.paragraph(level), html.table(matched, level)
    )


def _gap(rows: list[dict], kind: str) -> str:
    share = kind == "accuracy"
    drawn = figures.gap_against_accuracy(
        rows,
        gap_is_share=share,
        y="Training − validation accuracy" if share else "Validation − training loss",
    )
    drawn.update_layout(title=f"{kind.capitalize()} gap at the final epoch against test accuracy")
    told = " ".join(
        f"{row['name']}: accuracy {formatting.percent(row['x'])}, gap {formatting.number(row['y'])}."
        for row in rows
    )
    return html.figure(
        drawn,
        "Right is more accurate, low is less overfitted; a small gap far to the left is underfitting. "
        "Bars: 95 % intervals.",
        f"Scatter of {kind} gap by balanced accuracy. {told}",
    )


def curves(study: Study, found: Mapping[str, pd.DataFrame]) -> str:
    """found: per arm its table of curves; they hold numbers only."""
    names = {arm: tables.name(html.escaped(study), arm) for arm in found}
    parts = []
    for quantity in ("loss", "accuracy", "balanced_accuracy") if found else ():
        panels = figures.learning_curves(found, quantity, names)
        title = formatting.QUANTITIES[quantity]
        parts += [
            f"<h3>{html.text(title)}</h3>",
            html.figures(
                (
                    (
                        panel.update_layout(title=names[arm]),
                        f"{title} by epoch, {names[arm]}; the table below has its values.",
                    )
                    for arm, panel in panels.items()
                ),
                "Validation solid, training dotted; band: ± 1 standard deviation over "
                f"{'folds and seeds' if 'folds' in study else 'seeds'}.",
            ),
            html.table(
                _milestones(study, found, quantity),
                f"{title}: means over seeds at some epochs",
                True,
            ),
        ]
    return html.section("Learning curves", *parts)


def _milestones(study: Study, found: Mapping[str, pd.DataFrame], quantity: str) -> pd.DataFrame:
    lines = []
    for arm in in_order(found):
        means = found[arm].groupby("epoch").mean(numeric_only=True)
        whole = [epoch for epoch in means.index if float(epoch).is_integer()]
        for epoch in sorted({whole[round(i * (len(whole) - 1) / 10)] for i in range(11)}):
            lines.append(
                {
                    "Arm": tables.name(study, arm),
                    "Epoch": f"{epoch:g}",
                    **{
                        split.capitalize(): formatting.quantity(
                            means.loc[epoch, f"{key}_{quantity}"], quantity
                        )
                        for key, split in (("train", "training"), ("val", "validation"))
                    },
                }
            )
    return pd.DataFrame(lines)


def paper(study: Study) -> str:
    from ..study.paper import CITATION, NOTES

    if not study.get("paper_table"):
        return ""
    _, shown = tables.paper_table(study)
    return html.section(
        "The paper’s table",
        html.paragraph(
            f"The quantities of {CITATION}, for our arms and beside its own. {tables.DERIVED}: computed back from its "
            "percentages. Ours: means over seeds, from the end of the first epoch to the last."
        ),
        html.table(shown, "The paper’s table"),
        html.bullets(NOTES),
    )


def metrics(study: Study) -> str:
    _, shown = tables.test_metrics(study)
    return html.section(
        "Test metrics",
        html.table(shown, "Test metrics with 95 % intervals"),
        html.paragraph(
            "Means over seeds with 95 % intervals that resample whole groups and include the seeds’ spread. Balanced accuracy "
            "uses the prior-adjusted decision; probabilities come from the plain softmax.",
            "soft",
        ),
    )


def differences(study: Study, safe: Study) -> str:
    rows = tables.difference_rows(safe, safe.get("differences") or [], "balanced_accuracy")
    parts = []
    if rows:
        parts = [
            html.figure(
                question_figures.forest(rows, "Balanced accuracy"),
                "Paired on the same test groups. One test was named in advance; all others are corrected for their number.",
                "Differences with intervals; the table has their values.",
            ),
            html.table(tables.differences(study)[1], "Differences in balanced accuracy"),
        ]
    for kind in ("loss", "accuracy"):
        if rows := tables.gap_differences(safe, kind)[1]:
            told = "; ".join(f"{row['name']} {row['text']}" for row in rows)
            parts.append(
                html.figure(
                    question_figures.forest(rows, f"{kind} gap", share=kind == "accuracy"),
                    "Left of 0: the first arm's gap is smaller.",
                    f"Differences in the gap: {told}",
                )
            )
    return html.section("Differences between arms", *parts)


def classes(study: Study, safe: Study) -> str:
    parts = []
    if rows := tables.class_rows(safe):
        shown = [
            {
                "Class": row["class"],
                "Test images": row["n"],
                "Arm": row["name"],
                "Recall": formatting.interval(row),
            }
            for row in tables.class_rows(study)
        ]
        parts = [
            html.figure(
                figures.per_class(rows),
                "Share of each class that is recognised, with 95 % intervals. Wide bars mean few "
                "lesions: do not rank arms by them.",
                "Recall of each class and arm; the table has its values.",
            ),
            html.table(shown, "Recall by class", True),
        ]
    if matrices := study.get("confusion") or {}:
        drawn = (
            (
                figures.confusion(matrix, safe["classes"], arm, tables.name(safe, arm)),
                f"Confusion matrix of {tables.name(study, arm)}; a table below has its counts.",
            )
            for arm, matrix in matrices.items()
        )
        parts.append(
            html.figures(
                drawn,
                "Per cent of the images of a class (row) that are called each class (column).",
            )
        )
    for arm, matrix in matrices.items():
        counts = pd.DataFrame(matrix, columns=study["classes"])
        counts.insert(0, "Is", study["classes"], allow_duplicates=True)
        parts.append(
            html.table(counts, f"Counts of {tables.name(study, arm)}, means over seeds", True)
        )
    return html.section("Classes", *parts)


def questions(study: Study, safe: Study) -> str:
    """Fewer labels, corruptions, a planted artefact, other sets: each where it was asked."""
    asked = {
        "label_efficiency": _labels,
        "robustness": _robustness,
        "shortcut": _shortcut,
        "external": _external,
    }
    names = {arm: tables.name(safe, arm) for arm in study["arms"]}
    return "".join(
        section(study, safe, names) for name, section in asked.items() if study.get(name)
    )


def _labels(study: Study, safe: Study, names: Mapping[str, str]) -> str:
    found, crossing = safe["label_efficiency"], study["label_efficiency"].get("crossing") or {}
    drawn = question_figures.label_efficiency(
        found["rows"], names=names, crossing=crossing.get("fraction")
    )
    return html.section(
        "Fewer labels",
        html.figure(
            drawn,
            "Bands: 95 % intervals. The number of updates is the same at every share.",
            "Balanced accuracy by share of labels; the table has its values.",
        ),
        html.paragraph(crossing.get("text", "")),
        html.table(
            question_tables.label_efficiency(study)[1], "Balanced accuracy by share of labels"
        ),
    )


def _robustness(study: Study, safe: Study, names: Mapping[str, str]) -> str:
    found = safe["robustness"]
    drawn = question_figures.corruption_map(found["families_summary"], found["families"], names)
    return html.section(
        "Corrupted images",
        html.figure(
            drawn,
            "Share of the clean balanced accuracy that is lost, mean over five severities.",
            "Relative losses; the table has them with their intervals.",
        ),
        html.table(question_tables.robustness(study)[1], "Relative loss of balanced accuracy"),
    )


def _shortcut(study: Study, safe: Study, names: Mapping[str, str]) -> str:
    drawn = question_figures.strengths(safe["shortcut"]["rows"], names)
    return html.section(
        "A planted artefact",
        *map(html.paragraph, shortcut_text.planted(study)),
        html.figure(
            drawn,
            "Reliance: how much the ink alone changes the probability of "
            f"{study['shortcut'].get('class', 'the class')}.",
            "Reliance by strength of the tie; the table has its values.",
        ),
        html.paragraph(study["shortcut"].get("text", "")),
        html.table(question_tables.shortcut(study)[1], "Reliance by strength of the tie"),
    )


def _external(study: Study, safe: Study, names: Mapping[str, str]) -> str:
    drawn = figures.dots(
        question_tables.external_rows(safe),
        title="Balanced accuracy by test set",
        x="Balanced accuracy",
    )
    said = [
        f"{entry['dataset']}: {text}"
        for entry in study["external"]
        for text in (entry.get("note"), *entry.get("cautions", []))
        if text
    ]
    return html.section(
        "Other test sets",
        html.figure(
            drawn,
            "Bars: 95 % intervals.",
            "Balanced accuracy by test set; the table has its values.",
        ),
        html.table(question_tables.external(study)[1], "Other test sets"),
        html.bullets(said),
    )


def detail(study: Study, safe: Study) -> str:
    """Calibration, the operating point, subgroups, disagreement: each where it was looked at."""
    parts = {"calibration": _calibration, "operating_point": _operating_point, "subgroups": _groups}
    names, found = {arm: tables.name(safe, arm) for arm in study["arms"]}, safe.get("detail") or {}
    made = "".join(
        section(study, found[name], names) for name, section in parts.items() if found.get(name)
    )
    return made + html.section(
        "Where arms disagree",
        html.table(question_tables.disagreement(study)[1], "Who is right where"),
    )


def _calibration(study: Study, found: Mapping[str, Any], names: Mapping[str, str]) -> str:
    drawn = question_figures.reliability(
        {arm: entry["bins"] for arm, entry in found.items()}, names
    )
    return html.section(
        "Calibration",
        html.figure(
            drawn,
            "Before temperature scaling. On the dashed line a model is right as often as it says.",
            "Reliability of each arm; the table has the errors.",
        ),
        html.table(
            question_tables.calibration(study)[1],
            "Calibration before and after temperature scaling",
        ),
    )


def _operating_point(study: Study, point: Mapping[str, Any], names: Mapping[str, str]) -> str:
    drawn = question_figures.operating_curves(point, AT, names)
    return html.section(
        f"Operating point: {study['detail']['operating_point']['class']}",
        html.figure(
            drawn,
            f"Marked: a specificity of {formatting.percent(AT)}. Bands: 95 % intervals.",
            "Sensitivity by specificity; the table has the marked one.",
        ),
        html.table(question_tables.operating_point(study, AT)[1], "At the marked specificity"),
    )


def _groups(study: Study, found: list[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    drawn = []
    for group in found:
        rows = question_tables.subgroup_rows(
            {"detail": {"subgroups": found}, "arms": study["arms"]}, group["attribute"]
        )
        title = f"Balanced accuracy by {group['attribute']}"
        drawn.append(
            html.figure(
                figures.dots(rows, title=title, x="Balanced accuracy"),
                "Faint: too few groups to say much. Bars: 95 % intervals.",
                f"{title}; the table has its values.",
            )
        )
    return html.section(
        "Subgroups",
        *drawn,
        html.table(_subgroups(study), "All subgroups", True),
        html.table(question_tables.subgroups(study)[1], "Worst subgroup of each arm"),
    )


def _subgroups(study: Study) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "Attribute": group["attribute"],
                "Value": row["value"],
                "Images": row["images"],
                "Groups": row["groups"],
                **{
                    tables.name(study, arm): formatting.interval(found["balanced_accuracy"])
                    for arm, found in row["arms"].items()
                },
            }
            for group in study["detail"]["subgroups"]
            for row in group["values"]
        ]
    )
