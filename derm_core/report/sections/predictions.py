"""Other people's predictions compared, as sections for the page and the terminal."""

from __future__ import annotations

import pandas as pd

from ...formatting import count, interval, number, p_value, percent, points, signed_interval
from ...study.predictions_result import PredictionsCompared
from ...study.subgroups import NOTE
from ..charts import ForestRow, forest
from ..section import Row, Section
from .parts import forest_text


def prediction_sections(result: PredictionsCompared) -> list[Section]:
    """What the comparison comes to, the models, their differences, the split, melanoma, subgroups, and the notes."""
    sections = [_models(result), _differences(result), _split(result)]
    sections += [_operating_points(result), *_subgroups(result), _notes(result)]
    return [one for one in sections if one]


def _models(result: PredictionsCompared) -> Section:
    rows: list[Row] = [
        {
            "Model": name,
            "Images": one.tested,
            "Balanced accuracy (95 %)": interval(one.balanced_accuracy),
            "Macro-AUROC": number(one.macro_auroc),
            "Accuracy": percent(one.accuracy),
            "Calibration error": percent(one.ece),
            "True labels that agree": "–"
            if one.labels_given is None
            else f"{one.labels_agree} of {one.labels_given}",
        }
        for name, one in result.models.items()
    ]
    return Section(
        key="predictions",
        finding=" ".join(result.verdict),
        table=rows,
        table_title="Every model on all of its own images",
        numbers=lambda: pd.DataFrame(
            {
                "model": name,
                "metric": metric,
                "mean": value.mean,
                "low": value.low,
                "high": value.high,
            }
            for name, one in result.models.items()
            for metric, value in one.intervals.items()
        ),
    )


def _differences(result: PredictionsCompared) -> Section | None:
    first = [row for row in result.differences if row.metric == "balanced_accuracy"]
    if not first:
        return None
    auroc = {(row.a, row.b): row for row in result.differences if row.metric == "macro_auroc"}
    forest_rows = [ForestRow(f"{row.a} − {row.b}", points(row), row) for row in first]
    return Section(
        key="predictions-differences",
        title="Differences",
        level=3,
        figure=lambda: forest(forest_rows, "balanced accuracy"),
        caption="Paired, on the images that all files share; an interval that meets 0 shows no difference.",
        alt=forest_text(forest_rows),
        table=[
            {
                "Pair": f"{row.a} − {row.b}",
                "Balanced accuracy, points": points(row),
                "p (Holm)": p_value(row.p_holm),
                "Macro-AUROC": signed_interval(auroc.get((row.a, row.b))),
                "p (Holm), AUROC": p_value(auroc[row.a, row.b].p_holm)
                if (row.a, row.b) in auroc
                else "–",
            }
            for row in first
        ],
        table_title=f"Differences on {count(result.images_compared, 'image')}",
        numbers=lambda: pd.DataFrame(
            {"a": row.a, "b": row.b, "metric": row.metric, "mean": row.mean, "low": row.low}
            | {"high": row.high, "p": row.p, "p_holm": row.p_holm}
            for row in result.differences
        ),
    )


def _split(result: PredictionsCompared) -> Section:
    audit = result.audit
    rows: list[Row] = [
        {
            "Model": name,
            f"On {audit.by}s in both parts": interval(audit.balanced_accuracy_torn[name]),
            "On the others": interval(audit.balanced_accuracy_whole[name]),
            "Difference, points": points(change),
        }
        for name, change in audit.differences.items()
    ]
    return Section(
        key="predictions-split",
        title="The split that came with the predictions",
        level=3,
        text=result.split,
        table=rows,
        table_title="Balanced accuracy by whether other images of the group were left for training",
        table_caption=f"Mean recall of {', '.join(audit.classes)}: classes of ten groups or more on both sides."
        if rows
        else "No class has ten groups or more on both sides: recall is not compared.",
    )


def _operating_points(result: PredictionsCompared) -> Section | None:
    target = result.operating_points
    if target is None:
        return None
    rows: list[Row] = []
    for name, curve in target.models.items():
        spans = zip(curve.sensitivity, curve.low, curve.high, strict=True)
        values = [interval({"mean": mean, "low": low, "high": high}) for mean, low, high in spans]
        columns = [f"at {percent(level)} specificity" for level in target.specificities]
        rows.append({"Model": name, **dict(zip(columns, values, strict=True))})
    return Section(
        key="predictions-sensitivity",
        title=f"Sensitivity for {target.class_name}",
        level=3,
        table=rows,
        table_title=f"Sensitivity for {target.class_name} at fixed specificities",
        table_caption="Thresholds come from the tested images themselves: this is an upper bound.",
    )


def _subgroups(result: PredictionsCompared) -> list[Section]:
    sections = []
    for place, entry in enumerate(result.subgroups):
        rows: list[Row] = [
            {
                "Value": one.value,
                "Images": one.images,
                "Groups": f"{one.groups}{' (few)' if one.caution else ''}",
                **{name: interval(of["balanced_accuracy"]) for name, of in one.arms.items()},
            }
            for one in entry.values
        ]
        shown = [
            f"{row.value} differs from the rest for {row.arm} ({points(row.change)} points, p {p_value(row.p_holm)})."
            for row in entry.tests
            if row.differs and row.opponent is None
        ]
        sections.append(
            Section(
                key=f"predictions-{entry.attribute}",
                title=f"By {entry.attribute.replace('_', ' ')}",
                level=3,
                text=tuple(shown) or ("No subgroup is shown to differ from the rest.",),
                table=rows,
                table_title=f"Balanced accuracy by {entry.attribute}",
                table_caption=NOTE if place == len(result.subgroups) - 1 else "",
                folded=True,
            )
        )
    return sections


def _notes(result: PredictionsCompared) -> Section:
    cautions = dict.fromkeys(text for one in result.models.values() for text in one.cautions)
    return Section(
        key="predictions-notes",
        title="How the files were read, and what limits the numbers",
        level=3,
        text=(*cautions, *result.notes),
        folded=True,
    )
