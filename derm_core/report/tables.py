"""study.json as tables and rows for charts. Pure: reads what the study wrote, computes nothing new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .. import formatting
from ..arms import arm_style, in_order

TEST_METRICS = ("balanced_accuracy", "macro_auroc", "accuracy", "log_loss", "brier", "ece")
PAPER_ROWS = {
    "val_loss": "Validation loss",
    "train_accuracy": "Training accuracy",
    "val_accuracy": "Validation accuracy",
    "loss_gap": "Loss gap, validation − training",
    "accuracy_gap": "Accuracy gap, training − validation",
}
EDGE = "‡"  # marks a setting at the edge of the grid
DERIVED = "†"  # marks what is computed back from the paper's percentages


def arms(study: Mapping[str, Any]) -> list[str]:
    """The study's arms in the order in which they always stand."""
    return in_order(study["arms"])


def name(study: Mapping[str, Any], arm: str) -> str:
    """An arm's name on screen: the house's own, else the label that the study gave it."""
    return arm_style(arm, study["arms"].get(arm, {}).get("label")).name


def gap_rows(study: Mapping[str, Any], quantity: str = "accuracy") -> list[dict[str, Any]]:
    """Rows for figures.gap_against_accuracy: test balanced accuracy and the final gap of `quantity`."""
    rows = []
    for arm in arms(study):
        result = study["arms"][arm]
        accuracy = result["test"]["balanced_accuracy"]
        detail = result.get("gaps_detail", {}).get(quantity, {})
        final = detail.get("final") if isinstance(detail, dict) else None
        final = final if isinstance(final, dict) else {}
        gap = (result.get("gaps") or {}).get(quantity)
        if formatting.missing(gap) or formatting.missing(accuracy.get("mean")):
            continue
        rows.append(
            {
                "arm": arm,
                "name": name(study, arm),
                "x": accuracy["mean"],
                "x_low": accuracy.get("low"),
                "x_high": accuracy.get("high"),
                "y": gap,
                "y_low": final.get("low"),
                "y_high": final.get("high"),
            }
        )
    return rows


def gap_rows_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """gap_rows with readable columns."""
    columns = {
        "name": "Arm",
        "x": "Balanced accuracy",
        "x_low": "Accuracy low",
        "x_high": "Accuracy high",
        "y": "Gap",
        "y_low": "Gap low",
        "y_high": "Gap high",
    }
    return pd.DataFrame(rows, columns=list(columns)).rename(columns=columns)


def test_metrics(study: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(numbers for the CSV: arm, metric, mean, std, low, high; text for the page: one row an arm)."""
    numbers, text = [], []
    entries = [(arm, name(study, arm), study["arms"][arm]["test"]) for arm in arms(study)]
    if study.get("majority"):
        majority = study["majority"]
        entries.append(("majority", arm_style("majority").name, majority.get("test", majority)))
    for arm, label, metrics in entries:
        row = {"Arm": arm_style(arm, label).badge}
        for metric in TEST_METRICS:
            value = metrics.get(metric)
            value = value if isinstance(value, dict) else {"mean": value}
            row[formatting.QUANTITIES[metric]] = formatting.interval(value, metric)
            numbers.append(
                {
                    "arm": label,
                    "metric": metric,
                    **{key: value.get(key) for key in ("mean", "std", "low", "high")},
                }
            )
        text.append(row)
    return pd.DataFrame(numbers), pd.DataFrame(text)


def class_rows(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows for figures.per_class, all arms."""
    return [
        {
            "arm": arm,
            "name": name(study, arm),
            "class": row["class"],
            "n": row.get("n"),
            **{key: row["recall"].get(key) for key in ("mean", "low", "high")},
        }
        for arm in arms(study)
        for row in study["arms"][arm].get("per_class", [])
    ]


def paper_table(study: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(numbers for the CSV, text for the page): start, final and relative change, ours beside the paper's."""
    found = study.get("paper_table") or []
    rank = {quantity: place for place, quantity in enumerate(PAPER_ROWS)}
    place = {arm: index for index, arm in enumerate(in_order({row["arm"] for row in found}))}
    rows = sorted(found, key=lambda row: (rank.get(row["quantity"], 99), place[row["arm"]]))
    numbers, text = [], []
    for row in rows:
        paper, share = row.get("paper") or {}, "accuracy" in row["quantity"]
        label = PAPER_ROWS.get(row["quantity"], row["quantity"].replace("_", " ").capitalize())
        first = not text or all(entry["Quantity"] != label for entry in text)
        text.append(
            {
                "Quantity": label,
                "Arm": arm_style(row["arm"], name(study, row["arm"])).badge,
                "This study": _course(row, share),
                "Change": formatting.percent(row.get("relative_change"), sign=True),
                "The paper": _course(paper, share),
                "Paper’s change": formatting.percent(paper.get("relative_change"), sign=True),
                "first": first,
            }
        )
        numbers.append(
            {
                "quantity": row["quantity"],
                "arm": name(study, row["arm"]),
                **{key: row.get(key) for key in ("start", "final", "relative_change")},
                **{f"paper_{key}": paper.get(key) for key in ("start", "final", "relative_change")},
            }
        )
    shown = pd.DataFrame(text)
    if len(shown):
        shown["Quantity"] = shown["Quantity"].where(shown.pop("first"), "")
    return pd.DataFrame(numbers), shown


def settings(study: Mapping[str, Any]) -> pd.DataFrame:
    """Text: every arm's common setting and its own best, balanced accuracy at each, and what lies at the grid's edge."""
    grid = study.get("grid") or {}
    rows = []
    for arm in arms(study):
        result, best = study["arms"][arm], study["arms"][arm].get("best_setting") or {}
        edges = (grid.get("best_edge") or {}).get(arm, [])
        rows.append(
            {
                "Arm": arm_style(arm, name(study, arm)).badge,
                "Rate, decay": _setting(result.get("setting")),
                "Balanced accuracy": formatting.percent(
                    result["test"]["balanced_accuracy"].get("mean")
                ),
                "Own best": _setting(best) + (EDGE if edges else ""),
                "Balanced accuracy there": formatting.percent(
                    ((best.get("test") or {}).get("balanced_accuracy") or {}).get("mean")
                ),
            }
        )
    return pd.DataFrame(rows)


def folds(study: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(numbers of every fold and arm, text: one row a fold): balanced accuracy, and the gaps at the final and best epoch."""
    found = study.get("folds") or []
    chosen = {row["fold"]: row for row in (study.get("grid") or {}).get("folds") or []}
    numbers = [
        {
            "fold": row["fold"],
            "run": row["run"],
            "pretraining": row["pretrain"],
            "arm": name(study, arm),
            **values,
        }
        for row in found
        for arm, values in row["arms"].items()
    ]
    text = [
        {
            "Fold": f"{row['fold']}",
            "Tested": formatting.count(row["counts"]["test"], "image"),
            **({"Rate, decay": _setting(chosen[row["fold"]])} if chosen else {}),
            **{
                arm_style(
                    arm, name(study, arm)
                ).brief: f"{formatting.percent(row['arms'][arm]['balanced_accuracy'])} "
                f"(gap{formatting.NBSP}{formatting.percent(row['arms'][arm]['accuracy_gap_final'], sign=True)})"
                for arm in arms(study)
            },
        }
        for row in found
    ]
    return pd.DataFrame(numbers), pd.DataFrame(text)


def _setting(setting: Mapping[str, Any] | None) -> str:
    if not setting:
        return "–"
    return f"{setting['learning_rate']:g},{formatting.NBSP}{setting['weight_decay']:g}"


def pair(study: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """'VAE − ImageNet': the pair of a row with a and b."""
    return " − ".join(arm_style(row[side], name(study, row[side])).brief for side in "ab")


def differences(
    study: Mapping[str, Any], metric: str = "balanced_accuracy"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(numbers of every metric, text of one): paired differences on the same test groups, the primary one first."""
    rows = difference_rows(study, study.get("differences") or [], metric)
    unit = "points" if metric in formatting.SHARES else ""
    text = [
        {
            "Difference": row["name"],
            f"{formatting.QUANTITIES.get(metric, metric)} (95 % interval)": f"{row['text']} {unit}".strip(),
            "p": formatting.p_value(row["p"] if row["primary"] else row["p_holm"]),
            "Test": "primary" if row["primary"] else "secondary, Holm-corrected",
            "Could have shown": _detectable(row, metric),
        }
        for row in rows
    ]
    return pd.DataFrame(study.get("differences") or []), pd.DataFrame(text)


def _detectable(row: Mapping[str, Any], metric: str) -> str:
    if formatting.missing(row.get("detectable")):
        return "–"
    return (
        f"{100 * abs(row['detectable']):.1f} points"
        if metric in formatting.SHARES
        else formatting.number(abs(row["detectable"]))
    )


def difference_rows(
    study: Mapping[str, Any], rows: list[Mapping[str, Any]], quantity: str, field: str = "metric"
) -> list[dict[str, Any]]:
    """Rows for extra_figures.forest: those whose `field` is `quantity`, with name and text, the primary one first."""
    chosen = sorted(
        (row for row in rows if row.get(field) == quantity), key=lambda row: not row.get("primary")
    )
    write = formatting.points if quantity in formatting.SHARES else formatting.signed_interval
    return [{**row, "name": pair(study, row), "text": write(row)} for row in chosen]


def gap_differences(
    study: Mapping[str, Any], kind: str
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """(numbers of both kinds, rows for extra_figures.forest at the final epoch): a's gap less b's, "loss" or "accuracy"."""
    found = study.get("gap_differences")
    rows = found if isinstance(found, list) else []
    return pd.DataFrame(rows), difference_rows(
        study, [row for row in rows if row.get("at") == "final"], kind, "kind"
    )


AT = {
    "final": "Final epoch",
    "best": "Best validation loss",
    "test": "Test in place of validation",
    "matched": "Same training accuracy",
    "area": "Area between the curves",
}


def gap_table(study: Mapping[str, Any]) -> pd.DataFrame:
    """Text: both gaps of every arm, at each moment at which they are taken."""
    rows = []
    for arm in arms(study):
        detail = study["arms"][arm].get("gaps_detail") or {}
        for at in AT:
            found = {kind: (detail.get(kind) or {}).get(at) for kind in ("loss", "accuracy")}
            if any(found.values()):
                rows.append(
                    {
                        "Arm": arm_style(arm, name(study, arm)).badge,
                        "At": AT[at],
                        "Loss gap": formatting.signed_interval(found["loss"] or {}),
                        "Accuracy gap, points": formatting.points(found["accuracy"] or {}),
                    }
                )
    return pd.DataFrame(rows)


def matched(study: Mapping[str, Any]) -> tuple[dict[str, Any] | None, pd.DataFrame]:
    """The primary pair's entry and, as text, both gaps where its arms first reach the same training accuracy."""
    found = study.get("matched")
    first = found[0] if isinstance(found, list) and found else None
    return first, pd.DataFrame(
        [
            {
                "Arm": arm_style(arm, name(study, arm)).badge,
                "Epoch": formatting.number(at["epoch"], 1),
                "Loss gap": formatting.number(at["loss"]["mean"], sign=True),
                "Accuracy gap": formatting.percent(at["accuracy"]["mean"], sign=True),
            }
            for arm, at in ((first or {}).get("arms") or {}).items()
        ]
    )


ANSWERS = {"seen": "green", "not seen": "gray", "opposite": "orange", "not asked": "gray"}


def claims(study: Mapping[str, Any]) -> pd.DataFrame:
    """Text: the paper's four claims, whether this study sees them, and the sentence with its numbers."""
    return pd.DataFrame(
        [
            {
                "The paper’s claim": row["claim"],
                "Here": f":{ANSWERS.get(row['answer'], 'gray')}-badge[{row['answer'].capitalize()}]",
                "Why": row["text"],
            }
            for row in study.get("claims") or []
        ]
    )


def _course(row: Mapping[str, Any], share: bool) -> str:
    """'45.0 % → 65.0 %', or the final value alone where no start is known."""

    def write(key: str) -> str:
        value = formatting.percent(row[key]) if share else formatting.number(row[key])
        return value + (DERIVED if key in (row.get("derived") or ()) else "")

    start, final = row.get("start"), row.get("final")
    if row.get("text"):
        return row["text"]
    if formatting.missing(final):
        return "–"
    return (
        write("final")
        if formatting.missing(start)
        else f"{write('start')}{formatting.NBSP}→{formatting.NBSP}{write('final')}"
    )
