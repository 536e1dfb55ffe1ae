"""Small things to train: images whose class is their brightness, and tasks that learn in seconds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from derm_core.config import BackboneConfig, PretrainConfig
from derm_core.config.recipes import recipe
from derm_core.nets.vae import build_vae
from derm_core.training.tasks import ClassifyTask, VAETask

SIZE, COUNT, CLASSES = 16, 60, 3


@pytest.fixture(autouse=True)
def one_thread():
    """These nets are too small to share among threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_labels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, CLASSES, COUNT)


def make_images(labels: np.ndarray) -> np.ndarray:
    """(60, 16, 16, 3) uint8; brightness tells the class."""
    noise = np.random.default_rng(2).normal(0, 15, (COUNT, SIZE, SIZE, 3))
    return np.clip(60 + 60 * labels[:, None, None, None] + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    return make_labels()


@pytest.fixture
def images(labels) -> np.ndarray:
    return make_images(labels)


@pytest.fixture
def make_classifier():
    """A function that builds the same small classifier, with batch norm, each time."""

    def make() -> ClassifyTask:
        torch.manual_seed(0)
        return ClassifyTask(
            nn.Sequential(
                nn.Conv2d(3, 8, 3, stride=2, bias=False),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(8, CLASSES),
            )
        )

    return make


@pytest.fixture
def vae_config() -> PretrainConfig:
    """A pretraining of seconds: two epochs of three steps on 16-pixel images."""
    return PretrainConfig(
        dataset="tiny",
        backbone=BackboneConfig(stage=1),
        input_size=SIZE,
        device="cpu",
        recipe=recipe("masked", epochs=2, batch_size=12, latent_dim=4, decoder_width=16),
    )


@pytest.fixture
def views_config(vae_config) -> PretrainConfig:
    """The same with two views of each image, and every term that a recipe can add."""
    return dataclasses.replace(
        vae_config,
        recipe=recipe(
            "views",
            epochs=2,
            batch_size=12,
            latent_dim=4,
            decoder_width=16,
            projection_dim=8,
            free_bits=0.1,
            gradient_weight=0.5,
            ssim_weight=0.5,
            ema_decay=0.9,
        ),
    )


@pytest.fixture
def make_views_task(views_config):
    """A function that builds the same small VAE task of two views each time."""

    def make() -> VAETask:
        return VAETask(
            build_vae(views_config.backbone, SIZE, 4, 16, seed=0), views_config.recipe, seed=0
        )

    return make


@pytest.fixture
def make_vae_task(vae_config):
    """A function that builds the same small VAE task each time."""

    def make() -> VAETask:
        return VAETask(build_vae(vae_config.backbone, SIZE, 4, 16, seed=0), vae_config.recipe)

    return make
