import pytest
import torch

from derm_core.nets.vae import UpsampledConv
from derm_core.training import precision
from derm_core.training.precision import Precision, default_precision

from .fitting import fit


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

    choice = default_precision("resnet18", "cuda:0")
    assert choice.deterministic
    states = []
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
            states.append({name: value.cpu() for name, value in task.state_dict().items()})
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_recorded_choice_is_read_back():
    choice = Precision(compute="bfloat16", channels_last=True, threads=2, reason="why")
    assert Precision(**choice.to_dict()) == choice
