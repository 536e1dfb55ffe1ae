"""Fast mode: which number format, layout and compilation are fastest here, by a few trial steps.

Compiling takes minutes on a few cores and cannot be interrupted, so its trial runs in a process of
its own, which is ended when its time is up; what it compiled stays in torch's cache on disk for the
run itself. That process gets the configuration as JSON and builds the task anew.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import torch

from ..config import PretrainConfig, from_dict, to_dict
from ..events import TICK, Event
from ..machine import compiler_missing
from ..workspace import REPOSITORY
from .batches import resident_bytes
from .memory import fitting_batch_size
from .precision import Precision, default_precision
from .tasks import Batch, Task, vae_task

TRIAL_STEPS = 3
SLOWER = (
    1.5  # an option is timed no further when its first step takes this many times the best one's
)
BUDGET_SECONDS = 120.0  # of the compiled trial, starting its process and compiling included
WORTH = 20  # a training must be expected to last this many budgets
GAIN = 0.95  # compiled steps must take at most this share of eager ones
POLL_SECONDS = 0.25
TRIAL_PIXELS = 128 * 64 * 64  # in a trial batch on a CPU: larger ones take minutes


def trial_batch(config: PretrainConfig, count: int, device: str) -> Batch:
    """Random images as a pretraining's task reads them; time and memory do not depend on them."""
    shape = (count, 3, config.input_size, config.input_size)
    x_bchw = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device) * 2 - 1
    second = (x_bchw, x_bchw) if config.recipe.consistency else None
    return Batch(x_bchw, x_bchw, progress=0.5, second=second)


def measured_precision(
    task: Task, batch: Batch, device: str, clock: Callable[[], float] = time.perf_counter
) -> Precision:
    """The fastest of four ways on a CPU, by TRIAL_STEPS steps of a copy of `task` on `batch`.

    `task` itself stays as it is. On a GPU: `default_precision`'s choice, with any algorithm.
    """
    if device.startswith("cuda"):
        return dataclasses.replace(default_precision("", device), deterministic=False)
    seconds: dict[Precision, float] = {}
    for compute in ("float32", "bfloat16"):
        for channels_last in (False, True):
            choice = Precision(
                compute=compute,
                channels_last=channels_last,
                threads=torch.get_num_threads(),
                joined=True,
                reason="",
            )
            enough = SLOWER * min(seconds.values(), default=float("inf"))
            seconds[choice] = trial(copy.deepcopy(task), batch, device, choice, clock, enough)
    best = min(seconds, key=seconds.__getitem__)
    table = ", ".join(
        f"{c.compute}/{'channels_last' if c.channels_last else 'contiguous'} {1000 * s:.0f} ms"
        for c, s in seconds.items()
    )
    return dataclasses.replace(best, reason=f"fastest measured with {len(batch)} images: {table}")


def trial(
    task: Task,
    batch: Batch,
    device: str,
    choice: Precision,
    clock: Callable[[], float] = time.perf_counter,
    enough: float = float("inf"),
) -> float:
    """Seconds of the fastest of TRIAL_STEPS forward and backward passes, after one to warm up.

    The first one's seconds where they are more than `enough`.
    """
    choice.prepare(task, device).train()
    batch, seconds = batch.to(memory_format=choice.memory_format), []
    for _ in range(TRIAL_STEPS + 1):
        start = clock()
        with choice.autocast(device):
            loss = task(batch)["loss"]
        (loss / task.loss_scale).backward()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        seconds.append(clock() - start)
        if seconds[0] > enough:
            return seconds[0]
    return min(seconds[1:])


def with_compilation(
    config: PretrainConfig,
    precision: Precision,
    device: str,
    batch_size: int,
    images: int,
    budget: float = BUDGET_SECONDS,
) -> Generator[Event, None, Precision]:
    """`precision`, compiled where trial steps show that to be faster; the reason says why, or why not.

    Args:
        batch_size: images of a trial step.
        images: how many the whole training will see; a short one is not worth compiling.
        budget: seconds of the compiled trial. It ends with the generator.

    Yields:
        Ticks while it waits.
    """
    eager = trial(vae_task(config), trial_batch(config, batch_size, device), device, precision)
    expected = eager * images / batch_size
    missing = compiler_missing(device)
    if expected < WORTH * budget:
        why = f"not compiled: about {expected / 60:.0f} min of training are too few to gain from it"
        return _because(precision, why)
    if missing:
        return _because(precision, f"not compiled: {missing}")
    compiled = dataclasses.replace(precision, compiled=True)
    seconds = yield from _in_a_process(config, compiled, device, batch_size, budget)
    if isinstance(seconds, str):
        return _because(precision, f"not compiled: {seconds}")
    times = f"{1000 * seconds:.0f} ms a step compiled, {1000 * eager:.0f} ms not"
    if seconds > GAIN * eager:
        return _because(precision, f"not compiled: {times}")
    return _because(compiled, times)


def _because(precision: Precision, why: str) -> Precision:
    return dataclasses.replace(precision, reason=f"{precision.reason}; {why}")


def fast_precision(
    config: PretrainConfig, images: np.ndarray, rows: int, device: str
) -> Generator[Event, None, Precision]:
    """What a few trial steps of a pretraining show to be fastest, with a batch that fits the memory.

    Args:
        images: uint8 (N, S, S, 3); the training keeps `rows` of them on the device.
    """
    task, wanted = vae_task(config), min(config.recipe.batch_size, rows)
    few = min(wanted, max(2, TRIAL_PIXELS // config.input_size**2))
    precision = measured_precision(task, trial_batch(config, few, device), device)
    yield TICK
    fits, numbers = fitting_batch_size(
        task,
        lambda count: trial_batch(config, count, device),
        wanted,
        device,
        precision,
        resident_bytes(images, rows, device),
    )
    if fits < wanted:
        precision = _because(
            dataclasses.replace(precision, batch_size=fits),
            f"batches of {fits} in place of {wanted}: {numbers}",
        )
    yield TICK
    if config.devices > 1:
        return precision
    count = min(fits, few) if device == "cpu" else fits
    seen = config.recipe.epochs * rows
    return (yield from with_compilation(config, precision, device, count, seen))


def trial_command() -> list[str]:
    """How the process of a trial is started; it reads JSON and writes one line of JSON."""
    return [sys.executable, "-m", "derm_core.training.trials"]


def _in_a_process(
    config: PretrainConfig, precision: Precision, device: str, batch_size: int, budget: float
) -> Generator[Event, None, float | str]:
    """Seconds of a step, measured in another process; or a few words on why there are none."""
    settings = [to_dict(config), precision.to_dict(), device, batch_size]
    deadline = time.monotonic() + budget
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as answer:
        given.write(json.dumps(settings))
        given.seek(0)
        process = subprocess.Popen(
            trial_command(), stdin=given, stdout=answer, cwd=REPOSITORY, start_new_session=True
        )
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    return f"it took longer than {budget:.0f} s"
                yield TICK
                time.sleep(POLL_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the compilers it has started
            process.wait()
        answer.seek(0)
        lines = answer.read().splitlines()
    try:
        result: float | str = json.loads(lines[-1])
    except (IndexError, ValueError):
        return "the trial ended without a result"
    return result


def main() -> None:
    """The process of a trial: settings from standard input, seconds or an error to standard output."""
    given: list[Any] = json.load(sys.stdin)
    config, precision = from_dict(given[0], PretrainConfig), Precision(**given[1])
    device, batch_size = given[2], given[3]
    result: float | str
    try:
        batch = trial_batch(config, batch_size, device)
        result = trial(vae_task(config), batch, device, precision)
    except Exception as error:  # whatever the compiler could not do, the run does without
        result = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:120]}"
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
