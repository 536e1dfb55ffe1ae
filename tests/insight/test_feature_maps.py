"""Saliency of whole networks: ten families of transformers on their own grids, stages of a CNN, and what has no map."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from torch import nn

from derm_core.errors import ConfigError
from derm_core.insight import saliency as saliency_module
from derm_core.insight.saliency import grad_cam, integrated_gradients, layer_cam, saliency
from derm_core.nets import feature_maps
from derm_core.nets.backbone import normalise
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.pretrained import build_pretrained
from tests.insight.test_saliency import predictor_of
from tests.nets.families import FAMILIES, TINY

VIT = "vit_tiny_patch16_224"
SIZE = 112
STEPS = 100
PREFIX = {
    "vit_small_patch16_dinov3": 5,
    "vit_base_patch16_siglip_224": 0,
    "swin_tiny_patch4_window7_224": 0,
    "cait_xxs24_224": 0,
}


STEMS = {
    "gcvit_xxtiny": {},
    "twins_svt_small": {"depths": (1, 1, 1, 1)},
    "xcit_nano_12_p16_224": {"depth": 1},
    "pvt_v2_b0": {},
    "mvitv2_tiny": {},
    "convit_tiny": {"depth": 2, "local_up_to_layer": 1},
    "maxvit_rmlp_pico_rw_256": {},
    "vit_tiny_r_s16_p8_224": {"depth": 1},
}
HYBRIDS = {
    "test_coatnet": {},
    "davit_tiny": {"depths": (1, 1, 1, 1)},
    "visformer_tiny": {"depth": 3},
    "mobilevitv2_050": {},
    "mobilevit_xxs": {},
    "nest_tiny": {},
}

WITHOUT_MAPS = {
    "mixer_s32_224": {},  # tokens alone
    "tnt_s_patch16_224": {"depth": 1},  # a stage gives two tensors
    "coat_tiny": {"serial_depths": (1, 1, 1, 1), "parallel_depth": 1},  # timm names what is not run
    "pit_ti_224": {},  # a stage gives patches and class token
    "hiera_tiny_224": {"stages": (1, 1, 1, 1), "embed_dim": 16},  # tokens in another order
}


def classifier_of(architecture, size=SIZE, tokens="", **model_args):
    network = build_pretrained(architecture, size, tokens, model_args)
    return Classifier(network, make_head(network.width, 8, 3, 1)).eval()


def predictor(architecture, size=SIZE, tokens="", **model_args):
    classifier = classifier_of(architecture, size, tokens, **model_args)
    return predictor_of(classifier.backbone, classifier.head, 3, size=size)


def noise(size, count=2):
    return np.random.default_rng(size).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_cell_of_the_grid_is_the_patch_of_the_image_at_its_place(architecture, monkeypatch):
    """Before the first attention block nothing is mixed: one changed patch changes its cell alone."""
    monkeypatch.setattr(feature_maps, "_gradient_at", lambda _, __, tokens, *___: tokens)
    classifier = classifier_of(architecture, **FAMILIES[architecture])
    patches = feature_maps.first_patches(classifier.backbone, SIZE)
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    images[1] = images[0]

    def squares():  # of the patches themselves, where the gradient is the patch
        return feature_maps.patch_contributions(classifier, patches, images, torch.tensor([0, 0]))

    side = squares().shape[1]
    row, column, cell = side // 4, side // 2, SIZE // side
    images[1, :, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = 0
    first, second = squares()
    changed = (first - second).abs() > 1e-6
    assert side in (7, 8, 28) and changed.nonzero().tolist() == [[row, column]]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", STEMS)
def test_behind_a_stem_the_cells_of_a_changed_quarter_change_most(architecture, monkeypatch):
    monkeypatch.setattr(feature_maps, "_gradient_at", lambda _, __, tokens, *___: tokens)
    classifier = classifier_of(architecture, 64, **STEMS[architecture])
    patches = feature_maps.first_patches(classifier.backbone, 64)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    images[1] = images[0]
    images[1, :, 32:, :32] = 0
    targets = torch.tensor([0, 0])
    first, second = feature_maps.patch_contributions(classifier, patches, images, targets)
    quarters = nn.functional.adaptive_avg_pool2d((first - second).abs()[None], 2)[0]
    assert int(quarters.argmax()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("architecture", HYBRIDS)
def test_the_map_of_a_hybrid_is_that_of_its_stages(architecture):
    """Its first attention block gets channels first, windows or parts of images, which are no rows and columns."""
    model, images = predictor(architecture, 64, **HYBRIDS[architecture]), noise(64, 2)
    fine, coarse = saliency(model, images), saliency(model, images, fine=False)
    last = 4 if architecture == "nest_tiny" else 2
    assert fine.cells_nhw.shape == (2, 8, 8) and coarse.cells_nhw.shape == (2, last, last)
    assert not fine.of_patches and not coarse.of_patches
    with pytest.raises(ConfigError, match="a square of patches"):
        integrated_gradients(model, images)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", FAMILIES)
def test_every_family_is_explained_by_captums_integrated_gradients(architecture):
    """From patches of zeros, class and register tokens as they are; summed over channels."""
    model, images = predictor(architecture, **FAMILIES[architecture]), noise(SIZE)
    model.predict(images)
    cam = integrated_gradients(model, images, [1, 2])
    assert cam.density_nss.shape == (2, SIZE, SIZE) and not np.array_equal(*cam.cells_nhw)
    assert cam.density_nss.mean(axis=(1, 2)) == pytest.approx(1, rel=1e-3)
    classifier = model.bundle.classifier
    assert not any(module._forward_pre_hooks for module in classifier.modules())
    block = feature_maps.first_patches(classifier.backbone, SIZE).block
    x_bchw = normalise(torch.from_numpy(images), [0.5] * 3, [0.25] * 3)
    prefix, given = PREFIX.get(architecture, 1), []
    hook = block.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach()))
    with torch.no_grad():
        classifier(x_bchw)
    hook.remove()

    def logits(tokens):
        put = block.register_forward_pre_hook(lambda _, inputs: (tokens, *inputs[1:]))
        scores = classifier(x_bchw.repeat(len(tokens) // 2, 1, 1, 1))
        put.remove()
        return scores

    empty = given[0].clone()
    empty[:, prefix:] = 0
    expected = IntegratedGradients(logits).attribute(
        given[0],
        empty,
        target=torch.tensor([1, 2]),
        n_steps=feature_maps.PATH_STEPS,
        method="riemann_middle",
    )
    expected = expected.sum(-1).flatten(1)[:, prefix:].detach().numpy()
    assert cam.cells_nhw.reshape(2, -1) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_map_of_a_model_is_that_of_its_kind_of_network(monkeypatch):
    asked = []
    for name in ("integrated_gradients", "layer_cam", "grad_cam"):
        monkeypatch.setattr(saliency_module, name, lambda *_, name=name: asked.append(name))
    vit, cnn = predictor(VIT, 32, **TINY), predictor("mobilenetv3_small_050", 32)
    for model in (vit, cnn):
        for fine in (True, False):
            saliency(model, noise(32), None, fine)
    assert asked == ["integrated_gradients", "integrated_gradients", "layer_cam", "grad_cam"]
    with pytest.raises(ConfigError, match="transformers"):
        integrated_gradients(cnn, noise(32), [0, 0])


@pytest.mark.slow
@pytest.mark.parametrize("tokens", ["token", "mean"])
def test_a_transformer_that_learned_the_colour_of_a_square_is_explained_by_the_square(tokens):
    generator = torch.Generator().manual_seed(1)

    def squares(count):
        images = torch.randint(50, 200, (count, 32, 32, 3), generator=generator, dtype=torch.uint8)
        labels = torch.randint(0, 3, (count,), generator=generator)
        masks = torch.zeros(count, 32, 32)
        corners = torch.randint(0, 25, (count, 2), generator=generator).tolist()
        for i, (row, column) in enumerate(corners):
            images[i, row : row + 8, column : column + 8] = 40
            images[i, row : row + 8, column : column + 8, labels[i]] = 250
            masks[i, row : row + 8, column : column + 8] = 1
        return images, labels, masks.numpy()

    model_args = {"patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}
    classifier = classifier_of(VIT, 32, tokens, **model_args)
    optimiser = torch.optim.AdamW(classifier.parameters(), 2e-3)
    for _ in range(STEPS):
        images, labels, _ = squares(16)
        x_bchw = normalise(images, [0.5] * 3, [0.25] * 3)
        nn.functional.cross_entropy(classifier(x_bchw), labels).backward()
        optimiser.step()
        optimiser.zero_grad()
    model = predictor_of(classifier.backbone, classifier.head, 3, size=32)
    images, labels, masks = squares(64)
    assert (model.predict(images.numpy()).argmax(1) == labels.numpy()).mean() > 0.9
    density = integrated_gradients(model, images.numpy(), labels.tolist()).density_nss
    inside = (density * masks).sum((1, 2)) / density.sum((1, 2))
    assert inside.mean() > 1.5 * masks.mean()


@pytest.mark.slow
def test_a_whole_convolutional_network_has_the_maps_of_its_stages():
    model, images = predictor("mobilenetv3_small_050", 64), noise(64)
    assert layer_cam(model, images).cells_nhw.shape == (2, 8, 8)
    assert grad_cam(model, images).cells_nhw.shape == (2, 2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", WITHOUT_MAPS)
def test_a_network_without_a_map_of_the_image_is_refused(architecture):
    size = 224 if architecture == "hiera_tiny_224" else 64
    model = predictor(architecture, size, **WITHOUT_MAPS[architecture])
    for fine in (True, False):
        with pytest.raises(ConfigError, match=architecture):
            saliency(model, noise(size), fine=fine)
