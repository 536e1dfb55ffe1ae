"""A bundle travels as a zip; archives that hold anything else are refused and leave nothing behind."""

from __future__ import annotations

import io
import stat
import zipfile

import pytest

from derm_core.bundles import archive
from derm_core.bundles.model_library import verify_bundle
from derm_core.errors import BundleError
from tests.bundles.cards import save_bundle


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in members:
            target.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def parts(shelf, classifier, card, tmp_path) -> dict[str, bytes]:
    """Card and tensors of a bundle that is not in the library."""
    save_bundle(tmp_path / "small", classifier, card)
    return {
        name: (tmp_path / "small" / name).read_bytes()
        for name in ("card.json", "model.safetensors")
    }


def test_export_and_import_give_the_same_files(shelf, parts):
    folder = archive.import_bundle(shelf, zipped(*((f"small/{k}", v) for k, v in parts.items())))
    assert folder == shelf.models / "small" and verify_bundle(folder).name == "small"
    data = archive.export_bundle(shelf, "small")
    with zipfile.ZipFile(io.BytesIO(data)) as exported:
        assert {name: exported.read(name) for name in exported.namelist()} == {
            f"small/{k}": v for k, v in parts.items()
        }
    assert data == archive.export_bundle(shelf, "small")
    with pytest.raises(BundleError, match="already"):
        archive.import_bundle(shelf, data)


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        lambda p: zipped(("small/card.json", p["card.json"])),
        lambda p: zipped(
            ("small/card.json", p["card.json"]), (link("small/model.safetensors"), b"/etc/passwd")
        ),
        lambda p: zipped(("small/card.json", p["card.json"]), ("../../evil.py", b"")),
        lambda p: zipped(*((f"small/{k}", v) for k, v in p.items()), ("small/extra.pkl", b"")),
        lambda p: zipped(
            ("a/card.json", p["card.json"]), ("b/model.safetensors", p["model.safetensors"])
        ),
        lambda p: zipped(
            ("small/card.json", b"{"), ("small/model.safetensors", p["model.safetensors"])
        ),
        lambda p: zipped(
            ("small/card.json", p["card.json"]),
            ("small/model.safetensors", p["model.safetensors"][:-1]),
        ),
        lambda p: b"not a zip",
    ],
)
def test_anything_else_is_refused_and_leaves_nothing(shelf, parts, build):
    with pytest.raises(BundleError):
        archive.import_bundle(shelf, build(parts))
    assert list(shelf.models.iterdir()) == []


def test_a_zip_bomb_is_stopped_at_the_limit(shelf, parts, monkeypatch):
    monkeypatch.setitem(archive.LIMITS, "card.json", 1000)
    bomb = zipped(
        ("small/card.json", b" " * 10**6), ("small/model.safetensors", parts["model.safetensors"])
    )
    with pytest.raises(BundleError, match="more than 1000"):
        archive.import_bundle(shelf, bomb)


def test_the_folder_name_in_the_archive_never_becomes_a_path(shelf, parts):
    folder = archive.import_bundle(shelf, zipped(*((f"../../{k}", v) for k, v in parts.items())))
    assert folder == shelf.models / "small"
