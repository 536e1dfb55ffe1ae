"""Brought vectors as an arm: the same heads and statistics, and what is not known of them is said."""

import dataclasses
import json

import numpy as np
import pytest

from derm_core.arms import arm_label, in_order, is_one_network, reads_images_alone
from derm_core.cli import main
from derm_core.commands.embeddings import with_registered
from derm_core.commands.output import Screen
from derm_core.config import EmbedConfig, StudyConfig
from derm_core.data.embedding_files import bring_embeddings
from derm_core.data.embeddings import embeddings_info, register_embeddings
from derm_core.errors import ConfigError, DataError, NotFound, RunError
from derm_core.insight.map_data import map_data
from derm_core.jobs.preflight import check
from derm_core.report.sections.protocol import protocol
from derm_core.study.arms import build_extractors, resolve_arms
from derm_core.study.protocol import study
from derm_core.study.roles import choose_pair, counted, headline_pairs, own_networks
from derm_core.study.seen import seen_by
from derm_core.study.study_data import prepare
from derm_core.study.study_result import read_study
from tests.builders import write_dataset
from tests.steps import finish
from tests.study.trained import CONFIG

ARM = "embeddings:planted"


@pytest.fixture
def planted(workspace, tmp_path):
    """The dataset `tiny`, and a file of vectors in which its class stands beside noise."""
    tiny = write_dataset(workspace)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(tiny), 6))
    vectors[:, :3] += 3 * np.eye(3)[tiny.labels]
    np.savez(tmp_path / "planted.npz", ids=tiny.frame["image_id"].to_numpy(str), x=vectors)
    return tiny, tmp_path / "planted.npz"


def register(workspace, dataset, path, pretrained_on="", origin=None):
    brought = bring_embeddings(dataset, path)
    brought = dataclasses.replace(brought, origin=origin or {})
    return register_embeddings(workspace, dataset, "planted", brought, path.name, pretrained_on)


def test_names_and_roles():
    assert arm_label(ARM) == "planted (embeddings)"
    assert arm_label("metadata+embeddings:planted") == "planted (embeddings) + metadata"
    assert in_order(["random", ARM, "vae", "timm:resnet18"]) == [
        "vae",
        ARM,
        "timm:resnet18",
        "random",
    ]
    assert not reads_images_alone(ARM) and not is_one_network(ARM)
    assert own_networks([ARM, "vae"]) == [ARM]
    assert (ARM, "vae") in headline_pairs(["vae", "imagenet", ARM])
    assert choose_pair([ARM, "random"]) == (ARM, "random")
    for arm in ("embeddings:Not A Name", "embeddings:../x", "embeddings:"):
        with pytest.raises(ConfigError, match="arms"):
            StudyConfig(dataset="tiny", arms=(arm,))


@pytest.mark.parametrize(
    ("stated", "origin", "answer"),
    [
        ("", None, "unknown"),
        ("ImageNet-1k", None, "no"),
        ("tiny and ImageNet-1k", None, "yes"),
        ("", {"sources": [{"pretrained_on": "nothing", "training": None}]}, "no"),
        ("", {"sources": [{"training": {"dataset": "tiny", "split": "another"}}]}, "yes"),
        ("", {"sources": [{"training": {"dataset": "tiny", "split": "SPLIT"}}]}, "no"),
        ("", {"sources": "nonsense"}, "unknown"),
    ],
)
def test_seen_is_what_is_stated_and_else_unknown(workspace, planted, stated, origin, answer):
    config = dataclasses.replace(CONFIG, arms=(ARM,))
    _, data = finish(prepare(config, workspace))
    if origin and "SPLIT" in str(origin):
        origin["sources"][0]["training"]["split"] = data.fingerprint
    register(workspace, *planted, stated, origin)
    [arm] = resolve_arms(config, workspace)[0]
    assert seen_by(arm, data, workspace) == answer
    assert counted({ARM: answer, f"metadata+{ARM}": answer}) == (
        [] if answer == "yes" else [ARM, f"metadata+{ARM}"]
    )


def test_a_study_needs_a_vector_of_every_image_and_a_map_shows_those_that_have_one(
    workspace, planted
):
    tiny, path = planted
    stored = dict(np.load(path))
    np.savez(path, ids=stored["ids"][5:], x=stored["x"][5:])
    register(workspace, tiny, path)
    with pytest.raises(DataError, match=r"no vector of 5 of the 90 images of this study .i000, "):
        build_extractors(ARM, CONFIG, workspace)
    config = EmbedConfig(dataset="tiny", arm=ARM, input_size=32, device="cpu")
    events, data = finish(map_data(config, workspace))
    assert len(data.rows) == 85 and data.rows.min() == 5
    np.testing.assert_array_equal(data.features, stored["x"][5:].astype(np.float32))
    assert any("5 images without a vector are not on the map" in str(e.value) for e in events)
    extractor = build_extractors(ARM, config, workspace)[0]
    with pytest.raises(RunError, match="cannot be computed from the pixels of others"):
        extractor.backbone.pooled(None)


def test_a_file_as_an_arm_is_brought_once_under_its_own_name(workspace, planted, capsys):
    _, path = planted
    file = path.rename(path.with_name("My CLIP.npz"))
    screen = Screen(workspace)
    arms = with_registered(
        ["vae", f"embeddings:{file}", f"metadata+embeddings:{file}"], "tiny", screen
    )
    assert arms == ("vae", "embeddings:my-clip", "metadata+embeddings:my-clip")
    assert capsys.readouterr().err.count("90 of 90 images are in tiny") == 1
    assert with_registered(["embeddings:my-clip"], "tiny", screen) == ("embeddings:my-clip",)
    with pytest.raises(ConfigError, match="there are: my-clip"):
        with_registered(["embeddings:nowhere.npz"], "tiny", screen)
    check(workspace, dataclasses.replace(CONFIG, arms=("embeddings:my-clip",)))
    with pytest.raises(NotFound, match="no embeddings of the name other"):
        check(workspace, dataclasses.replace(CONFIG, arms=("metadata+embeddings:other",)))


@pytest.mark.slow
def test_planted_vectors_win_under_the_statistics_of_every_arm(workspace, planted):
    register(workspace, *planted)
    config = dataclasses.replace(CONFIG, arms=("random", ARM), corruptions=("jpeg",))
    run = workspace.run("study-1")
    finish(study(config, workspace, run))
    result = read_study(run.study)
    brought = result.arms[ARM]
    assert brought.test["balanced_accuracy"].mean > 0.9
    assert (brought.seen, brought.pretrained_on, brought.features) == ("unknown", "not stated", 6)
    assert brought.architecture == "vectors of planted.npz"
    assert (brought.input_size, brought.parameters, brought.images_per_second) == (None, None, None)
    assert result.cost.arms[ARM].feature_seconds is None
    assert result.verdict.pair == (ARM, "random")
    assert any("is not known: planted (embeddings)" in text for text in result.verdict.details)
    sha256 = embeddings_info(workspace, "tiny", "planted").sha256
    assert result.protocol.content["weights"] == {ARM: {"sha256": sha256}}
    assert f"{ARM} {sha256}" in [bullet.text for bullet in protocol(result).bullets]
    assert any("ids from ids, vectors from x" in note for note in result.notes)
    assert {row.arm for row in result.robustness.rows} == {"random"}
    assert "Not asked of planted (embeddings)" in result.robustness.note


def test_the_command_takes_the_part_that_is_asked_for(workspace, planted, capsys):
    tiny, path = planted
    stored = dict(np.load(path))
    np.savez(path, **stored, labels=np.eye(3)[tiny.labels])
    argv = ["data", "embeddings", "tiny", str(path), "--json"]
    assert main([*argv, "--vectors", "labels"]) == 1
    assert "--allow-labels" in capsys.readouterr().err
    assert main([*argv, "--vectors", "labels", "--allow-labels", "--as", "truth"]) == 0
    assert json.loads(capsys.readouterr().out)["features"] == 3
    assert main([*argv, "--vectors", "x"]) == 0
    assert json.loads(capsys.readouterr().out)["features"] == 6
