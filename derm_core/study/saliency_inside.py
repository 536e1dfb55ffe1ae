"""How much of each arm's saliency lies inside the lesion, on a sample of test images that have a mask.

The maps are those of Classify: LayerCAM, of transformers integrated gradients of the patches, each for the class that
the arm finds most probable. Extractors side by side have one head: the evidence of each is that under this head, the
features of the others as they are, and their maps are added, each with the weight of its evidence.

One seed's classifiers are explained, and the interval is over groups alone. What an even map would have inside is the
share of the area that the lesion has.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..arms import reads_images_alone
from ..config import StudyConfig
from ..config.shared import ImageForm
from ..data.masks import as_seen, read_masks
from ..errors import ConfigError, DataError
from ..events import TICK, Event, log, progress
from ..formatting import count
from ..nets.backbone import Extractor, FeatureNetwork
from ..nets.feature_maps import first_patches
from ..nets.saliency import density, layer_evidence, patch_evidence
from ..seeds import stream_seed
from ..stats.image_means import image_means
from ..stats.inside_share import inside_share
from ..stats.paired import Estimate
from .answers import SaliencyInside, SaliencyRow
from .image_arms import on_images
from .predictors import Predictors, TrainedNetwork
from .study_data import StudyData
from .trained_arm import TrainedStudy

BATCH = 16
LAYER_CAM, PATCHES = "LayerCAM", "integrated gradients of the patches"
NO_IMAGE = "its features do not follow from an image alone, so that it has no map of one"
NO_MAP = "its network has no map of the image"
NOTE = (
    "The classifier of seed {seed} of every arm, for the class that it finds most probable; {sampled} drawn from the "
    "{masked} of the test set that have a lesion mask, the same for all arms. Intervals are over groups alone, not "
    "over seeds. A map spread evenly over the image has as large a share inside as the lesion has of the area. Edges "
    "and pigment attract the maps of untrained networks as well (Adebayo et al. 2018): read arms beside Random "
    "initialisation. The share says where the maps lie, not whether predictions are right."
)


@dataclass(frozen=True)
class Sample:
    """Test images with a mask.

    Attributes:
        places: (k,) positions among the test images, ascending.
        masks: of their whole images, mode "L".
        masked: test images with a mask.
    """

    places: np.ndarray
    masks: list[Image.Image]
    masked: int

    def seen(self, form: ImageForm) -> np.ndarray:
        """(k, S, S) bool: the masks as a network that reads images of this form sees its images."""
        return np.stack([as_seen(mask, form) for mask in self.masks])


def saliency_inside(study: TrainedStudy) -> Generator[Event, None, SaliencyInside]:
    """The share of every arm's saliency inside the lesion masks. Raises DataError where the dataset has none."""
    config = study.config
    sample = draw_sample(study.data, config)
    yield log(f"Saliency inside the lesion: {count(len(sample.places), 'test image')}.")
    left_out = {name: NO_IMAGE for name in study.trained if not reads_images_alone(name)}
    reading, _ = on_images(study)
    rows = []
    with closing(Predictors(reading)) as predictors:
        for name in reading.trained:
            try:
                rows.append((yield from _row(reading, predictors, name, sample)))
            except ConfigError:
                left_out[name] = NO_MAP
    note = NOTE.format(
        seed=config.seeds[0],
        sampled=count(len(sample.places), "image"),
        masked=f"{sample.masked:,}",
    )
    return SaliencyInside(
        rows=tuple(rows),
        left_out=left_out,
        sampled=len(sample.places),
        masked=sample.masked,
        seed=config.seeds[0],
        note=note,
    )


def draw_sample(data: StudyData, config: StudyConfig) -> Sample:
    """The test images with a mask that a study asks for, drawn by its split seed. Raises DataError without any."""
    masks, ids = read_masks(data.dataset), data.image_ids[data.members("test")]
    masked = [place for place, name in enumerate(ids) if masks and name in masks]
    rng = np.random.default_rng(stream_seed(config.split_seed, "saliency"))
    places = np.sort(rng.permutation(np.array(masked, np.int64))[: config.saliency_images])
    pictures = [masks.of_image(ids[place]) for place in places] if masks else []
    if not pictures:
        raise DataError(
            f"No test image of {data.dataset.name} has a lesion mask: add masks with `data masks {data.dataset.name} "
            "PATH`, or leave out --masks."
        )
    return Sample(places, [one for one in pictures if one is not None], len(masked))


def _row(
    study: TrainedStudy, predictors: Predictors, name: str, sample: Sample
) -> Generator[Event, None, SaliencyRow]:
    """The row of one arm. Raises ConfigError where its network has no map of the image."""
    network, one = predictors.network(name), study.trained[name]
    study_form = ImageForm(study.config.input_size)
    form = max((part.form or study_form for part in network.parts), key=lambda each: each.size)
    probabilities = one.probabilities["test"][0]
    targets = torch.from_numpy(probabilities[sample.places].argmax(1)).to(predictors.device)
    positions = study.data.members("test")[sample.places]
    maps, started = [], time.monotonic()
    for begin in range(0, len(positions), BATCH):
        rows = study.data.rows[positions[begin : begin + BATCH]]
        images = [
            torch.from_numpy(np.array(study.data.store_at(part.form).images[rows]))
            for part in network.parts
        ]
        images = [each.to(predictors.device) for each in images]
        batch = targets[begin : begin + BATCH]
        maps.append(explain(network, images, batch, form.size))
        done = begin + len(rows)
        what = f"Saliency: {one.arm.label}"
        yield progress(done, len(positions), "images", what=what, started=started)
        yield TICK
    seen = sample.seen(form)
    shares = inside_share(np.concatenate(maps), seen)
    inside, area, above = _estimates(study, sample, shares, seen.mean((1, 2)))
    return SaliencyRow(
        arm=name,
        inside=inside.interval(),
        area=float(area.by_seed[0]),
        above_area=above.interval(),
        images=int(np.isfinite(shares).sum()),
        method=_method(network.parts, study_form),
    )


def _estimates(
    study: TrainedStudy, sample: Sample, shares: np.ndarray, areas: np.ndarray
) -> list[Estimate]:
    """Means of share, area and share less area over the images with a map, under the study's resamples of groups."""
    there = np.isfinite(shares)
    places = sample.places[there]
    tested = len(study.data.members("test"))
    among = np.zeros(tested, bool)
    among[places] = True
    values = np.zeros((1, tested, 3))
    values[0, places] = np.stack([shares, areas, shares - areas], 1)[there]
    return image_means(study.scorer.resamples, values, among)


def _method(parts: Sequence[Extractor], study_form: ImageForm) -> str:
    methods = [
        PATCHES if first_patches(part.backbone, (part.form or study_form).size) else LAYER_CAM
        for part in parts
    ]
    return " and ".join(dict.fromkeys(methods)) + (", added" if len(parts) > 1 else "")


# ---- maps --------------------------------------------------------------------------------------


class PartClassifier(nn.Module):
    """A classifier that reads one of several extractors, the features of the others as they are.

    Args:
        backbone: of the extractor that is read.
        network: the classifier.
        before_nd, after_nd: features of n images that stand before and behind those of the backbone. Where more images
            are read, these are the n images again and again.
    """

    backbone: FeatureNetwork

    def __init__(
        self, backbone: FeatureNetwork, network: TrainedNetwork, before_nd: Tensor, after_nd: Tensor
    ):
        super().__init__()
        self.backbone = backbone
        self.classify, self.before, self.after = network.classify, before_nd, after_nd

    def forward(self, x_bchw: Tensor) -> Tensor:
        """(b, C) logits."""
        own = self.backbone.pooled(x_bchw)
        times = len(own) // len(self.before)
        return self.classify(
            torch.cat([self.before.repeat(times, 1), own, self.after.repeat(times, 1)], 1)
        )


def explain(
    network: TrainedNetwork, images: Sequence[Tensor], targets_n: Tensor, size: int
) -> np.ndarray:
    """(n, S, S) evidence for a class at each pixel, 0 or above.

    Args:
        network: the classifier.
        images: uint8 (n, s, s, 3) as each of its parts reads them.
        targets_n: the class of each image.
        size: S.

    Raises:
        ConfigError: a part has no map of the image.
    """
    total = np.zeros((len(targets_n), size, size))
    for (part, classifier), own in zip(_parts(network, images), images, strict=True):
        patches = first_patches(part.backbone, own.shape[1])
        evidence = patch_evidence if patches else layer_evidence
        cells_nhw = evidence(classifier, part.normalise, own, targets_n).relu().cpu()
        weight = cells_nhw.sum((1, 2), dtype=torch.float64).numpy()
        total += density(cells_nhw, size) * weight[:, None, None]
    return total


def _parts(
    network: TrainedNetwork, images: Sequence[Tensor]
) -> Iterator[tuple[Extractor, PartClassifier]]:
    """Every extractor with the classifier that reads it."""
    features = [
        part.features(own) if len(network.parts) > 1 else own.new_zeros((len(own), 0)).float()
        for part, own in zip(network.parts, images, strict=True)
    ]
    nothing = features[0][:, :0]
    for number, part in enumerate(network.parts):
        before = torch.cat([nothing, *features[:number]], 1)
        after = torch.cat([nothing, *features[number + 1 :]], 1)
        yield part, PartClassifier(part.backbone, network, before, after).eval()
