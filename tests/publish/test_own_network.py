"""A transformer with a network of its own: from a study to a bundle, its card, predictions, saliency, and as an arm."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from derm_core.bundles import conformal
from derm_core.bundles.bundle import load_bundle
from derm_core.bundles.predict import predict_images
from derm_core.bundles.predictor import Predictor
from derm_core.config import BackboneConfig, FinetuneSchedule, StudyConfig, to_dict
from derm_core.data.decode import read_image
from derm_core.data.manifest import load_dataset
from derm_core.data.store import open_store
from derm_core.files import write_json
from derm_core.insight.saliency import saliency
from derm_core.publish.classifier import publish
from derm_core.study.arms import build_extractors
from derm_core.study.protocol import study
from derm_core.study.study_result import read_study
from tests.builders import write_dataset
from tests.steps import finish
from tests.study.test_own_networks import VIT, weights  # noqa: F401

ARM = f"timm:{VIT}@48@mean"


@pytest.fixture(params=["frozen", "finetune"])
def published(workspace, weights, monkeypatch, request):
    """(workspace, folder of the bundle) of a transformer whose images are resized by a bilinear filter."""
    monkeypatch.setattr(conformal, "DIVISIONS", 20)
    sidecar = weights / f"{VIT}.a.json"
    sidecar.write_text(
        json.dumps(
            json.loads(sidecar.read_text()) | {"interpolation": "bilinear", "license": "MIT"}
        )
    )
    write_dataset(workspace)
    rank = 2 if request.param == "finetune" else 0
    config = StudyConfig(
        dataset="tiny",
        arms=(ARM, "random"),
        backbone=BackboneConfig(architecture="resnet18", stage=1),
        input_size=32,
        regime=request.param,
        seeds=(0,),
        hidden=8,
        epochs=4,
        batch_size=16,
        learning_rates=(1e-2,),
        weight_decays=(0.0,),
        bootstrap=20,
        finetune=FinetuneSchedule(epochs=1, batch_size=16, learning_rate=1e-3, lora_rank=rank),
        device="cpu",
    )
    run = workspace.run("study-1").create()
    write_json(run.config, to_dict(config))
    finish(study(config, workspace, run))
    return workspace, config, publish(workspace, run.id, ARM, "my-vit")


@pytest.mark.slow
def test_a_transformer_is_published_predicts_and_is_explained(published):
    workspace, config, folder = published
    bundle = load_bundle(folder)
    card = bundle.card
    assert (card.architecture, card.stage, card.input_size) == (VIT, -1, 48)
    assert (card.tokens, card.pooling, card.interpolation) == (
        "mean",
        "mean of patches",
        "bilinear",
    )
    assert card.network == f"{VIT} at 48 px, mean of patches" and card.mean == (0.5, 0.5, 0.5)
    assert "bilinear" in card.preprocessing["steps"] and "MIT" in card.license
    assert card.initial_weights["pretrained_on"] == "tiny and ImageNet-1k"
    dataset = load_dataset(workspace, "tiny")
    path = dataset.frame["path"][0]
    answer = predict_images(workspace, ["my-vit"], [("a", path)]).images[0].arms["my-vit"]
    square = open_store(workspace, dataset, 48, "bilinear").images[0]
    predictor = Predictor(bundle)
    expected = predictor.predict(square[None])[0]
    np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-6)
    assert not np.array_equal(square, read_image(path, 48)), "another filter gives other pixels"
    cam = saliency(predictor, square[None])
    assert cam.cells_nhw.shape == (1, 3, 3) and cam.peaks[0] > 0
    again = dataclasses.replace(config, arms=("bundle:my-vit",))
    (extractor,) = build_extractors("bundle:my-vit", again, workspace)
    assert str(extractor.form) == "48-bilinear" and extractor.backbone.width == 16
    features = extractor.features(torch.from_numpy(square[None].copy()))
    (before,) = build_extractors(ARM, config, workspace)
    if card.regime == "finetune":
        [note] = [n for n in read_study(workspace.run("study-1").study).notes if "LoRA" in n]
        assert "mean of patches 2." in note
        assert "are trained whole: Random initialisation." in note
        assert card.config["finetune"]["lora_rank"] == 2 and "--lora-rank 2" in card.commands[1]
        return  # other weights
    torch.testing.assert_close(
        features, before.features(torch.from_numpy(square[None].copy())), atol=1e-2, rtol=1e-2
    )
