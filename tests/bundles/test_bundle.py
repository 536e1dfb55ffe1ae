"""Bundles load as they were saved, and nothing that differs from its card is loaded."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import pytest
import torch

from derm_core.bundles.bundle import load_bundle
from derm_core.bundles.card_parts import TensorSpec
from derm_core.bundles.model_library import find_bundle, list_bundles, verify_bundle
from derm_core.bundles.tensors import read_header
from derm_core.errors import BundleError, NotFound
from tests.bundles.cards import save_bundle


@pytest.fixture
def folder(tmp_path, classifier, decoder, card):
    card = {**card, "decoder": {"latent_dim": 4, "size": 32, "width": 16}}
    save_bundle(tmp_path / "small", classifier, card, decoder)
    return tmp_path / "small"


def edit_card(folder, **changes):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))


def test_a_loaded_bundle_computes_what_was_saved(folder, classifier, decoder):
    bundle = load_bundle(folder)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(bundle.classifier(x), classifier(x), atol=5e-3)
        assert torch.allclose(
            bundle.decoder(torch.ones(1, 4)), decoder(torch.ones(1, 4)), atol=5e-3
        )
    assert {p.dtype for p in bundle.classifier.parameters()} == {
        torch.float32
    } and not bundle.classifier.training


def test_matrices_are_stored_in_half_precision_and_the_card_counts(folder, classifier):
    card = verify_bundle(folder)
    assert card.tensors["head.0.weight"] == TensorSpec(dtype="F16", shape=(8, 64))
    assert card.tensors["feature_mean"].dtype == "F32"
    assert card.file_bytes == (folder / "model.safetensors").stat().st_size
    assert card.parameters == sum(p.numel() for p in classifier.parameters())


def test_the_header_is_that_of_the_file(folder):
    from safetensors import safe_open

    header = read_header((folder / "model.safetensors").read_bytes())
    with safe_open(folder / "model.safetensors", "pt") as handle:
        assert set(handle.keys()) == set(header)
        assert all(tuple(handle.get_slice(key).get_shape()) == header[key].shape for key in header)


def test_one_changed_byte_is_refused(folder):
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(data))
    with pytest.raises(BundleError, match="SHA-256"):
        load_bundle(folder)


def test_a_truncated_file_is_refused(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-10])
    with pytest.raises(BundleError, match="truncated"):
        load_bundle(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": 2}, "newer"),
        ({"stage": "x"}, "stage"),
        ({"std": [0, 1, 1]}, "std"),
        ({"classes": ["a"]}, "classes"),
        ({"model_args": {"checkpoint_path": "/etc/passwd"}}, "model_args"),
        ({"temperature": {"value": 0}}, "temperature"),
        ({"architecture": "hf-hub:someone/model"}, "architecture"),
        ({"features": 32}, "features"),
        ({"hidden": 16}, "fit"),
        ({"name": "../small"}, "name"),
        ({"name": "other"}, "other"),
        ({"decoder": {"latent_dim": 4}}, "decoder"),
        ({"metrics": {"accuracy": 0.5}}, "metrics.accuracy"),
        ({"metrics": {"accuracy": {"mean": "x"}}}, "metrics.accuracy"),
        ({"commands": [1]}, "commands"),
        ({"tensors": {}}, "tensors"),
        ({"decoder": None}, None),
    ],
)
def test_a_card_that_lies_is_refused(folder, changes, words):
    edit_card(folder, **changes)
    if words is None:
        assert load_bundle(folder).decoder is None
        return
    with pytest.raises(BundleError, match=words):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, "header"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, "header"),
        ({"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}, "I64"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, "header"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, "header"),  # bytes after it
        ({"a": {"dtype": "F32", "shape": [1]}}, "header"),
        ([], "header"),
        ({}, "header|0 tensors"),
    ],
)
def test_a_header_that_lies_is_refused(header, words):
    text = json.dumps(header).encode()
    with pytest.raises(BundleError, match=words):
        read_header(struct.pack("<Q", len(text)) + text + bytes(8))


def test_an_endless_header_length_is_refused():
    with pytest.raises(BundleError, match="header"):
        read_header(struct.pack("<Q", 2**60) + b"{}")


def test_a_published_name_is_not_overwritten(folder, classifier, card):
    with pytest.raises(BundleError, match="already"):
        save_bundle(folder, classifier, card)


def test_a_weight_too_large_for_float16_is_not_published(tmp_path, classifier, card):
    classifier.head[0].weight.data[0, 0] = 1e6
    with pytest.raises(BundleError, match=r"head.0.weight"):
        save_bundle(tmp_path / "small", classifier, card)


def test_the_shelf_lists_good_and_refused_ones_without_torch(shelf, classifier, card):
    save_bundle(shelf.models / "small", classifier, card)
    save_bundle(shelf.models / "second", classifier, {**card, "name": "second"})
    (shelf.models / "second" / "model.safetensors").write_bytes(b"")
    listed = {bundle.name: bundle for bundle in list_bundles(shelf)}
    assert (
        listed["small"].card and not listed["second"].card and "truncated" in listed["second"].error
    )
    assert find_bundle(shelf, "small") == shelf.models / "small"
    with pytest.raises(NotFound, match="second, small"):
        find_bundle(shelf, "third")
    code = (
        "import sys; from derm_core.bundles.model_library import list_bundles; "
        "from derm_core.workspace import Workspace; "
        "assert list_bundles(Workspace.open()); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
