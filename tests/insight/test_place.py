"""Where an image falls among the training images: a training image falls on its own point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from derm_core.config import BackboneConfig
from derm_core.insight import reference
from derm_core.insight.outlier import fit_space
from derm_core.insight.place import place
from derm_core.nets.backbone import build_backbone
from derm_core.nets.head import Classifier, make_head
from derm_core.serve.bundle import Bundle
from derm_core.serve.predictor import Predictor
from derm_core.serve.sidecar import Reference, without_points


@pytest.fixture
def predictor() -> Predictor:
    backbone = build_backbone(BackboneConfig(architecture="resnet18", stage=1), 1)
    card = {"classes": ["a", "b"], "input_size": 32, "features": 64, "mean": [0.5] * 3, "std": [0.25] * 3}
    return Predictor(Bundle("own", Path("own"), card, Classifier(backbone, make_head(64, 8, 2, 1)).eval(), None))


def test_a_training_image_falls_on_its_own_point(predictor):
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    assert place(predictor, images[0]) is None
    features, _ = predictor.features_and_logits(images)
    space = fit_space(features)
    known = Reference(space, reference.fit_points(space, features, np.arange(12) % 2, None, 0), None)
    predictor.bundle.reference = known
    for row in (0, 7):
        found = place(predictor, images[row])
        assert found.image_2 == pytest.approx(found.training_n2[row], abs=0.02) and found.labels_n[row] == row % 2
    predictor.bundle.reference = without_points(known)
    assert place(predictor, images[0]) is None
