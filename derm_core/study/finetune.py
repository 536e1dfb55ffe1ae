"""The regime `finetune`: every arm trained end to end from its initial weights with one schedule.

One model per arm and seed, evaluated at the start and after every epoch on validation and on up to
2,000 training images, without augmentation. Lower layers learn at smaller rates, and the moving
average of the weights is what is evaluated; the last one is the model: nothing is picked. A
finished model is not trained again when the study is resumed, an unfinished one goes on.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from ..arms import arm_file
from ..config import StudyConfig
from ..events import TICK, Event, log
from ..files import read_json, write_atomic, write_json
from ..heads.grid import CURVES, standardisation
from ..nets.backbone import Extractor, FeatureNetwork
from ..nets.batchnorm import match_statistics, measure_statistics
from ..nets.head import Classifier, make_head
from ..seeds import stream_seed
from ..stats.metrics import LOSSES, accuracy, balanced_accuracy, decide, log_prior
from ..training.checkpoint import clear_checkpoints
from ..training.distributed import current
from ..training.engine import Schedule, fit
from ..training.precision import Precision, default_precision
from ..training.tasks import Batch, ClassifyTask, Task
from ..training.trials import measured_precision
from ..workspace import RunFiles
from .arms import Arm
from .features import CPU_BATCH, CUDA_BATCH
from .study_data import StudyData
from .trained_arm import TrainedArm, save_arrays

Arrays = dict[str, np.ndarray]
CURVE_IMAGES = 2000  # training images on which the curves are measured
MATCH_PIXELS = 512 * 64 * 64  # of training images that give batch norm its statistics, in one batch


def finetune(
    config: StudyConfig,
    run: RunFiles,
    data: StudyData,
    arms: list[Arm],
    device: str,
    positions: dict[str, np.ndarray] | None = None,
) -> Generator[Event, None, dict[str, TrainedArm]]:
    """Train all arms and seeds end to end.

    `trained = yield from finetune(...)`, keyed by arm. Models go to
    artefacts/models/ARM-seedK.safetensors, curves live as events.

    Args:
        positions: of the images on which each split is measured; by default some of training, all
            of the others.

    Raises:
        RunError: where a loss is not finite.
    """
    positions = positions or {
        "train": _curve_positions(data),
        **{split: data.members(split) for split in ("val", "test")},
    }
    trained = {}
    for arm in arms:
        results: list[Arrays] = []
        for index, seed in enumerate(config.seeds):
            extractor = arm.variants[index % len(arm.variants)][0]
            trainer = _Trainer(config, run, data, arm, extractor, seed, positions, device)
            if not current().from_main(trainer.finished()):
                yield from trainer.train(results)
            if current().is_main:
                results.append(trainer.load())
        if current().is_main:
            trained[arm.name] = _trained_arm(
                arm, extractor.backbone.width, results, positions, config
            )
    return trained


def _curve_positions(data: StudyData) -> np.ndarray:
    train = data.members("train")
    if len(train) <= CURVE_IMAGES:
        return train
    rng = np.random.default_rng(stream_seed(0, "curve images"))
    return np.sort(rng.choice(train, CURVE_IMAGES, replace=False))


def _trained_arm(
    arm: Arm,
    width: int,
    results: list[Arrays],
    positions: dict[str, np.ndarray],
    config: StudyConfig,
) -> TrainedArm:
    curves = {"epoch": results[0]["epoch"], "step": results[0]["step"]}
    curves |= {name: np.stack([result[name] for result in results], 1) for name in CURVES}
    probabilities = {
        split: np.stack([result[f"probabilities_{split}"] for result in results])
        for split in positions
    }
    setting = {
        "learning_rate": config.finetune.learning_rate,
        "weight_decay": config.finetune.weight_decay,
    }
    return TrainedArm(arm, width, curves, positions, probabilities, setting)


class _Trainer:
    """One arm and one seed: from initial weights to a saved model, its curves and its probabilities."""

    def __init__(
        self,
        config: StudyConfig,
        run: RunFiles,
        data: StudyData,
        arm: Arm,
        extractor: Extractor,
        seed: int,
        positions: dict[str, np.ndarray],
        device: str,
    ):
        self.config, self.run, self.data, self.arm = config, run, data, arm
        self.extractor, self.seed, self.positions, self.device = extractor, seed, positions, device
        name = f"{arm_file(arm.name)}-seed{seed}"
        self.model_path = run.model(arm.name, seed)
        self.result_path = run.checkpoints / f"{name}.npz"
        self.checkpoints = run.checkpoints / name
        self.log_prior = log_prior(data.labels_of("train"), len(data.classes))
        self.state: dict[str, Any] = {"rows": []}

    def finished(self) -> bool:
        return self.model_path.exists() and self.result_path.exists()

    def load(self) -> Arrays:
        """Curves (T,) and probabilities (n, C) of the finished model."""
        with np.load(self.result_path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    def train(self, before: list[Arrays]) -> Iterator[Event]:
        """Train and save. before: results of earlier seeds, which the live curves show as well."""
        config, schedule = self.config, self.config.finetune
        classifier = yield from self._classifier()
        task = ClassifyTask(classifier, config.loss)
        with current().main_first():
            precision = run_precision(config, task, self, self.run)
        what = f"{self.arm.label}, seed {self.seed}"
        yield log(f"Fine-tuning {what}: {precision.describe()}.")
        events = fit(
            task,
            self.data.store.images,
            self.data.rows[self.data.members("train")],
            self.data.dataset.labels,
            schedule=Schedule(
                epochs=schedule.epochs,
                batch_size=schedule.batch_size,
                lr=schedule.learning_rate,
                wd=schedule.weight_decay,
                warmup_fraction=schedule.warmup_fraction,
                layer_decay=schedule.layer_decay,
                ema_decay=schedule.ema_decay,
                seed=self.seed,
            ),
            augment=schedule.augment,
            device=self.device,
            precision=precision,
            checkpoint_dir=self.checkpoints,
            mean=self.extractor.mean,
            std=self.extractor.std,
            evaluate=lambda step, epoch: self._evaluate(classifier, step, epoch, before),
            early_evaluations=3,
            state=self.state,
            what=what,
        )
        with contextlib.closing(events):
            yield from (
                event
                for event in events
                if event.kind != "metric" or event.series.startswith(self.arm.name + "/")
            )
        if current().is_main:
            yield from self._save(classifier)

    def _classifier(self) -> Generator[Event, None, Classifier]:
        """The initial model, its features standardised as they are at the start."""
        backbone = self._fit_batchnorm(copy.deepcopy(self.extractor.backbone))
        features_nd = yield from self._over(
            lambda x_bchw: backbone.pooled(x_bchw).float(), backbone, "train"
        )
        head = make_head(
            backbone.width,
            self.config.hidden,
            len(self.data.classes),
            stream_seed(self.seed, "head"),
        )
        mean, std = standardisation(features_nd)
        return Classifier(backbone, head, torch.from_numpy(mean), torch.from_numpy(std))

    def _fit_batchnorm(self, backbone: FeatureNetwork) -> FeatureNetwork:
        """Batch norm at this input size computes the same in train and eval mode from the first step.

        Pretrained: new statistics, the function unchanged. Random: what train mode computes.
        """
        train = self.data.rows[self.data.members("train")]
        count = min(len(train), max(64, MATCH_PIXELS // self.config.input_size**2))
        rows = np.random.default_rng(stream_seed(self.seed, "batch norm")).choice(
            train, count, replace=False
        )
        x_bchw = self.normalised(np.sort(rows), "cpu")
        fresh = self.arm.kind in ("random", "scratch")
        return measure_statistics(backbone, x_bchw) if fresh else match_statistics(backbone, x_bchw)

    def normalised(self, rows: np.ndarray, device: str) -> Tensor:
        """Images of store rows as the network reads them (B, 3, S, S)."""
        return self.extractor.normalise(
            torch.from_numpy(np.array(self.data.store.images[rows])).to(device)
        )

    def _evaluate(
        self, classifier: Classifier, step: int, epoch: float, before: list[Arrays]
    ) -> Iterator[Event]:
        """One row of the curves; the events hold every seed trained so far, null for those to come."""
        row = {"epoch": epoch, "step": step}
        for split in ("train", "val"):
            probabilities = yield from self._probabilities(classifier, split)
            labels = self.data.labels[self.positions[split]]
            decisions = decide(probabilities, self.log_prior)
            row |= {
                f"{split}_loss": float(LOSSES[self.config.loss](labels, probabilities).mean()),
                f"{split}_accuracy": float(accuracy(labels, probabilities.argmax(-1))),
                f"{split}_balanced_accuracy": float(
                    balanced_accuracy(labels, decisions, len(self.data.classes))
                ),
            }
        self.state["rows"] = [old for old in self.state["rows"] if old["step"] < step] + [row]
        index = len(self.state["rows"]) - 1
        for name in CURVES:
            split, quantity = name.split("_", 1)
            values = [float(result[name][index]) for result in before] + [row[name]]
            yield Event(
                kind="metric",
                series=f"{self.arm.name}/{split}/{quantity}",
                step=step,
                epoch=epoch,
                value=values + [None] * (len(self.config.seeds) - len(values)),
            )

    def _probabilities(
        self, classifier: Classifier, split: str
    ) -> Generator[Event, None, np.ndarray]:
        """Plain softmax (n, C) of one split's images."""
        return (
            yield from self._over(
                lambda x_bchw: torch.softmax(classifier(x_bchw).double(), -1), classifier, split
            )
        )

    def _over(
        self, function: Callable[[Tensor], Tensor], module: nn.Module, split: str
    ) -> Generator[Event, None, np.ndarray]:
        """function of one split's normalised images, stacked; float32, `module` in eval mode."""
        rows, parts = self.data.rows[self.positions[split]], []
        batch = CPU_BATCH if self.device == "cpu" else CUDA_BATCH
        module.to(self.device).eval()
        for begin in range(0, len(rows), batch):
            with torch.no_grad():
                parts.append(
                    function(self.normalised(rows[begin : begin + batch], self.device))
                    .cpu()
                    .numpy()
                )
            yield TICK
        return np.concatenate(parts)

    def _save(self, classifier: Classifier) -> Iterator[Event]:
        result = {
            name: np.array([row[name] for row in self.state["rows"]])
            for name in ("epoch", "step", *CURVES)
        }
        for split in self.positions:
            result[f"probabilities_{split}"] = yield from self._probabilities(classifier, split)
        state = {
            key: value.detach().cpu().contiguous() for key, value in classifier.state_dict().items()
        }
        write_atomic(
            self.model_path,
            save(state, metadata={"arm": self.arm.name, "seed": json.dumps(self.seed)}),
        )
        save_arrays(self.result_path, result)
        clear_checkpoints(self.checkpoints)


def run_precision(config: StudyConfig, task: Task, trainer: _Trainer, run: RunFiles) -> Precision:
    """The precision recorded with the run, else a choice that is recorded now; one for all arms."""
    path: Path = run.precision
    if path.exists():
        return Precision(**read_json(path))
    if config.mode == "fast":
        rows = trainer.data.rows[trainer.data.members("train")[: config.finetune.batch_size]]
        x_bchw = trainer.normalised(rows, trainer.device)
        labels = torch.from_numpy(trainer.data.dataset.labels[rows]).to(trainer.device)
        precision = measured_precision(task, Batch(x_bchw, x_bchw, labels), trainer.device)
    else:
        precision = default_precision(config.backbone.architecture, trainer.device)
    write_json(path, precision.to_dict())
    return precision
