"""What `benchmarks load` works on: a workspace in which every page has something to show, and photographs to upload."""

from __future__ import annotations

import io
import random
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from derm_core.config import BackboneConfig, EmbedConfig
from derm_core.data.synth.dataset import make_synth
from derm_core.data.synth.generator import generate
from derm_core.jobs import supervisor
from derm_core.jobs.store import RunStore
from derm_core.study.presets import preset
from derm_core.workspace import Workspace

CONTENT = {
    "home": "plotly_chart",
    "train": "dataframe",
    "compare": "plotly_chart",
    "latent": "plotly_chart",
    "data": "imgs",
    "models": "metric",
}  # what each page must show in such a workspace
WIDE, SENT = (640, 480), (600, 450)
# of the distance at which a model calls a picture unlike: photographs of one picture differ a
# little
KNOWN = 0.9


def furnish(home: Path, given: str | None) -> Workspace:
    """A copy of `given` with a synthetic dataset "loaded", a map of it and a small demo study."""
    if given:
        shutil.copytree(given, home, symlinks=True)
    workspace = Workspace.open(home)
    make_synth(workspace, "loaded", images=400, size=64)
    mapped = EmbedConfig(
        dataset="loaded",
        arm="random",
        input_size=32,
        device="cpu",
        backbone=BackboneConfig(architecture="resnet18", stage=1),
    )
    for config in (preset("demo", scale=0.05), mapped):
        if RunStore(workspace).list(kind=config.kind, state="done"):
            continue
        run = supervisor.wait(workspace, supervisor.submit(workspace, config))
        if run.state != "done":
            raise RuntimeError(f"the {config.kind} is {run.state}: {run.error}")
    return workspace


def lesions(workspace: Workspace, count: int = 4) -> list[Image.Image]:
    """Painted lesions of 640 x 480 pixels that the published models do not call unlike their training images."""
    from derm_core.bundles.predict import predict_images
    from derm_core.bundles.predictor import load_predictors

    predictors, images = load_predictors(workspace), []
    for picture, _, _ in generate(16 * count, 192):
        wide = Image.fromarray(picture).resize(WIDE, Image.Resampling.BICUBIC)
        sources = [("generated", photograph([wide], 0))]
        outlier = predict_images(workspace, None, sources, predictors).images[0].outlier
        near = all(score.distance <= KNOWN * score.threshold for score in outlier.scores.values())
        if near and not outlier.flagged:
            images.append(wide)
        if len(images) == count:
            return images
    raise RuntimeError("the published models know too few of the synthetic lesions")


def blur() -> Image.Image:
    """640 x 480 pixels that no model knows: coloured clouds."""
    noise = np.random.default_rng(0).integers(0, 256, (15, 20, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(WIDE, Image.Resampling.BICUBIC)


def photograph(pictures: list[Image.Image], number: int) -> bytes:
    """A JPEG of 600 x 450 pixels that no one has sent before.

    A part of one of the pictures, a little lighter or darker.
    """
    draw = random.Random(number)
    left, top, light = (
        draw.randrange(WIDE[0] - SENT[0]),
        draw.randrange(WIDE[1] - SENT[1]),
        draw.uniform(0.98, 1.02),
    )
    part = draw.choice(pictures).crop((left, top, left + SENT[0], top + SENT[1]))
    part = part.point([min(255, round(light * value)) for value in range(256)] * 3)
    buffer = io.BytesIO()
    part.save(buffer, "JPEG", quality=90, comment=str(number))
    return buffer.getvalue()
