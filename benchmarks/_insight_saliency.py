"""How much of each kind of saliency lies inside the lesion, beside what chance gives.

Masks of real and of drawn lesions.

    inside(predictor, images (n, S, S, 3), masks (n, S, S), occluded) -> {area, position, images,
    layer_cam, grad_cam,
                                                                          occlusion, untrained}

area: the share of the image that is lesion, what an even map has inside. position: what the mean of
all masks has
inside, the same map for every image: a map that beats the area but not this one may know no more
than that lesions lie in the middle. untrained: LayerCAM of the same architecture with random
weights, what edges and pigment alone attract (Adebayo et al. 2018, arXiv 1810.03292). Each kind is
{inside, above_area, low, high, peak_inside, images}: the mean share inside, its excess over the
area of the same images with a 95 % interval over images, and how often the map's largest value is
in the lesion. Maps are of the class each model itself finds most probable; maps that are 0
everywhere are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import islice

import numpy as np

from derm_core.bundles.predictor import Predictor
from derm_core.config import BackboneConfig
from derm_core.data.synth.generator import generate
from derm_core.insight.saliency import grad_cam, layer_cam, occlusion
from derm_core.nets.backbone import build_backbone
from derm_core.nets.head import Classifier, make_head
from derm_core.stats.inside_share import inside_share


def inside(predictor: Predictor, images: np.ndarray, masks: np.ndarray, occluded: int) -> dict:
    """See the module's docstring. occluded: how many of the images are asked about patch by patch."""
    hidden = min(occluded, len(images))
    position = np.broadcast_to(masks.mean(0), masks.shape)
    shares = {
        "area": float(masks.mean()),
        "position": float(inside_share(position, masks).mean()),
        "images": len(images),
    }
    kinds: dict[str, Callable[[], np.ndarray]] = {
        "layer_cam": lambda: layer_cam(predictor, images).density_nss,
        "grad_cam": lambda: grad_cam(predictor, images).density_nss,
        "occlusion": lambda: hiding(predictor, images[:hidden]),
        "untrained": lambda: layer_cam(untrained(predictor), images).density_nss,
    }
    return shares | {
        kind: summary(maps, masks[: len(maps)])
        for kind, maps in ((kind, make()) for kind, make in kinds.items())
    }


def summary(maps: np.ndarray, masks: np.ndarray) -> dict | None:
    """Shares of maps (n, S, S) inside their masks; None where every map is 0."""
    share = inside_share(maps, masks)
    some = np.isfinite(share)
    if not some.any():
        return None
    above = (share - masks.mean((1, 2)))[some]
    reach = 1.96 * above.std(ddof=1) / np.sqrt(len(above)) if len(above) > 1 else np.nan
    peaks = [
        mask.ravel()[density.argmax()]
        for density, mask in zip(maps[some], masks[some], strict=True)
    ]
    return {
        "inside": float(share[some].mean()),
        "above_area": float(above.mean()),
        "low": float(above.mean() - reach),
        "high": float(above.mean() + reach),
        "peak_inside": float(np.mean(peaks)),
        "images": int(some.sum()),
    }


def hiding(predictor: Predictor, images: np.ndarray) -> np.ndarray:
    """By how much hiding a patch lowers the probability of the most probable class (n, S, S), or 0."""
    tops = predictor.predict(images).argmax(1)
    return np.stack(
        [
            occlusion(predictor, image, int(top)).clip(0)
            for image, top in zip(images, tops, strict=True)
        ]
    )


def untrained(predictor: Predictor, seed: int = 0) -> Predictor:
    """The same architecture, preprocessing and classes, with weights as they are before any training."""
    card = predictor.card
    backbone = build_backbone(
        BackboneConfig(architecture=card.architecture, stage=card.stage),
        seed,
        card.model_args,
    )
    classifier = Classifier(
        backbone, make_head(backbone.width, card.hidden, len(card.classes), seed)
    )
    return Predictor(
        dataclasses.replace(
            predictor.bundle, classifier=classifier.eval().requires_grad_(False), decoder=None
        )
    )


def drawn_lesions(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic images (n, S, S, 3) uint8 and their masks (n, S, S) bool, those without a lesion pixel left out."""
    lesions = [
        (image, mask) for image, mask, _ in islice(generate(count, size, seed), count) if mask.any()
    ]
    images, masks = zip(*lesions, strict=True)
    return np.stack(images), np.stack(masks).astype(bool)
