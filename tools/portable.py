"""What may be published in studies/: little, no image, and no path of the machine that made it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from derm_core.files import read_bytes

MOST_BYTES = 3_000_000  # of everything in studies/
KINDS = (".json", ".json.gz", ".csv.gz", ".parquet", ".npz", "LICENSE", "NOTICE")
# Two or more names after a slash that no address, number or word ends in; or a drive of Windows.
PATH = re.compile(r"(?<![\w:/.<])(?:/[\w.+@~-]+){2,}/?|\b[A-Za-z]:\\[\w.\\-]+")
IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")


def without_paths(value: Any) -> Any:
    """JSON values with every absolute path in their texts cut down to its last part."""
    if isinstance(value, str):
        return PATH.sub(lambda match: re.split(r"[/\\]", match[0].rstrip("/\\"))[-1], value)
    if isinstance(value, dict):
        return {name: without_paths(one) for name, one in value.items()}
    return [without_paths(one) for one in value] if isinstance(value, list | tuple) else value


def problems(folder: Path) -> list[str]:
    """A sentence for each thing below a folder that may not be published."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    sentences = []
    total = sum(path.stat().st_size for path in files)
    if total > MOST_BYTES:
        sentences.append(f"studies/ has {total:,} bytes; at most {MOST_BYTES:,} are allowed.")
    for path in files:
        name = path.relative_to(folder).as_posix()
        if not name.endswith(KINDS):
            sentences.append(f"{name} is of no kind that is published.")
        elif path.read_bytes().startswith(IMAGES):
            sentences.append(f"{name} is an image.")
        else:
            texts = "\n".join(_texts(path))
            sentences += [
                f"{name} holds the path {one}." for one in sorted(set(PATH.findall(texts)))
            ]
    return sentences


def _texts(path: Path) -> list[str]:
    """Every text in a file, the names of columns and arrays included."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return list(arrays.files)
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        words = table.select_dtypes(exclude="number")
        return [json.dumps(list(table))] + [
            str(value) for column in words for value in words[column].dropna().unique()
        ]
    return [read_bytes(path).decode()]
