"""How many images a forward pass of feature extraction takes, and about how much memory that needs."""

from __future__ import annotations

CPU_BATCH = 32  # at 64 px: what a layer reads and writes stays in the cores' cache
LEAST_CPU_BATCH = 16
CUDA_BATCH = 256
PROGRAM_BYTES = 0.8e9  # the worker with torch and timm, before any network
WEIGHT_COPIES = 2  # the network, and the file that it is read from
BYTES = 4  # of a number, float32


def batch_size(device: str, size: int) -> int:
    """Images of `size` pixels in one forward pass: what was measured to be fastest on CPU cores, or fills a GPU."""
    return max(LEAST_CPU_BATCH, CPU_BATCH * 64 // size) if device == "cpu" else CUDA_BATCH


def extraction_bytes(parameters: int, forward_bytes: float, size: int) -> float:
    """About how much memory the features of a dataset take on the CPU, whatever its number of images.

    Args:
        parameters: of the network.
        forward_bytes: of a forward pass of one image of `size` pixels, beside the weights.
        size: side of the images, in pixels.

    For four networks it was 1.1 to 2.1 times what a process took (most for a transformer at 518 px).
    """
    weights = WEIGHT_COPIES * BYTES * parameters
    return PROGRAM_BYTES + weights + batch_size("cpu", size) * forward_bytes
