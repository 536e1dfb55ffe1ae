"""From uint8 images to the probabilities of every arm and seed of a trained study.

    with closing(Predictors(study)) as predictors:
        probabilities = predictors(images_nssc)                      {arm: (S, n, C)} of one batch
        probabilities = yield from predictors.over(images, rows, what="…")   of many

Frozen arms: features, then the heads at the arm's own setting; an extractor that several arms use
(`both`) is computed once. Arms that were trained end to end: their saved models. Arms that read
images of another size than the study's get these beside them.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file

from ..config.shared import ImageForm
from ..errors import RunError
from ..events import TICK, Event, progress
from ..nets.backbone import Extractor
from ..nets.head import Classifier, make_head
from ..training.precision import Precision
from .arms import Arm
from .frozen import side_by_side
from .trained_arm import TrainedStudy

T = TypeVar("T")
Key = tuple[
    str, ImageForm | None
]  # identity of an extractor, and how its images are decoded where not as the study's
NONE: Mapping[ImageForm, np.ndarray] = MappingProxyType({})
CPU_BATCH, CUDA_BATCH = 64, 256  # fastest in bfloat16 on a CPU core, ResNet-18 at 64 px
FLOAT32 = Precision(channels_last=True, reason="as the study's own test")


@dataclass(frozen=True)
class TrainedNetwork:
    """The classifier of one arm and seed.

    Attributes:
        parts: its extractors; their features stand side by side.
        classify: features (n, D) -> logits (n, C).
    """

    parts: list[Extractor]
    classify: Callable[[torch.Tensor], torch.Tensor]


class Predictors:
    """The trained models of a study, ready to predict; `batch` images are computed at once.

    Args:
        study: the trained study.
        precision: how backbones compute; heads are always float32.

    Raises:
        RunError: where a saved model is missing.
    """

    def __init__(self, study: TrainedStudy, precision: Precision = FLOAT32):
        self.study, self.device, self.precision = study, study.device, precision
        self.batch = CPU_BATCH if torch.device(study.device).type == "cpu" else CUDA_BATCH
        self.arms = tuple(study.trained)
        features = study.frozen.features if study.frozen else {}
        arms = {name: one.arm for name, one in study.trained.items()}
        self._frozen = {name: arm for name, arm in arms.items() if name in features}
        self._extractors = {_key(part): part for arm in self._frozen.values() for part in arm.parts}
        self._models = {
            name: self._load(arm) for name, arm in arms.items() if name not in self._frozen
        }
        used = [
            *self._extractors.values(),
            *(part for of in self._models.values() for part, _ in of),
        ]
        self.other_forms = sorted({part.form for part in used if part.form})
        for module in self._modules():
            layout = precision.memory_format
            module.eval().to(device=self.device, memory_format=layout)  # type: ignore[call-overload]

    def _modules(self) -> list[torch.nn.Module]:
        return [part.backbone for part in self._extractors.values()] + [
            classifier for models in self._models.values() for _, classifier in models
        ]

    def _load(self, arm: Arm) -> list[tuple[Extractor, Classifier]]:
        """(extractor, classifier) of every seed of an arm that was trained end to end."""
        config, models = self.study.config, []
        for index, seed in enumerate(config.seeds):
            extractor = arm.variants[index % len(arm.variants)][0]
            backbone = copy.deepcopy(extractor.backbone)
            classifier = Classifier(
                backbone, make_head(backbone.width, config.hidden, len(self.study.data.classes), 0)
            )
            path = self.study.run.model(arm.name, seed)
            try:
                classifier.load_state_dict(load_file(path))
            except (OSError, RuntimeError) as error:
                raise RunError(
                    f"The model of {arm.label}, seed {seed}, cannot be read from {path.name} "
                    f"({str(error).splitlines()[0]}): run the comparison again."
                ) from error
            models.append((extractor, classifier.requires_grad_(False)))
        return models

    def __call__(
        self, images_nssc: np.ndarray, others: Mapping[ImageForm, np.ndarray] = NONE
    ) -> dict[str, np.ndarray]:
        """Plain softmax {arm: (S, n, C)} float32 of uint8 images (n, S, S, 3), all at once.

        others: {how they are decoded: the same images}, of each of `other_forms`.
        """
        images = torch.from_numpy(np.array(images_nssc)).to(self.device)
        at_form = {
            form: torch.from_numpy(np.array(of)).to(self.device) for form, of in others.items()
        }

        def read_by(part: Extractor) -> torch.Tensor:
            return at_form[part.form] if part.form else images

        with torch.inference_mode(), self.precision.autocast(self.device):
            pooled = {
                key: part.features(read_by(part)).float().cpu().numpy()
                for key, part in self._extractors.items()
            }
            p_snc = {
                name: np.stack(
                    [softmax(model(part.normalise(read_by(part)))) for part, model in of]
                )
                for name, of in self._models.items()
            }
        for name, arm in self._frozen.items():
            features = side_by_side(
                [[pooled[_key(part)] for part in parts] for parts in arm.variants]
            )
            assert self.study.frozen is not None  # as it has frozen arms
            heads, best = self.study.frozen.heads, self.study.frozen.best
            p_snc[name] = heads.probabilities(name, best[name], features)
        return {name: p_snc[name] for name in self.arms}

    def network(self, name: str, seed: int = 0) -> TrainedNetwork:
        """The classifier of an arm and of the seed at this position, at the arm's own setting, on the device."""
        if name in self._models:
            extractor, classifier = self._models[name][seed]
            part = dataclasses.replace(extractor, backbone=classifier.backbone)
            return TrainedNetwork([part], classifier.classify)
        assert self.study.frozen is not None
        arm, config = self._frozen[name], self.study.config
        parts = arm.variants[seed % len(arm.variants)]
        weights = self.study.frozen.heads.weights(name, self.study.frozen.best[name])[seed]
        weights = {key: value.to(self.device) for key, value in weights.items()}
        mean, std = weights.pop("feature_mean"), weights.pop("feature_std")
        head = make_head(len(mean), config.hidden, len(self.study.data.classes), 0)
        head.load_state_dict({key.removeprefix("head."): of for key, of in weights.items()})
        head = head.to(self.device).requires_grad_(False)
        return TrainedNetwork(parts, lambda features_nd: head((features_nd - mean) / std))

    def over(
        self,
        images: np.ndarray,
        rows: np.ndarray,
        *,
        what: str,
        others: Mapping[ImageForm, np.ndarray] = NONE,
    ) -> Generator[Event, None, dict[str, np.ndarray]]:
        """`self` batch by batch over rows of uint8 arrays, with progress, and a TICK where it may be stopped."""

        def predict(here: np.ndarray) -> dict[str, np.ndarray]:
            return self(images[here], {form: of[here] for form, of in others.items()})

        parts = yield from in_batches(predict, rows, np.arange(len(rows)), self.batch, what)
        return {name: np.concatenate([part[name] for part in parts], 1) for name in self.arms}

    def close(self) -> None:
        """Give the device's memory back."""
        for module in self._modules():
            module.to("cpu")


def _key(part: Extractor) -> Key:
    return part.identity, part.form


def in_batches(
    predict: Callable[[np.ndarray], T], array: np.ndarray, rows: np.ndarray, batch: int, what: str
) -> Generator[Event, None, list[T]]:
    """`predict` of each batch of the rows of an array, with progress, and a TICK where it may be stopped."""
    parts, started = [], time.monotonic()
    for begin in range(0, len(rows), batch):
        here = rows[begin : begin + batch]
        parts.append(predict(array[here]))
        yield progress(begin + len(here), len(rows), "images", what=what, started=started)
        yield TICK
    return parts


def softmax(logits_nc: torch.Tensor) -> np.ndarray:
    """Probabilities (n, C) float32, computed in float64."""
    return torch.softmax(logits_nc.double(), -1).float().cpu().numpy()
