"""Saliency inside the lesion: the maps of Classify under the study's own heads, counted on one sample for all arms."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
import torch

from derm_core.config.shared import ImageForm
from derm_core.data.mask_files import masks_at
from derm_core.data.masks import add_masks, as_seen, read_masks
from derm_core.errors import DataError
from derm_core.insight.saliency import layer_cam
from derm_core.jobs.preflight import check
from derm_core.nets.backbone import build_backbone, make_extractor
from derm_core.nets.colour import ColourHistogram
from derm_core.nets.feature_maps import first_patches, patch_contributions
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.pretrained import build_pretrained
from derm_core.stats.inside_share import inside_share
from derm_core.study.arms import Arm
from derm_core.study.predictors import Predictors, TrainedNetwork, softmax
from derm_core.study.saliency_inside import PartClassifier, draw_sample, explain, saliency_inside
from derm_core.workspace import Workspace
from tests.builders import noise, write_dataset, write_image
from tests.insight.test_saliency import predictor_of
from tests.nets.families import TINY
from tests.study.trained import CONFIG, SMALL, finish, trained_study

SIZE = 32


def with_masks(root, count: int = 90):
    """A workspace with the dataset `tiny` and masks of its first `count` images, each another rectangle."""
    workspace = Workspace.open(root / "home")
    dataset = write_dataset(workspace)
    for i in range(count):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[: 8 + i % 17, 4 : 16 + i % 5] = 255
        write_image(root / "masks" / f"i{i:03d}.png", mask)
    add_masks(dataset, masks_at(root / "masks"))
    return workspace


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three arms: one without a map, one with a network, two networks side by side."""
    workspace = with_masks(tmp_path_factory.mktemp("saliency"))
    arms = ("colour", "random", "imagenet+random")
    return trained_study(workspace, arms=arms, saliency_images=10, built=joined_arms())


def joined_arms():
    """Arms with untrained networks, so that no weights are needed."""

    def extractor(name, seed):
        return make_extractor(name, build_backbone(SMALL, seed), [0.4] * 3, [0.3] * 3)

    first, second = extractor("random", 1), extractor("imagenet", 2)
    colour = make_extractor("colour", ColourHistogram(), [0.0] * 3, [1.0] * 3)
    return [
        Arm("colour", [[colour]]),
        Arm("random", [[first]]),
        Arm("imagenet+random", [[second, first]]),
    ]


def first_images(study, count: int = 6):
    """The first test images, and their most probable classes by arm, from the study's own probabilities."""
    positions = study.data.members("test")[:count]
    images = torch.from_numpy(np.array(study.data.store.images[study.data.rows[positions]]))
    targets = {
        name: torch.from_numpy(one.probabilities["test"][0][:count].argmax(1))
        for name, one in study.trained.items()
    }
    return images, targets


def test_a_single_network_has_the_map_of_classify(study):
    images, targets = first_images(study)
    with closing(Predictors(study)) as predictors:
        network = predictors.network("random")
    maps = explain(network, [images], targets["random"], SIZE)
    weights = study.frozen.heads.weights("random", study.frozen.best["random"])[0]
    part = network.parts[0]
    classifier = Classifier(part.backbone, make_head(part.backbone.width, 16, 3, 0))
    backbone = {f"backbone.{key}": of for key, of in part.backbone.state_dict().items()}
    classifier.load_state_dict({**weights, **backbone})
    model = predictor_of(part.backbone, classifier.head, 3, mean=0.4, size=SIZE)
    model.bundle.classifier.load_state_dict(classifier.state_dict())
    object.__setattr__(model.card, "std", (0.3,) * 3)
    expected = layer_cam(model, images.numpy(), targets["random"].tolist()).density_nss
    assert maps / maps.mean((1, 2), keepdims=True) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_each_part_is_read_under_the_head_that_it_shares(study):
    """Whichever part is read, the classifier gives the study's own probabilities."""
    images, _ = first_images(study)
    with closing(Predictors(study)) as predictors:
        network = predictors.network("imagenet+random")
    first, second = (part.features(images) for part in network.parts)
    expected = study.trained["imagenet+random"].probabilities["test"][0][: len(images)]
    for number, (before, after) in enumerate(((first[:, :0], second), (first, second[:, :0]))):
        part = network.parts[number]
        one = PartClassifier(part.backbone, network, before, after)
        with torch.no_grad():
            logits = one(part.normalise(images.repeat(2, 1, 1, 1)))
        assert softmax(logits) == pytest.approx(np.tile(expected, (2, 1)), abs=1e-4)


def test_maps_of_two_networks_are_added(study):
    images, targets = first_images(study)
    with closing(Predictors(study)) as predictors:
        network = predictors.network("imagenet+random")
    both = explain(network, [images, images], targets["imagenet+random"], SIZE)
    assert both.shape == (len(images), SIZE, SIZE) and (both >= 0).all() and both.any((1, 2)).all()
    swapped = type(network)(network.parts[::-1], lambda f: network.classify(f.roll(64, 1)))
    again = explain(swapped, [images, images], targets["imagenet+random"], SIZE)
    assert again == pytest.approx(both, rel=1e-3, abs=1e-6)


def test_a_transformer_has_integrated_gradients_of_its_patches():
    vit = build_pretrained("vit_tiny_patch16_224", SIZE, "", TINY)
    classifier = Classifier(vit, make_head(vit.width, 8, 3, 1)).eval()
    extractor = make_extractor("timm:vit", vit, [0.5] * 3, [0.25] * 3)
    images = torch.from_numpy(noise(SIZE, seed=4)[None])
    network = TrainedNetwork([extractor], classifier.classify)
    maps = explain(network, [images], torch.tensor([1]), SIZE)
    cells = patch_contributions(
        classifier, first_patches(vit, SIZE), extractor.normalise(images), torch.tensor([1])
    )
    assert maps.mean() == pytest.approx(float(cells.relu().sum()), rel=1e-3)
    assert explain(network, [images], torch.tensor([2]), SIZE) != pytest.approx(maps)


@pytest.mark.slow
def test_the_answer_is_the_mean_over_one_sample_for_all_arms(study):
    events, answer = finish(saliency_inside(study))
    assert answer.sampled == 10 and answer.masked == len(study.data.members("test"))
    assert {row.arm for row in answer.rows} == {"random", "imagenet+random"}
    assert list(answer.left_out) == ["colour"] and "no map" in answer.left_out["colour"]
    assert {row.area for row in answer.rows} == {answer.rows[0].area}
    assert answer.of_arm("random").method == "LayerCAM" and answer.of_arm("colour") is None
    assert any("10 test images" in str(event.value) for event in events)
    sample = draw_sample(study.data, study.config)
    positions = study.data.members("test")[sample.places]
    images = torch.from_numpy(np.array(study.data.store.images[study.data.rows[positions]]))
    masks = read_masks(study.data.dataset)
    seen = np.stack(
        [as_seen(masks.of_image(name), ImageForm(SIZE)) for name in study.data.image_ids[positions]]
    )
    probabilities = study.trained["random"].probabilities["test"][0][sample.places]
    with closing(Predictors(study)) as predictors:
        network = predictors.network("random")
    maps = explain(network, [images], torch.from_numpy(probabilities.argmax(1)), SIZE)
    shares = inside_share(maps, seen)
    row = answer.of_arm("random")
    assert row.inside.mean == pytest.approx(shares.mean(), rel=1e-4)
    assert row.area == pytest.approx(seen.mean())
    assert row.above_area.mean == pytest.approx(shares.mean() - seen.mean(), abs=1e-4)
    assert row.inside.low < row.inside.mean < row.inside.high and row.images == 10


@pytest.mark.slow
def test_masks_of_whole_images_hold_everything_and_no_more_than_their_area(tmp_path):
    workspace = Workspace.open(tmp_path / "home")
    dataset = write_dataset(workspace)
    for i in range(90):
        write_image(tmp_path / "masks" / f"i{i:03d}.png", np.full((SIZE, SIZE), 255, np.uint8))
    add_masks(dataset, masks_at(tmp_path / "masks"))
    study = trained_study(workspace, arms=("random",), saliency_images=8)
    row = finish(saliency_inside(study))[1].of_arm("random")
    assert row.inside.mean == row.area == 1 and row.above_area.mean == pytest.approx(0)


@pytest.mark.slow
def test_fine_tuned_networks_are_explained_too(tmp_path):
    study = trained_study(
        with_masks(tmp_path), arms=("random",), regime="finetune", saliency_images=5
    )
    _, answer = finish(saliency_inside(study))
    assert answer.of_arm("random").images == 5 and 0 < answer.of_arm("random").inside.mean < 1


def test_a_study_without_masked_test_images_is_refused_before_it_trains(workspace):
    write_dataset(workspace)
    config = type(CONFIG)(**{**vars(CONFIG), "saliency_images": 5})
    with pytest.raises(DataError, match="data masks tiny PATH"):
        check(workspace, config)
