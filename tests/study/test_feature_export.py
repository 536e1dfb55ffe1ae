"""Features out and in again: the same vectors, the same study, and what they were pretrained on."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from derm_core.cli import main
from derm_core.config import StudyConfig
from derm_core.data.embedding_files import bring_embeddings
from derm_core.data.embeddings import register_embeddings
from derm_core.data.manifest import save_dataset
from derm_core.errors import ConfigError
from derm_core.nets.vae import build_vae, save_vae
from derm_core.study.arms import resolve_arms
from derm_core.study.feature_export import export_features
from derm_core.study.protocol import study
from derm_core.study.seen import seen_by
from derm_core.study.study_data import prepare
from derm_core.study.study_result import read_study
from tests.builders import save_images, write_dataset
from tests.steps import finish
from tests.study.trained import CONFIG, SMALL

ONE_SEED = dataclasses.replace(CONFIG, seeds=(0,))


def export(workspace, arm, tmp_path, **changes):
    """The file of an arm's features of `tiny`, and what was exported."""
    config = dataclasses.replace(ONE_SEED, arms=(arm,), **changes)
    _, exported = finish(export_features(config, workspace))
    path = tmp_path / f"{arm.replace(':', '-').replace('+', '-')}.parquet"
    path.write_bytes(exported.parquet())
    return path, exported


def bring(workspace, dataset, path, name):
    register_embeddings(workspace, dataset, name, bring_embeddings(dataset, path), path.name)
    return f"embeddings:{name}"


def test_a_file_has_every_image_with_its_split_group_label_and_vector(workspace, tmp_path):
    tiny = write_dataset(workspace)
    path, exported = export(workspace, "colour", tmp_path)
    table = pd.read_parquet(path)
    assert list(table) == ["image_id", "split", "group", "label", "vector"]
    assert table["image_id"].tolist() == tiny.frame["image_id"].tolist()
    assert table["label"].tolist() == tiny.frame["label"].tolist()
    assert table["group"].tolist() == tiny.frame["group"].tolist()
    _, data = finish(prepare(ONE_SEED, workspace))
    for name in ("train", "val", "test"):
        assert (table["split"] == name).sum() == data.counts()[name]
    np.testing.assert_array_equal(np.stack(table["vector"]), exported.vectors_nd)
    brought = bring_embeddings(tiny, path)
    np.testing.assert_array_equal(brought.vectors_nd, exported.vectors_nd)
    assert brought.origin["arm"] == "colour"


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["colour", "metadata+colour"])
def test_features_brought_back_give_the_study_of_the_arm_itself(workspace, tmp_path, arm):
    tiny = write_dataset(workspace)
    tiny = save_dataset(
        workspace,
        "tiny",
        tiny.frame.assign(age=np.arange(90.0), sex=["f", None, "m"] * 30),
        tiny.info,
    )
    path, _ = export(workspace, arm, tmp_path)
    results, predictions = [], []
    for k, name in enumerate((arm, bring(workspace, tiny, path, "mine"))):
        config = dataclasses.replace(CONFIG, arms=(name,), linear_head=True, label_fractions=(0.5,))
        run = workspace.run(f"study-{k}")
        finish(study(config, workspace, run))
        results.append(read_study(run.study).arms[name])
        predictions.append(pd.read_parquet(run.predictions))
    own, brought = results
    numbers = [column for column in predictions[0] if column.startswith("p_")]
    np.testing.assert_allclose(predictions[1][numbers], predictions[0][numbers], atol=1e-9, rtol=0)
    assert own.setting == brought.setting and own.features == brought.features
    for metric, value in own.test.items():
        for end in ("mean", "low", "high"):
            np.testing.assert_allclose(
                getattr(brought.test[metric], end) or 0, getattr(value, end) or 0, atol=1e-9, rtol=0
            )


def test_vectors_of_our_own_arms_are_known_for_what_they_have_seen(workspace, tmp_path):
    tiny = write_dataset(workspace)
    _, data = finish(prepare(ONE_SEED, workspace))
    run = workspace.run("pretrain-1").create()
    card = {
        "dataset": "tiny",
        "dataset_fingerprint": tiny.fingerprint,
        "split_fingerprint": data.fingerprint,
    }
    save_vae(run.artefacts, build_vae(SMALL, 32, 8, 16, seed=3), card)
    arms = {
        "colour": bring(workspace, tiny, export(workspace, "colour", tmp_path)[0], "c"),
        "vae": bring(
            workspace, tiny, export(workspace, "vae", tmp_path, vae_run="pretrain-1")[0], "v"
        ),
    }
    again, _ = export(workspace, arms["vae"], tmp_path)
    arms["twice"] = bring(workspace, tiny, again, "w")
    config = dataclasses.replace(ONE_SEED, arms=tuple(arms.values()))
    built = {arm.name: arm for arm in resolve_arms(config, workspace)[0]}
    assert {seen_by(arm, data, workspace) for arm in built.values()} == {"no"}
    other = dataclasses.replace(data, fingerprint="another split")
    seen = {name: seen_by(built[arm], other, workspace) for name, arm in arms.items()}
    assert seen == {"colour": "no", "vae": "yes", "twice": "yes"}


def test_images_without_labels_are_exported_as_well(workspace, tmp_path):
    images = [np.full((32, 32, 3), 10 * k, np.uint8) for k in range(20)]
    save_images(workspace, "tiny", images, [None] * 20, None, ())
    path, _ = export(workspace, "colour", tmp_path)
    assert pd.read_parquet(path)["label"].isna().all()


@pytest.mark.parametrize(
    "changes", [{"arms": ("colour", "random")}, {"seeds": (0, 1)}, {"folds": 3}]
)
def test_one_arm_one_seed_one_split(workspace, changes):
    config = dataclasses.replace(ONE_SEED, **{"arms": ("colour",), **changes})
    with pytest.raises(ConfigError, match=next(iter(changes))):
        finish(export_features(config, workspace))


def test_the_command_writes_the_file_and_says_how_to_bring_it_back(workspace, tmp_path, capsys):
    write_dataset(workspace)
    file = tmp_path / "colour.parquet"
    argv = ["features", "--arm", "colour", "--dataset", "tiny", "--input-size", "32"]
    assert main([*argv, "--out", str(file), "--device", "cpu", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["images"], value["arm"], value["file"]) == (90, "colour", str(file))
    assert main(["data", "embeddings", "tiny", str(file), "--json"]) == 0
    brought = json.loads(capsys.readouterr().out)
    assert (brought["arm"], brought["images"]) == ("embeddings:colour", 90)
    assert main(["data", "embeddings", "tiny"]) == 0
    assert "colour" in capsys.readouterr().out
    assert main(["data", "embeddings", "tiny", "--delete", "colour"]) == 0
    assert main([*argv, "--out", str(tmp_path / "a.csv")]) == 1
    assert StudyConfig(dataset="tiny", arms=(brought["arm"],)).parts == ("embeddings:colour",)
