import copy
import itertools

import pytest
import torch

from derm_core.training import precision
from derm_core.training.precision import Precision, default_precision, measured_precision
from derm_core.training.tasks import Batch


@pytest.mark.parametrize("architecture, flags, compute", [
    ("resnet18", {"avx512_bf16"}, "bfloat16"), ("resnet18", {"avx2"}, "float32"),
    ("mobilenetv2_100", {"avx512_bf16"}, "float32"), ("convnext_tiny", {"avx512_bf16"}, "float32")])
def test_the_reproducible_choice_follows_family_and_cpu_flag(monkeypatch, architecture, flags, compute):
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))
    choice = default_precision(architecture, "cpu")
    assert choice.compute == compute and choice.channels_last == (compute == "bfloat16")
    assert choice.threads == torch.get_num_threads()


@pytest.mark.parametrize("fastest", range(4))
def test_the_fastest_of_four_is_taken_and_the_task_stays_as_it_was(monkeypatch, make_classifier, fastest):
    order = itertools.count()
    monkeypatch.setattr(precision, "_trial", lambda *_: 1.0 if next(order) == fastest else 2.0)
    choice = measured_precision(make_classifier(), None, "cpu")
    assert (choice.compute, choice.channels_last) == list(
        itertools.product(("float32", "bfloat16"), (False, True)))[fastest]


def test_trials_leave_the_task_as_it_was(make_classifier):
    task = make_classifier()
    before = copy.deepcopy(task.state_dict())
    x = torch.rand(4, 3, 16, 16)
    choice = measured_precision(task, Batch(x, x, torch.tensor([0, 1, 2, 0])), "cpu")
    assert "float32/contiguous" in choice.reason
    assert all(torch.equal(before[key], value) for key, value in task.state_dict().items())


def test_a_recorded_choice_is_read_back():
    choice = Precision(compute="bfloat16", channels_last=True, threads=2, reason="why")
    assert Precision(**choice.to_dict()) == choice
