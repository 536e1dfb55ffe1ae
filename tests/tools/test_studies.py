"""What `python -m tools.studies` publishes is read again, small, and holds no image and no path."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from derm_core.data.decode import read_image
from derm_core.errors import ConfigError, RunError
from derm_core.files import read_json, write_json
from derm_core.insight.packed_map import read_latents
from derm_core.insight.placement import open_placer
from derm_core.insight.published_images import local_names, published_dataset
from derm_core.insight.saved_map import neighbours_in, read_map
from derm_core.insight.traversal_sources import open_traversal
from derm_core.jobs.published import find_run, published_runs
from derm_core.jobs.store import RunStore
from derm_core.jobs.supervisor import cancel, delete_run, resume
from derm_core.published import read_published
from derm_core.workspace import REPOSITORY, Workspace
from tests.app.maps import put_map
from tests.builders import write_dataset
from tests.published import put_source
from tools.portable import MOST_BYTES, problems, without_paths
from tools.studies import publish

STUDIES = REPOSITORY / "studies"


@pytest.fixture
def elsewhere(workspace, source) -> Workspace:
    """A workspace that has none of the images, with the models that the maps show."""
    shutil.copytree(source.models, workspace.models, dirs_exist_ok=True)
    return workspace


def test_the_shipped_results_are_small_and_hold_no_image_and_no_path():
    assert not problems(STUDIES)
    assert (STUDIES / "LICENSE").exists() and (STUDIES / "NOTICE").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.json", json.dumps({"weights": "/home/somebody/weights/a.safetensors"}).encode()),
        ("x.json", b'"read from C:\\\\Users\\\\somebody"'),
        ("x.png", b"\x89PNG"),
        ("x.json", b"\xff\xd8\xff"),
        ("x.json", b" " * (MOST_BYTES + 1)),
    ],
)
def test_what_may_not_be_published_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    [problem] = problems(tmp_path)
    assert name in problem or "bytes" in problem


def test_paths_in_tables_are_found(tmp_path):
    table = pd.DataFrame({"reason": ["is /srv/images/a.jpg"], "score": [1.0]})
    (tmp_path / "t.parquet").write_bytes(table.to_parquet(index=False))
    assert "/srv/images/a.jpg" in problems(tmp_path)[0]


def test_paths_are_cut_down_and_addresses_are_not():
    text = "See https://doi.org/10.7910/DVN/DBW86T, 10/20 and /home/x/weights/a.bin."
    assert without_paths({"a": [text]}) == {
        "a": ["See https://doi.org/10.7910/DVN/DBW86T, 10/20 and a.bin."]
    }


def test_a_published_map_is_the_map(workspace, source):
    own = read_map(source, RunStore(source).list(kind="embed")[-1].id)
    map_ = read_map(workspace, "moles-skin")
    columns = ["image_id", "label", "group", "split", "prediction_a", "disagree"]
    assert map_.points[columns].equals(own.points[columns].astype(map_.points[columns].dtypes))
    places = ["umap_x", "umap_y", "pca_x", "pca_y"]
    assert map_.points[places].to_numpy() == pytest.approx(own.points[places].to_numpy(), abs=1e-3)
    assert map_.points["row"].tolist() == list(range(60))
    assert (map_.neighbours == own.neighbours).all() and np.isfinite(map_.distances).all()
    name = own.points["image_id"][7]
    assert (
        neighbours_in(map_, name)["image_id"].tolist()
        == neighbours_in(own, name)["image_id"].tolist()
    )
    assert map_.info.opinions == own.info.opinions


def test_maps_name_each_other_by_their_published_names(published):
    study = read_published(published)
    configs = {files.id: read_json(files.config) for files in study.maps}
    assert configs["moles-judge"]["aligned_to"] == "moles-skin"
    assert configs["moles-skin"]["aligned_to"] is None
    assert "derm_core embed --dataset moles --arm bundle:judge --align-to moles-skin" in " ".join(
        study.about.commands
    )
    assert study.about.licence == "CC BY-NC 4.0" and "Somebody (2018)" in study.about.note
    assert not problems(published.parent)


def test_an_image_that_is_not_here_has_the_latent_of_its_vae(elsewhere, source, published):
    study = read_published(published)
    latents, traversal = read_latents(study), open_traversal(elsewhere, "skin")
    assert traversal.vae == study.about.vae.sha256
    frame = published_dataset(elsewhere, study.maps[0]).frame
    assert (frame["path"] == "").all() and (frame["sha256"] == "").all()
    here = published_dataset(source, study.maps[0]).frame
    image = read_image(here["path"][3], 32)
    own = traversal.encode(image[None])[0]
    scale = latents.std(0)
    assert np.abs(latents[3] - own).max() < 0.09 * scale.max() + 1e-6
    assert traversal.decode(latents[[3]]).shape == (1, 32, 32, 3)


def test_images_are_found_by_content_whatever_the_dataset_is_called(elsewhere, published):
    study = read_published(published)
    assert local_names(elsewhere, study.about) == []
    write_dataset(elsewhere, "others", 20)
    assert local_names(elsewhere, study.about) == []
    put_source(elsewhere, "ham", 40)  # the same set, a part of it, under another name
    assert local_names(elsewhere, study.about) == ["ham"]
    frame = published_dataset(elsewhere, study.maps[0]).frame
    assert (frame["path"] != "").sum() == 40
    put_source(elsewhere, "zoo")
    assert local_names(elsewhere, study.about) == ["zoo", "ham"]


def test_an_image_is_placed_without_the_images_of_the_map(elsewhere, source):
    own = RunStore(source).list(kind="embed")
    for run, name in zip(reversed(own), ("moles-skin", "moles-judge"), strict=True):
        image = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
        there = open_placer(elsewhere, name).place(image)
        here = open_placer(source, run.id).place(image)
        assert len(set(there.rows[0][:5]) & set(here.rows[0][:5])) >= 4
        assert there.distances[0] == pytest.approx(here.distances[0], rel=0.05)


def test_published_results_are_listed_and_cannot_be_changed(workspace, published):
    assert {run.id for run in published_runs()} == {"moles-skin", "moles-judge"}
    assert published_runs("study") == []
    run = find_run(workspace, "moles-skin")
    assert (run.state, run.kind, run.study, run.tags) == (
        "done",
        "embed",
        "moles",
        ("published result",),
    )
    for change in (
        lambda: RunStore(workspace).annotate("moles-skin", name="mine"),
        lambda: delete_run(workspace, "moles-skin"),
        lambda: resume(workspace, "moles-skin"),
        lambda: cancel(workspace, "moles-skin"),
    ):
        with pytest.raises(RunError, match="published"):
            change()
    assert read_published(published).maps


def test_only_finished_maps_of_the_same_images_with_known_terms_are_published(workspace, studies):
    write_dataset(workspace, "free", 60)
    run = put_map(workspace, "free")
    with pytest.raises(ConfigError, match="licence"):
        publish(workspace, "free", maps=[run])
    put_source(workspace)
    run, other = put_map(workspace, "moles"), put_map(workspace, "moles", arm="imagenet")
    points = pd.read_parquet(workspace.run(other).map_points)
    points.iloc[::-1].to_parquet(workspace.run(other).map_points, index=False)
    with pytest.raises(RunError, match="other images"):
        publish(workspace, "moles", maps=[run, other])
    waiting = RunStore(workspace).create("embed", {"dataset": "moles"})
    with pytest.raises(ConfigError, match="finished"):
        publish(workspace, "moles", maps=[waiting])


def test_a_damaged_result_says_so(workspace, published):
    write_json(published / "about.json", {"name": "half"})
    with pytest.raises(RunError, match="moles"):
        published_runs()
