"""What runs on a GPU, checked without one: which device every tensor of a forward pass would be on.

Under PyTorch's FakeTensorMode tensors have shapes and devices and no values, so that device "cuda" needs no
driver, and two devices in one operation are an error. Gradients need a real device (marker gpu).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from derm_core.arms import POOLINGS
from derm_core.config import AugmentConfig, BackboneConfig, PretrainConfig, Recipe
from derm_core.config.recipes import RECIPES
from derm_core.data.augment import augment
from derm_core.data.store import Store
from derm_core.heads.batched import BatchedHeads
from derm_core.heads.groups import HeadGroup
from derm_core.nets.backbone import FeatureNetwork, build_backbone, make_extractor
from derm_core.nets.batchnorm import match_statistics
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.lora import add_lora
from derm_core.nets.multi_stage import MultiStage
from derm_core.nets.pretrained import PretrainedNetwork
from derm_core.nets.side_by_side import SideBySide
from derm_core.stats.metrics import LOSSES
from derm_core.study import feature_compute
from derm_core.study.features import extract
from derm_core.training import batches
from derm_core.training.batches import ImageSource, normaliser
from derm_core.training.tasks import Batch, ClassifyTask, Task, vae_task
from tests.nets.families import TINY

CUDA = torch.device("cuda", 0)
SIZE, IMAGES, CLASSES = 32, 6, 3
HALF = (0.5, 0.5, 0.5)
SMALL = BackboneConfig(architecture="resnet18", stage=1)
EVERYTHING = AugmentConfig(
    rotate_degrees=180,
    scale_min=0.6,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    cast=0.1,
    mask_ratio=0.3,
    mask_patch=4,
)
MORE = {  # terms that no named recipe has
    "edges": Recipe(name="edges", gradient_weight=0.1, ssim_weight=0.1, free_bits=0.5),
}


@pytest.fixture
def pretended_gpu(monkeypatch) -> Iterator[None]:
    """Within, tensors on device "cuda" have a shape and no values."""
    if torch.cuda.is_available():
        pytest.skip("a real GPU is here: tests marked gpu use it")
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    with FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv()):
        yield


def devices(tensors: dict[str, torch.Tensor]) -> set[torch.device]:
    return {tensor.device for tensor in tensors.values()}


def batch(views: int = 1) -> Batch:
    images = [torch.zeros(IMAGES, 3, SIZE, SIZE, device="cuda") for _ in range(2 * views)]
    labels = torch.zeros(IMAGES, dtype=torch.int64, device="cuda")
    return Batch(images[0], images[1], labels, 0.5, second=tuple(images[2:]) or None)


def test_two_devices_in_one_operation_are_an_error(pretended_gpu):
    with pytest.raises(RuntimeError, match="two different devices"):
        torch.zeros(3, device="cuda") + torch.zeros(3)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("recipe", RECIPES | MORE)
def test_a_vae_is_computed_on_the_gpu(recipe, training, request):
    config = PretrainConfig(
        dataset="tiny", input_size=SIZE, backbone=SMALL, recipe=(RECIPES | MORE)[recipe]
    )
    check(vae_task(config), training, views=2 if recipe == "views" else 1, request=request)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_classifier_is_computed_on_the_gpu(loss, training, request):
    backbone = build_backbone(SMALL, 0)
    classifier = Classifier(backbone, make_head(backbone.width, 8, CLASSES, 0))
    check(ClassifyTask(classifier, loss), training, views=1, request=request)


def check(task: Task, training: bool, views: int, request) -> None:
    """The task is made on the CPU and moved, as a run does."""
    task.train(training)
    request.getfixturevalue("pretended_gpu")
    task.to(device="cuda", memory_format=torch.channels_last)
    output = task(batch(views).to(memory_format=torch.channels_last))
    assert devices(output) == {CUDA} and output["loss"].dtype == torch.float32


def test_augmentation_stays_on_the_gpu(pretended_gpu):
    images = torch.zeros(IMAGES, 3, SIZE, SIZE, device="cuda")
    assert {made.device for made in augment(images, EVERYTHING, torch.Generator())} == {CUDA}


@pytest.mark.parametrize("resident", [True, False])
def test_images_reach_the_gpu(resident, pretended_gpu, monkeypatch):
    monkeypatch.setattr(batches, "resident_bytes", lambda images, count, device: int(resident))
    source = ImageSource(np.zeros((IMAGES, SIZE, SIZE, 3), np.uint8), range(IMAGES), "cuda")
    assert (source.resident is not None) == resident
    for positions, images in source.batches([np.array([0, 1]), np.array([4])]):
        assert devices({"positions": positions, "images": images}) == {CUDA}
        assert normaliser(HALF, HALF, "cuda")(images).shape == (len(positions), 3, SIZE, SIZE)


def transformer(tokens: str = "") -> PretrainedNetwork:
    import timm

    name = "vit_tiny_patch16_224"
    body = timm.create_model(name, num_classes=0, dynamic_img_size=True, **TINY)
    return PretrainedNetwork(name, body, SIZE, tokens, TINY)


def with_lora() -> PretrainedNetwork:
    network = transformer()
    assert add_lora(network, rank=2, seed=0)
    return network


def side_by_side() -> SideBySide:
    each = [make_extractor(str(seed), build_backbone(SMALL, seed), HALF, HALF) for seed in (0, 1)]
    return SideBySide(each)


NETWORKS: dict[str, Callable[[], FeatureNetwork]] = {  # of each kind that an arm can have
    "backbone": lambda: build_backbone(SMALL, 0),
    "timm's backbone": lambda: build_backbone(
        BackboneConfig(architecture="convnext_atto", stage=1), 0
    ),
    "two stages": lambda: MultiStage(build_backbone(SMALL, 0)),
    "side by side": side_by_side,
    "transformer with LoRA": with_lora,
    **{f"transformer, {tokens}": partial(transformer, tokens) for tokens in POOLINGS},
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_features_are_computed_on_the_gpu(kind, workspace, monkeypatch, request):
    network = NETWORKS[kind]()
    store = Store(SIZE, np.zeros((IMAGES, SIZE, SIZE, 3), np.uint8), "0" * 64)
    extractor = make_extractor("one", network, HALF, HALF)
    found, pooled = [], type(network).pooled

    def spied(self, images):
        found.append(pooled(self, images))
        return found[-1]

    monkeypatch.setattr(type(network), "pooled", spied)
    monkeypatch.setattr(
        feature_compute, "fold", lambda network, example: network
    )  # compares values
    monkeypatch.setattr(batches, "resident_bytes", lambda *_: 1)
    request.getfixturevalue("pretended_gpu")
    computing = extract(extractor, store, workspace, "tiny", device="cuda")
    assert next(computing).kind == "progress"
    monkeypatch.setattr(
        type(network), "to", lambda self, *_, **__: self
    )  # back: not for such tensors
    computing.close()
    assert [one.device for one in found] == [CUDA] and found[0].shape == (IMAGES, network.width)


def test_batch_norms_are_matched_on_the_gpu(request):
    network = build_backbone(SMALL, 0)
    request.getfixturevalue("pretended_gpu")
    images = torch.zeros(IMAGES, 3, SIZE, SIZE, device="cuda")
    assert devices(dict(match_statistics(network.to("cuda"), images).named_buffers())) == {CUDA}


@pytest.mark.parametrize("loss", LOSSES)
def test_heads_are_trained_and_measured_on_the_gpu(loss, monkeypatch, request):
    heads = [make_head(5, 8, CLASSES, seed) for seed in range(2)]
    request.getfixturevalue("pretended_gpu")
    monkeypatch.setattr(
        torch.autograd, "grad", lambda loss, layers: [torch.zeros_like(each) for each in layers]
    )
    labels = torch.zeros(IMAGES, dtype=torch.int64, device="cuda")
    features = [torch.zeros(IMAGES, 5, device="cuda") for _ in heads]
    blocks = dict.fromkeys(("train", "val"), (features, labels))
    made = BatchedHeads(heads, [(1e-2, 0.0), (1e-3, 0.3)], blocks, loss)
    group = HeadGroup((("a", 0), ("a", 1)), (0, 1), (), made, batch_size=4)
    for rows in itertools.islice(group.batches(), 2):
        assert rows.device == CUDA
        made.train_step(rows, 1.0)
    measured = made.evaluate("val", torch.zeros(CLASSES, device="cuda"))
    scores = made.logits(features[0], unit=1, head=0)
    assert measured.shape == (3, 2, 2) and measured.device == scores.device == CUDA
