"""A batch that fits: the estimate grows with the images, covers a step, and halves the batch if needed."""

import pytest
import torch

from derm_core.training import memory
from derm_core.training.memory import available_memory, fitting_batch_size
from derm_core.training.precision import Precision
from derm_core.training.tasks import Batch

MB = 2**20


def some(count: int) -> Batch:
    return Batch(torch.rand(count, 3, 16, 16), torch.rand(count, 3, 16, 16), progress=0.5)


def test_a_batch_that_fits_stays_and_one_that_does_not_is_halved_until_it_does(
    monkeypatch, make_vae_task
):
    task = make_vae_task()
    fixed, each = memory.estimate(task, some, 64, "cpu", Precision())
    for free, wanted in (
        (fixed + 64 * each, 64),
        (fixed + 40 * each, 32),
        (fixed + 20 * each, 16),
        (0, 2),
    ):
        monkeypatch.setattr(
            memory, "available_memory", lambda free=free: 1.01 * free / memory.SHARE
        )
        assert fitting_batch_size(task, some, 64, "cpu", Precision())[0] == wanted
    monkeypatch.setattr(memory, "available_memory", lambda: (fixed + 65 * each) / memory.SHARE)
    assert (
        fitting_batch_size(task, some, 64, "cpu", Precision(), reserved=int(fixed + 64 * each))[0]
        == 2
    )


def test_the_estimate_covers_what_the_step_keeps(make_vae_task):
    """Against a count from outside: every tensor that the operations of a forward pass return."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        returned = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and not out._is_view():
                self.returned += out.untyped_storage().nbytes()
            return out

    task, count = make_vae_task(), Count()
    with count:
        task(some(4))
    _, each = memory.estimate(task, some, 64, "cpu", Precision())
    assert 0.5 * count.returned / 4 < each < 3 * count.returned / 4


def test_the_task_stays_as_it_was(make_vae_task):
    task = make_vae_task()
    before = {name: value.clone() for name, value in task.state_dict().items()}
    fitting_batch_size(task, some, 8, "cpu", Precision(compute="bfloat16", channels_last=True))
    assert all(torch.equal(before[name], value) for name, value in task.state_dict().items())


def test_a_containers_limit_counts(tmp_path):
    (tmp_path / "memory.current").write_text(f"{30 * MB}\n")
    (tmp_path / "memory.max").write_text(f"{100 * MB}\n")
    assert available_memory(tmp_path) == 70 * MB
    (tmp_path / "memory.max").write_text("max\n")
    machine = available_memory(tmp_path)
    assert machine > 100 * MB and abs(machine - available_memory(tmp_path / "none")) < machine / 2


@pytest.mark.gpu
def test_on_a_gpu_the_peak_of_a_step_is_foreseen(make_vae_task):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    task, precision = make_vae_task(), Precision()

    def on_gpu(count: int) -> Batch:
        return some(count).to(device="cuda:0")

    fixed, each = memory.measure(task, on_gpu, 1024, "cuda:0", precision)
    assert fixed + 1024 * each == pytest.approx(
        memory.peak_bytes(task, on_gpu(1024), "cuda:0", precision), rel=0.3
    )
    count, numbers = fitting_batch_size(task, on_gpu, 2**30, "cuda:0", precision)
    assert 2 <= count < 2**30 and "GB free" in numbers
