"""The licences of what requirements.txt pulls in, from the installed packages' own metadata.

    python -m tools.licences          rewrite docs/licences.md
    python -m tools.licences --check  exit 1 where it names other packages or versions than requirements.txt brings here

Written in an environment made from requirements.txt; packages for other systems are not listed.
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LIST = REPOSITORY / "docs" / "licences.md"
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


def required() -> list[str]:
    """Names in requirements.txt."""
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [match[0] for line in lines if (match := NAME.match(line))]


def installed(names: list[str]) -> dict[str, Distribution]:
    """These packages and all that they need here, by lower-case name."""
    packages: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in packages:
            continue
        try:
            packages[key] = distribution(name)
        except PackageNotFoundError:
            continue  # for another system, or an extra that is not asked for
        needed = [text for text in packages[key].requires or [] if "extra ==" not in text]
        waiting += [match[0] for text in needed if (match := NAME.match(text))]
    return dict(sorted(packages.items()))


def licence(package: Distribution) -> str:
    """What a package says of its licence.

    An SPDX expression, else its classifiers, else the first line of its field.
    """
    data = package.metadata
    if data["License-Expression"]:
        return data["License-Expression"]
    named = [
        text.split(" :: ")[-1]
        for text in data.get_all("Classifier") or []
        if text.startswith("License :: ")
    ]
    first = (data["License"] or "").strip().splitlines()
    return "; ".join(dict.fromkeys(named)) or (
        first[0][:80] if first else "not said in its metadata"
    )


def listed() -> str:
    """The text of docs/licences.md."""
    rows = [
        f"| {package.metadata['Name']} | {package.version} | {licence(package)} |".replace(
            "\n", " "
        )
        for package in installed(required()).values()
    ]
    return "\n".join(
        [
            "# Licences of the dependencies",
            "",
            "Made by `python -m tools.licences` from the metadata of the packages that requirements.txt brings.",
            "",
            "| package | version | licence |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Write docs/licences.md, or check it."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.licences", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    args = parser.parse_args(arguments)
    text = listed()
    if args.check:
        same = LIST.exists() and LIST.read_text(encoding="utf-8") == text
        print(
            "docs/licences.md is current."
            if same
            else "docs/licences.md differs; run python -m tools.licences.",
            file=sys.stderr,
        )
        return 0 if same else 1
    LIST.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
