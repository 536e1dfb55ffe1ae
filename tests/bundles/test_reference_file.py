"""The reference beside a model.

Read as it was written, refused when tampered with, and stripped of single images for export.
"""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load, save

from derm_core.bundles import archive
from derm_core.bundles.bundle import load_bundle
from derm_core.bundles.model_library import verify_bundle
from derm_core.bundles.neighbours import fit_points
from derm_core.bundles.reference_file import Reference
from derm_core.bundles.tensors import REFERENCE, read_header
from derm_core.errors import BundleError
from derm_core.publish.statistics import fit_space
from derm_core.records import to_json
from tests.bundles.cards import complete_bundle, save_bundle

RNG = np.random.default_rng(0)


def make_reference(ids=True) -> Reference:
    features = RNG.normal(size=(50, 64))
    space = fit_space(features)
    names = [f"image-{i}-ä" for i in range(50)] if ids else None
    return Reference(space, fit_points(space, features, np.arange(50) % 3, names, 0), None)


@pytest.fixture
def folder(shelf, classifier, card):
    save_bundle(shelf.models / "small", classifier, card)
    complete_bundle(
        shelf.models / "small",
        {
            "reference": {"public": False, "duplicate": {"threshold": 0.1}},
            "outlier": {"distance": {"threshold": 1.5}, "reconstruction": None},
        },
        make_reference(),
    )
    return shelf.models / "small"


def rewrite(folder, change) -> None:
    """Change the reference's arrays and make the card agree, as somebody who tampers with both would."""
    import hashlib

    arrays = load((folder / REFERENCE).read_bytes())
    change(arrays)
    data = save(arrays)
    card = json.loads((folder / "card.json").read_text())
    card["reference"] |= {
        "file_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "tensors": to_json(read_header(data, REFERENCE)),
    }
    (folder / REFERENCE).write_bytes(data)
    (folder / "card.json").write_text(json.dumps(card))


def test_a_reference_is_read_as_it_was_written(folder):
    found = load_bundle(folder).reference
    assert found.points.ids[3] == "image-3-ä" and found.points.labels.tolist() == [
        i % 3 for i in range(50)
    ]
    assert (
        found.space.axes.shape == (64, 64)
        and found.points.positions.dtype == np.float16
        and found.latents is None
    )


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data[:-5], "truncated"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "SHA-256"),
        (None, "reference"),
    ],
)
def test_a_changed_truncated_or_missing_file_is_refused(folder, spoil, words):
    data = (folder / REFERENCE).read_bytes()
    (folder / REFERENCE).unlink() if spoil is None else (folder / REFERENCE).write_bytes(
        spoil(data)
    )
    for work in (verify_bundle, load_bundle):
        with pytest.raises(BundleError, match=words):
            work(folder)


def set_array(key, value):
    return lambda arrays: arrays.update({key: value(arrays[key])})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_array("space.mean", lambda v: v[:10]), "space.mean"),
        (set_array("space.axes", lambda v: v.astype(np.float16)), "space.axes"),
        (set_array("points.labels", lambda v: v[:3]), "points.ids"),
        (set_array("points.labels", lambda v: v + 9), "values"),
        (set_array("space.std", lambda v: v * 0), "values"),
        (set_array("space.mean", lambda v: v * np.nan), "values"),
        (set_array("points.ids", lambda v: v | 0xC0), "no text"),
        (lambda arrays: arrays.update({"points.extra": np.zeros(3, np.float32)}), "points.extra"),
        (lambda arrays: arrays.pop("space.std"), "space.std"),
        (
            lambda arrays: arrays.update({"latents.weight": np.zeros((64, 4), np.float32)}),
            "latents",
        ),
    ],
)
def test_a_reference_that_does_not_fit_its_model_is_refused(folder, change, words):
    rewrite(folder, change)
    with pytest.raises(BundleError, match=words):
        load_bundle(folder)


def test_types_that_no_reference_has_are_refused(folder):
    with pytest.raises(BundleError, match="F64"):
        rewrite(folder, set_array("space.mean", lambda v: v.astype(np.float64)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("conformal", {"coverages": {"0.90": 2}}, "coverages"),
        ("conformal", {"coverages": {"often": 0.5}}, "coverages"),
        ("outlier", {"distance": {"threshold": 0}}, "outlier.distance"),
        ("operating_point", {"class": "z"}, "operating_point"),
        ("priority", {"map": {"a": "high"}}, "priority"),
        ("reference", {"sha256": 1}, "reference"),
    ],
)
def test_a_card_with_half_of_its_evidence_is_refused(folder, field, value, words):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, field: value}))
    with pytest.raises(BundleError, match=words):
        verify_bundle(folder)


def exported(shelf, tmp_path, monkeypatch, **options):
    """The bundle after an export and an import on another shelf, and the archive's bytes."""
    data = archive.export_bundle(shelf, "small", **options)
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(type(shelf), "shelves", lambda self: [tmp_path / "other"])
    monkeypatch.setattr(type(shelf), "models", tmp_path / "other")
    return load_bundle(archive.import_bundle(shelf, data)), data


def test_private_training_images_stay_at_home_unless_confirmed(
    shelf, folder, tmp_path, monkeypatch
):
    bundle, data = exported(shelf, tmp_path, monkeypatch)
    known, card = bundle.reference, bundle.card.reference
    assert (
        known.points is None
        and known.space.mean.shape == (64,)
        and card.duplicate is None
        and card.left_out
    )
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert b"image-3" not in b"".join(opened.read(name) for name in opened.namelist())
    assert bundle.card.outlier.distance.threshold == 1.5


@pytest.mark.slow
@pytest.mark.parametrize("public", [False, True])
def test_confirmed_or_public_training_images_go_with_the_bundle(
    shelf, folder, tmp_path, monkeypatch, public
):
    card = json.loads((folder / "card.json").read_text())
    card["reference"]["public"] = public
    (folder / "card.json").write_text(json.dumps(card))
    bundle, _ = exported(shelf, tmp_path, monkeypatch, private=not public)
    assert (
        bundle.reference.points.ids[0] == "image-0-ä"
        and bundle.card.reference.duplicate.threshold == 0.1
    )


def test_an_archive_whose_reference_is_missing_or_unasked_for_is_refused(shelf, folder, tmp_path):
    members = {
        name: (folder / name).read_bytes() for name in ("card.json", "model.safetensors", REFERENCE)
    }
    card = json.loads(members["card.json"])
    for _left_out, parts in (
        ("reference", {k: v for k, v in members.items() if k != REFERENCE}),
        (
            "card",
            {
                **members,
                "card.json": json.dumps(
                    {k: v for k, v in card.items() if k not in ("reference", "outlier")}
                ).encode(),
            },
        ),
    ):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as target:
            for name, data in parts.items():
                target.writestr(f"small/{name}", data)
        with pytest.raises(BundleError, match="belong together"):
            archive.import_bundle(shelf, buffer.getvalue())
