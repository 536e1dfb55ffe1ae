"""A small classifier with a card, and a workspace whose shelf is its own alone."""

from __future__ import annotations

import pytest
import torch

from derm_core.config import BackboneConfig
from derm_core.nets.backbone import build_backbone
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.vae import Decoder
from derm_core.workspace import Workspace
from tests.bundles.cards import FIELDS


@pytest.fixture
def shelf(workspace, monkeypatch) -> Workspace:
    """A workspace whose only shelf is its own: what ships in the repository plays no part."""
    monkeypatch.setattr(Workspace, "shelves", lambda self: [self.models])
    return workspace


@pytest.fixture
def classifier() -> Classifier:
    backbone = build_backbone(BackboneConfig(architecture="resnet18", stage=1), 3)
    generator = torch.Generator().manual_seed(5)
    mean, std = torch.randn(64, generator=generator), torch.rand(64, generator=generator) + 0.5
    return Classifier(backbone, make_head(64, 8, 3, 3), mean, std).eval()


@pytest.fixture
def decoder() -> Decoder:
    torch.manual_seed(0)
    return Decoder(latent_dim=4, size=32, width=16)


@pytest.fixture
def card() -> dict:
    """Everything of a card but what save_bundle fills in."""
    return dict(FIELDS)
