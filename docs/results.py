"""README's figures, written from the shipped cards and the committed results, never by hand.

    python -m docs.results          rewrite the marked parts of README.md
    python -m docs.results --check  exit 1 where they are not what the cards and results say
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
ORDER = ("vae", "imagenet")
NEEDS = {"import": " --data PATH"}   # what a benchmark cannot do without


def cards() -> list[dict]:
    """Cards of the shipped models, the VAE's first."""
    found = [json.loads(path.read_text()) for path in sorted((REPOSITORY / "models").glob("*/card.json"))]
    return sorted(found, key=lambda card: (ORDER.index(card["arm"]) if card["arm"] in ORDER else 9, card["name"]))


def share(metric: dict) -> str:
    return f"{100 * metric['mean']:.1f} % ({100 * metric['low']:.1f} to {100 * metric['high']:.1f})"


def number(metric: dict) -> str:
    return f"{metric['mean']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})"


def models_part() -> str:
    """A table of the shipped models and the commands that made them."""
    shelf = cards()
    if not shelf:
        return "None yet."
    rows = ["| | " + " | ".join(f"`{card['name']}`" for card in shelf) + " |", "|---" * (len(shelf) + 1) + "|"]
    lines = {
        "initial weights": lambda c: {"vae": "VAE, trained here without labels", "imagenet": "ImageNet"}.get(
            c["initial_weights"]["kind"], c["initial_weights"]["kind"]),
        "network": lambda c: f"{c['architecture']} to stage {c['stage']}, {c['input_size']} px",
        "size": lambda c: f"{c['file_bytes'] / 1e6:.1f} MB",
        "balanced accuracy": lambda c: share(c["metrics"]["balanced_accuracy"]),
        "macro-AUROC": lambda c: number(c["metrics"]["macro_auroc"]),
        "accuracy": lambda c: share(c["metrics"]["accuracy"]),
        "loss gap, accuracy gap": lambda c: f"{c['gaps']['loss']:+.3f}, {100 * c['gaps']['accuracy']:+.1f} points"}
    rows += [f"| {name} | " + " | ".join(of(card) for card in shelf) + " |" for name, of in lines.items()]
    counts = shelf[0]["split"]["counts"]
    commands = "\n".join(dict.fromkeys(line for card in shelf for line in card["commands"]))
    return "\n".join([
        f"Fine-tuned end to end on the training split of HAM10000 ({counts['train']:,} images; {counts['test']:,} in the "
        "lesion-grouped test split), both with one schedule. Test metrics with 95 % intervals, one training seed:", "",
        *rows, "", "Made by", "", "```", commands, "```"])


def benchmarks_part() -> str:
    """A table of the committed benchmark results."""
    results = [json.loads(path.read_text()) for path in sorted((REPOSITORY / "benchmarks" / "results").glob("*.json"))]
    rows = [f"| `python -m benchmarks {r['name']}{NEEDS.get(r['name'], '')} --json` | {r['ratio']:.2f} | {r.get('limit', '–')} | {r['ours']:,.4g} | "
            f"{r['against']:,.4g} | {r['unit']} |" for r in results if "ratio" in r]
    if not rows:
        return "No result is committed yet."
    machine = results[0]["machine"]
    named = machine if isinstance(machine, str) else ", ".join(f"{key} {value}" for key, value in machine.items() if value)
    return "\n".join(["| command | ratio | limit | ours | against | unit |", "|---|---|---|---|---|---|", *rows, "",
                      f"Machine: {named}."])


PARTS = {"models": models_part, "benchmarks": benchmarks_part}


def filled(text: str) -> str:
    """README's text with each part between <!-- NAME --> and <!-- /NAME --> made anew."""
    for name, part in PARTS.items():
        before, opening, rest = text.partition(f"<!-- {name} -->\n")
        _, closing, after = rest.partition(f"<!-- /{name} -->")
        if not opening or not closing:
            raise SystemExit(f"README.md lacks the marks <!-- {name} --> and <!-- /{name} -->.")
        text = f"{before}{opening}{part()}\n{closing}{after}"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    if options.check:
        return 0 if filled(text) == text else 1
    README.write_text(filled(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
