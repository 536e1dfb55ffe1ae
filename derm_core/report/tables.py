"""study.json as tables and rows for charts. Pure: reads what the study wrote, computes nothing new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from . import words

TEST_METRICS = ("balanced_accuracy", "macro_auroc", "accuracy", "log_loss", "brier", "ece")
PAPER_ROWS = {"val_loss": "Validation loss", "train_accuracy": "Training accuracy", "val_accuracy": "Validation accuracy",
              "loss_gap": "Loss gap, validation − training", "accuracy_gap": "Accuracy gap, training − validation"}
DERIVED = "†"  # marks what is computed back from the paper's percentages


def arms(study: Mapping[str, Any]) -> list[str]:
    """The study's arms in the order in which they always stand."""
    return words.ordered(study["arms"])


def name(study: Mapping[str, Any], arm: str) -> str:
    """An arm's name on screen: the house's own, else the label that the study gave it."""
    return words.arm(arm, study["arms"].get(arm, {}).get("label")).name


def gap_rows(study: Mapping[str, Any], quantity: str = "accuracy") -> list[dict[str, Any]]:
    """Rows for figures.gap_against_accuracy: test balanced accuracy and the final gap of `quantity`."""
    rows = []
    for arm in arms(study):
        result = study["arms"][arm]
        accuracy = result["test"]["balanced_accuracy"]
        detail = result.get("gaps_detail", {}).get(quantity, {})
        final = detail.get("final") if isinstance(detail, dict) else None
        final = final if isinstance(final, dict) else {}
        gap = result["gaps"].get(quantity)
        if words.missing(gap) or words.missing(accuracy.get("mean")):
            continue
        rows.append({"arm": arm, "name": name(study, arm), "x": accuracy["mean"], "x_low": accuracy.get("low"),
                     "x_high": accuracy.get("high"), "y": gap, "y_low": final.get("low"), "y_high": final.get("high")})
    return rows


def gap_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """gap_rows with readable columns."""
    columns = {"name": "Arm", "x": "Balanced accuracy", "x_low": "Accuracy low", "x_high": "Accuracy high", "y": "Gap",
               "y_low": "Gap low", "y_high": "Gap high"}
    return pd.DataFrame(rows, columns=list(columns)).rename(columns=columns)


def test_metrics(study: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(numbers for the CSV: arm, metric, mean, std, low, high; text for the page: one row an arm)."""
    numbers, text = [], []
    entries = [(arm, name(study, arm), study["arms"][arm]["test"]) for arm in arms(study)]
    if study.get("majority"):
        majority = study["majority"]
        entries.append(("majority", words.arm("majority").name, majority.get("test", majority)))
    for arm, label, metrics in entries:
        row = {"Arm": words.arm(arm, label).badge}
        for metric in TEST_METRICS:
            value = metrics.get(metric)
            value = value if isinstance(value, dict) else {"mean": value}
            row[words.QUANTITIES[metric]] = words.interval(value, metric)
            numbers.append({"arm": label, "metric": metric, **{key: value.get(key) for key in ("mean", "std", "low", "high")}})
        text.append(row)
    return pd.DataFrame(numbers), pd.DataFrame(text)


def class_rows(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows for figures.per_class, all arms."""
    return [{"arm": arm, "name": name(study, arm), "class": row["class"], "n": row.get("n"),
             **{key: row["recall"].get(key) for key in ("mean", "low", "high")}}
            for arm in arms(study) for row in study["arms"][arm].get("per_class", [])]


def paper_table(study: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(numbers for the CSV, text for the page): start, final and relative change, ours beside the paper's."""
    rank = {quantity: place for place, quantity in enumerate(PAPER_ROWS)}
    place = {arm: index for index, arm in enumerate(words.ordered({row["arm"] for row in study["paper_table"]}))}
    rows = sorted(study["paper_table"], key=lambda row: (rank.get(row["quantity"], 99), place[row["arm"]]))
    numbers, text = [], []
    for row in rows:
        paper, share = row.get("paper") or {}, "accuracy" in row["quantity"]
        label = PAPER_ROWS.get(row["quantity"], row["quantity"].replace("_", " ").capitalize())
        first = not text or all(entry["Quantity"] != label for entry in text)
        text.append({"Quantity": label, "Arm": words.arm(row["arm"], name(study, row["arm"])).badge,
                     "This study": _course(row, share), "Change": words.percent(row.get("relative_change"), sign=True),
                     "The paper": _course(paper, share),
                     "Paper’s change": words.percent(paper.get("relative_change"), sign=True), "first": first})
        numbers.append({"quantity": row["quantity"], "arm": name(study, row["arm"]),
                        **{key: row.get(key) for key in ("start", "final", "relative_change")},
                        **{f"paper_{key}": paper.get(key) for key in ("start", "final", "relative_change")}})
    shown = pd.DataFrame(text)
    if len(shown):
        shown["Quantity"] = shown["Quantity"].where(shown.pop("first"), "")
    return pd.DataFrame(numbers), shown


def settings(study: Mapping[str, Any]) -> pd.DataFrame:
    """Text: for every arm the common setting and its own best, balanced accuracy at each, and what lies at the grid's edge."""
    grid = study.get("grid") or {}
    rows = []
    for arm in arms(study):
        result, best = study["arms"][arm], study["arms"][arm].get("best_setting") or {}
        edges = (grid.get("best_edge") or {}).get(arm, [])
        rows.append({"Arm": words.arm(arm, name(study, arm)).badge, "Common": _setting(result.get("setting")),
                     "Balanced accuracy": words.percent(result["test"]["balanced_accuracy"].get("mean")),
                     "Own best": _setting(best) + (" (edge of the grid)" if edges else ""),
                     "Balanced accuracy there": words.percent(((best.get("test") or {}).get("balanced_accuracy") or {}).get("mean"))})
    return pd.DataFrame(rows)


def _setting(setting: Mapping[str, Any] | None) -> str:
    if not setting:
        return "–"
    return f"rate {setting['learning_rate']:g}, decay {setting['weight_decay']:g}"


def differences(study: Mapping[str, Any], metric: str = "balanced_accuracy") -> tuple[pd.DataFrame, pd.DataFrame]:
    """(numbers, text): paired differences between arms on the same test groups, the primary one first."""
    rows = sorted((row for row in study.get("differences", []) if row["metric"] == metric),
                  key=lambda row: not row["primary"])
    text = [{"Difference": f"{words.arm(row['a'], name(study, row['a'])).badge} − "
                           f"{words.arm(row['b'], name(study, row['b'])).badge}",
             "Points (95 % interval)": words.points(row), "p": words.p_value(row["p"] if row["primary"] else row["p_holm"]),
             "Test": "primary" if row["primary"] else "secondary, Holm-corrected",
             "Could have shown": "–" if words.missing(row.get("detectable")) else f"{100 * abs(row['detectable']):.1f} points"}
            for row in rows]
    return pd.DataFrame(study.get("differences", [])), pd.DataFrame(text)


def matched(study: Mapping[str, Any]) -> pd.DataFrame:
    """Gaps of the compared pair where both first reach the same training accuracy; text, one row an arm."""
    found = study.get("matched") or {}
    return pd.DataFrame([
        {"Arm": words.arm(arm, name(study, arm)).badge, "Epoch": words.number(at["epoch"], 1),
         "Loss gap": words.number(at["loss"]["mean"], sign=True), "Accuracy gap": words.percent(at["accuracy"]["mean"], sign=True)}
        for arm, at in found.get("arms", {}).items()])


def _course(row: Mapping[str, Any], share: bool) -> str:
    """'45.0 % → 65.0 %', or the final value alone where no start is known."""
    def write(key: str) -> str:
        value = words.percent(row[key]) if share else words.number(row[key])
        return value + (DERIVED if key in (row.get("derived") or ()) else "")

    start, final = row.get("start"), row.get("final")
    if row.get("text"):
        return row["text"]
    if words.missing(final):
        return "–"
    return write("final") if words.missing(start) else f"{write('start')}{words.NBSP}→{words.NBSP}{write('final')}"
