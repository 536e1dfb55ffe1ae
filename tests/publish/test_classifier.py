"""Publishing: the bundle is the study's model, its card says where everything comes from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from derm_core.bundles import conformal
from derm_core.bundles.bundle import load_bundle
from derm_core.bundles.card_parts import Priority, TrainingData
from derm_core.bundles.predict import predict_images
from derm_core.bundles.predictor import Predictor
from derm_core.config import BackboneConfig, PretrainConfig, StudyConfig, from_dict, to_dict
from derm_core.config.shared import UsedMarks
from derm_core.data.manifest import load_dataset
from derm_core.data.marks import Mark, set_marks
from derm_core.data.splits import SPLITS, split_fingerprint
from derm_core.data.store import open_store
from derm_core.data.used_images import SplitRule, used_images
from derm_core.errors import BundleError, NotFound, RunError
from derm_core.files import read_json, write_json
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.vae import build_vae, save_vae
from derm_core.publish.classifier import publish
from derm_core.publish.classifier_card import agreement, calibrated_on
from derm_core.publish.provenance import commands, is_public, weights_license
from derm_core.publish.study_arm import Predictions
from derm_core.records import to_json
from derm_core.study.arms import Arm, build_extractors
from derm_core.study.marks import with_marks
from derm_core.study.presets import preset
from tests.builders import save_files, write_noise

BACKBONE = BackboneConfig(architecture="resnet18", stage=1)
CLASSES = ("mel", "nv")
VAE_RUN, STUDY = "pretrain-1", "study-1"


def make_dataset(workspace):
    paths = write_noise(workspace.dataset("moles").images, 40, 32)
    return save_files(
        workspace,
        "moles",
        paths,
        CLASSES * 20,
        layout="ham10000",
        license="CC BY-NC 4.0",
        citation="Tschandl 2018, doi:10.7910/DVN/DBW86T",
        class_descriptions={"mel": "melanoma", "nv": "melanocytic nevus"},
    )


@pytest.fixture(params=["frozen", "finetune"])
def study(shelf, request, monkeypatch):
    """What a finished study of two seeds leaves on disk, by arm vae; (workspace, its classifiers by seed)."""
    monkeypatch.setattr(conformal, "DIVISIONS", 50)
    dataset = make_dataset(shelf)
    pretrain = PretrainConfig(dataset="moles", backbone=BACKBONE, input_size=32)
    run = shelf.run(VAE_RUN).create()
    write_json(run.config, to_dict(pretrain))
    save_vae(run.artefacts, build_vae(BACKBONE, 32, 4, 16, seed=0), {})
    config = StudyConfig(
        dataset="moles",
        arms=("vae",),
        backbone=BACKBONE,
        input_size=32,
        regime=request.param,
        vae_run=VAE_RUN,
        seeds=(0, 7),
        hidden=8,
    )
    run = shelf.run(STUDY).create()
    write_json(run.config, to_dict(config))
    extractors = build_extractors("vae", config, shelf)
    arm = Arm("vae", [extractors])
    classifiers = {
        seed: Classifier(
            extractors[0].backbone,
            make_head(64, 8, 2, seed),
            torch.full((64,), 0.1),
            torch.full((64,), 2.0),
        ).eval()
        for seed in config.seeds
    }
    write_artefacts(shelf, run, config, dataset, extractors[0], classifiers)
    split = used_images(dataset, SplitRule.of(config)).split
    test = {
        name: {"mean": 0.7, "std": 0.1, "low": 0.6, "high": 0.8}
        for name in ("balanced_accuracy", "accuracy")
    }
    write_json(
        run.study,
        {
            "run_id": STUDY,
            "config": {"regime": config.regime},
            "dataset": {
                "name": "moles",
                "images": 40,
                "classes": 2,
                "groups": 40,
                "fingerprint": "",
            },
            "verdict": {"headline": ""},
            "classes": list(CLASSES),
            "split": {"fingerprint": split_fingerprint(split, dataset.frame["image_id"])},
            "arms": {
                "vae": {
                    "label": arm.label,
                    "kind": "vae",
                    "features": 64,
                    "extractor": arm.extractor,
                    "test": test,
                }
            },
        },
    )
    return shelf, classifiers


def write_artefacts(workspace, run, config, dataset, extractor, classifiers):
    store, tables = open_store(workspace, dataset, 32), []
    split = np.array(SPLITS)[used_images(dataset, SplitRule.of(config)).split]
    for folder in ("heads", "models"):
        (run.artefacts / folder).mkdir()
    states = {seed: classifier.state_dict() for seed, classifier in classifiers.items()}
    heads = [
        {k: v for k, v in state.items() if not k.startswith("backbone.")}
        for state in states.values()
    ]
    if config.regime == "frozen":
        save_file(
            {k: torch.stack([h[k] for h in heads]) for k in heads[0]},
            run.artefacts / "heads" / "vae.safetensors",
        )
    for seed, classifier in classifiers.items():
        if config.regime == "finetune":
            save_file(
                {k: v.contiguous() for k, v in states[seed].items()},
                run.artefacts / "models" / f"vae-seed{seed}.safetensors",
            )
        with torch.no_grad():
            x_bchw = extractor.normalise(torch.from_numpy(np.array(store.images)))
            p = classifier(x_bchw).softmax(1).numpy()
        tables.append(
            pd.DataFrame(
                {
                    "image_id": dataset.frame["image_id"],
                    "split": split,
                    "group": dataset.frame["group"],
                    "label": dataset.labels,
                    "arm": "vae",
                    "seed": seed,
                    "p_0": p[:, 0],
                    "p_1": p[:, 1],
                }
            )
        )
    pd.concat(tables).to_parquet(run.predictions)


@pytest.mark.slow
def test_the_bundle_predicts_what_the_chosen_seed_predicts(study):
    workspace, classifiers = study
    seen = []
    folder = publish(
        workspace,
        STUDY,
        "vae",
        "mole-vae",
        seed=7,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert folder == workspace.models / "mole-vae"
    assert seen[-1] == (40, 40) and [done for done, _ in seen] == sorted(done for done, _ in seen)
    bundle = load_bundle(folder)
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(bundle.classifier(x), classifiers[7](x), atol=5e-3)
        assert not torch.allclose(bundle.classifier(x), classifiers[0](x), atol=5e-3)
    assert bundle.decoder is not None and Predictor(bundle).calibrated


@pytest.mark.slow
def test_the_card_names_data_terms_weights_metrics_and_commands(study):
    workspace, _ = study
    card = load_bundle(publish(workspace, STUDY, "vae", "mole-vae")).card
    assert (
        card.training_data.license == "CC BY-NC 4.0"
        and "10.7910/DVN/DBW86T" in card.training_data.attribution
    )
    assert "CC BY-NC 4.0" in card.license and "research only" in card.license
    assert card.initial_weights["kind"] == "vae" and card.initial_weights["run"] == VAE_RUN
    assert card.metrics["balanced_accuracy"]["low"] == 0.6 and len(card.split.fingerprint) == 16
    assert card.class_descriptions["mel"] == "melanoma"
    split = used_images(load_dataset(workspace, "moles"), SplitRule.of(from_dict(card.config)))
    train = load_dataset(workspace, "moles").labels[split.members("train")]
    assert card.class_shares["nv"] == pytest.approx(np.mean(train == CLASSES.index("nv")))
    for score in (card.decisions.most_probable, card.decisions.adjusted):
        assert 0 <= score.accuracy["mean"] <= 1 and 0 <= score.balanced_accuracy["mean"] <= 1
    assert "Groups unknown" in card.metrics_note, "each image of moles is its own group"
    assert [line.split()[3] for line in card.commands] == ["data", "compare", "models"]
    assert f"--regime {card.regime}" in card.commands[1] or card.regime == "frozen"
    assert "Not for diagnosis" in card.limits[0] and card.temperature.images == 2
    assert str(workspace.root) not in (workspace.models / "mole-vae" / "card.json").read_text()


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, ""),
        ({"splits": "official"}, " --splits official"),
        ({"max_images": 90}, " --max-images 90"),
        ({"marks": UsedMarks(sha256="0" * 64, exclusions=2)}, " --marks"),
        ({"marks": UsedMarks(sha256="0" * 64, new_labels=2)}, " --marks --new-labels"),
        ({"max_images": 90, "draw": "before_split"}, " --max-images 90 --draw before_split"),
    ],
)
def test_the_commands_repeat_the_split_of_the_study(shelf, settings, options):
    info = make_dataset(shelf).info
    base = dataclasses.replace(preset("laptop", dataset="moles"), pretrain=None)
    source = SimpleNamespace(
        config=dataclasses.replace(base, **settings),
        study=SimpleNamespace(run_id=STUDY),
        arm="imagenet",
        seed=0,
        labels={"kind": "classes"},
    )
    compare = commands(shelf, source, info, "mole")[1]
    assert compare.endswith(f"--dataset moles{options}")


def test_terms_of_the_pretraining_data_stay_with_weights_trained_on_synthetic_images():
    synthetic, real = (
        TrainingData(layout="synthetic", license="free"),
        TrainingData(layout="ham10000", license="CC BY-NC 4.0"),
    )
    assert weights_license(synthetic).startswith("Apache-2.0")
    assert weights_license(synthetic, to_json(real)).startswith("CC BY-NC 4.0")
    assert weights_license(real, to_json(real)).count("CC BY-NC 4.0") == 1


@pytest.mark.slow
@pytest.mark.parametrize("study", ["frozen"], indirect=True)
def test_the_card_says_which_marks_the_study_used(study):
    workspace, _ = study
    run, dataset = workspace.run(STUDY), load_dataset(workspace, "moles")
    config = from_dict(read_json(run.config))
    trained = used_images(dataset, SplitRule.of(config)).members("train")
    left_out = dataset.frame["image_id"].iloc[trained[0]]
    set_marks(dataset, [Mark(image_id=left_out, mark="exclude")])
    value = to_dict(with_marks(config, dataset))
    write_json(run.config, value)
    write_json(run.study, read_json(run.study) | {"config": value})
    card = load_bundle(publish(workspace, STUDY, "vae", "mole-vae")).card
    assert card.split.marks.exclusions == 1 and set(card.config["marks"]) == {
        "sha256",
        "exclusions",
        "new_labels",
    }  # ids of images stay with the dataset
    assert any("with 1 exclusion" in limit for limit in card.limits)
    assert card.commands[1].count("--marks") == 1


def test_a_taken_name_and_a_wrong_arm_seed_or_run_are_said(study):
    workspace, _ = study
    publish(workspace, STUDY, "vae", "mole-vae")
    with pytest.raises(BundleError, match="already"):
        publish(workspace, STUDY, "vae", "mole-vae")
    with pytest.raises(RunError, match="no arm 'imagenet'"):
        publish(workspace, STUDY, "imagenet", "other")
    with pytest.raises(RunError, match="no seed 3"):
        publish(workspace, STUDY, "vae", "other", seed=3)
    with pytest.raises(NotFound, match="study-9"):
        publish(workspace, "study-9", "vae", "other")
    with pytest.raises(RunError, match="published from a study"):
        publish(workspace, VAE_RUN, "vae", "other")


@pytest.mark.slow
def test_a_model_that_is_not_the_studys_is_not_published(study):
    workspace, _ = study
    path = workspace.run(STUDY).predictions
    table = pd.read_parquet(path)
    table["p_0"], table["p_1"] = 0.999, 0.001
    table.to_parquet(path)
    with pytest.raises(BundleError, match="differs"):
        publish(workspace, STUDY, "vae", "mole-vae")
    assert not (workspace.models / "mole-vae").exists()


@pytest.mark.slow
def test_a_dataset_whose_rate_is_on_the_card_is_in_its_command(study):
    workspace, _ = study
    name = load_bundle(publish(workspace, STUDY, "vae", "mole-vae")).card.training_data.dataset
    card = load_bundle(publish(workspace, STUDY, "vae", "mole-rates", rates=[name])).card
    assert name in card.outlier.rates and card.commands[-1].endswith(
        f"--name mole-rates --rates {name}"
    )


@pytest.mark.slow
def test_the_card_says_when_to_believe_an_answer(study):
    workspace, _ = study
    folder = publish(workspace, STUDY, "vae", "mole-vae")
    bundle = load_bundle(folder)
    card, known = bundle.card, bundle.reference
    assert card.conformal.calibration_groups == 4 and set(card.conformal.coverages) == {
        "0.80",
        "0.90",
        "0.95",
    }
    coverage = card.conformal.test["0.90"]
    assert (
        coverage["redivided"]["low"]
        <= coverage["redivided"]["mean"]
        <= coverage["redivided"]["high"]
    )
    assert "Nothing of this model was chosen" in card.conformal.calibrated_on
    assert (
        coverage["coverage"]["low"] <= coverage["coverage"]["mean"] <= coverage["coverage"]["high"]
    )
    assert sum(row["images"] for row in coverage["per_class"].values()) == 6
    assert card.outlier.reconstruction.threshold > 0 and set(card.outlier.rates) == {
        "test",
        "drawn pictures of other things",
    }
    assert card.operating_point.class_name == "mel" and card.operating_point.specificity == 0.9
    assert card.priority == Priority(map={"mel": "high", "nv": "low"}, ours=True)
    assert card.memorisation.samples == 64 and card.reference.public is True
    dataset = load_dataset(workspace, "moles")
    training = set(dataset.frame["image_id"][used_images(dataset, SplitRule()).members("train")])
    assert set(known.points.ids) == training and known.latents[0].shape == (64, 4)
    sources = [("i.png", Path(dataset.frame["path"][0]))]
    prediction = predict_images(workspace, ["mole-vae"], sources).images[0]
    arm = prediction.arms["mole-vae"]
    assert arm.prediction_set.classes[0] == arm.top
    assert len(arm.neighbours) == 5 and prediction.outlier.scores["mole-vae"].reconstruction > 0


@pytest.mark.slow
def test_a_published_model_is_written_anew_only_where_its_tensors_stay(study):
    workspace, _ = study
    folder = publish(workspace, STUDY, "vae", "mole-vae")
    tensors = (folder / "model.safetensors").read_bytes()
    publish(workspace, STUDY, "vae", "mole-vae", replace=True)
    assert (folder / "model.safetensors").read_bytes() == tensors
    with pytest.raises(BundleError, match="not those published"):
        publish(workspace, STUDY, "vae", "mole-vae", seed=7, replace=True)
    assert (folder / "model.safetensors").read_bytes() == tensors
    assert [path.name for path in workspace.models.iterdir()] == ["mole-vae"]


@pytest.mark.slow
def test_a_publication_that_is_stopped_leaves_nothing(study):
    workspace, _ = study

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(workspace, STUDY, "vae", "mole-vae", progress=stop)
    assert not list(workspace.models.iterdir())


def test_the_card_says_which_choices_saw_the_calibration_groups():
    assert "Nothing" in calibrated_on("finetune", 9) and "Nothing" in calibrated_on("frozen", 1)
    assert "among 9" in calibrated_on("frozen", 9)


@pytest.mark.slow
def test_another_split_of_the_dataset_is_refused(study):
    workspace, _ = study
    path = workspace.run(STUDY).study
    write_json(path, {**read_json(path), "split": {"fingerprint": "0" * 16}})
    with pytest.raises(BundleError, match="split is another"):
        publish(workspace, STUDY, "vae", "mole-vae")


def test_agreement_is_what_a_loop_counts():
    rng = np.random.default_rng(0)
    tables = {
        arm: Predictions(
            np.arange(60), np.arange(60), np.arange(60) % 3, rng.dirichlet([1, 1, 1], 60)
        )
        for arm in ("vae", "imagenet")
    }
    found = agreement(tables, "vae")["imagenet"]
    for part, wanted in (("agree", True), ("disagree", False)):
        rows = [
            i
            for i in range(60)
            if (
                tables["vae"].probabilities[i].argmax()
                == tables["imagenet"].probabilities[i].argmax()
            )
            == wanted
        ]
        assert found[part]["images"] == len(rows)
        for arm, share in found[part]["accuracy"].items():
            assert share == np.mean([tables[arm].probabilities[i].argmax() == i % 3 for i in rows])


@pytest.mark.parametrize(
    ("data", "public"),
    [
        ({"license": "CC BY-NC 4.0"}, True),
        ({"layout": "synthetic"}, True),
        ({"license": "not stated by the dataset; ask"}, False),
        ({"license": None}, False),
        ({}, False),
        ({"license": "Confidential"}, False),
    ],
)
def test_only_an_open_licence_makes_training_images_public(data, public):
    assert is_public(TrainingData(**data)) is public
