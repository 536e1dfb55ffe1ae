"""What models say of the images of a map: the predictor's own answers, image by image."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from derm_core.bundles import outlier
from derm_core.bundles.bundle import Bundle
from derm_core.bundles.predictor import Predictor
from derm_core.bundles.reference_file import Reference
from derm_core.config import BackboneConfig
from derm_core.insight import map_predictions
from derm_core.insight.map_predictions import fitting_bundles, predict_images
from derm_core.nets.backbone import build_backbone
from derm_core.nets.head import Classifier, make_head
from derm_core.publish.statistics import fit_space
from tests.bundles.cards import make_card


@pytest.fixture
def predictor() -> Predictor:
    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(architecture="resnet18", stage=0), 1)
    card = make_card(
        classes=["a", "b", "c"],
        input_size=32,
        features=64,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        temperature={"value": 2.0},
        outlier={"distance": {"threshold": 0.8}},
        reference={},
    )
    return Predictor(
        Bundle("own", None, card, Classifier(backbone, make_head(64, 8, 3, 1)).eval(), None)
    )


def test_answers_are_those_of_the_predictor(predictor):
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    features, _ = predictor.features_and_logits(images)
    predictor.bundle.reference = Reference(fit_space(features), None, None)
    probabilities = predictor.predict(images)
    labels = np.array(["a", "b", None] * 4, object)
    predictions = predict_images(predictor, features, labels, ("b", "a", "c"))
    assert predictions["prediction"].tolist() == [
        predictor.classes[i] for i in probabilities.argmax(1)
    ]
    assert predictions["confidence"] == pytest.approx(probabilities.max(1), abs=1e-6)
    assert predictions["correct"].tolist() == [
        None if label is None else bool(p == label)
        for p, label in zip(predictions["prediction"], labels, strict=True)
    ]
    assert predictions["outlier"] == pytest.approx(
        outlier.distance(predictor.bundle.reference.space, features) / 0.8, rel=1e-5
    )


def test_the_adjusted_class_is_that_of_the_predictor(predictor):
    shares = {"a": 0.8, "b": 0.1, "c": 0.1}
    predictor.bundle.card = predictor.card = replace(predictor.card, class_shares=shares)
    predictor = Predictor(predictor.bundle)
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    features, _ = predictor.features_and_logits(images)
    labels = np.array(["a", "b", None] * 4, object)
    predictions = predict_images(predictor, features, labels, ("b", "a", "c"))
    decided = predictor.adjusted(predictor.predict(images))
    assert predictions["adjusted"].tolist() == [predictor.classes[i] for i in decided]
    assert predictions["adjusted_correct"].tolist() == [
        None if label is None else bool(p == label)
        for p, label in zip(predictions["adjusted"], labels, strict=True)
    ]


def test_what_a_card_cannot_say_is_missing(predictor):
    predictor.card = replace(predictor.card, outlier=None)
    predictions = predict_images(
        predictor, np.zeros((3, 64), np.float32), np.array(["a", "b", "z"], object), ("a", "b", "z")
    )
    assert np.isnan(predictions["outlier"]).all() and predictions["correct"].tolist() == [None] * 3
    assert (
        predictions["adjusted"].tolist() == predictions["adjusted_correct"].tolist() == [None] * 3
    )


def test_only_models_of_exactly_these_classes_are_asked_unbidden(workspace, monkeypatch):
    cards = [
        make_card(name="second", arm="imagenet", classes=["b", "a"]),
        make_card(name="first", arm="vae", classes=["a", "b"]),
        make_card(name="other", arm="vae", classes=["a", "b", "c"]),
    ]
    monkeypatch.setattr(map_predictions, "list_cards", lambda workspace: cards)
    assert fitting_bundles(workspace, ("a", "b")) == ["first", "second"]
    assert fitting_bundles(workspace, ()) == []
