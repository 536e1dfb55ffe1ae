import itertools

import numpy as np
import pytest
import torch

from derm_core.config import AugmentConfig
from derm_core.errors import DataError, RunError
from derm_core.events import Event
from derm_core.training.checkpoint import load_checkpoint
from derm_core.training.engine import evaluation_steps, learning_rate, make_optimiser
from derm_core.training.precision import Precision
from derm_core.training.tasks import Task

from .fitting import fit

SETTINGS = {
    "epochs": 2,
    "batch_size": 18,
    "lr": 1e-2,
    "wd": 0.05,
    "seed": 3,
    "augment": AugmentConfig(mask_ratio=0.3, brightness=0.2),
}
PRECISIONS = [Precision(), Precision(compute="bfloat16", channels_last=True, joined=True)]


def same_weights(a, b) -> bool:
    return all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def take_steps(events, steps: int) -> None:
    """Consume until `steps` steps are done, then close, as a cancelled job does."""
    list(itertools.islice((e for e in events if e.kind == "tick"), steps))
    events.close()


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda p: p.compute)
@pytest.mark.parametrize("kind", ["vae", "views", "classify"])
@pytest.mark.parametrize("stop", [2, 3])
def test_a_stopped_and_resumed_run_is_bit_identical(
    kind, precision, stop, images, labels, tmp_path, make_vae_task, make_views_task, make_classifier
):
    make, given, more = {
        "vae": (make_vae_task, None, {}),
        "classify": (make_classifier, labels, {}),
        "views": (make_views_task, None, {"views": 2, "ema_decay": 0.9}),
    }[kind]
    straight, stopped, resumed, more = (
        make(),
        make(),
        make(),
        {**SETTINGS, **more, "precision": precision},
    )
    list(fit(straight, images, range(60), given, **more))
    take_steps(fit(stopped, images, range(60), given, checkpoint_dir=tmp_path, **more), stop)
    torch.manual_seed(999)
    events = list(fit(resumed, images, range(60), given, checkpoint_dir=tmp_path, **more))
    assert sum(e.kind == "tick" for e in events) == 6 - stop
    assert same_weights(straight, resumed) and not same_weights(straight, stopped)


class Watching(Task):
    """Keeps the batches it is given."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = torch.nn.Parameter(torch.zeros(())), []

    def forward(self, batch):
        self.seen.append(batch)
        return {"loss": self.weight.square(), "output": batch.view_bchw}


def test_two_views_are_drawn_for_each_image_by_itself(images):
    task, augment = Watching(), AugmentConfig(scale_min=0.5, brightness=0.3)
    same = np.repeat(images[:1], 6, 0)  # six times one image: what differs was drawn
    list(
        fit(task, same, range(6), epochs=1, batch_size=6, lr=1e-3, wd=0.0, augment=augment, views=2)
    )
    views = [*task.seen[0].view_bchw, *task.seen[0].second[0]]
    assert len(views) == 12 and not any(
        torch.equal(a, b) for a, b in itertools.combinations(views, 2)
    )
    once = Watching()
    list(fit(once, same, range(6), epochs=1, batch_size=6, lr=1e-3, wd=0.0, augment=augment))
    assert (
        torch.equal(once.seen[0].view_bchw, task.seen[0].view_bchw) and once.seen[0].second is None
    )


def test_steps_equal_a_plain_pytorch_loop(images, labels, make_classifier):
    task, plain = make_classifier(), make_classifier()
    list(
        fit(
            task,
            images,
            range(15),
            labels,
            epochs=3,
            batch_size=16,
            lr=1e-2,
            wd=0.1,
            warmup_fraction=0.0,
        )
    )
    decays = [p for p in plain.parameters() if p.ndim > 1]
    others = [p for p in plain.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decays, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=1e-2,
        fused=False,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=3)
    x = (torch.from_numpy(images[:15]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    for _ in range(3):
        loss = torch.nn.functional.cross_entropy(plain.classifier(x), torch.from_numpy(labels[:15]))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(task.state_dict()[key], value, rtol=1e-3, atol=1e-5)


def test_it_learns(images, labels, make_classifier):
    task = make_classifier()
    list(fit(task, images, range(60), labels, epochs=20, batch_size=20, lr=3e-2, wd=0.0))
    x = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    predicted = task.eval().classifier(x).argmax(dim=1).numpy()
    assert (predicted == labels).mean() > 0.95


def test_every_step_ticks_and_metrics_come_once_an_interval(images, labels, make_classifier):
    events = list(fit(make_classifier(), images, range(60), labels, log_every=4, **SETTINGS))
    assert sum(e.kind == "tick" for e in events) == 6
    assert [e.step for e in events if e.series == "train/loss"] == [4, 6]
    assert {e.series for e in events if e.kind == "metric"} == {
        f"train/{name}" for name in ("loss", "accuracy", "gradient_norm", "learning_rate")
    }
    last = [e for e in events if e.kind == "progress"][-1].value
    assert last.done == last.total == 6 * 18 and last.eta_seconds == 0 and last.rate > 0


def test_evaluation_comes_in_eval_mode_at_the_announced_steps(images, labels, make_classifier):
    task, seen = make_classifier(), []

    def evaluate(step, epoch):
        seen.append((step, epoch, task.training))
        yield Event(kind="log", value="evaluated")

    events = list(
        fit(task, images, range(60), labels, evaluate=evaluate, early_evaluations=2, **SETTINGS)
    )
    assert seen == [(s, s / 3, False) for s in (0, 1, 2, 3, 6)] and task.training
    assert sum(e.kind == "log" for e in events) == 5


def test_a_resumed_run_repeats_no_evaluation_and_gets_its_state_back(
    images, labels, tmp_path, make_classifier
):
    def evaluator(state):
        def evaluate(step, epoch):
            state.setdefault("steps", []).append(step)
            yield Event(kind="log")

        return evaluate

    first, second = {}, {}
    take_steps(
        fit(
            make_classifier(),
            images,
            range(60),
            labels,
            evaluate=evaluator(first),
            state=first,
            checkpoint_dir=tmp_path,
            **SETTINGS,
        ),
        4,
    )
    list(
        fit(
            make_classifier(),
            images,
            range(60),
            labels,
            evaluate=evaluator(second),
            state=second,
            checkpoint_dir=tmp_path,
            **SETTINGS,
        )
    )
    assert first == {"steps": [0, 3]} and second == {"steps": [0, 3, 6]}


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    images, labels, tmp_path, make_classifier
):
    take_steps(
        fit(make_classifier(), images, range(60), labels, checkpoint_dir=tmp_path, **SETTINGS), 3
    )
    task = make_classifier()
    criterion, calls = task.criterion, itertools.count(4)
    task.criterion = lambda *a: criterion(*a) * (float("nan") if next(calls) == 5 else 1.0)
    with pytest.raises(RunError, match="at step 5"):
        list(fit(task, images, range(60), labels, checkpoint_dir=tmp_path, **SETTINGS))
    loaded = make_classifier()
    assert load_checkpoint(tmp_path, loaded, make_optimiser(loaded, 0.1, 0.1))["step"] == 3
    assert all(value.isfinite().all() for value in loaded.state_dict().values())


def test_a_cancelled_run_with_bad_weights_saves_nothing(images, labels, tmp_path, make_classifier):
    task = make_classifier()
    task.criterion = lambda logits, _: logits.sum(dim=1) * float("inf")
    take_steps(fit(task, images, range(60), labels, checkpoint_dir=tmp_path, **SETTINGS), 1)
    assert not (tmp_path / "latest").exists()


def test_other_settings_are_refused_by_name(images, labels, tmp_path, make_classifier):
    take_steps(
        fit(make_classifier(), images, range(60), labels, checkpoint_dir=tmp_path, **SETTINGS), 1
    )
    with pytest.raises(RunError, match="lr"):
        list(
            fit(
                make_classifier(),
                images,
                range(60),
                labels,
                checkpoint_dir=tmp_path,
                **{**SETTINGS, "lr": 0.5},
            )
        )


def test_images_without_a_label_are_refused(images, labels, make_classifier):
    labels = np.where(np.arange(60) < 2, -1, labels)
    with pytest.raises(DataError, match="2 of the training images"):
        list(fit(make_classifier(), images, range(60), labels, **SETTINGS))


def test_norms_and_biases_do_not_decay(make_vae_task):
    task = make_vae_task()
    optimiser = make_optimiser(task, 1e-3, 0.1)
    decay = {
        id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]
    }
    assert len(decay) == len(list(task.parameters()))
    for name, parameter in task.named_parameters():
        assert (decay[id(parameter)] == 0) == (
            name.endswith("bias") or "bn" in name or parameter.ndim <= 1
        )


def test_frozen_parameters_stay(images, labels, make_classifier):
    task = make_classifier()
    task.classifier[0].requires_grad_(False)
    before = task.classifier[0].weight.clone()
    list(fit(task, images, range(60), labels, **SETTINGS))
    assert torch.equal(before, task.classifier[0].weight)


def test_learning_rate_rises_to_its_peak_and_falls_towards_zero():
    rates = [learning_rate(step, 100, 0.1, 2.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.2) and max(rates) == rates[10] == 2.0
    assert (
        np.all(np.diff(rates[:10]) > 0) and np.all(np.diff(rates[10:]) < 0) and 0 < rates[-1] < 0.01
    )


def test_evaluation_steps_are_log_spaced_inside_the_first_epoch_only():
    assert evaluation_steps(64, 3, early=6) == [0, 1, 2, 4, 8, 16, 32, 64, 128, 192]
    assert evaluation_steps(2, 2, early=6) == [0, 1, 2, 4]
    assert evaluation_steps(10, 2) == [0, 10, 20]


@pytest.mark.gpu
def test_a_step_on_a_gpu_never_waits_for_it(images, labels, make_classifier):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    events = fit(
        make_classifier(),
        images,
        range(60),
        labels,
        device="cuda:0",
        log_every=100,
        precision=Precision(compute="bfloat16", channels_last=True),
        **SETTINGS,
    )
    next(e for e in events if e.kind == "tick")
    torch.cuda.set_sync_debug_mode("error")
    try:
        next(e for e in events if e.kind == "tick")
    finally:
        torch.cuda.set_sync_debug_mode("default")
        events.close()
