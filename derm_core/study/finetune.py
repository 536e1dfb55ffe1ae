"""The regime `finetune`: every arm trained end to end from its initial weights with one schedule.

One model per arm and seed, evaluated at the start and after every epoch on validation and on up to
2,000 training images, without augmentation. Lower layers learn at smaller rates, and the moving
average of the weights is what is evaluated; the last one is the model: nothing is picked. A
finished model is not trained again when the study is resumed, an unfinished one goes on.

An arm with a network of its own reads its own pixels. With LoRA, low-rank updates of attention are
trained and merged into the weights at the end; networks without linear layers of attention are trained whole.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from ..arms import arm_file, own_architecture
from ..events import TICK, Event, log
from ..files import read_json, write_atomic, write_json
from ..heads.grid import CURVES, standardisation
from ..nets.backbone import Extractor, FeatureNetwork
from ..nets.batchnorm import match_statistics, measure_statistics
from ..nets.head import Classifier, make_head
from ..nets.lora import add_lora, merge_lora
from ..seeds import stream_seed
from ..stats.metrics import LOSSES, accuracy, balanced_accuracy, decide
from ..training.checkpoint import clear_checkpoints
from ..training.distributed import current
from ..training.engine import Schedule, fit
from ..training.precision import Precision, default_precision
from ..training.tasks import Batch, ClassifyTask, Task
from ..training.trials import measured_precision
from .arms import Arm
from .feature_memory import CPU_BATCH, CUDA_BATCH
from .study_data import StudyData
from .trained_arm import TrainedArm, TrainedStudy, curve_events, load_arrays, save_arrays

Arrays = dict[str, np.ndarray]
CURVE_IMAGES = 2000  # training images on which the curves are measured
MATCH_PIXELS = 512 * 64 * 64  # of training images that give batch norm its statistics, in one batch


def finetune(
    study: TrainedStudy, arms: list[Arm], positions: dict[str, np.ndarray] | None = None
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
    data, trained = study.data, {}
    positions = positions or {
        "train": _curve_positions(data),
        **{split: data.members(split) for split in ("val", "test")},
    }
    for arm in arms:
        results: list[Arrays] = []
        for index, seed in enumerate(study.config.seeds):
            extractor = arm.variants[index % len(arm.variants)][0]
            trainer = _Trainer(study, arm, extractor, seed, positions)
            if not current().from_main(trainer.finished()):
                yield from trainer.train(results)
            if current().is_main:
                results.append(load_arrays(trainer.result_path))
        if current().is_main:
            trained[arm.name] = _trained_arm(study, arm, results, positions)
    return trained


def _curve_positions(data: StudyData) -> np.ndarray:
    train = data.members("train")
    if len(train) <= CURVE_IMAGES:
        return train
    rng = np.random.default_rng(stream_seed(0, "curve images"))
    return np.sort(rng.choice(train, CURVE_IMAGES, replace=False))


def _trained_arm(
    study: TrainedStudy, arm: Arm, results: list[Arrays], positions: dict[str, np.ndarray]
) -> TrainedArm:
    curves = {"epoch": results[0]["epoch"], "step": results[0]["step"]}
    curves |= {name: np.stack([result[name] for result in results], 1) for name in CURVES}
    probabilities = {
        split: np.stack([result[f"probabilities_{split}"] for result in results])
        for split in positions
    }
    schedule = study.config.finetune
    setting = {"learning_rate": schedule.learning_rate, "weight_decay": schedule.weight_decay}
    return TrainedArm(arm, arm.parts[0].backbone.width, curves, positions, probabilities, setting)


@dataclass
class _Trainer:
    """One arm and one seed: from initial weights to a saved model, its curves (T,) and probabilities (n, C)."""

    study: TrainedStudy
    arm: Arm
    extractor: Extractor
    seed: int
    positions: dict[str, np.ndarray]
    state: dict[str, Any] = field(default_factory=lambda: {"rows": []})

    def __post_init__(self) -> None:
        run, name = self.study.run, f"{arm_file(self.arm.name)}-seed{self.seed}"
        self.data, self.device = self.study.data, self.study.device
        self.pixels = self.data.store_at(self.extractor.form).images
        self.model_path = run.model(self.arm.name, self.seed)
        self.result_path = run.checkpoints / f"{name}.npz"
        self.checkpoints = run.checkpoints / name

    def finished(self) -> bool:
        return self.model_path.exists() and self.result_path.exists()

    def train(self, before: list[Arrays]) -> Iterator[Event]:
        """Train and save. before: results of earlier seeds, which the live curves show as well."""
        config, schedule = self.study.config, self.study.config.finetune
        classifier = yield from self._classifier()
        task = ClassifyTask(classifier, config.loss)
        with current().main_first():
            precision = self._precision(task)
        what = f"{self.arm.label}, seed {self.seed}"
        rank = self.study.config.finetune.lora_rank
        adapted = add_lora(classifier.backbone, rank, stream_seed(self.seed, "lora")) if rank else 0
        how = f", LoRA of rank {rank} in {adapted} layers" if adapted else ""
        yield log(f"Fine-tuning {what}{how}: {precision.describe()}.")
        events = fit(
            task,
            self.pixels,
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
            for event in events:
                if event.kind != "metric" or event.series.startswith(self.arm.name + "/"):
                    yield event
        if current().is_main:
            yield from self._save(classifier)

    def _precision(self, task: Task) -> Precision:
        """The precision recorded with the run, else a choice that is recorded now; one for all arms."""
        config, path = self.study.config, self.study.run.precision
        if path.exists():
            return Precision(**read_json(path))
        if config.mode == "fast":
            rows = self.data.rows[self.data.members("train")[: config.finetune.batch_size]]
            x_bchw = self._images(rows, self.device)
            labels = torch.from_numpy(self.data.dataset.labels[rows]).to(self.device)
            precision = measured_precision(task, Batch(x_bchw, x_bchw, labels), self.device)
        else:
            own = any(map(own_architecture, config.arms))
            precision = default_precision("" if own else config.backbone.architecture, self.device)
        write_json(path, precision.to_dict())
        return precision

    def _classifier(self) -> Generator[Event, None, Classifier]:
        """The initial model, its features standardised as they are at the start."""
        backbone = self._fit_batchnorm(copy.deepcopy(self.extractor.backbone))
        features_nd = yield from self._over(
            lambda x_bchw: backbone.pooled(x_bchw).float(), backbone, "train"
        )
        hidden, classes = self.study.config.hidden, len(self.data.classes)
        head = make_head(backbone.width, hidden, classes, stream_seed(self.seed, "head"))
        mean, std = standardisation(features_nd)
        return Classifier(backbone, head, torch.from_numpy(mean), torch.from_numpy(std))

    def _fit_batchnorm(self, backbone: FeatureNetwork) -> FeatureNetwork:
        """Batch norm at this input size computes the same in train and eval mode from the first step.

        Pretrained: new statistics, the function unchanged. Random: what train mode computes.
        """
        train = self.data.rows[self.data.members("train")]
        count = min(len(train), max(64, MATCH_PIXELS // self.pixels.shape[1] ** 2))
        rng = np.random.default_rng(stream_seed(self.seed, "batch norm"))
        x_bchw = self._images(np.sort(rng.choice(train, count, replace=False)), "cpu")
        fresh = self.arm.kind in ("random", "scratch")
        return measure_statistics(backbone, x_bchw) if fresh else match_statistics(backbone, x_bchw)

    def _images(self, rows: np.ndarray, device: str) -> Tensor:
        """Images of store rows as the network reads them (B, 3, S, S)."""
        images = torch.from_numpy(np.array(self.pixels[rows]))
        return self.extractor.normalise(images.to(device))

    def _evaluate(
        self, classifier: Classifier, step: int, epoch: float, before: list[Arrays]
    ) -> Iterator[Event]:
        """One row of the curves; the events hold every seed trained so far, null for those to come."""
        config, classes = self.study.config, len(self.data.classes)
        row: dict[str, float] = {"epoch": epoch, "step": step}
        for split in ("train", "val"):
            p_nc = yield from self._probabilities(classifier, split)
            labels = self.data.labels[self.positions[split]]
            decisions = decide(p_nc, self.study.log_prior)
            row |= {
                f"{split}_loss": float(LOSSES[config.loss](labels, p_nc).mean()),
                f"{split}_accuracy": float(accuracy(labels, p_nc.argmax(-1))),
                f"{split}_balanced_accuracy": float(balanced_accuracy(labels, decisions, classes)),
            }
        rows = [old for old in self.state["rows"] if old["step"] < step]
        self.state["rows"] = [*rows, row]
        to_come = [None] * (len(config.seeds) - len(before) - 1)
        values = {
            name: [*(float(result[name][len(rows)]) for result in before), row[name], *to_come]
            for name in CURVES
        }
        yield from curve_events(self.arm.name, values, step, epoch)

    def _probabilities(
        self, classifier: Classifier, split: str
    ) -> Generator[Event, None, np.ndarray]:
        """Plain softmax (n, C) of one split's images."""
        return self._over(lambda x: torch.softmax(classifier(x).double(), -1), classifier, split)

    def _over(
        self, function: Callable[[Tensor], Tensor], module: nn.Module, split: str
    ) -> Generator[Event, None, np.ndarray]:
        """function of one split's normalised images, stacked; float32, `module` in eval mode."""
        rows, parts = self.data.rows[self.positions[split]], []
        batch = CPU_BATCH if self.device == "cpu" else CUDA_BATCH
        module.to(self.device).eval()
        for begin in range(0, len(rows), batch):
            x_bchw = self._images(rows[begin : begin + batch], self.device)
            with torch.no_grad():
                parts.append(function(x_bchw).cpu().numpy())
            yield TICK
        return np.concatenate(parts)

    def _save(self, classifier: Classifier) -> Iterator[Event]:
        merge_lora(classifier.backbone)
        rows = self.state["rows"]
        result = {
            name: np.array([row[name] for row in rows]) for name in ("epoch", "step", *CURVES)
        }
        for split in self.positions:
            result[f"probabilities_{split}"] = yield from self._probabilities(classifier, split)
        state = {name: t.detach().cpu().contiguous() for name, t in classifier.state_dict().items()}
        about = {"arm": self.arm.name, "seed": json.dumps(self.seed)}
        write_atomic(self.model_path, save(state, metadata=about))
        save_arrays(self.result_path, result)
        clear_checkpoints(self.checkpoints)
