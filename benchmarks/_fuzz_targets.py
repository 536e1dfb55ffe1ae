"""Targets for a coverage-guided fuzzer (atheris, which follows Python, not Pillow's C), one a process.

    python -m benchmarks._fuzz_targets gate -max_total_time=300 [CORPUS_FOLDER]
    python -m benchmarks._fuzz_targets table | listing | npz | card | tensors | archive | config …

Each hands bytes to one reader of foreign files and passes over the one error that this reader may
raise for what it does not accept; anything else that it raises ends the fuzzer with the bytes it
used.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def gate(data: bytes) -> None:
    """The image gate: decoded or ImageError."""
    from derm_core.data.decode import read_image
    from derm_core.errors import ImageError

    with contextlib.suppress(ImageError):
        assert read_image(data, 16, "f").shape == (16, 16, 3)


def table(data: bytes) -> None:
    """A table of images, as every importer reads it: its layout, columns and values."""
    from derm_core.data.columns import attribute_columns, attributes, class_name
    from derm_core.data.image_files import scan
    from derm_core.data.image_names import ImageNames
    from derm_core.data.import_options import ImportOptions
    from derm_core.data.label_tables import read_label_table
    from derm_core.data.tables import read_table
    from derm_core.errors import DataError

    with _file(data, "table.csv") as path:
        try:
            table = read_table(path)
        except DataError:
            return
        read_label_table(table, ImageNames(scan(path.parent)), ImportOptions())
    columns = attribute_columns(table.columns)
    for row in table.rows:
        attributes(row, columns)
        [class_name(text) for text in row.values()]


HEADS = (
    b"image_id,lesion_id,dx,age,sex,localization\n",
    b"image,MEL,NV\n",
    b"img_id,diagnostic,patient_id\n",
    b"path,label\n",
    b"from_img,to_img\n",
    b"image_name\tdiagnosis\n",
)


def listing(data: bytes) -> None:
    """A folder in each of the layouts with a foreign table and a companion, up to its list of images."""
    from derm_core.data.layouts import find_layout
    from derm_core.data.listing import read_listing
    from derm_core.errors import DataError
    from derm_core.records import to_json

    if not data:
        return
    first, _, second = data[1:].partition(b"\xff")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "nv").mkdir()
        for name in ("a.jpg", "nv/b.png"):
            (root / name).write_bytes(b"x")
        (root / "table.csv").write_bytes(
            HEADS[data[0] % len(HEADS)] + first if data[0] < 128 else first
        )
        (root / "known_duplicates.csv").write_bytes(second)
        try:
            listing = read_listing(find_layout(root))
        except DataError:
            return
        json.dumps(to_json(listing), sort_keys=True).encode()
        assert all(
            Path(image.path).resolve().is_relative_to(root.resolve()) for image in listing.images
        ), "a path outside"


def npz(data: bytes) -> None:
    """A MedMNIST file, up to its images as PNG."""
    from derm_core.data.medmnist import unpack
    from derm_core.errors import DataError

    with _file(data, "dermamnist.npz") as path, contextlib.suppress(DataError):
        unpack(path, path.parent / "images", None)


def card(data: bytes) -> None:
    """A bundle's card."""
    from derm_core.bundles.card import read_card
    from derm_core.errors import BundleError

    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    with contextlib.suppress(BundleError):
        read_card(value)


def tensors(data: bytes) -> None:
    """A safetensors header."""
    from derm_core.bundles.tensors import read_header
    from derm_core.errors import BundleError

    with contextlib.suppress(BundleError):
        read_header(data)


def archive(data: bytes) -> None:
    """A zipped bundle."""
    from derm_core.bundles.archive import read_parts
    from derm_core.errors import BundleError

    with contextlib.suppress(BundleError):
        read_parts(data)


def config(data: bytes) -> None:
    """A run's config."""
    from derm_core.config import from_dict, to_dict
    from derm_core.errors import ConfigError

    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    with contextlib.suppress(ConfigError):
        to_dict(from_dict(value))


class _file:
    """Bytes as a file in a folder of its own, for a while."""

    def __init__(self, data: bytes, name: str):
        self.data, self.name = data, name

    def __enter__(self) -> Path:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / self.name
        path.write_bytes(self.data)
        return path

    def __exit__(self, *error: object) -> None:
        self.folder.cleanup()


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (gate, table, listing, npz, card, tensors, archive, config)
}


def seeds(name: str) -> list[bytes]:
    """Sound inputs from which the fuzzer starts."""
    import io

    import numpy as np

    from ._hostile_images import bases

    if name == "gate":
        return [data for _, data in bases()]
    if name in ("table", "listing"):
        rows = (
            b"ISIC_1,L_1,nv,45.0,male,back\n",
            b"a,1.0,0.0\n",
            b"a.jpg,nv,PAT_1\n",
            b"nv/b.png,nv\n",
            b"a,b\n",
            b"a\tnv\n",
        )
        made = [head + row for head, row in zip(HEADS, rows, strict=True)]
        return (
            made
            if name == "table"
            else [bytes([128]) + text + b"\xff" + HEADS[4] + rows[4] for text in made]
            + [bytes([i]) + row for i, row in enumerate(rows)]
        )
    if name == "npz":
        buffer = io.BytesIO()
        np.savez(
            buffer, train_images=np.zeros((2, 4, 4, 3), np.uint8), train_labels=np.array([[0], [1]])
        )
        return [buffer.getvalue()]
    if name == "config":
        from derm_core.config import (
            EmbedConfig,
            EvaluateConfig,
            PretrainConfig,
            StudyConfig,
            to_dict,
        )

        return [
            json.dumps(to_dict(value)).encode()
            for value in (
                StudyConfig(dataset="d", pretrain=PretrainConfig(dataset="d")),
                EmbedConfig(dataset="d"),
                EvaluateConfig(dataset="d", models=("m",)),
            )
        ]
    from derm_core.workspace import REPOSITORY

    cards = [path.read_bytes() for path in sorted((REPOSITORY / "models").glob("*/card.json"))]
    if name == "card":
        return cards
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    file = len(header).to_bytes(8, "little") + header + bytes(8)
    if name == "tensors":
        return [file]
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("m/card.json", b"{}")
        made.writestr("m/model.safetensors", file)
    return [buffer.getvalue()]


def main() -> None:
    name, *options = sys.argv[1:]
    import atheris

    with atheris.instrument_imports(include=["derm_core", "PIL", "csv", "json", "zipfile"]):
        target = TARGETS[name]
        for data in seeds(name):
            target(data)
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(seeds(name)):
            (Path(corpus) / f"seed-{number}").write_bytes(data)
        atheris.Setup([sys.argv[0], corpus, *options], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
