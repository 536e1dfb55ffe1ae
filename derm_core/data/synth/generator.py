"""A procedural stand-in for dermoscopy images: known factors, lesion masks, groups of one to three views.

The embedded default: with no data at all the product still works. A lesion's class is drawn first
and its factors around the class's profile; profiles overlap, so that no reader of the factors can
be always right. Everything about a view (rotation, light, hair, ruler, ink, bubbles, vignette) is
independent of the class. A lesion depends on the seed and its number alone, never on how many
others are generated or by which process.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from threadpoolctl import ThreadpoolController

from ...files import private_file
from ...seeds import stream_seed
from .photo import take_view
from .render import Factors, render_scene

SIZE = 128
VIEWS = (0.60, 0.28, 0.12)  # share of lesions with one, two and three views
View = tuple[int, int]  # number of the lesion, number of its view


@dataclass(frozen=True)
class Profile:
    """Share of a class among lesions, and means of what it is known by.

    Structures (network, globules, streaks) and irregularity go from 0 to 1, colours from 1 to 5.
    """

    share: float
    network: float
    globules: float
    streaks: float
    irregularity: float
    colours: float
    pigment: float


PROFILES = {
    "synth-network": Profile(0.32, 0.72, 0.16, 0.10, 0.35, 1.7, 0.95),
    "synth-globular": Profile(0.24, 0.14, 0.68, 0.08, 0.30, 1.6, 0.80),
    "synth-streaked": Profile(0.17, 0.24, 0.20, 0.70, 0.45, 2.0, 1.25),
    "synth-plain": Profile(0.16, 0.10, 0.10, 0.05, 0.30, 1.6, 0.75),
    "synth-mixed": Profile(0.11, 0.46, 0.44, 0.34, 0.75, 3.4, 1.15),
}
CLASSES = tuple(PROFILES)
SPREAD = 0.20  # standard deviation of a lesion around its class's profile


def lesion_factors(seed: int, group: int) -> Factors:
    """Class and factors of lesion number `group`, which all its views share."""
    rng = np.random.default_rng(stream_seed(seed, "lesion", group))
    label = CLASSES[rng.choice(len(CLASSES), p=[each.share for each in PROFILES.values()])]
    profile = PROFILES[label]
    structures = {
        name: float(np.clip(rng.normal(getattr(profile, name), SPREAD), 0, 1))
        for name in ("irregularity", "network", "globules", "streaks")
    }
    return {
        "label": label,
        "skin_melanin": float(rng.beta(1.1, 4.0) * 1.3),
        "skin_redness": float(rng.uniform(0.10, 0.95)),
        "size": float(rng.uniform(0.38, 0.72)),
        "elongation": float(rng.uniform(1.0, 1.7)),
        "softness": float(rng.beta(1.6, 2.2)),
        "asymmetry": float(rng.uniform(0.1, 1.0)),
        "pigment": float(np.clip(rng.normal(profile.pigment, 0.28), 0.3, 2.0)),
        "redness": float(rng.uniform(0.0, 0.8)),
        "colours": int(np.clip(round(rng.normal(profile.colours, 0.8)), 1, 5)),
        "network_spacing": float(rng.uniform(0.090, 0.135)),
        **structures,
    }


def view_factors(seed: int, group: int, view: int) -> Factors:
    """How one photograph of a lesion was taken, and what lay in the way; the class plays no part."""
    rng = np.random.default_rng(stream_seed(seed, "view", group, view))
    # Most views of a lesion come from one device.
    device = np.random.default_rng(stream_seed(seed, "device", group))
    return {
        "rotation": float(rng.uniform(0, 360)),
        "zoom": float(rng.uniform(0.92, 1.25)),
        "shift_x": float(rng.uniform(-0.14, 0.14)),
        "shift_y": float(rng.uniform(-0.14, 0.14)),
        "light": float(rng.uniform(0.88, 1.06)),
        "warmth": float(device.normal(0, 0.8) + rng.normal(0, 0.3)),
        "blur": float(rng.choice([0.0, rng.uniform(0.3, 0.7)])),
        "noise": float(rng.uniform(0.004, 0.014)),
        "hair": int(
            rng.choice([0, int(rng.integers(1, 6)), int(rng.integers(6, 18))], p=[0.5, 0.35, 0.15])
        ),
        "ruler": bool(rng.random() < 0.12),
        "ink": bool(rng.random() < 0.10),
        "bubbles": int(rng.choice([0, int(rng.integers(1, 6))], p=[0.75, 0.25])),
        "vignette": float(rng.beta(1.2, 2.0)),
        "tube": bool(rng.random() < 0.10),
    }


def plan(images: int, seed: int) -> list[View]:
    """The first `images` views; more images continue the same list."""
    views: list[View] = []
    group = 0
    while len(views) < images:
        rng = np.random.default_rng(stream_seed(seed, "views", group))
        views += [(group, view) for view in range(1 + rng.choice(3, p=VIEWS))]
        group += 1
    return views[:images]


def generate(
    images: int, size: int = SIZE, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray, Factors]]:
    """Synthetic images, one after the other.

    Args:
        images: their number.
        size: side in pixels.
        seed: of all random numbers.

    Yields:
        Image (size, size, 3) uint8, lesion mask (size, size) bool, and the factors it was made
        from, with `label`, `group` and `view`.
    """
    yield from _render_views(plan(images, seed), size, seed)


def _render_views(
    views: Sequence[View], size: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, Factors]]:
    """The images of some views; those of a lesion must stand together."""
    threads = ThreadpoolController()
    last_group = None
    for group, view in views:
        factors = view_factors(seed, group, view)
        # Many small matrix products: more threads would only wait for one another.
        with threads.limit(limits=1):
            if group != last_group:
                lesion, last_group = lesion_factors(seed, group), group
                rng = np.random.default_rng(stream_seed(seed, "scene", group))
                scene = render_scene(lesion, size, rng)
            rng = np.random.default_rng(stream_seed(seed, "photo", group, view))
            image, mask = take_view(scene, factors, size, rng)
        yield image, mask, {"group": group, "view": view, **lesion, **factors}


def write_views(
    views: Sequence[View], size: int, seed: int, images: str, masks: str
) -> list[dict[str, Any]]:
    """Generate some views into the folders `images` and `masks`; returns their rows of the manifest."""
    rendered = _render_views([(group, view) for group, view in views], size, seed)
    return [_write_view(*view, Path(images), Path(masks)) for view in rendered]


def _write_view(
    image: np.ndarray, mask: np.ndarray, factors: Factors, images: Path, masks: Path
) -> dict[str, Any]:
    image_id = f"synth-{factors['group']:05d}-{factors['view']}"
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=3)
    path = private_file(images / f"{image_id}.png")
    path.write_bytes(buffer.getvalue())
    Image.fromarray(mask).save(private_file(masks / f"{image_id}.png"))
    columns = {
        f"factor_{name}": round(value, 4) if isinstance(value, float) else value
        for name, value in factors.items()
        if name not in ("label", "group")
    }
    return {
        "image_id": image_id,
        "path": str(path),
        "label": factors["label"],
        "group": f"lesion-{factors['group']:05d}",
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "width": len(image),
        "height": len(image),
        **columns,
    }
