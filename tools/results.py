"""The figures of README and docs, written from the shipped cards and the committed results, never by hand.

python -m tools.results          rewrite the marked parts of README.md and docs/results.md, and docs/recipes.md
python -m tools.results --check  exit 1 where they are not what the cards and results say
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from derm_core.report.sections.paper import paper_table
from derm_core.report.sections.verdict import AT_SHARED_SETTING
from derm_core.study.external_cautions import short_cautions
from derm_core.study.study_result import read_study
from tools.findings import answer_part, learned_part, verdict_part
from tools.folds_page import folds_page
from tools.recipe_table import ablation_part, directed, folds_part, points
from tools.scale_table import scale_part

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
PAGE = REPOSITORY / "docs" / "results.md"
ORDER = ("vae", "imagenet")
RESULTS = REPOSITORY / "benchmarks" / "results"
STUDY = RESULTS / "laptop-ham10000" / "study.json"
FOLDS = RESULTS / "folds.json"
SCALE = RESULTS / "scale.json"
EXPERIMENTS = REPOSITORY / "experiments" / "results"
RECIPE = EXPERIMENTS / "recipe.json"
RECIPES = REPOSITORY / "docs" / "recipes.md"


def cards() -> list[dict]:
    """Cards of the shipped classifiers, the VAE's first."""
    every_card = [
        json.loads(path.read_text()) for path in sorted((REPOSITORY / "models").glob("*/card.json"))
    ]
    return sorted(
        (card for card in every_card if "arm" in card),  # an extractor has none
        key=lambda card: (ORDER.index(card["arm"]) if card["arm"] in ORDER else 9, card["name"]),
    )


def share(metric: Mapping[str, float]) -> str:
    """`60.3 % (58.1 to 62.4)`: a share with its interval."""
    return f"{100 * metric['mean']:.1f} % ({100 * metric['low']:.1f} to {100 * metric['high']:.1f})"


def number(metric: Mapping[str, float]) -> str:
    """`0.929 (0.924 to 0.934)`: a number with its interval."""
    return f"{metric['mean']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})"


def readme_answer(folds: Path, recipe: Path) -> str:
    """The verdict of the committed study in folds; without one, the answer of the earlier experiment."""
    if folds.exists():
        return verdict_part(json.loads(folds.read_text(encoding="utf-8")))
    return answer_part(json.loads(recipe.read_text(encoding="utf-8")))


def _decided(decision: str, metric: str, card: dict) -> str:
    return share(card["decisions"][decision][metric])


def models_part() -> str:
    """A table of the shipped models and the commands that made them."""
    shelf = cards()
    if not shelf:
        return "None yet."
    rows = [
        "| | " + " | ".join(f"`{card['name']}`" for card in shelf) + " |",
        "|---" * (len(shelf) + 1) + "|",
    ]
    lines: dict[str, Callable[[dict], str]] = {
        "initial weights": lambda c: {
            "vae": "VAE, trained here without labels",
            "imagenet": "ImageNet",
        }.get(c["initial_weights"]["kind"], c["initial_weights"]["kind"]),
        "network": lambda c: f"{c['architecture']} to stage {c['stage']}, {c['input_size']} px",
        "size": lambda c: f"{c['file_bytes'] / 1e6:.1f} MB",
        "balanced accuracy, adjusted for class frequency": partial(
            _decided, "adjusted", "balanced_accuracy"
        ),
        "balanced accuracy, most probable class": partial(
            _decided, "most_probable", "balanced_accuracy"
        ),
        "accuracy, most probable class": partial(_decided, "most_probable", "accuracy"),
        "accuracy, adjusted for class frequency": partial(_decided, "adjusted", "accuracy"),
        "macro-AUROC": lambda c: number(c["metrics"]["macro_auroc"]),
        "loss gap, accuracy gap": lambda c: (
            f"{c['gaps']['loss']:+.3f}, {100 * c['gaps']['accuracy']:+.1f} points"
        ),
    }
    rows += [
        f"| {name} | " + " | ".join(of(card) for card in shelf) + " |" for name, of in lines.items()
    ]
    counts = shelf[0]["split"]["counts"]
    commands = "\n".join(dict.fromkeys(line for card in shelf for line in card["commands"]))
    return "\n".join(
        [
            f"Fine-tuned end to end on the training split of HAM10000 ({counts['train']:,} "
            f"images; {counts['test']:,} in the "
            "lesion-grouped test split), both with one schedule. Test metrics with 95 % intervals, one training seed:",
            "",
            *rows,
            "",
            "Made by",
            "",
            "```",
            commands,
            "```",
        ]
    )


def study_part(path: Path = STUDY) -> str:
    """The committed study: its verdict, one line an arm, how long it took and the command."""
    study = json.loads(path.read_text(encoding="utf-8"))
    head = ["", "balanced accuracy, test", "macro-AUROC, test", "loss gap", "accuracy gap"]
    asked = [
        (f"balanced accuracy, {row['dataset']}", row["arms"]) for row in study.get("external", [])
    ]
    rows = [
        head + [name for name, _ in asked] + ["lost under corruptions"],
        ["---"] * (len(head) + len(asked) + 1),
    ]
    for arm, entry in study["arms"].items():
        rows.append(
            [
                entry["label"],
                share(entry["test"]["balanced_accuracy"]),
                number(entry["test"]["macro_auroc"]),
                f"{entry['gaps']['loss']:+.3f}",
                f"{100 * entry['gaps']['accuracy']:+.1f} points",
                *(share(arms[arm]["balanced_accuracy"]) for _, arms in asked),
                share(study["robustness"]["mean"][arm]),
            ]
        )
    config, verdict = study["config"], study["verdict"]
    shelf = f" --vae {config['vae']}" if config.get("vae") else ""
    return "\n".join(
        [
            f"**{verdict['headline']}** {' '.join(verdict['sentences'])}",
            *(["", AT_SHARED_SETTING] if read_study(path).at_shared_setting else []),
            "",
            *("| " + " | ".join(row) + " |" for row in rows),
            "",
            elsewhere(study),
            "",
            *cautions_elsewhere(path),
            f"{config['dataset']}, {config['backbone']['architecture']} to stage {config['backbone']['stage']}, "
            f"{config['input_size']} px, {len(config['seeds'])} seeds of the classifier; 95 % "
            'intervals. "Lost" is the share of '
            f"balanced accuracy that is gone, mean over {len(study['robustness']['families'])} "
            "kinds of corruption at five "
            f"strengths. Made, the VAE's pretraining apart, by "
            f"`python -m derm_core compare --preset {config['preset']}{shelf} --full --external "
            f"{','.join(config['external'])}`; all "
            f"tables: [{path.parent.name}](../benchmarks/results/{path.parent.name}).",
        ]
    )


def elsewhere(study: dict) -> str:
    """The VAE's and both's paired differences from ImageNet on other data and under corruptions."""
    labels = {arm: study["arms"][arm]["label"] for arm in ("vae", "both")}
    asked = [(f"on {row['dataset']}", row["differences"]) for row in study.get("external", [])]
    sentences = []
    for arm, label in labels.items():
        parts = [
            f"{points(metric)} points of balanced accuracy {where}"
            for where, rows in asked
            if (metric := directed(rows, arm).get("balanced_accuracy"))
        ]
        lost = [
            {**row, "metric": "lost"}
            for row in study["robustness"]["differences"]
            if row["family"] == "all"
        ]
        parts += [
            f"{points(metric)} points in the share lost under corruptions"
            for metric in directed(lost, arm).values()
        ]
        sentences.append(f"{label} − {study['arms']['imagenet']['label']}: {'; '.join(parts)}.")
    return "Paired differences with 95 % intervals. " + " ".join(sentences)


def cautions_elsewhere(path: Path = STUDY) -> list[str]:
    """What limits the numbers on other test sets."""
    study = read_study(path)
    limits = [
        f"{one.dataset}: {'; '.join(texts)}."
        for one in study.external
        if (texts := short_cautions(one, study.dataset))
    ]
    return [f"Cautions on other test sets. {' '.join(limits)}", ""] if limits else []


def paper_part(path: Path = STUDY) -> str:
    """The paper's table for the arms of the committed study, beside the paper's own numbers."""
    section = paper_table(read_study(path))[0]
    rows = [section.columns, ["---"] * len(section.columns), *section.cells()]
    return "\n".join(
        [
            "From the start to the end of the classifier's training. † computed back from the "
            "paper's percentages. The paper's "
            "loss is on another scale: compare directions and relative changes, not values. In "
            "the paper ImageNet has the "
            "higher validation accuracy, and the claim is about the gap.",
            "",
            *("| " + " | ".join(row) + " |" for row in rows),
        ]
    )


def recipe_part(path: Path = RECIPE) -> str:
    """The out-of-fold comparison, what was learned, and where the tables are."""
    result = json.loads(path.read_text(encoding="utf-8"))
    return "\n\n".join(
        [
            folds_part(result),
            "**What was learned**",
            learned_part(result),
            "Every lever, the finals with their controls and the curve of quality against pretraining time, with the "
            f"commands: [recipes.md](recipes.md); the file: [{path.name}](../experiments/results/{path.name}).",
        ]
    )


def recipes_page() -> str:
    """docs/recipes.md, whole."""
    return (
        "\n\n".join(
            [
                "# Pretraining recipes: what was tried and what it gave",
                "Written by `python -m tools.results` from what was committed of `python -m "
                "experiments recipe --json`, whose docstring "
                "says how lines are made and judged. Recipes and their sources: `derm_core/config/recipes.py`.",
                ablation_part(EXPERIMENTS),
            ]
        )
        + "\n"
    )


def benchmarks_part(*folders: Path) -> str:
    """A table of the committed benchmark results for each machine that they come from."""
    machines: dict[str, list[dict]] = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(result, dict) and {"name", "ratio"} <= result.keys():
            machines.setdefault(machine_name(result.get("machine")), []).append(result)
    if not machines:
        return "No result is committed yet."
    parts: list[str | None] = []
    for machine in sorted(machines, key=lambda name: ("NVIDIA" in name, name)):
        rows = [
            benchmark_row(result)
            for result in sorted(machines[machine], key=lambda r: (r["name"], spoken_command(r)))
        ]
        parts += [
            "" if parts else None,
            f"**{machine}**",
            "",
            "| command | ratio | limit | ours | against | what it is measured against |",
            "|---|---|---|---|---|---|",
            *rows,
        ]
    return "\n".join(part for part in parts if part is not None)


def benchmark_row(result: dict) -> str:
    """One result: its ratio beside the limit, a floor (≥) or a ceiling (≤), and both sides with their unit."""
    limit, unit = result.get("limit"), result.get("unit", "")
    more = result.get("better", "lower") == "higher"
    asked = "–" if limit is None else f"{'≥' if more else '≤'} {limit:.3g}"
    if limit is not None and (result["ratio"] < limit if more else result["ratio"] > limit):
        asked += ", missed"
    sides = [
        f"{figure(result[side])} {unit}".strip() if result.get(side) is not None else "–"
        for side in ("ours", "against")
    ]
    peer = str(result.get("peer", "")).replace("|", "/") + (
        " (shortened)" if result.get("quick") else ""
    )
    return f"| `{spoken_command(result)}` | {result['ratio']:.3g} | {asked} | {' | '.join(sides)} | {peer} |"


def figure(value: float) -> str:
    """Four digits, or a whole number with separators from 1,000 on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def spoken_command(result: dict) -> str:
    """What makes a result again; those of before commands were kept had no arguments."""
    return result.get("command") or f"python -m benchmarks {result['name']} --json"


def machine_name(machine: dict | str | None) -> str:
    """`NVIDIA H100, AMD EPYC, 16 cores, 128 GB, Linux` of what a benchmark says of its machine."""
    if not isinstance(machine, dict):
        return machine or "A machine without a name"
    words = [
        machine.get("gpu"),
        machine.get("processor"),
        machine.get("cores") and f"{machine['cores']} core{'s' * (machine['cores'] != 1)}",
        machine.get("memory_gb") and f"{round(machine['memory_gb'])} GB",
        machine.get("system"),
    ]
    return ", ".join(str(word) for word in words if word)


PARTS = {
    README: {
        "answer": lambda: readme_answer(FOLDS, RECIPE),
    },
    PAGE: {
        "folds": lambda: folds_page(FOLDS),
        "recipe": recipe_part,
        "study": study_part,
        "paper": paper_part,
        "models": models_part,
        "benchmarks": lambda: benchmarks_part(RESULTS, EXPERIMENTS),
        "scale": lambda: scale_part(SCALE),
    },
}


def filled(path: Path) -> str:
    """The text of a page with each part between <!-- NAME --> and <!-- /NAME --> made anew."""
    text = path.read_text(encoding="utf-8")
    for name, part in PARTS[path].items():
        before, opening, rest = text.partition(f"<!-- {name} -->\n")
        _, closing, after = rest.partition(f"<!-- /{name} -->")
        if not opening or not closing:
            raise SystemExit(f"{path.name} lacks the marks <!-- {name} --> and <!-- /{name} -->.")
        text = f"{before}{opening}{part()}\n{closing}{after}"
    return text


def pages() -> dict[Path, str]:
    """Every page with figures and the text that it must have."""
    return {README: filled(README), PAGE: filled(PAGE), RECIPES: recipes_page()}


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    for path, text in pages().items():
        if not options.check:
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
