"""Fast mode measures its choice, for a bounded time, and does without what cannot be had."""

import copy
import dataclasses
import itertools
import sys

import pytest
import torch

from derm_core.config import BackboneConfig
from derm_core.machine import compiler_missing
from derm_core.training import trials
from derm_core.training.precision import Precision
from derm_core.training.tasks import Batch
from derm_core.training.trials import measured_precision, trial, trial_batch, with_compilation

from .fitting import fit

pytestmark = pytest.mark.slow

SMALL = Batch(torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 0]))
LONG = 10**12  # images: a training that lasts for days


@pytest.mark.parametrize("fastest", range(4))
def test_the_fastest_of_four_is_taken_and_the_task_stays_as_it_was(
    monkeypatch, make_classifier, fastest
):
    order = itertools.count()
    monkeypatch.setattr(trials, "trial", lambda *_: 1.0 if next(order) == fastest else 2.0)
    choice = measured_precision(make_classifier(), SMALL, "cpu")
    assert (choice.compute, choice.channels_last) == list(
        itertools.product(("float32", "bfloat16"), (False, True))
    )[fastest]


def test_trials_leave_the_task_as_it_was(make_classifier):
    task = make_classifier()
    before = copy.deepcopy(task.state_dict())
    choice = measured_precision(task, SMALL, "cpu")
    assert "float32/contiguous" in choice.reason
    assert all(torch.equal(before[key], value) for key, value in task.state_dict().items())


def test_a_slow_choice_is_timed_for_one_step_only(make_classifier):
    times = iter([0.0, 5.0, 5.0, 6.0])
    assert (
        trial(make_classifier(), SMALL, "cpu", Precision(), lambda: next(times), enough=4.0) == 5.0
    )
    times = iter([0.0, 3.0, 3.0, 5.0, 5.0, 6.0, 6.0, 9.0])
    assert (
        trial(make_classifier(), SMALL, "cpu", Precision(), lambda: next(times), enough=4.0) == 1.0
    )


def choose(config, images=LONG, budget=60.0) -> Precision:
    events = with_compilation(config, Precision(reason="measured"), "cpu", 4, images, budget)
    while True:
        try:
            assert next(events).kind == "tick"
        except StopIteration as end:
            return end.value


@pytest.fixture
def compiler(monkeypatch):
    monkeypatch.setattr(trials, "compiler_missing", lambda device: None)


def answers(monkeypatch, code: str) -> None:
    """Let the process of a trial run `code`."""
    monkeypatch.setattr(trials, "trial_command", lambda: [sys.executable, "-c", code])


@pytest.mark.parametrize(("compiled", "wanted"), [(0.5, True), (0.99, False), (2.0, False)])
def test_it_is_compiled_where_that_is_faster(monkeypatch, compiler, vae_config, compiled, wanted):
    monkeypatch.setattr(trials, "trial", lambda *_: 1.0)
    answers(monkeypatch, f"print({compiled})")
    choice = choose(vae_config)
    assert choice.compiled == wanted
    assert choice.reason.startswith(f"measured; {1000 * compiled:.0f} ms") == wanted


def test_a_short_training_and_a_machine_without_compiler_are_not_tried(monkeypatch, vae_config):
    assert "too few" in choose(vae_config, images=4).reason
    monkeypatch.setattr(trials, "compiler_missing", lambda device: "no C compiler")
    choice = choose(vae_config)
    assert not choice.compiled and "no C compiler" in choice.reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.exit(1)", "without a result"),
        ("print('\"RuntimeError: it gave up\"')", "it gave up"),
        ("import time; time.sleep(600)", "longer than 1 s"),
    ],
)
def test_a_trial_that_fails_or_hangs_does_no_harm(monkeypatch, compiler, vae_config, code, reason):
    answers(monkeypatch, code)
    choice = choose(vae_config, budget=1.0 if "sleep" in code else 60.0)
    assert not choice.compiled and reason in choice.reason


@pytest.mark.slow
def test_the_process_of_a_trial_times_the_task_of_a_configuration(compiler, vae_config):
    few_kernels = dataclasses.replace(vae_config, backbone=BackboneConfig(stage=0))
    choice = choose(few_kernels)
    assert "ms a step compiled" in choice.reason or "not compiled" in choice.reason


def test_a_trial_batch_has_two_views_where_the_recipe_compares_them(vae_config, views_config):
    assert trial_batch(vae_config, 3, "cpu").second is None
    assert len(trial_batch(views_config, 3, "cpu").second[1]) == 3


@pytest.mark.gpu
def test_a_compiled_training_keeps_its_keys_and_learns_the_same(images, make_vae_task):
    if not torch.cuda.is_available() or compiler_missing("cuda"):
        pytest.skip("needs a CUDA device and a C compiler")
    states = []
    for compiled in (False, True):
        task, precision = make_vae_task(), Precision(compiled=compiled)
        settings = dict(epochs=1, batch_size=12, lr=1e-3, wd=0.05)
        list(fit(task, images, range(60), device="cuda:0", precision=precision, **settings))
        states.append(task.cpu().state_dict())
    assert list(states[0]) == list(states[1])
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-2, atol=1e-2)
