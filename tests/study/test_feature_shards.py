"""Features that several processes or ranks share are those of one process, bit by bit."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
import torch.distributed as dist

from derm_core.config import StudyConfig
from derm_core.data.store import open_store
from derm_core.errors import RunError
from derm_core.machine import cpu_cores
from derm_core.nets.backbone import build_backbone, make_extractor
from derm_core.study import feature_parts, feature_shards, features
from derm_core.study.feature_compute import Extraction, Shard, compute_features
from derm_core.study.feature_export import export_features
from derm_core.study.feature_parts import FeatureParts
from derm_core.study.features import extract, feature_path, finish
from derm_core.training.distributed import FAILED, LEFT, TrainingStopped, World
from tests import steps
from tests.study.fragile import SMALL, batches, fragile
from tests.study.ranks import launch, study_of_ranks

HALF = (0.5, 0.5, 0.5)
BATCH = 7  # of 90 images: 13 batches, the last of six


@pytest.fixture
def store(workspace, tiny):
    return open_store(workspace, tiny, 32, processes=1)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Each batch of seven images is a part, and two of them are worth a process."""
    monkeypatch.setattr(feature_parts, "PART_SECONDS", 0.0)
    monkeypatch.setattr(feature_shards, "SHARD_IMAGES", 2 * BATCH)
    monkeypatch.setattr(features, "batch_size", lambda device, size: BATCH)


def extractor(network=None):
    return make_extractor("random", network or build_backbone(SMALL, 0), HALF, HALF)


@pytest.fixture
def no_processes(monkeypatch):
    def refuse(*_):
        raise AssertionError("no process is to be started")

    monkeypatch.setattr(feature_shards, "ShardProcesses", refuse)


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_leave_what_one_leaves(workspace, store, tmp_path):
    one = finish(extract(extractor(), store, workspace, "tiny"))
    (folder := tmp_path / "batches").mkdir()
    shared = extractor(fragile(folder, lives=3))
    events, two = steps.finish(extract(shared, store, workspace, "tiny", devices=("cpu", "cpu")))
    assert two.tobytes() == one.tobytes()
    (folder / "killed").unlink()
    computed = {path.name: batches(path) for path in folder.iterdir()}
    assert len(computed) == 3 and str(os.getpid()) not in computed
    assert sum(map(sum, computed.values())) == len(store.images) + BATCH  # one batch again
    [said] = [event.value for event in events if event.kind == "log"]
    assert "SIGKILL" in said and "started again" in said
    shown = [event.value for event in events if event.kind == "progress"]
    assert (shown[-1].done, shown[-1].total) == (len(store.images), len(store.images))
    path = feature_path(workspace, "tiny", shared, store, None)
    assert np.load(path).tobytes() == one.tobytes()
    assert not list(path.parent.glob("*.part-*"))


def test_there_are_no_more_processes_than_gpus_or_cores(monkeypatch):
    monkeypatch.setattr(feature_shards, "gpus", lambda: ({}, {}, {}))
    monkeypatch.setattr(feature_shards, "cpu_cores", lambda: 3)

    def devices(device: str, number: int) -> tuple[str, ...]:
        config = StudyConfig(dataset="tiny", devices=number)
        return feature_shards.study_devices(config, device)

    assert devices("cuda:1", 2) == ("cuda:1", "cuda:2") == devices("cuda:1", 8)
    assert devices("cpu", 1) == ("cpu",) and devices("cpu", 64) == ("cpu",) * 3


@pytest.mark.parametrize("number", [2, 3, 8])
def test_shards_are_whole_batches_of_all_images(number, workspace, tmp_path):
    parts = FeatureParts(tmp_path / "f.npy", "cpu", 32, 60.0)
    work = Extraction(extractor(), np.empty(0), np.arange(1000), parts, "Features")
    shards = feature_shards.cut(work, ["cuda:0"] * number, World())
    assert [shard.begin for shard in shards] == [0, *(shard.end for shard in shards[:-1])]
    assert shards[-1].end == 1000 and all(shard.begin % 32 == 0 for shard in shards)
    sizes = [shard.end - shard.begin for shard in shards]
    assert max(sizes) - min(sizes) <= 32


def test_few_images_and_those_in_memory_are_left_to_one_process(
    workspace, store, no_processes, monkeypatch
):
    two = ("cpu", "cpu")
    in_memory = type(store)(store.size, np.array(store.images), store.fingerprint)
    finish(extract(extractor(), in_memory, workspace, "tiny", devices=two))
    monkeypatch.setattr(feature_shards, "SHARD_IMAGES", len(store.images))
    feature_path(workspace, "tiny", extractor(), store, None).unlink()
    finish(extract(extractor(), store, workspace, "tiny", devices=two))


def test_a_network_that_cannot_be_sent_is_computed_here_and_that_is_said(workspace, store):
    network = build_backbone(SMALL, 0)
    network.local = lambda: None  # pickle has no functions without a name
    steps_of = extract(extractor(network), store, workspace, "tiny", devices=("cpu", "cpu"))
    events, computed = steps.finish(steps_of)
    assert any("computed by one process" in str(event.value) for event in events)
    assert len(computed) == len(store.images)


def test_parts_of_another_number_of_processes_are_taken(workspace, store, tmp_path):
    whole = finish(extract(extractor(), store, workspace, "tiny"))
    (folder := tmp_path / "batches").mkdir()
    logged = extractor(fragile(folder))
    path = feature_path(workspace, "tiny", logged, store, None)
    parts = FeatureParts(path, "cpu", BATCH, 0.0)
    work = Extraction(logged, store.images, np.arange(len(store.images)), parts, "Features")
    finish(compute_features(work, Shard(42, 90, "cpu", merged=True)))
    (log := folder / str(os.getpid())).unlink()
    resumed = finish(extract(logged, store, workspace, "tiny"))
    assert batches(log) == [BATCH] * 6 and resumed.tobytes() == whole.tobytes()


def test_the_seconds_of_processes_that_share_a_cpu_are_shared(workspace, store, tmp_path):
    parts = FeatureParts(tmp_path / "f.npy", "cpu", BATCH, 0.0)
    work = Extraction(extractor(), store.images, np.arange(90), parts, "Features")
    for shard in feature_shards.cut(work, ["cpu"] * 2, World()):
        assert shard.device_share == 0.5
    none = Shard(0, 90, "cpu", device_share=0.0)
    assert finish(compute_features(work, none))[1] == 0.0


def other_ranks(workspace, world) -> feature_shards._OtherRanks:
    parts = FeatureParts(workspace.cache / "features" / "f.npy", "cpu", BATCH, 0.0)
    work = Extraction(extractor(), np.empty(0), np.arange(90), parts, "Features")
    shards = feature_shards.cut(work, ["cpu"] * world.size, world)
    return feature_shards._OtherRanks(work, shards, world)


def test_a_rank_says_how_far_it_is_and_that_it_has_ended(workspace):
    store = dist.HashStore()
    first, second = (other_ranks(workspace, World(rank, 2, store=store)) for rank in (0, 1))
    second.look(7)
    first.look(0)
    assert first.done == 7 and second.done == 0
    assert list(second.wait()) == []
    first.look(0)
    assert first.done == 48


def test_a_rank_that_says_nothing_or_writes_elsewhere_is_not_waited_for_for_ever(
    workspace, monkeypatch
):
    monkeypatch.setattr(feature_shards, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(feature_shards, "WAIT_SECONDS", 0.02)
    monkeypatch.setattr(feature_shards, "VISIBLE_SECONDS", 0.02)
    store = dist.HashStore()
    first, second = (other_ranks(workspace, World(rank, 2, store=store)) for rank in (0, 1))
    with pytest.raises(RunError, match=r"Process 1 of the 2 .* has said nothing"):
        list(first.wait())
    list(second.wait())
    with pytest.raises(RunError, match="one DERM_HOME"):
        list(first.wait())


def test_ranks_learn_that_another_has_failed_or_the_first_has_left():
    store = dist.HashStore()
    first, second = (World(rank, 2, store=store) for rank in (0, 1))
    first.check()
    second.check()
    second.report(MemoryError("no memory left"))
    with pytest.raises(RunError, match=r"Process 1 of the 2 .*no memory left.*resumed"):
        first.check()
    store.set(FAILED, "Process 1 failed: RunError: Resume the run.")
    with pytest.raises(RunError, match=r"Resume the run\.$"):
        first.check()
    store.set(LEFT, "")
    with pytest.raises(TrainingStopped):
        second.check()


@pytest.mark.slow
def test_two_ranks_share_the_features_of_a_study_and_the_first_finishes_it(workspace, tiny):
    ranks = launch(workspace)
    assert [rank["shards"] for rank in ranks] == [[[0, 42]], [[42, 90]]]
    assert ranks[0]["kinds"][-1] == "result" and "result" not in ranks[1]["kinds"]
    [path] = (workspace.cache / "features").glob("*.npy")
    shared = path.read_bytes()
    assert json.loads(path.with_suffix(".json").read_text())["seconds"] > 0
    path.unlink()
    torch.set_num_threads(cpu_cores())  # as each of the processes has
    try:
        finish(export_features(study_of_ranks(), workspace))
    finally:
        torch.set_num_threads(1)
    assert path.read_bytes() == shared
