import copy
import itertools

import pytest
import torch

from derm_core.nets.vae import UpsampledConv
from derm_core.training import precision
from derm_core.training.precision import Precision, default_precision, measured_precision
from derm_core.training.tasks import Batch

SMALL = Batch(torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 0]))


@pytest.mark.parametrize(
    ("architecture", "flags", "compute"),
    [
        ("resnet18", {"avx512_bf16"}, "bfloat16"),
        ("resnet18", {"avx2"}, "float32"),
        ("mobilenetv2_100", {"avx512_bf16"}, "float32"),
        ("convnext_tiny", {"avx512_bf16"}, "bfloat16"),
    ],
)
def test_the_reproducible_choice_follows_family_and_cpu_flag(
    monkeypatch, architecture, flags, compute
):
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))
    choice = default_precision(architecture, "cpu")
    assert choice.compute == compute and choice.channels_last == (compute == "bfloat16")
    assert choice.threads == torch.get_num_threads()


@pytest.mark.parametrize("fastest", range(4))
def test_the_fastest_of_four_is_taken_and_the_task_stays_as_it_was(
    monkeypatch, make_classifier, fastest
):
    order = itertools.count()
    monkeypatch.setattr(precision, "trial", lambda *_: 1.0 if next(order) == fastest else 2.0)
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


def test_a_hopeless_choice_is_tried_for_one_step_only(make_classifier):
    times = iter([0.0, 5.0, 5.0, 6.0])
    assert (
        precision.trial(
            make_classifier(), SMALL, "cpu", Precision(), lambda: next(times), enough=4.0
        )
        == 5.0
    )
    times = iter([0.0, 3.0, 3.0, 5.0, 5.0, 6.0, 6.0, 9.0])
    assert (
        precision.trial(
            make_classifier(), SMALL, "cpu", Precision(), lambda: next(times), enough=4.0
        )
        == 1.0
    )


def test_compiling_in_place_keeps_the_names_of_the_weights(make_vae_task, monkeypatch):
    compiled = []

    def compile(module):
        compiled.append(module)

    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    monkeypatch.setattr(precision, "compiler_missing", lambda device: None)
    task = make_vae_task()
    names = list(task.state_dict())
    Precision(compiled=True).prepare(task, "cpu")
    assert compiled == [task.vae.backbone, task.vae.decoder] and list(task.state_dict()) == names
    monkeypatch.setattr(precision, "compiler_missing", lambda device: "no C compiler")
    Precision(compiled=True).prepare(task, "cpu")
    assert len(compiled) == 2


def test_the_decoder_is_told_whether_to_join_its_doublings(make_vae_task):
    task = make_vae_task()
    layers = [m for m in task.modules() if isinstance(m, UpsampledConv)]
    assert default_precision("resnet18", "cpu").joined and layers
    for joined in (True, False):
        Precision(joined=joined).prepare(task, "cpu")
        assert all(layer.joined is joined for layer in layers)


@pytest.mark.gpu
def test_on_a_gpu_reproducible_mode_repeats_bit_for_bit(images, make_vae_task):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    from derm_core.config import AugmentConfig
    from derm_core.training.engine import fit

    choice = default_precision("resnet18", "cuda:0")
    assert choice.deterministic
    found = []
    try:
        for _ in range(2):
            task = make_vae_task()
            list(
                fit(
                    task,
                    images,
                    range(60),
                    epochs=2,
                    batch_size=12,
                    lr=1e-3,
                    wd=0.05,
                    device="cuda:0",
                    augment=AugmentConfig(mask_ratio=0.3, brightness=0.2),
                    precision=choice,
                )
            )
            found.append({name: value.cpu() for name, value in task.state_dict().items()})
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_recorded_choice_is_read_back():
    choice = Precision(compute="bfloat16", channels_last=True, threads=2, reason="why")
    assert Precision(**choice.to_dict()) == choice
