"""A network as one call, during which Python's other threads go on."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


class _Module(nn.Module):
    """`function` of an input, as a module that owns `parts`."""

    def __init__(self, function: Callable[[Tensor], Any], parts: list[nn.Module]):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def one_call(
    function: Callable[[Tensor], Any], parts: list[nn.Module], example: Tensor
) -> Callable[[Tensor], Any]:
    """`function`, made of the modules `parts`, as a single call for inputs of `example`'s shape; equal to the last bit.

    PyTorch gives Python's lock away in each operation and waits for it after each: beside one busy thread, some sixty of them
    take nine times as long (python -m benchmarks load). A traced function takes the lock once. Other shapes go through
    `function` as it is, and so does everything where tracing fails or changes a result: TorchScript is deprecated in favour of
    compilers that a user's machine need not have. On the CPU, in inference mode, for modules in eval mode; one thread at
    a time (predictor.own_turn).
    """
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # deprecated, and constants are meant to be constants
            traced = torch.jit.trace(_Module(function, parts), example, check_trace=False)
            same = all(_equal(traced(x), function(x)) for x in (example, *_others(example)))
    except Exception as error:  # noqa: BLE001 - whatever it is that cannot be traced: it is only slower beside other threads
        logger.warning("A network is not traced and will be slower beside other threads: %s", error)
        return function
    if not same:
        logger.warning(
            "A network is not traced and will be slower beside other threads: its results would change."
        )
        return function

    def call(x: Tensor) -> Any:
        return (traced if x.shape == example.shape else function)(x)

    return call


def _others(example: Tensor) -> list[Tensor]:
    """Two more inputs: the first calls of a traced function are also those that make it fast."""
    generator = torch.Generator().manual_seed(0)
    if example.is_floating_point():
        return [torch.randn(example.shape, generator=generator) for _ in range(2)]
    return [
        torch.randint(0, 256, example.shape, generator=generator, dtype=example.dtype)
        for _ in range(2)
    ]


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
