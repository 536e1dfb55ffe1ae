"""A bundle of a whole network: stored and built again, and a card that asks for another one is refused."""

import json
import os
import subprocess
import sys

import pytest
import torch

from derm_core.bundles.bundle import load_bundle
from derm_core.errors import BundleError
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.pretrained import build_pretrained
from tests.bundles.cards import FIELDS, save_bundle
from tests.nets.families import FAMILIES


def save(folder, architecture):
    network = build_pretrained(architecture, 112, model_args=FAMILIES[architecture])
    classifier = Classifier(network, make_head(network.width, 8, 3, 0)).eval()
    fields = {
        "name": "whole",
        "arm": f"timm:{architecture}",
        "architecture": architecture,
        "stage": -1,
        "model_args": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in network.model_args.items()
        },
        "features": network.width,
        "input_size": 112,
    }
    save_bundle(folder, classifier, FIELDS | fields)
    return classifier


@pytest.mark.slow
@pytest.mark.parametrize("architecture", FAMILIES)
def test_every_family_is_stored_and_loaded(architecture, tmp_path):
    classifier = save(tmp_path / "whole", architecture)
    x_bchw = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loaded = load_bundle(tmp_path / "whole").classifier(x_bchw)
        torch.testing.assert_close(loaded, classifier(x_bchw), atol=5e-3, rtol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"model_args": {"depth": 200, "embed_dim": 16, "num_heads": 2}},
        {"model_args": {"embed_dim": 8192}},
        {"model_args": {"depth": 10**6}},
        {"model_args": {"checkpoint_path": "a"}},
        {"architecture": "vit_giant_patch14_dinov2"},
        {"architecture": "hf-hub:owner/name"},
    ],
)
def test_another_network_than_the_files_is_refused_before_memory_is_taken(change, tmp_path):
    save(tmp_path / "whole", "vit_tiny_patch16_224")
    path = tmp_path / "whole" / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError):
        load_bundle(tmp_path / "whole")


@pytest.mark.slow
def test_the_models_that_ship_answer_without_timm(tmp_path):
    code = """
import sys
from PIL import Image
from derm_core.bundles.predict import predict_images
from derm_core.insight.traversal_sources import open_traversal
from derm_core.published import published_studies
from derm_core.workspace import Workspace
workspace = Workspace.open()
found = predict_images(workspace, None, [("grey", Image.new("RGB", (64, 64), "grey"))])
assert len(found.images) == 1 and len(found.images[0].arms) > 1
for study in published_studies():
    if study.about.vae:
        open_traversal(workspace, study.about.vae.source)
assert not {"timm", "torchvision", "torch._dynamo", "scipy.stats"} & set(sys.modules)
"""
    environment = {**os.environ, "DERM_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
