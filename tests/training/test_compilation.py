"""Compilation is chosen by measurement, for a bounded time, and done without where it cannot be had."""

import time

import pytest
import torch

from derm_core.training import compilation, precision
from derm_core.training.compilation import compiler_missing, with_compilation
from derm_core.training.precision import Precision
from derm_core.training.tasks import Batch, Task

BATCH = Batch(torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 0]))
LONG = 10**12  # images: a training that lasts for days


class Hanging(Task):
    """Learns at once here, and for ever in another process."""

    def __init__(self):
        super().__init__()
        self.linear, self.home = torch.nn.Linear(1, 1), __import__("os").getpid()

    def forward(self, batch):
        if __import__("os").getpid() != self.home:
            time.sleep(600)
        return {"loss": self.linear(torch.ones(1)).sum()}


class Failing(Hanging):
    def forward(self, batch):
        if __import__("os").getpid() != self.home:
            raise RuntimeError("the compiler gave up")
        return super().forward(batch)


def choose(task, images=LONG, budget=60.0) -> Precision:
    events = with_compilation(task, BATCH, "cpu", Precision(reason="measured"), images, budget)
    while True:
        try:
            assert next(events).kind == "tick"
        except StopIteration as end:
            return end.value


@pytest.fixture
def compiler(monkeypatch):
    monkeypatch.setattr(compilation, "compiler_missing", lambda device: None)


@pytest.mark.parametrize(
    ("compiled", "eager", "wanted"), [(0.5, 1.0, True), (0.99, 1.0, False), (2.0, 1.0, False)]
)
def test_it_is_compiled_where_that_is_faster(
    monkeypatch, compiler, make_classifier, compiled, eager, wanted
):
    def apart(*arguments):
        return compiled
        yield

    monkeypatch.setattr(precision, "trial", lambda *_: eager)
    monkeypatch.setattr(compilation, "_measured_apart", apart)
    choice = choose(make_classifier())
    assert choice.compiled == wanted
    assert (
        f"{1000 * compiled:.0f} ms a step compiled" in choice.reason
        and choice.reason.startswith("measured; ")
    )


def test_a_short_training_and_a_machine_without_compiler_are_not_tried(
    monkeypatch, make_classifier
):
    assert "too few" in choose(make_classifier(), images=4).reason
    monkeypatch.setattr(compilation, "compiler_missing", lambda device: "no C compiler")
    choice = choose(make_classifier())
    assert not choice.compiled and "not compiled: no C compiler" in choice.reason


@pytest.mark.slow
def test_a_trial_that_fails_is_said_and_does_no_harm(compiler):
    choice = choose(Failing())
    assert not choice.compiled and "RuntimeError: the compiler gave up" in choice.reason


@pytest.mark.slow
def test_a_trial_is_ended_when_its_time_is_up(compiler):
    choice = choose(Hanging(), budget=1.0)
    assert not choice.compiled and "longer than 1 s" in choice.reason


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    assert compiler_missing("cpu") == "no C compiler"


@pytest.mark.gpu
def test_a_compiled_training_keeps_its_keys_and_learns_the_same(images, make_vae_task):
    if not torch.cuda.is_available() or compiler_missing("cuda"):
        pytest.skip("needs a CUDA device and a C compiler")
    from derm_core.training.engine import fit

    tasks = []
    for compiled in (False, True):
        task = make_vae_task()
        list(
            fit(
                task,
                images,
                range(60),
                epochs=1,
                batch_size=12,
                lr=1e-3,
                wd=0.05,
                device="cuda:0",
                precision=Precision(compiled=compiled),
            )
        )
        tasks.append(task.cpu().state_dict())
    assert list(tasks[0]) == list(tasks[1])
    for name, value in tasks[0].items():
        torch.testing.assert_close(value, tasks[1][name], rtol=1e-2, atol=1e-2)
