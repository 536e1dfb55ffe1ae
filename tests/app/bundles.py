"""Small real bundles for the pages: untrained ResNet-18s to stage 1, saved by the writer that publishing uses."""

from __future__ import annotations

import torch

from derm_core.bundles.card import Card
from derm_core.config import BackboneConfig
from derm_core.nets.backbone import FeatureNetwork, build_backbone
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.pretrained import build_pretrained
from derm_core.nets.vae import build_vae
from tests.bundles.cards import save_bundle
from tests.nets.families import TINY

CLASSES = ("bkl", "mel", "nv")
METRIC = {"mean": 0.61, "std": 0.02, "low": 0.55, "high": 0.67}


def put_bundle(
    workspace,
    name: str,
    arm: str,
    classes=CLASSES,
    input_size: int = 32,
    network: FeatureNetwork | None = None,
    **fields,
) -> Card:
    """Save bundle `name` in the workspace's own library; returns its card."""
    seed = sum(map(ord, name))
    backbone = network or build_backbone(BackboneConfig(architecture="resnet18", stage=1), seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = make_head(backbone.width, 8, len(classes), seed)
        torch.nn.init.normal_(head.get_parameter("2.weight"))
    card = {
        "schema": 1,
        "name": name,
        "arm": arm,
        "label": {"vae": "VAE", "imagenet": "ImageNet"}.get(arm, arm),
        "regime": "finetune",
        "architecture": "resnet18",
        "stage": 1,
        "model_args": {},
        "features": 64,
        "hidden": 8,
        "classes": list(classes),
        "class_descriptions": {"nv": "melanocytic nevus"},
        "input_size": input_size,
        "preprocessing": {"version": 1},
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "initial_weights": {"kind": "random", "license": "none needed"},
        "training_data": {"dataset": "moles", "images": 1200, "license": "CC0"},
        "split": {"fingerprint": "f", "seed": 0},
        "seed": 0,
        "metrics": {"balanced_accuracy": METRIC, "macro_auroc": METRIC},
        "commands": ["python -m derm_core compare"],
        "versions": {},
        "intended_use": "Research.",
        "limits": ["Not for diagnosis."],
        "license": "CC0; research only",
        **fields,
    }
    return save_bundle(workspace.models / name, Classifier(backbone, head).eval(), card)


def put_whole_bundle(workspace, name: str) -> Card:
    """Save a whole transformer as bundle `name`; it reads images of 48 px, resized by a bilinear filter."""
    network = build_pretrained("vit_tiny_patch16_224", 48, "mean", TINY)
    return put_bundle(
        workspace,
        name,
        "timm:vit_tiny_patch16_224@48@mean",
        input_size=48,
        label="vit_tiny at 48 px",
        network=network,
        architecture=network.architecture,
        stage=network.stage,
        tokens="mean",
        model_args=network.model_args,
        features=network.width,
        interpolation="bilinear",
        initial_weights={"kind": "pretrained"},
    )


def put_extractor(workspace, name: str, **fields) -> Card:
    """Save an untrained VAE as extractor `name` in the workspace's own library; returns its card."""
    vae = build_vae(
        BackboneConfig(architecture="resnet18", stage=1), 32, 4, 16, sum(map(ord, name))
    )
    card = {
        "schema": 1,
        "name": name,
        "label": "VAE of recipe views",
        "architecture": "resnet18",
        "stage": 1,
        "model_args": {},
        "features": 64,
        "input_size": 32,
        "decoder": {"latent_dim": 4, "size": 32, "width": 16},
        "preprocessing": {"version": 1},
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "training_data": {"dataset": "moles", "images": 1200, "license": "CC0"},
        "config": {},
        "record": {},
        "reconstruction": {"pixel_mse": 0.01, "active_units": 4, "images": 200, "kl": 4.0},
        "latent": {"kl": [1.0] * 4, "mean": [0.0] * 4, "std": [1.0] * 4, "images": 200},
        "knn": {
            "accuracy": 0.7,
            "balanced_accuracy": 0.4,
            "neighbours": 10,
            "images": 200,
            "split": "val",
        },
        "memorisation": {"samples": 64, "copies": 0},
        "recipe": "Two views.",
        "commands": ["python -m derm_core pretrain"],
        "versions": {},
        "intended_use": "Research.",
        "limits": ["Not for diagnosis."],
        "license": "CC0; research only",
        **fields,
    }
    return save_bundle(workspace.models / name, vae, {**card, "kind": "extractor"})
