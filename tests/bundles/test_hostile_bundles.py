"""Bundles that mean harm: cards, weights and archives that none of ours would be, each refused with its reason."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile

import pytest
import torch
from safetensors.torch import load, save

from derm_core.bundles.archive import import_bundle
from derm_core.bundles.bundle import load_bundle
from derm_core.bundles.model_library import verify_bundle
from derm_core.bundles.tensors import read_header
from derm_core.errors import BundleError
from derm_core.records import to_json
from tests.bundles.cards import save_bundle


@pytest.fixture
def folder(tmp_path, classifier, card):
    save_bundle(tmp_path / "small", classifier, card)
    return tmp_path / "small"


def nested(depth: int):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"arm": "<img src=x>"}, "arm"),
        ({"label": "[x](javascript:alert(1))"}, "label"),
        ({"label": ":red[x]"}, "label"),
        ({"metrics_note": "x" * 20_001}, "more than 20,000"),
        ({"classes": ["a" * 201, "b", "c"]}, "more than 200"),
        ({"classes": ["a\u202eb", "b", "c"]}, "writing direction"),
        ({"license": "a\x00b"}, "control"),
        ({"extra": nested(40)}, "nested"),
        ({"extra": [0] * 500_001}, "500,000 values"),
        ({"extra": 10**40}, "too large"),
        ({"name": "a/../b"}, "name"),
        ({"name": ["a"]}, "name"),
        ({"hidden": 60_000}, "larger than the file"),
        ({"decoder": {"latent_dim": 4096, "size": 32, "width": 4096}}, "larger than the file"),
        ({"input_size": True}, "input_size"),
        ({"training_data": []}, "training_data"),
    ],
)
def test_a_card_that_none_of_ours_would_be_is_refused(folder, change, why):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **change}))
    with pytest.raises(BundleError, match=why) as said:
        load_bundle(folder)
    assert len(str(said.value)) < 1000


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ['{"schema": NaN}', "[" * 100_000, '{"name": "\\ud800"}', "\ufeff{}", ""]
)
def test_a_card_that_is_no_json_is_refused(folder, text):
    (folder / "card.json").write_text(text, encoding="utf-8")
    with pytest.raises(BundleError):
        verify_bundle(folder)


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_though_every_hash_is_right(folder, value):
    tensors = load((folder / "model.safetensors").read_bytes())
    next(iter(tensors.values())).view(-1)[0] = value
    data, card = save(tensors), json.loads((folder / "card.json").read_text())
    (folder / "model.safetensors").write_bytes(data)
    card |= {
        "tensors": to_json(read_header(data)),
        "sha256": hashlib.sha256(data).hexdigest(),
        "file_bytes": len(data),
    }
    (folder / "card.json").write_text(json.dumps(card))
    verify_bundle(folder)
    with pytest.raises(BundleError, match="not finite"):
        load_bundle(folder)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["missing", "extra", "shape", "dtype"])
def test_tensors_other_than_the_architecture_has_are_refused_though_every_hash_is_right(
    folder, change
):
    tensors = load((folder / "model.safetensors").read_bytes())
    key = "head.0.weight"
    if change == "missing":
        del tensors[key]
    elif change == "extra":
        tensors["more"] = torch.zeros(3)
    else:
        tensors[key] = (
            tensors[key][:, :3].contiguous() if change == "shape" else tensors[key].to(torch.int32)
        )
    data, card = save(tensors), json.loads((folder / "card.json").read_text())
    (folder / "model.safetensors").write_bytes(data)
    card |= {
        "sha256": hashlib.sha256(data).hexdigest(),
        "file_bytes": len(data),
        "tensors": {
            name: {
                "dtype": {torch.float16: "F16", torch.float32: "F32", torch.int32: "I32"}[t.dtype],
                "shape": list(t.shape),
            }
            for name, t in tensors.items()
        },
    }
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(BundleError):
        load_bundle(folder)


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b'{"a": NaN}',
        b"{" + b" " * (5 * 2**20) + b"}",
        b'{"a": {"dtype": "F32", "shape": [1e999]}}',
        b'{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}',
        b"null",
        b"[]",
        b"1",
        b'"x"',
    ],
)
def test_a_bloated_or_broken_header_is_refused(header):
    with pytest.raises(BundleError, match=r"header"):
        read_header(struct.pack("<Q", len(header)) + header + bytes(8))


def zipped(folder, change: str) -> bytes:
    parts = {name: (folder / name).read_bytes() for name in ("card.json", "model.safetensors")}
    names = {name: f"small/{name}" for name in parts}
    if change == "absolute":
        names["card.json"] = "/etc/card.json"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(names[name], data)
        if change == "many":
            for i in range(5000):
                archive.writestr(f"small/{i}", b"")
        if change == "duplicate":
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("small/card.json", parts["card.json"])
        if change == "symlink":
            link = zipfile.ZipInfo("small/link")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
    data = bytearray(buffer.getvalue())
    if change == "encrypted":
        data[6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
    if change == "damaged":
        at = data.index(b"small/model.safetensors") + 200
        data[at : at + 50] = bytes(50)
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", ["many", "duplicate", "symlink", "encrypted", "damaged", "absolute"]
)
def test_an_archive_of_anything_else_is_refused_and_leaves_nothing(
    folder, workspace, monkeypatch, change
):
    monkeypatch.setattr(type(workspace), "shelves", lambda self: [self.models])
    with pytest.raises(BundleError) as said:
        import_bundle(workspace, zipped(folder, change))
    assert len(str(said.value)) < 500 and list(workspace.models.iterdir()) == []
