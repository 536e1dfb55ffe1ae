"""No pickle, no code and no YAML object is ever read from a file that a user can bring.

The tree says so, and files try.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from derm_core.bundles.archive import import_bundle
from derm_core.bundles.model_library import verify_bundle
from derm_core.data.decode import decode
from derm_core.data.importers import import_dataset
from derm_core.errors import DermError
from derm_core.files import read_json

REPOSITORY = Path(__file__).resolve().parents[1]
READERS = re.compile(
    r"torch\.load\(|pickle\.loads?\(|\bjoblib\b|yaml\.(?:unsafe_|full_)?load\(|(?<![\w.])(?:eval|exec)\(|allow_pickle=True|"
    r"np\.load\(|read_pickle|\bmarshal\b|\bshelve\b|\bdill\b|weights_only=False|"
    r"(?:broadcast|scatter|gather)_object|recv_object"
)
SAFE = re.compile(
    r"torch\.load\(.*weights_only=True|np\.load\(.*(?:allow_pickle=False|mmap_mode=\"r\"\))|numpy\.load\(.*allow_pickle=False"
)


@pytest.mark.slow
def test_what_could_run_code_while_reading_is_used_nowhere():
    readers = {}
    for path in [
        REPOSITORY / "app.py",
        *(
            p
            for folder in ("derm_core", "pages", "benchmarks", "experiments", "tools")
            for p in (REPOSITORY / folder).rglob("*.py")
        ),
    ]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if READERS.search(line.split("  # ")[0]) and not SAFE.search(line):
                readers.setdefault(str(path.relative_to(REPOSITORY)), []).append(line.strip())
    assert not readers


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def mark(tmp_path):
    path = tmp_path / "it-ran"
    yield path
    assert not path.exists()


@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.npz", "metadata", "data.txt"])
def test_a_pickle_under_any_table_or_array_name_is_refused(name, tmp_path, mark, workspace):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / name).write_bytes(pickle.dumps(Bomb(str(mark))))
    for path in (folder, folder / name):
        with pytest.raises(DermError):
            import_dataset(workspace, path, "bad")


@pytest.mark.parametrize("member", ["train_images", "train_labels"])
def test_an_array_of_objects_is_refused(member, tmp_path, mark, workspace):
    arrays = {
        "train_images": np.zeros((2, 4, 4, 3), np.uint8),
        "train_labels": np.array([[0], [1]]),
    }
    arrays[member] = np.array([[Bomb(str(mark))], [Bomb(str(mark))]], object)
    np.savez(tmp_path / "dermamnist.npz", **arrays)
    with pytest.raises(DermError, match=r"Object arrays|object"):
        import_dataset(workspace, tmp_path / "dermamnist.npz", "bad")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp"])
def test_a_pickle_is_no_image(suffix, mark):
    with pytest.raises(DermError):
        decode(pickle.dumps(Bomb(str(mark))), f"photo.{suffix}")


def test_a_pickle_is_no_bundle_card_config_or_archive(tmp_path, mark, workspace):
    data = pickle.dumps(Bomb(str(mark)))
    folder = tmp_path / "m"
    folder.mkdir()
    for name in ("card.json", "model.safetensors", "reference.safetensors", "config.json"):
        (folder / name).write_bytes(data)
    with pytest.raises(DermError):
        verify_bundle(folder)
    with pytest.raises(ValueError):
        read_json(folder / "config.json")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("card.json", "model.safetensors"):
            archive.writestr(f"m/{name}", data)
    for source in (data, buffer.getvalue()):
        with pytest.raises(DermError):
            import_bundle(workspace, source)
