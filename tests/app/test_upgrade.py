"""A workspace and a bundle made by the first version work in this one; those of a newer version are refused in words.

The fixture was written by that version's own code: three runs (a pretraining, a study, a
pretraining stopped at its first checkpoint), a published model and a synthetic dataset, without its
images.
"""

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from derm_core.bundles.bundle import load_bundle
from derm_core.bundles.model_library import find_bundle, verify_bundle
from derm_core.bundles.predictor import Predictor
from derm_core.config import from_dict
from derm_core.data.decode_all import DecodedFile, DecodedImages
from derm_core.data.manifest import load_dataset
from derm_core.data.store import IMAGES, write_store
from derm_core.errors import DermError
from derm_core.files import read_json, write_json
from derm_core.jobs import worker
from derm_core.jobs.store import RunStore
from derm_core.jobs.supervisor import resume
from derm_core.training.checkpoint import newest_checkpoint

FIRST = Path(__file__).resolve().parents[1] / "fixtures" / "first_version"
PRETRAINING, STUDY, STOPPED = (
    "pretrain-20261123-113120-b299",
    "study-20261123-113148-1647",
    "pretrain-20261123-113150-45d4",
)


@pytest.fixture
def first(workspace):
    """The first version's workspace, as a copy."""
    shutil.copytree(
        FIRST, workspace.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("runs.sql")
    )
    with sqlite3.connect(workspace.database) as table:
        table.executescript((FIRST / "runs.sql").read_text())
    return workspace


def test_its_runs_are_listed_and_can_be_annotated(first):
    store = RunStore(first)
    assert [(run.id, run.state, run.name) for run in store.list()] == [
        (STOPPED, "interrupted", "stopped"),
        (STUDY, "done", "the first study"),
        (PRETRAINING, "done", "the first pretraining"),
    ]
    assert store.get(STUDY).summary["verdict"] and store.annotate(STUDY, tags=["old"]).tags == (
        "old",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "run", "shown"),
    [
        ("compare", STUDY, "Learning curves"),
        ("train", STOPPED, "stopped"),
        ("models", None, "first-vae"),
        ("data", None, "tiny"),
        ("home", None, ""),
    ],
)
def test_its_results_are_shown(first, open_page, page, run, shown):
    app = open_page(page, **({"run": run} if run else {}))
    assert [error.value for error in app.error if "runs resume" not in error.value] == []
    texts = [
        str(part.value)
        for kind in ("subheader", "markdown", "caption", "dataframe", "metric", "selectbox")
        for part in app.get(kind)
    ]
    assert any(shown in text for text in texts), texts


def test_its_model_answers(first):
    folder = find_bundle(first, "first-vae")
    assert verify_bundle(folder).schema == 1
    probabilities = Predictor(load_bundle(folder)).predict(np.zeros((2, 32, 32, 3), np.uint8))
    assert probabilities.shape == (2, 5) and np.allclose(probabilities.sum(1), 1, atol=1e-5)


@pytest.mark.slow
def test_its_stopped_pretraining_goes_on_from_its_checkpoint(first, no_workers, monkeypatch):
    dataset = load_dataset(first, "tiny")
    shutil.rmtree(dataset.paths.stores, ignore_errors=True)
    pixels = np.random.default_rng(0).integers(0, 256, (len(dataset), 32, 32, 3), dtype=np.uint8)
    array = dataset.paths.root / "pixels.npy"
    np.save(array, pixels)
    files = [DecodedFile(sha256) for sha256 in dataset.frame["sha256"]]
    write_store(dataset, 32, DecodedImages(dataset.paths.root, files, {32: array}))
    assert (dataset.paths.store(32) / IMAGES).exists() and newest_checkpoint(
        first.run(STOPPED).checkpoints
    )
    monkeypatch.setattr(worker.os, "nice", lambda by: 0)
    monkeypatch.setattr(worker.signal, "signal", lambda number, handler: None)
    resume(first, STOPPED)
    assert worker.main(STOPPED, first) == 0, RunStore(first).get(STOPPED).error
    assert "continues at step 0" in first.run(STOPPED).events.read_text()


def test_what_a_newer_version_wrote_is_refused_in_words(first):
    info, card = first.dataset("tiny").info, first.models / "first-vae" / "card.json"
    write_json(info, {**read_json(info), "schema": 2})
    write_json(card, {**read_json(card), "schema": 2})
    config = {**json.loads(first.run(STUDY).config.read_text()), "schema": 2}
    with sqlite3.connect(first.database) as table:
        table.execute("PRAGMA user_version=99")
    for opened in (
        lambda: RunStore(first).list(),
        lambda: load_dataset(first, "tiny"),
        lambda: verify_bundle(first.models / "first-vae"),
        lambda: from_dict(config),
    ):
        with pytest.raises(DermError, match="newer"):
            opened()
