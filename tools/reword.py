"""Write the verdict of the committed studies and the answers to the paper's claims anew, from the numbers they have.

    python -m tools.reword            after a change of the rules that write the verdict
    python -m tools.reword --check    print what would change; 1 where something would

Only words change: where a claim would say something else, nothing is written.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from derm_core.errors import DermError, RunError
from derm_core.files import write_atomic
from derm_core.records import to_json
from derm_core.study import claims
from derm_core.study.study_result import study_result
from derm_core.study.verdict import verdict
from derm_core.workspace import studies_folder
from tools.results import FOLDS


def committed() -> list[Path]:
    """folds.json and the study of every published result."""
    return [FOLDS, *sorted(studies_folder().glob("*/artefacts/study.json.gz"))]


def reworded(study: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a study.json with the verdict and the claims that its numbers have now.

    Raises:
        RunError: a claim would say something else, so that more than words would change.
    """
    result = study_result(study)
    new = verdict(result)
    if new.claims != result.verdict.claims:
        raise RunError(
            f"{result.run_id}: claims would change, not words alone; run the study again."
        )
    return {**study, "verdict": to_json(new), "claims": to_json(claims.reworded(result))}


def main(arguments: list[str] | None = None) -> int:
    """Write the verdicts anew, or say which would change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(arguments)
    changed = []
    for path in committed():
        before = _read(path)
        try:
            after = reworded(before)
        except DermError as error:
            print(error, file=sys.stderr)
            return 1
        if after != before:
            changed.append(path)
            print(f"{path.name}: {after['verdict']['headline']}")
            if not args.check:
                write_atomic(path, _written(path, after))
    return int(args.check and bool(changed))


def _read(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def _written(path: Path, study: dict[str, Any]) -> bytes:
    """The file as `folds_files` and `studies` write it."""
    text = json.dumps(study, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else f"{text}\n".encode()


if __name__ == "__main__":
    raise SystemExit(main())
